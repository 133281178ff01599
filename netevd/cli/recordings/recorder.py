"""
Recording: what the kernel tells, and the dumps for which the daemon would ask meanwhile.

Belongs here: the loop over the sockets and what is written when. The file and the words are
cli.record's, the sockets kernel.listen's. Which dumps are asked for is decided by the engine
itself, which is handed every line as it is written: so a replay finds the dumps that it needs.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from itertools import count
from typing import Final

from netevd.config.kinds import Tables
from netevd.config.schema import Configuration, Routes
from netevd.core.engine import Engine
from netevd.kernel.listen import DumpSocket, EventSocket, walk
from netevd.kernel.recorded import LineTranslator
from netevd.kernel.recording import (
    Datagrams,
    DumpBegin,
    DumpEnd,
    DumpPart,
    End,
    Kind,
    Line,
    Overrun,
)
from netevd.model.actions import Note, Ready, RequestDump, RequestRoutes
from netevd.model.inputs import HelperConnected, HooksListed, Input, Now, RunnerConnected, Tick

_NLMSG_NOOP: Final = 0x10
"""Types below are control messages. Source: NLMSG_MIN_TYPE, linux/netlink.h."""

_LINKS: Final[list[Kind]] = ["links", "addresses", "rules"]
_FAMILIES: Final[dict[int, Kind]] = {4: "routes4", 6: "routes6"}

_BATCHES: Final = 64
"""Batches of one event socket that are written before anything else gets its turn."""


class _Follower:
    """The engine that says which dumps are needed, for all links and every route."""

    def __init__(self) -> None:
        self._engine = Engine(Configuration(routes=Routes(tables=Tables(("all",)))), 1)
        self._translator = LineTranslator()
        self.wanted: dict[bool, tuple[int, list[Kind]]] = {}
        """What is to be dumped next, links (False) and routes (True): a later one is enough."""
        self.ready = False
        """Whether the first dumps are complete."""
        self.notes: list[str] = []
        """Warnings that were not told yet."""

    def begin(self) -> None:
        """Have everything dumped."""
        for given in (RunnerConnected(), HooksListed(()), HelperConnected()):
            self._submit(given, 0.0)

    def deadline(self) -> float | None:
        """Return when `tick` is wanted, in seconds of the recording; None for never."""
        return self._engine.deadline()

    def tick(self, at: float) -> None:
        """Take in that a deadline has come."""
        self._submit(Tick(), at)

    def take(self, line: Line, number: int = 0) -> None:
        """Take in a line. `number`: of the engine's dump that begins with it."""
        if isinstance(line, DumpBegin):
            self._translator.bind(line, number)
        for given in self._translator.translate(line):
            self._submit(given, line.at)

    def _submit(self, given: Input, at: float) -> None:
        for action in self._engine.handle(given, Now(at, 0)):
            match action:
                case RequestDump(dump=dump):
                    self.wanted[False] = (dump, _LINKS)
                case RequestRoutes(dump=dump, families=families):
                    kinds: list[Kind] = ["nothing", *(_FAMILIES[each] for each in families)]
                    self.wanted[True] = (dump, kinds)
                case Ready():
                    self.ready = True
                case Note(level="warn" | "error", message=message):
                    self.notes.append(message)
                case _:
                    pass  # events and what follows from them are the replay's
        self._engine.take_record()  # remembered by nobody


class Recorder:
    """One recording while it is made."""

    def __init__(self, clock: Callable[[], float], *, dumps: bool) -> None:
        """
        Begin to listen. clock: seconds since the beginning. dumps: whether any is made. Raises: OSError.
        """
        self._clock = clock
        self._write: Callable[[Line], None]
        self._events = [EventSocket("links"), EventSocket("routes")]
        self._dumps = DumpSocket()
        self._follower = _Follower() if dumps else None
        self._last = 0
        """Number of the last dump that was begun."""
        self._parts: list[Kind] = []
        """Parts of the dump under way; the first is the one that was asked for."""
        self.messages = 0
        """Events; what dumps hold is not counted."""
        self.overruns = 0
        self.dumps = 0
        """Dumps that are complete."""

    def close(self) -> None:
        """Stop listening."""
        for each in (*self._events, self._dumps):
            each.close()

    def run(
        self,
        write: Callable[[Line], None],
        until: float | None,
        alarm: int,
        tell_ready: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        """
        Record until a moment, or until a descriptor can be read.

        write: keeps a line. until: seconds of the clock. alarm: the descriptor. tell_ready: called
        once, when what was there at the beginning is written. Raises: OSError.
        """
        self._write = write
        ready = self._follower is None
        if self._follower is None:
            tell_ready()
        else:
            self._follower.begin()
        poll = select.poll()
        for each in (*self._events, self._dumps):
            poll.register(each.fileno(), select.POLLIN)
        poll.register(alarm, select.POLLIN)
        while until is None or self._clock() < until:
            self._ask()
            found = dict(poll.poll(self._find_patience(until)))
            for each in self._events:
                if each.fileno() in found:
                    self._take_events(each)
            if self._dumps.fileno() in found:
                self._take_dump()
            self._tick()
            if self._follower is not None:
                if self._follower.ready and not ready:
                    ready = True
                    tell_ready()
                for note in self._follower.notes:
                    warn(note)
                self._follower.notes.clear()
            if alarm in found:
                break
        for each in self._events:
            self._take_events(each, whole=True)
        self._put(End(self._clock()))

    def _find_patience(self, until: float | None) -> int | None:
        """Return milliseconds until something has to be done, None for never."""
        deadline = None if self._follower is None else self._follower.deadline()
        times = [each for each in (until, deadline) if each is not None]
        return max(0, int((min(times) - self._clock()) * 1000) + 1) if times else None

    def _put(self, line: Line, number: int = 0) -> None:
        """Write a line, then see what follows from it."""
        self._write(line)
        if self._follower is not None:
            self._follower.take(line, number)

    def _tick(self) -> None:
        if self._follower is None:
            return
        deadline = self._follower.deadline()
        if deadline is not None and deadline <= self._clock():
            self._follower.tick(self._clock())

    # --- events ----------------------------------------------------------------------------------

    def _take_events(self, events: EventSocket, *, whole: bool = False) -> None:
        """Write what an event socket holds. whole: until it is empty, however long that takes."""
        for _ in count() if whole else range(_BATCHES):
            batch, empty = events.receive()
            if batch:
                self._put(Datagrams(self._clock(), events.source, batch))
                self.messages += sum(
                    message.type >= _NLMSG_NOOP for each in batch for message in walk(each)
                )
            if empty:
                if events.take_loss():
                    self.overruns += 1
                    self._put(Overrun(self._clock(), events.source))
                return

    # --- dumps -----------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Begin the next dump that is wanted, links first."""
        follower = self._follower
        if follower is None or self._parts or not follower.wanted:
            return
        number, kinds = follower.wanted.pop(min(follower.wanted))
        self._last += 1
        self._parts = list(kinds)
        self._put(DumpBegin(self._clock(), self._last, self._parts.copy()), number)
        self._dumps.ask(self._parts[0])

    def _take_dump(self) -> None:
        """Write what has come of the dump under way, and its end after all events before it."""
        while self._parts:
            part = self._dumps.receive()
            if part is None:
                return
            kind = self._parts[0]
            if part.data:
                self._put(DumpPart(self._clock(), self._last, kind, part.data))
            if not part.done:
                continue
            for each in self._events:
                self._take_events(each, whole=True)
            interrupted = self._dumps.interrupted
            self._put(DumpEnd(self._clock(), self._last, kind, part.errno, interrupted))
            del self._parts[0]
            if self._parts:
                self._dumps.ask(self._parts[0])
            else:
                self.dumps += 1
