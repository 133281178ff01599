"""Many connections, and such that never end: they cost whoever makes them, and nobody else."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx

from netevd.http.server import CONNECTIONS, CONNECTIONS_OF_ADDRESS
from tests.boundary.rig import DEADLINE, wait_for
from tests.http.attack.requests import get
from tests.http.attack.test_requests import check_healthy, wait_for_runs
from tests.http.rig import PORT, add_pair, ask, connect, connect_tcp
from tests.http.test_access import OUTSIDE, settings
from tests.processes.rig import RECORD, Daemon, ip

FOREVER = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


@contextlib.contextmanager
def opened(count: int, host: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Hold so many connections."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((host, PORT), timeout=DEADLINE))
            for _ in range(count)
        ]


def start(daemon: Daemon, more: str = "") -> None:
    """Start a daemon with a script for new addresses."""
    daemon.script("address-added", RECORD)
    add_pair()
    settings(daemon, more)
    daemon.start()


def count_descriptors(daemon: Daemon) -> int:
    """Return how many descriptors the worker has open."""
    return len(list(Path(f"/proc/{daemon.role('worker')}/fd").iterdir()))


def test_a_listener_has_so_many_connections(daemon: Daemon) -> None:
    """Who comes then reads why; the unix socket has its own, events go on, and all ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    start(daemon)
    with connect(daemon) as local:
        ask(local, "/api/v1/status")
        before = count_descriptors(daemon)
        with opened(CONNECTIONS) as held:
            held[0].sendall(get())
            assert held[0].recv(12) == b"HTTP/1.1 200"
            ip("addr add 10.1.0.1/24 dev eth0")
            with socket.create_connection(("127.0.0.1", PORT), timeout=DEADLINE) as late:
                assert late.recv(1000).startswith(b"HTTP/1.1 503")
            assert ask(local, "/api/v1/status")["state"] == "serving"
            wait_for_runs(daemon, 1)
        wait_for(lambda: count_descriptors(daemon) <= before + 2 or None, "the end of all of them")
    check_healthy(daemon, 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_address_elsewhere_has_fewer(daemon: Daemon) -> None:
    """One host can't take all the places."""
    ip("link set lo up")
    add_pair("out0", 201)
    ip(f"addr add {OUTSIDE}/32 dev out0")
    start(daemon, "bind_address: 0.0.0.0, allow_plain: true")
    with opened(CONNECTIONS_OF_ADDRESS, OUTSIDE):
        with socket.create_connection((OUTSIDE, PORT), timeout=DEADLINE) as late:
            assert late.recv(1000).startswith(b"HTTP/1.1 503")
        with connect_tcp() as client:
            assert ask(client, "/api/v1/status")["state"] == "serving"


def test_those_that_send_and_never_read(daemon: Daemon) -> None:
    """Floods of requests in one packet, resets, halves, streams that nobody reads: events go on."""
    start(daemon)
    with opened(20) as pipelining, opened(20) as streams, opened(20) as half:
        for number, sock in enumerate(pipelining):
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(50):
                    sock.sendall(get().replace(b"Connection: close\r\n", b"") * 100)
            streams[number].sendall(FOREVER)
            half[number].sendall(get())
            half[number].shutdown(socket.SHUT_WR)
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", PORT), timeout=DEADLINE) as reset:
                    reset.sendall(b"GET /api/v1/st")
                    linger = struct.pack("ii", 1, 0)
                    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            ip(f"addr add 10.1.{number}.1/24 dev eth0")
        check_healthy(daemon, 20)
        with connect_tcp() as client:
            assert ask(client, "/api/v1/status")["state"] == "serving"


def test_slow_ones_do_not_hold_up_a_reload(daemon: Daemon) -> None:
    """Half requests, whole streams and idle connections: the next worker takes over all the same."""
    start(daemon)
    with opened(30) as held, connect(daemon) as client:
        for number, sock in enumerate(held):
            sock.sendall((FOREVER, b"GET /api", b"")[number % 3])
        ip("addr add 10.1.0.1/24 dev eth0")
        wait_for_runs(daemon, 1)
        answer = client.post("/api/v1/reload")
        assert answer.status_code == 200
        daemon.expect_serving(2)
        ip("addr add 10.1.1.1/24 dev eth0")
    assert not [each for each in daemon.log if "died" in each["message"]]
    check_healthy(daemon, 2)


def test_a_websocket_that_talks_too_much(daemon: Daemon) -> None:
    """Frames that are too large, of no kind, unmasked, or before the answer: the connection ends."""
    start(daemon)
    upgrade = get(
        b"/api/v1/live", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"Sec-WebSocket-Extensions: permessage-deflate",
    ).replace(b"close", b"Upgrade")  # fmt: skip
    frames = {
        "large": b"\x81\xff" + (1 << 40).to_bytes(8) + b"\0" * 4 + b"a" * 100_000,
        "long": b"\x81\xff" + (200_000).to_bytes(8) + b"\0" * 4 + b"a" * 200_000,
        "unmasked": b"\x81\x05hello",
        "of no kind": b"\x8f\x80\0\0\0\0",
        "compressed": b"\xc1\x85\0\0\0\0hello",
        "bad UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    }
    for number, (what, frame) in enumerate(frames.items()):
        ip(f"addr add 10.1.{number}.1/24 dev eth0")
        with socket.create_connection(("127.0.0.1", PORT), timeout=DEADLINE) as sock:
            sock.sendall(upgrade)
            head = sock.recv(4096)
            assert head.startswith(b"HTTP/1.1 101"), what
            assert b"extensions" not in head.lower(), "what is compressed could be a bomb"
            with contextlib.suppress(ConnectionError):
                sock.sendall(frame)
                while sock.recv(65536):
                    pass
        with socket.create_connection(("127.0.0.1", PORT), timeout=DEADLINE) as sock:
            sock.sendall(upgrade + frame[:1000])
            with contextlib.suppress(ConnectionError):
                sock.recv(4096)
    check_healthy(daemon, len(frames))
    with connect_tcp() as client, contextlib.suppress(httpx.HTTPError):
        assert ask(client, "/api/v1/status")["state"] == "serving"
