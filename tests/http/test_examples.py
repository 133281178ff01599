"""Each example of docs/reference/http.md is run as it stands there, and answered as it is described."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx

from netevd.http.endpoints import ENDPOINTS, OTHERS
from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, check_answer, connect, find_socket
from tests.processes.rig import Daemon, ip

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/reference/http.md"
SHOWN = "/run/netevd/api.sock"


def read_examples() -> list[str]:
    """Return every command of the document that asks over the unix socket and ends by itself."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith(f"    curl -s --unix-socket {SHOWN}")]


def test_every_example_is_answered(make_daemon: Callable[..., Daemon]) -> None:
    """With 2xx and what OpenAPI says; every path has one."""
    daemon = make_daemon(pause_after=2)
    script = daemon.script("address-added", "#!/bin/sh\nexit 1\n")
    add_pair()
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0", "addr add 10.1.2.1/24 dev eth0")
    daemon.expect(lambda entry: "is paused" in entry["message"])
    daemon.wait_event("eth0", "routable")
    with connect(daemon) as client:
        wait_for(lambda: ask(client, "/api/v1/status")["paused_scripts"] or None, "pause")
        number = ask(client, "/api/v1/runs")["runs"][0]["run"]

    asked = set()
    for example in read_examples():
        words = shlex.split(example.replace(SHOWN, str(find_socket(daemon))))
        words = [each.replace("/runs/1", f"/runs/{number}") for each in words]
        words = [each.replace("/etc/netevd", str(script.parent.parent)) for each in words]
        done = subprocess.run(
            [*words, "-i"], capture_output=True, text=True, timeout=60, check=True
        )
        head, _, body = done.stdout.partition("\n\n")
        status = int(head.split()[1])
        assert 200 <= status < 300, f"{example}: {done.stdout}"
        (kind,) = re.findall(r"^content-type: (.*)$", head, re.MULTILINE | re.IGNORECASE)
        method = "POST" if "POST" in words else "GET"
        request = httpx.Request(method, words[-1])
        check_answer(
            httpx.Response(status, text=body, headers={"content-type": kind}, request=request)
        )
        asked.add((method, request.url.path))
    patterns = [
        (each.method, re.sub("<[^>]*>", "[^/]+", each.path))
        for each in (*ENDPOINTS, *OTHERS)
        if each.method == "GET"
        or each.path.split("/")[3]
        not in {"config", "routing"}  # have a page and tests of their own
    ]
    missing = [
        (method, pattern)
        for method, pattern in patterns
        if not any(method == m and re.fullmatch(pattern, path) for m, path in asked)
    ]
    assert missing == []
