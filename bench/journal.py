"""What it costs to keep on disk what outlives the daemon."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Final

from plan import Plan
from table import Row

from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.kernel.decode import decode
from netevd.model.actions import EndRun, Publish
from netevd.model.history import RunOutcome
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    Input,
    LinkSeen,
    Now,
    RoutesDumpEnded,
)
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.report.journal import Journal
from netevd.worker.entries import list_entries
from netevd.worker.recovery import Place, Recovery
from netevd.worker.slate import Memory

MESSAGES: Final = 19_200
PACKET: Final = 32
"""Messages that the helper hands over in one packet, all of which are one record; in a storm up to 128."""
LINKS: Final = 20
_SIZE: Final = 128 << 20


class _Worker:
    """An engine and what it is remembered by."""

    def __init__(self, directory: Path | None) -> None:
        slates = [os.memfd_create("slate") for _ in range(2)]
        for slate in slates:
            os.ftruncate(slate, _SIZE)
        configuration = Configuration()
        self._recovery = Recovery(Memory(slates), Journal(), configuration.routes, Place("here", 1))
        if directory is not None:
            self._recovery.open_disk(str(directory))
        self._recovery.read()
        self._engine = Engine(configuration, 1)
        self._handle(HelperConnected())
        for number in range(1, LINKS + 1):
            flags = IFF_UP | IFF_LOWER_UP
            link = Link(IfIndex(number), f"eth{number}", flags, 6, 1500, "", kind="veth")
            self._handle(LinkSeen(link, 1))
        self._handle(DumpEnded(1, consistent=True))
        self._handle(RoutesDumpEnded(1, consistent=True))

    def _handle(self, *inputs: Input) -> int:
        """Decide about the messages of one packet and write that down; return the number of events."""
        now = Now(time.monotonic(), time.time_ns())
        actions = [each for given in inputs for each in self._engine.handle(given, now)]
        published = sum(isinstance(each, Publish) for each in actions)
        first = self._engine.numbers.sequence - published
        entries = list_entries(actions, first, now.wall_ns, _tell_run)
        self._recovery.write(self._engine, self._engine.take_record(), entries)
        return published

    def measure(self, turn: int, size: int) -> float:
        """Return seconds for one event. size: messages in a packet."""
        messages: list[bytes] = []
        for number in range(MESSAGES // 2):
            local = bytes((10, turn, number // 250, number % 250 + 1))
            messages += [_encode(kind, number % LINKS + 1, local) for kind in (20, 21)]
        began = time.perf_counter()
        published = sum(
            self._handle(
                *(each for part in messages[place : place + size] for each in decode(part))
            )
            for place in range(0, MESSAGES, size)
        )
        return (time.perf_counter() - began) / published


def _encode(kind: int, ifindex: int, local: bytes) -> bytes:
    """Return RTM_NEWADDR (20) or RTM_DELADDR (21) of an IPv4 address, as the kernel sends it."""
    body = struct.pack("=BBBBi", 2, 24, 0x80, 0, ifindex)
    for number, payload in ((1, local), (2, local), (8, struct.pack("=I", 0x80))):
        body += struct.pack("=HH", 4 + len(payload), number) + payload
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def _tell_run(action: EndRun, time_ns: int) -> RunOutcome:
    raise AssertionError(f"there are no scripts here: {action}, {time_ns}")


def journal(plan: Plan) -> list[Row]:
    """Messages decoded, decided and remembered, with a state directory and without, in turn."""
    rows = []
    for size, name, limit in ((PACKET, "in a storm", 10.0), (1, "one by one", None)):
        directory = plan.work / f"journal-{size}"
        directory.mkdir()
        with_disk, without = _Worker(directory), _Worker(None)
        turns = range(3 * plan.rounds)
        times = [(with_disk.measure(turn, size), without.measure(turn, size)) for turn in turns]
        on_disk, in_memory = (min(each) for each in zip(*times, strict=True))
        share = 100 * (1 - in_memory / on_disk)
        rows += [
            Row(f"journal {name}, events a second on disk", "", 1 / on_disk),
            Row(f"journal {name}, on disk, of the rate", "%", share, None, limit, "value"),
        ]
    return rows
