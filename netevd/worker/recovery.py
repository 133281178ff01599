"""
What outlives the worker: written before anything is done about an input, read by the next worker.

Belongs here: which values are written, and when. How engine and runners go on from them is core.runs'
and core.observe's, bytes and checksums are worker.slate's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from attrs import evolve, field, frozen

from netevd.config.schema import Routes
from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.advice import Advice
from netevd.model.backend import HostReport
from netevd.model.history import DeliveryOutcome, RunOutcome
from netevd.model.link import IfIndex
from netevd.model.memory import DeliveryMemory, KnownLink, Numbers, Record, RunMemory, State
from netevd.model.route import Route
from netevd.model.routing import RoutingMemory
from netevd.model.waiting import WaitingChanges
from netevd.model.wireguard import KnownDevice
from netevd.report.journal import PACKING, DeliveryEntry, Entry, EventEntry, Journal, RunEntry
from netevd.report.packing import Packing, Unreadable
from netevd.report.tally import Tally
from netevd.worker.disk import CAPACITY, Disk, Reserved
from netevd.worker.slate import Content, Memory, frame


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where and when something was so: of another place only numbers and journal are worth anything."""

    boot: str
    """The kernel's boot_id. Source: random(4)."""
    namespace: int
    """Inode of the network namespace. Source: namespaces(7)."""


def find_place() -> Place:
    """Return where we are."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return Place(boot, os.stat("/proc/self/ns/net").st_ino)


class _Snapshot(msgspec.Struct, array_like=True):
    """What a slate begins with."""

    place: Place
    state: State
    routes: Routes
    """Which routes were wanted."""
    journal: list[bytes]
    sums: bytes = b""
    """What metrics had counted, see `report.metrics`."""
    tally: Tally = msgspec.field(default_factory=Tally)


class _Record(msgspec.Struct, array_like=True):
    """What one input decided. Events are taken from its entries."""

    numbers: Numbers
    links: tuple[KnownLink, ...]
    gone: tuple[IfIndex, ...]
    routes: tuple[tuple[bool, Route], ...]
    runs: RunMemory | None
    waiting: WaitingChanges | None
    wireguard: tuple[tuple[IfIndex, KnownDevice | None], ...]
    entries: list[bytes]
    deliveries: DeliveryMemory | None = None
    routing: RoutingMemory | None = None
    hosts: tuple[HostReport, ...] | None = None
    advice: tuple[Advice, ...] | None = None


_SNAPSHOT: Final = Packing[_Snapshot](_Snapshot)
_RECORD: Final = Packing[_Record](_Record)
_SUMS: Final = b"\xc4"
"""Begins a record that is nothing but such sums; no other record begins so."""
_END: Final = b"\xc0"
"""A record that says: the worker has handled all that it was sent, and has ended in good order."""


RETRY_S: Final = 10.0
"""See `Recovery.retry_s`."""
HIGHEST: Final = 1 << 53
"""Numbers do not come so far (the first is the time in microseconds at most), and JSON holds them exactly; a
worker that was taken over could have left others, with which each one after it would break the protocol."""
_SPARE: Final = 1 << 21
"""Octets that a snapshot leaves for records."""


@frozen(slots=True)
class Remembered:
    """What the last worker left."""

    numbers: Numbers
    state: State | None
    """None: it was in another network namespace, or before the machine was started."""
    routes: Routes
    """Which routes it wanted."""
    in_order: bool
    """It had handled all that it was sent."""
    gap: int = 0
    """How many numbers are left out, since it is not known whether they were used."""
    sums: bytes = b""
    """What its metrics had counted, b"" for nothing."""
    since: tuple[bytes, ...] = ()
    """Entries of the journal that were written after that."""
    routing: RoutingMemory = field(factory=RoutingMemory)
    """What outlives boots of policy routing."""


class Recovery:
    """Reads once, then writes: to memory that lives as long as the daemon, and to disk."""

    def __init__(
        self,
        memory: Memory,
        journal: Journal,
        routes: Routes,
        place: Place,
        *,
        sum_up: Callable[[], bytes] = bytes,
    ) -> None:
        """routes: which ones are wanted. sum_up: returns what metrics have counted."""
        self._memory = memory
        self._sum_up = sum_up
        self._disk: Disk | None = None
        self._journal = journal
        self._routes = routes
        self._place = place
        self.unreadable: list[str] = []
        """Why what a worker before this one has left could not be read."""
        self.truncated = False
        """Whether all that is to be remembered did not fit, and routes or the journal were left out."""
        self.tally = Tally()
        """What is counted, from what was read on."""
        self.fault = ""
        """Why what is remembered does not outlive the daemon, "" where it does or nobody wants it to."""
        self.news: list[str] = []
        """What has to be said of the disk; whoever says it takes it away."""
        self.retry_s = RETRY_S
        """Seconds until a disk that could not be written is tried again."""
        self._disk_due = 0.0
        """When to try the disk again, monotonic seconds."""

    def open_disk(self, directory: str) -> None:
        """Write to this state directory too. Raises: OSError."""
        self._disk = Disk(directory)

    @property
    def on_disk(self) -> bool:
        """Whether what is remembered outlives the daemon."""
        return self._disk is not None and not self.fault

    def read(self) -> Remembered | None:
        """
        Return what the last worker left, None for nothing. The journal is filled.

        What can't be read is told by `unreadable`, and no more is written behind it.
        """
        for place in (self._memory, self._disk):
            if place is None:
                continue
            try:
                content = place.read()
                if content is not None:
                    reserved = place.reserved if isinstance(place, Disk) else None
                    return self._unpack(content, reserved)
            except Unreadable as error:
                self.unreadable.append(str(error))
                place.close()
        return None

    def _unpack(self, content: Content, reserved: Reserved | None) -> Remembered:
        snapshot = _SNAPSHOT.unpack(content.snapshot)
        sums = snapshot.sums
        since: list[bytes] = []
        records: list[_Record] = []
        for body in content.records:
            if body[:1] == _SUMS:
                sums, since = body[1:], []
            elif body != _END:
                records.append(_RECORD.unpack(body))
                since += records[-1].entries
        self._journal.add(snapshot.journal)
        self.tally = snapshot.tally
        for record in records:
            self._journal.add(record.entries)
        state = fold(snapshot.state, (self._to_record(each) for each in records))
        in_order = content.records[-1:] == [_END]
        numbers, gap = state.numbers, 0
        if reserved is not None and not in_order and snapshot.place.boot != self._place.boot:
            # the power may have failed before the last records came to the disk
            gap = max(0, reserved.sequence - numbers.sequence)
            numbers = evolve(
                numbers, sequence=numbers.sequence + gap, run=max(numbers.run, reserved.run)
            )
        if not all(0 <= each <= HIGHEST for each in (numbers.sequence, numbers.run, numbers.lane)):
            raise Unreadable("its numbers are none that netevd gives")
        if snapshot.place != self._place or snapshot.routes != self._routes:
            self.begin_anew()
        if snapshot.place != self._place:
            self._journal.add(_lose_runs(state))
            self._journal.add(_lose_deliveries(state))
            # times are of another boot: what was on trial is on trial anew
            routing = evolve(state.routing, trial_until=0.0, generation=0, given_up=False)
            return Remembered(numbers, None, snapshot.routes, in_order, gap, routing=routing)
        return Remembered(
            numbers, evolve(state, numbers=numbers), snapshot.routes, in_order, gap, sums,
            tuple(since), state.routing,
        )  # fmt: skip

    def _to_record(self, packed: _Record) -> Record:
        events = []
        for body in packed.entries:
            try:
                entry = PACKING.unpack(body)
            except Unreadable:
                continue
            self.tally.count(entry)
            if isinstance(entry, EventEntry):
                events.append(entry.event)
        return Record(
            packed.numbers, packed.links, packed.gone, packed.routes, tuple(events), packed.runs,
            packed.waiting, packed.deliveries, packed.wireguard, packed.routing, packed.hosts,
            packed.advice,
        )  # fmt: skip

    def begin_anew(self) -> None:
        """Let nothing go on from what was read."""
        self._memory.close()
        if self._disk is not None:
            self._disk.close()

    def write(self, engine: Engine, record: Record | None, entries: list[Entry]) -> None:
        """Keep what the last input of the engine decided, and what there is to tell of it."""
        if record is None and not entries:
            return
        packed = [PACKING.pack(each) for each in entries]
        for entry in entries:
            self.tally.count(entry)
        self._journal.add(packed)
        decided = record or Record(engine.numbers)
        body = _RECORD.pack(
            _Record(
                decided.numbers,
                decided.links,
                decided.gone,
                decided.routes,
                decided.runs,
                decided.waiting,
                decided.wireguard,
                packed,
                decided.deliveries,
                decided.routing,
                decided.hosts,
                decided.advice,
            )
        )
        self._keep(engine, body)

    def end(self, engine: Engine) -> None:
        """Say that all that was sent was handled."""
        self.write(engine, engine.take_record(last=True), [])
        self._keep(engine, _SUMS + self._sum_up())
        self._keep(engine, _END)

    def _keep(self, engine: Engine, body: bytes) -> None:
        """Append a record, or begin anew with a snapshot that has it; both places do that at once."""
        snapshot = framed = b""
        # one generation for both: then a record is framed once
        coming = max(self._memory.generation, self._disk.generation if self._disk else 0) + 1
        if not self._memory.has_room(len(body)):
            snapshot = self._pack(engine, self._memory.capacity)
            _begin_with(self._memory, snapshot, body, coming)
        else:
            framed = frame(body, self._memory.generation)
            self._memory.append(framed)
        if self._disk is None or time.monotonic() < self._disk_due:
            return
        try:
            numbers = engine.numbers
            self._disk.reserve(numbers.sequence, numbers.run)
            if not snapshot and self._disk.has_room(len(body)):
                if not framed or self._disk.generation != self._memory.generation:
                    framed = frame(body, self._disk.generation)
                self._disk.append(framed)
                return
            if not 0 < len(snapshot) <= CAPACITY - _SPARE:
                snapshot = self._pack(engine, CAPACITY)
            _begin_with(self._disk, snapshot, body, coming)
        except OSError as error:
            self._disk.spoil()
            self._disk_due = time.monotonic() + self.retry_s
            self._note_disk(f"{error.strerror or error}")
        else:
            self._note_disk("")

    def _note_disk(self, trouble: str) -> None:
        """Have it said once that the disk can't be written, and once that it can again."""
        if trouble != self.fault:
            self.fault = trouble
            self.news.append(
                f"the journal can't be written to disk: {trouble}; until it can, the next start of"
                " netevd would be a first start"
                if trouble
                else "the journal is written to disk again"
            )

    def _pack(self, engine: Engine, capacity: int) -> bytes:
        """Return all that is to be remembered, as far as it fits; nothing before it is announced."""
        state = engine.get_state()
        if state is None:
            return b""
        whole = _Snapshot(
            self._place,
            state,
            self._routes,
            self._journal.get_packed(),
            self._sum_up(),
            self.tally,
        )
        bare = msgspec.structs.replace(whole, journal=[])
        for snapshot in (
            whole,
            bare,
            msgspec.structs.replace(bare, state=evolve(state, routes=None)),
        ):
            packed = _SNAPSHOT.pack(snapshot)
            if len(packed) <= capacity - _SPARE:
                return packed
            self.truncated = True
        return b""


def _begin_with(place: Memory | Disk, snapshot: bytes, body: bytes, generation: int) -> None:
    """Replace what a place says, once there is anything to be remembered. Raises: OSError."""
    if snapshot:
        place.replace(snapshot, generation)
        if body == _END:
            place.append(frame(body, generation))


def _lose_runs(state: State) -> Iterator[bytes]:
    """Yield the ends of runs whose daemon, or whole machine, has ended since."""
    events = {event.sequence: event for event in state.events}
    for run in state.runs.runs:
        event = events.get(run.sequence)
        if event is None:
            continue
        outcome = RunOutcome(
            run.number, run.sequence, event.type.value, event.name, run.hook.path, "lost",
            "the machine, or the network namespace, ended before it", None, 0.0, 0.0, 0,
            1 if run.failed is None else run.failed.number + 1, True, event.time_ns,
        )  # fmt: skip
        yield PACKING.pack(RunEntry(outcome))


def _lose_deliveries(state: State) -> Iterator[bytes]:
    """Yield the ends of deliveries of another boot or namespace, as `_lose_runs`."""
    events = {event.sequence: event for event in state.events}
    for each in state.deliveries:
        event = each.event or events.get(each.sequence)
        if event is None:
            continue
        outcome = DeliveryOutcome(
            each.target, each.sequence, event.type.value, event.name, "lost", 0,
            "the machine, or the network namespace, ended before it", 0.0, each.attempt, True,
            event.time_ns,
        )  # fmt: skip
        yield PACKING.pack(DeliveryEntry(outcome))
