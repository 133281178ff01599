"""Readers of the stream: what one costs, and when the last of a thousand has an event."""

from __future__ import annotations

import resource
import select
import socket
import time
from contextlib import ExitStack
from typing import Final

import proc
from latency import _percentile, start_with_link
from plan import SETTLE_S, Plan
from serving import _make_daemon
from subjects import Broken
from table import Row

READERS: Final = 1000
LATE_S: Final = 10.0
"""After this a reader that has not got its event is not served."""
_REQUEST: Final = b"GET /api/v1/events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n"


class Readers:
    """Many clients of one stream."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._poll = stack.enter_context(select.epoll())
        self._socks: dict[int, socket.socket] = {}
        for _ in range(READERS):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(path)
            sock.sendall(_REQUEST)
            self._socks[sock.fileno()] = sock
            self._poll.register(sock, select.EPOLLIN)
        self.wait(b": netevd\n\n")

    def wait(self, words: bytes) -> float:
        """Return when the last reader had these words, monotonic seconds."""
        missing = set(self._socks)
        end = time.monotonic() + LATE_S
        while missing:
            found = self._poll.poll(max(0.0, end - time.monotonic()))
            if not found:
                raise Broken(f"{len(missing)} of {READERS} readers got nothing in {LATE_S:.0f} s")
            for descriptor, _ in found:
                data = self._socks[descriptor].recv(65536)
                if not data:
                    raise Broken("a reader was cut")
                if words in data:
                    missing.discard(descriptor)
        return time.monotonic()


def readers(plan: Plan) -> list[Row]:
    """1,000 readers: memory of each, the last one's delay, wake-ups while nothing happens."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with _make_daemon(plan, "readers") as daemon, ExitStack() as stack:
        start_with_link(daemon)
        path = str(daemon.work / "run" / "api.sock")
        worker = daemon.roles()["worker"]
        with socket.socket(
            socket.AF_UNIX
        ) as first:  # what every client needs is there from then on
            first.connect(path)
            first.sendall(_REQUEST)
            while b": netevd" not in first.recv(65536):
                pass
        time.sleep(SETTLE_S)
        before = proc.read_memory(worker).private
        began, spent = time.monotonic(), proc.read_cpu_s(worker)
        clients = Readers(path, stack)
        connected, spent = time.monotonic() - began, proc.read_cpu_s(worker) - spent
        time.sleep(SETTLE_S)
        each_kb = (proc.read_memory(worker).private - before) * 1000 / READERS
        delays, costs = [], []
        for _ in range(plan.samples):
            cost, moment = proc.read_cpu_s(worker), time.monotonic()
            daemon.near.add_address(101, "event0", 1)
            delays.append(clients.wait(b'"type":"address-added"') - moment)
            costs.append(proc.read_cpu_s(worker) - cost)
            daemon.near.remove_address(101, "event0", 1)
            clients.wait(b'"type":"address-removed"')
        time.sleep(SETTLE_S)
        switches = proc.read_switches(worker)
        time.sleep(plan.idle_s)
        woken = proc.read_switches(worker) - switches
    return [
        Row("readers memory of one", "KB", each_kb, None, 40.0, "value"),
        Row("readers last has an event, p50", "ms", 1000 * _percentile(delays, 0.5), None, 150.0,
            "value"),
        Row("readers last has an event, p90", "ms", 1000 * _percentile(delays, 0.9)),
        Row("readers CPU of worker per event", "ms", 1000 * sum(costs) / len(costs)),
        Row("readers connected in", "s", connected),
        Row("readers CPU of worker to connect", "s", spent),
        Row(f"readers wake-ups in {plan.idle_s:.0f} s", "", woken),
    ]  # fmt: skip
