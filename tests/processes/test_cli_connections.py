"""Which daemon commands ask, and what they say of one that is not there, not theirs, or none at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.boundary.conftest import namespace
from tests.processes.rig import ip
from tests.unit.cli.rig import AS_NOBODY, netevd

__all__ = ["namespace"]

NOBODY = 65534


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory that everybody can read, as /tmp is."""
    path = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def listening(path: Path, mode: int) -> Iterator[socket.socket]:
    """Listen at a path with this mode, and never answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen()
        yield sock


@contextlib.contextmanager
def serving(status: int, kind: str, text: str) -> Iterator[int]:
    """Answer every request on a port of loopback with this; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    ip("link set lo up")
    server = ThreadingHTTPServer(("127.0.0.1", 9090), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield 9090
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--socket", "/x", "--url", "http://localhost"], "--socket and --url name two daemons"),
        (["--token-file", "/etc/hostname"], "--token-file says how to ask a daemon at --url"),
        (["--cacert", "/etc/hostname"], "--cacert says how to ask a daemon at --url"),
        (["--url", "ftp://localhost"], "expected http:// or https://"),
        (["--url", "localhost:9090"], "expected http:// or https://"),
        (["--url", "http://localhost/api"], "nothing behind them"),
        (["--url", "http://localhost:x"], "--url 'http://localhost:x'"),
        (["--url", "http://example@localhost"], "nothing behind them"),
        (["--url", "http://localhost", "--cert", "/etc/hostname"], "--cert needs an https URL"),
        (["--url", "https://localhost", "--key", "/etc/hostname"], "--cert is missing"),
        (["--url", "https://localhost", "--cacert", "/etc/hostname"], "expected PEM"),
        (["--url", "http://localhost", "--token-file", "/nowhere"], "does not exist"),
    ],
)
def test_options_that_can_not_be_meant_are_usage_errors(options: list[str], text: str) -> None:
    """Each says what it expected; nobody is asked."""
    result = netevd(*options, "status")

    assert (result.returncode, result.stdout) == (2, "")
    assert text in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--socket", "/nowhere/api.sock"],
        ["--url", "http://127.0.0.1:1"],
        ["--url", "https://[::1]:1"],
    ],
)
def test_daemon_that_is_not_there_is_exit_3(options: list[str], namespace: None) -> None:
    """The place where nobody answers is named."""
    result = netevd(*options, "status")

    assert (result.returncode, result.stdout) == (3, "")
    assert "no daemon answers at" in result.stderr
    assert options[1] in result.stderr


def test_https_where_there_is_none_is_said(namespace: None) -> None:
    """Not in the words of the TLS library, and with the URL that would do."""
    with serving(200, "application/json", "{}") as port:
        result = netevd("--url", f"https://127.0.0.1:{port}", "status")

    assert (result.returncode, result.stdout) == (3, "")
    assert "speaks no TLS" in result.stderr
    assert f"http://127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (404, "text/plain", "404 page not found"),
        (200, "application/json", '{"status": "success", "data": {"groups": []}}'),
        (200, "application/json", "[]"),
    ],
)
def test_somebody_else_on_port_9090_is_no_daemon(
    status: int, kind: str, text: str, namespace: None, directory: Path
) -> None:
    """Prometheus has that port, too: what it answers is never taken for netevd's."""
    with serving(status, kind, text):
        result = netevd("list", "rules", env={"XDG_RUNTIME_DIR": str(directory)})

    assert (result.returncode, result.stdout) == (3, "")
    assert "no daemon answers at" in result.stderr


def test_url_of_somebody_else_is_said(namespace: None) -> None:
    """Who was named and is not netevd is told apart from nobody."""
    with serving(404, "text/html", "<h1>Not found</h1>") as port:
        result = netevd("--url", f"http://127.0.0.1:{port}", "status")

    assert result.returncode == 3
    assert "what answers is not netevd's API (status 404, text/html)" in result.stderr


def test_loopback_is_asked_where_no_socket_answers(namespace: None, directory: Path) -> None:
    """For reading; nothing is changed that way."""
    status = {"state": "serving", "generation": 1, "uptime_seconds": 1.0}
    answer = {**status, "interfaces": [], "count": 0}
    environment = {"XDG_RUNTIME_DIR": str(directory)}
    with serving(200, "application/json", json.dumps(answer)):
        read = netevd("-j", "list", "interfaces", env=environment)
        changed = netevd("reload", env=environment)

    assert json.loads(read.stdout) == answer
    assert changed.returncode == 5
    assert "may only be read that way" in changed.stderr


def test_who_may_not_ask_is_told_who_may(directory: Path) -> None:
    """A socket of root's group names the group, a closed directory its owner."""
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with listening(directory / "api.sock", 0o660), listening(closed / "api.sock", 0o660):
        group = netevd("--socket", str(directory / "api.sock"), "status", prefix=AS_NOBODY)
        owner = netevd("--socket", str(closed / "api.sock"), "status", prefix=AS_NOBODY)

    assert group.returncode == owner.returncode == 5
    assert "be root or a member of the group root" in group.stderr
    assert "it is the own one of user root; be that user, or root" in owner.stderr


def test_directory_of_somebody_else_is_not_the_caller_s_daemon(
    directory: Path, namespace: None
) -> None:
    """Whoever makes the directory first where a daemon of the caller's would be is not asked."""
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    theirs = directory / "netevd"
    theirs.mkdir(mode=0o755)
    os.chown(theirs, 1, 1)
    with listening(theirs / "api.sock", 0o666) as sock:
        sock.setblocking(False)
        result = netevd("status", prefix=AS_NOBODY, env={"XDG_RUNTIME_DIR": str(directory)})
        with pytest.raises(BlockingIOError):
            sock.accept()

    assert result.returncode in {3, 5}
    assert str(theirs) not in result.stderr


def test_completion_does_not_wait_for_a_daemon_that_is_stuck(directory: Path) -> None:
    """It offers what it can find out by itself."""
    with listening(directory / "api.sock", 0o660):
        words = ["netevd", "--socket", str(directory / "api.sock"), "show", "interface", ""]
        result = netevd(env={
            "_NETEVD_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        })  # fmt: skip

    assert "plain,lo" in result.stdout.splitlines()
    assert result.stderr == ""


def test_token_file_holds_one_token(directory: Path, namespace: None) -> None:
    """What could not be one is refused, and not sent."""
    path = directory / "token"
    path.write_text("two words\n")
    with serving(200, "application/json", "{}") as port:
        result = netevd("--url", f"http://127.0.0.1:{port}", "--token-file", str(path), "status")

    assert result.returncode == 1
    assert "expected one token" in result.stderr
