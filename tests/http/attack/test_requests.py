"""Hostile requests over real connections: each is refused with a reason, and costs nothing else."""

from __future__ import annotations

import json
import re
import socket

from tests.boundary.rig import wait_for
from tests.http.attack.requests import HOSTILE, Hostile
from tests.http.rig import PORT, add_pair, ask, connect, connect_tcp
from tests.http.test_access import make_token, settings
from tests.processes.rig import RECORD, Daemon, ip


def send(raw: bytes) -> bytes:
    """Return all that is answered to this, over a connection of its own."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=4) as sock:
        answer = b""
        try:
            sock.sendall(raw)
            while part := sock.recv(65536):
                answer += part
        except ConnectionError:
            pass  # what was answered before counts
        except TimeoutError:
            answer += b" and it hangs"
        return answer


def find_fault(hostile: Hostile, answer: bytes) -> str:
    """Return what is wrong with an answer, "" for nothing."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 %d " % hostile.status):
        return f"expected {hostile.status}, got {answer[:300]!r}"
    if len(re.findall(rb"HTTP/1\.1 \d", answer)) != 1:
        return f"more than one answer: {answer[:600]!r}"
    if b"application/problem+json" not in head:
        return f"no problem: {answer[:300]!r}"
    try:
        problem = json.loads(body)
    except ValueError:
        return f"no JSON: {answer[:600]!r}"
    if problem["status"] != hostile.status or hostile.words not in problem["detail"]:
        return f"another reason: {problem}"
    return ""


def test_each_is_refused_with_a_reason(daemon: Daemon) -> None:
    """One answer, a problem, for each; events are told and their scripts run meanwhile, in order."""
    daemon.script("address-added", RECORD)
    add_pair()
    settings(daemon)
    token = make_token(daemon, "ops", "operate").encode()
    daemon.start()
    faults = []
    for number, hostile in enumerate(HOSTILE):
        ip(f"addr add 10.1.{number}.1/24 dev eth0")
        fault = find_fault(hostile, send(hostile.raw.replace(b"TOKEN", token)))
        faults += [f"{hostile.what}: {fault}"] if fault else []
    assert "\n".join(faults) == ""
    assert len(HOSTILE) >= 60
    check_healthy(daemon, len(HOSTILE))
    assert token.decode() not in "".join(daemon.raw)


def check_healthy(daemon: Daemon, addresses: int) -> None:
    """Check that the daemon serves, has had no error, and has run one script for each address."""
    wait_for_runs(daemon, addresses)
    assert [line[5] for line in daemon.record()] == [f"10.1.{n}.1" for n in range(addresses)]
    with connect_tcp() as over_tcp, connect(daemon) as local:
        assert ask(over_tcp, "/api/v1/status")["state"] == "serving"
        assert ask(local, "/health")["status"] == "healthy"
    assert not [each["message"] for each in daemon.log if each["level"] == "error"]


def wait_for_runs(daemon: Daemon, count: int) -> None:
    """Wait until this many scripts have recorded their event."""
    wait_for(lambda: len(daemon.record()) >= count or None, f"{count} runs")
