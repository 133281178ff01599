"""The stream: no event is missed or told twice, nobody who does not read costs anything."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.boundary.rig import DEADLINE, wait_for
from tests.http.rig import add_pair, ask, connect, find_socket, stream
from tests.processes.rig import Daemon, ip
from tests.processes.test_reload import reload


def read_sequences(path: Path) -> list[int]:
    """Return the ids that curl has written."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [int(line[4:]) for line in lines if line.startswith("id: ")]


class Curl:
    """`curl -N`, started again with the last id whenever the stream ends, as a browser does."""

    def __init__(self, daemon: Daemon, output: Path, since: int) -> None:
        self._socket = find_socket(daemon)
        self._output = output
        output.write_bytes(b"")
        self._last = since
        self._over = threading.Event()
        self.failures: list[str] = []
        self.times = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            self.times += 1
            with self._output.open("ab") as output:
                self._process = subprocess.Popen(
                    ["curl", "-sSN", "--unix-socket", str(self._socket), "-H",
                     f"Last-Event-ID: {self._last}", "http://localhost/api/v1/events"],
                    stdout=output, stderr=subprocess.PIPE,
                )  # fmt: skip
                _, said = self._process.communicate()
            if said and not self._over.is_set():
                self.failures.append(said.decode())
            self._last = max([self._last, *read_sequences(self._output)])

    def end(self) -> list[int]:
        """End it; return every id that it has got."""
        self._over.set()
        assert self._process is not None
        self._process.terminate()
        self._thread.join()
        return read_sequences(self._output)


def test_curl_misses_nothing_over_twenty_reloads(served: Daemon, tmp_path: Path) -> None:
    """Last-Event-ID goes on where it was: each event once, in order, and no connection is cut."""
    first = served.announced()[0]["sequence"]
    curl = Curl(served, tmp_path / "events", first - 1)
    try:
        for times in range(2, 22):
            ip(f"addr add 10.1.{times}.1/24 dev eth0")
            reload(served, times)
        served.wait_event("eth0", "address-usable", 20)
        last = served.announced()[-1]["sequence"]
        wait_for(lambda: last in read_sequences(tmp_path / "events") or None, "the last event")
    finally:
        told = curl.end()
    assert told == [each["sequence"] for each in served.announced()]
    assert curl.failures == []
    assert curl.times > 20


def test_the_stream_goes_on_after_a_death_and_a_restart(served: Daemon) -> None:
    """What happened while nobody listened comes first; what is not known any more is a gap."""
    with connect(served) as client, stream(client, type="address-usable") as reader:
        ip("addr add 10.1.1.1/24 dev eth0")
        last = reader.read_kind("event").number
        served.kill("worker")
        with pytest.raises(httpx.RemoteProtocolError):
            reader.read_kind("run")
    ip("addr add 10.1.2.1/24 dev eth0")
    served.expect_serving(2)
    with connect(served) as client, stream(client, last, type="address-usable") as reader:
        event = reader.read_kind("event")
        assert event.content["address"]["ip"] == "10.1.2.1"
    served.stop()
    ip("addr add 10.1.3.1/24 dev eth0")
    served.start(ready=False)
    served.expect_serving(3)
    with connect(served) as client, stream(client, event.number, type="address-usable") as reader:
        assert reader.read_kind("event").content["address"]["ip"] == "10.1.3.1"
    with connect(served) as client, stream(client, "99999999999999999") as reader:
        strange = reader.read()
        assert strange is not None
        assert (strange.kind, strange.content["to"]) == ("gap", 99999999999999999)
        ip("addr add 10.1.4.1/24 dev eth0")
        assert reader.read_kind("event").content["sequence"] >= strange.content["from"]
    with connect(served) as client, stream(client, "5") as reader:
        gap = reader.read()
        assert gap is not None
        assert (gap.kind, gap.number, gap.content["from"]) == ("gap", "", 6)
        told = reader.read()
        assert told is not None
        assert told.content["sequence"] == gap.content["to"] + 1


def test_accept_decides_what_events_are(served: Daemon, client: httpx.Client) -> None:
    """An explicit Accept, then whether there is a limit, then the stream."""

    def look(accept: str | None, query: str = "") -> str:
        headers = {} if accept is None else {"Accept": accept}
        request = client.build_request("GET", f"/api/v1/events{query}", headers=headers)
        if accept is None:
            del request.headers["Accept"]
        answer = client.send(request, stream=True)
        answer.close()
        return answer.headers["content-type"].partition(";")[0]

    sse, plain = "text/event-stream", "application/json"
    assert look(None) == look("*/*") == look(sse) == sse
    assert look(None, "?limit=1") == look("*/*", "?limit=1") == look(plain) == plain
    assert look(sse, "?limit=1") == sse
    assert look(f"{plain};q=0.5, {sse}") == sse
    assert look(f"{sse};q=0.5, {plain}") == plain
    assert look(f"{sse};q=0, */*", "?limit=1") == plain
    head = client.head("/api/v1/events")
    assert (head.status_code, head.headers["content-type"]) == (200, sse)


def test_filters_hold_for_all_that_is_told(served: Daemon) -> None:
    """Of another interface comes neither event nor run; Last-Event-ID wins over since."""
    add_pair("eth1", 201)
    served.wait_event("eth1", "carrier")
    with connect(served) as client:
        last = ask(client, "/api/v1/events", limit=1)["last"]
        with stream(client, str(last), interface="eth1", since=1) as reader:
            ip("addr add 10.1.1.1/24 dev eth0", "addr add 10.2.1.1/24 dev eth1")
            told = []
            while not told or told[-1].kind != "run":
                message = reader.read()
                assert message is not None
                told.append(message)
    assert {each.content["interface"] for each in told} == {"eth1"}
    types = [each.content["type"] for each in told if each.kind == "event"]
    # Routes come over a socket of their own, so they may be told before the address.
    assert [each for each in types if each != "routes"][:2] == ["address-added", "address-usable"]


def test_verdicts_of_filters_are_told(make_daemon: Any) -> None:
    """An event that a filter ignores is told all the same, and then what the filter says."""
    filters = "filters: [{match: {event_type: address-added}, action: ignore}]\n"
    daemon = make_daemon("system: {log_format: json}\n" + filters)
    add_pair()
    daemon.start()
    with connect(daemon) as client, stream(client, type="address-added") as reader:
        ip("addr add 10.1.1.1/24 dev eth0")
        event, verdict = reader.read_kind("event"), reader.read_kind("verdict")
    assert verdict.content["sequences"] == [event.content["sequence"]]
    assert (verdict.content["result"], verdict.content["filter"]) == ("ignore", 1)
    assert verdict.number == ""


def test_a_client_that_never_reads_is_cut(served: Daemon) -> None:
    """The daemon keeps nothing for it, and others hear everything meanwhile."""
    worker = served.role("worker")
    lazy = socket.socket(socket.AF_UNIX)
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect(str(find_socket(served)))
    lazy.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    with lazy, connect(served) as client, stream(client, type="address-added") as reader:
        before = count_descriptors(worker)
        for number in range(6):
            batch = [f"{number}.{each}" for each in range(1, 201)]
            ip(*(f"addr add 10.1.{each}/32 dev eth0" for each in batch))
            ip(*(f"addr del 10.1.{each}/32 dev eth0" for each in batch))
            for _ in batch:
                reader.read_kind("event")
        wait_for(lambda: count_descriptors(worker) < before or None, "the end of who does not read")
        assert count_sockets_of_lazy(lazy) < 1 << 20


def count_descriptors(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def count_sockets_of_lazy(lazy: socket.socket) -> int:
    """Return how much can be read of it, now that it is closed."""
    lazy.settimeout(DEADLINE)
    return sum(len(part) for part in iter(lambda: lazy.recv(65536), b""))


def test_a_browser_is_told_when_to_come_again(served: Daemon) -> None:
    """The stream begins at once, with the time until the next try."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(find_socket(served)))
        sock.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        head = b""
        while b"retry: 2000\n" not in head:
            head += sock.recv(65536)
    assert b"x-accel-buffering: no" in head.lower()
    assert b"cache-control: no-store" in head.lower()


def test_messages_of_past_and_present_are_the_same(served: Daemon) -> None:
    """An event of the journal has the bytes that were told when it happened."""
    with connect(served) as client:
        with stream(client, type="address-added") as reader:
            ip("addr add 10.1.1.1/24 dev eth0")
            live = reader.read_kind("event")
        with stream(client, str(int(live.number) - 1)) as reader:
            again = reader.read_kind("event")
    assert json.dumps(live.content) == json.dumps(again.content)
