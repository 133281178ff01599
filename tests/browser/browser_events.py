"""
A real browser's EventSource: it hears events and comes again by itself after each reload.

Not part of `make test`, since the browser is larger than everything else: `make browser`.
"""

from __future__ import annotations

import http.server
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.boundary.conftest import namespace
from tests.boundary.rig import wait_for
from tests.http.rig import PORT, add_pair
from tests.processes.conftest import make_daemon
from tests.processes.rig import Daemon, ip
from tests.processes.test_reload import reload

__all__ = ["make_daemon", "namespace"]

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--no-default-browser-check",
    "--disable-dev-shm-usage", "--disable-extensions",
)  # fmt: skip

PAGE = """<!doctype html><title>netevd</title><script>
const source = new EventSource("/api/v1/events?type=address-added");
const tell = (path) => fetch("/told?" + path, {method: "POST"});
source.onopen = () => tell("open=1");
for (const kind of ["event", "run", "gap"])
  source.addEventListener(kind, (m) => tell(kind + "=" + (m.lastEventId || "0")));
</script>"""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Serves the page and passes the stream on, so that it is of the page's own origin."""

    told: list[tuple[str, str]]
    asked: list[str]

    def do_GET(self) -> None:
        """Serve."""
        if self.path == "/":
            content = PAGE.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        if not self.path.startswith("/api/"):
            self.send_error(404)
            return
        last = self.headers.get("Last-Event-ID", "")
        self.asked.append(last)
        headers = {"Accept": self.headers["Accept"]} | ({"Last-Event-ID": last} if last else {})
        url = f"http://127.0.0.1:{PORT}{self.path}"
        try:
            with httpx.stream("GET", url, headers=headers, timeout=None, trust_env=False) as answer:
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["content-type"])
                self.end_headers()
                for part in answer.iter_raw():
                    self.wfile.write(part)
        except (httpx.HTTPError, OSError):
            return

    def do_POST(self) -> None:
        """Take what the page has heard."""
        for kind, values in parse_qs(urlsplit(self.path).query).items():
            self.told.append((kind, values[0]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[type[Proxy]]:
    """Serve the page in this namespace."""
    handler = type("Handler", (Proxy,), {"told": [], "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 8080), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def test_event_source_misses_nothing_over_reloads(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """It names the last id it has got, waits as long as it was told, and hears each event once."""
    daemon = make_daemon()
    add_pair()
    daemon.start()
    with (
        serving() as page,
        tempfile.TemporaryDirectory(prefix="netevd-browser-", ignore_cleanup_errors=True) as place,
    ):
        command = ["chromium", *OPTIONS, f"--user-data-dir={place}", "http://127.0.0.1:8080/"]
        browser = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: ("open", "1") in page.told or None, "the stream in the browser", 60)
            for times in range(1, 4):
                ip(f"addr add 10.1.{times}.1/24 dev eth0")
                daemon.wait_event("eth0", "address-added", times)
                reload(daemon, times + 1)
            wanted = [
                str(each["sequence"])
                for each in daemon.announced()
                if each["event"] == "address-added"
            ]

            def list_heard() -> list[str]:
                return [number for kind, number in page.told if kind == "event"]

            wait_for(lambda: len(list_heard()) >= len(wanted) or None, "all events", 60)
            assert sorted(list_heard()) == wanted
            assert [kind for kind, _ in page.told if kind == "gap"] == []
            assert page.asked[0] == ""
            assert set(page.asked[1:]) <= {"", *wanted}
            assert page.asked[-1] != ""
        finally:
            browser.terminate()
            browser.wait(timeout=20)
