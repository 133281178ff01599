"""
What outlives the worker: written before anything is done about an input, read by the next worker.

Belongs here: which values are written, and when. How engine and runners go on from them is core.runs'
and core.observe's, bytes and checksums are worker.slate's.
"""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import evolve, frozen

from netevd.config.schema import Routes
from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.link import IfIndex
from netevd.model.memory import KnownLink, Numbers, Record, RunMemory, State
from netevd.model.route import Route
from netevd.report.journal import PACKING, Entry, EventEntry, Journal
from netevd.report.packing import Packing, Unreadable
from netevd.worker.slate import Memory


class _Snapshot(msgspec.Struct, array_like=True):
    """What a slate begins with."""

    state: State
    routes: Routes
    """Which routes were wanted."""
    journal: list[bytes]


class _Record(msgspec.Struct, array_like=True):
    """What one input decided. Events are taken from its entries."""

    numbers: Numbers
    links: tuple[KnownLink, ...]
    gone: tuple[IfIndex, ...]
    routes: tuple[tuple[bool, Route], ...]
    runs: RunMemory | None
    entries: list[bytes]


_SNAPSHOT: Final = Packing[_Snapshot](_Snapshot)
_RECORD: Final = Packing[_Record](_Record)
_END: Final = b"\xc0"
"""A record that says: the worker has handled all that it was sent, and has ended in good order."""


@frozen(slots=True)
class Remembered:
    """What the last worker left."""

    state: State
    routes: Routes
    """Which routes it wanted."""
    in_order: bool
    """It had handled all that it was sent."""


class Recovery:
    """Reads once, then writes."""

    def __init__(self, memory: Memory, journal: Journal, routes: Routes) -> None:
        """routes: which ones are wanted."""
        self._memory = memory
        self._journal = journal
        self._routes = routes
        self.truncated = False
        """Whether all that is to be remembered did not fit, and routes or the journal were left out."""

    def read(self) -> Remembered | None:
        """
        Return what the last worker left, None for nothing. The journal is filled.

        Raises: Unreadable.
        """
        content = self._memory.read()
        if content is None:
            return None
        snapshot = _SNAPSHOT.unpack(content.snapshot)
        bodies = [each for each in content.records if each != _END]
        records = [_RECORD.unpack(body) for body in bodies]
        self._journal.add(snapshot.journal)
        for record in records:
            self._journal.add(record.entries)
        state = fold(snapshot.state, (_to_record(each) for each in records))
        in_order = content.records[-1:] == [_END]
        return Remembered(state, snapshot.routes, in_order)

    def write(self, engine: Engine, record: Record | None, entries: list[Entry]) -> None:
        """Keep what the last input of the engine decided, and what there is to tell of it."""
        if record is None and not entries:
            return
        packed = [PACKING.pack(each) for each in entries]
        self._journal.add(packed)
        decided = record or Record(engine.numbers)
        body = _RECORD.pack(
            _Record(
                decided.numbers, decided.links, decided.gone, decided.routes, decided.runs, packed
            )
        )
        if self._memory.has_room(len(body)):
            self._memory.append(body)
        else:
            self._replace(engine)

    def end(self, engine: Engine) -> None:
        """Say that all that was sent was handled."""
        if not self._memory.has_room(len(_END)):
            self._replace(engine)
        if self._memory.has_room(len(_END)):
            self._memory.append(_END)

    def _replace(self, engine: Engine) -> None:
        state = engine.get_state()
        if state is None:
            return
        whole = _Snapshot(state, self._routes, self._journal.get_packed())
        room = self._memory.capacity - (1 << 21)
        for snapshot in (
            whole,
            msgspec.structs.replace(whole, journal=[]),
            msgspec.structs.replace(whole, journal=[], state=evolve(state, routes=None)),
        ):
            packed = _SNAPSHOT.pack(snapshot)
            if len(packed) <= room:
                self._memory.replace(packed)
                break
            self.truncated = True


def _to_record(packed: _Record) -> Record:
    events = []
    for body in packed.entries:
        try:
            entry = PACKING.unpack(body)
        except Unreadable:
            continue
        if isinstance(entry, EventEntry):
            events.append(entry.event)
    return Record(
        packed.numbers, packed.links, packed.gone, packed.routes, tuple(events), packed.runs
    )
