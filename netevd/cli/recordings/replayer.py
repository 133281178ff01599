"""
A recording run through an engine: each line at its time, and an answer for each dump it asks for.

The recorder asked for dumps as the daemon would, so nearly always the recording has the one that is
wanted. Where it has not, the answer is what the messages until then imply: what the engine itself
knows. What the kernel never told (an IPv4 route that it dropped with a link or an address) can't
be noticed then.
"""

from __future__ import annotations

from typing import Final

from netevd.cli.recordings.playback import Playback
from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.kernel.recorded import LineTranslator, is_of_routes
from netevd.kernel.recording import Datagrams, DumpBegin, DumpEnd, Line, Overrun, Recording
from netevd.model.actions import RequestDump, RequestRoutes
from netevd.model.inputs import (
    AddressSeen,
    DumpEnded,
    HelperConnected,
    Hook,
    Input,
    LinkSeen,
    RoutesDumped,
    RoutesDumpEnded,
    RuleSeen,
)

_WAIT_S: Final = 1.0
"""Seconds of the recording that a dump is waited for, once no other one is under way."""

_AFTERWARDS_S: Final = 86400.0
"""Seconds after the end for which what is still due then is awaited at most."""


class _Dump:
    """One dump of the recording."""

    def __init__(self, place: int, begin: DumpBegin) -> None:
        self.place = place
        """Of its beginning among the lines."""
        self.begin = begin
        self.end: float | None = None
        """When its last part ended, None if the recording breaks off before."""


class Replayer:
    """One replay."""

    def __init__(
        self,
        recording: Recording,
        configuration: Configuration,
        hooks: tuple[Hook, ...],
        *,
        observe: bool = False,
        script_duration_s: float = 0.0,
    ) -> None:
        """hooks: the scripts there are. For the others see `Playback` and `Engine`."""
        self._lines = recording.lines
        self._place = 0
        self._translator = LineTranslator()
        self._free = _find_dumps(recording.lines)
        """Dumps that nobody has asked for, and that are complete."""
        self._dumps = list(self._free)
        self.missing = 0
        """Dumps that the daemon would have asked for and the recording has not."""
        engine = Engine(configuration, 1, observe=observe)
        start_ns = recording.header.time_ns
        self.playback: Final = Playback(engine, start_ns, script_duration_s, self._answer)
        self.playback.connect(configuration, hooks, observe=observe)

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return self._lines[-1].at if self._lines else 0.0

    @property
    def overruns(self) -> int:
        """How often the recording lacks messages."""
        return sum(isinstance(line, Overrun) for line in self._lines)

    @property
    def datagrams(self) -> int:
        """How many datagrams of events the recording has."""
        return sum(len(line.data) for line in self._lines if isinstance(line, Datagrams))

    def run(self) -> None:
        """Run it from its beginning until nothing is due any more."""
        playback = self.playback
        playback.submit(HelperConnected())
        for place, line in enumerate(self._lines):
            self._place = place
            playback.advance(line.at)
            playback.submit(*self._translator.translate(line))
        self._place = len(self._lines)
        playback.advance(self.seconds)
        playback.advance(self.seconds + _AFTERWARDS_S)

    # --- dumps ---------------------------------------------------------------------------------

    def _answer(self, wanted: RequestDump | RequestRoutes) -> None:
        """Have a dump answered: by the recorded one that comes soon, else at once."""
        found = self._find(wanted)
        if found is not None:
            self._free.remove(found)
            self._translator.bind(found.begin, wanted.dump)
            return
        self.missing += 1
        self.playback.submit(*self._imply(wanted))

    def _find(self, wanted: RequestDump | RequestRoutes) -> _Dump | None:
        now = self.playback.at
        under_way = [
            each.end
            for each in self._dumps
            if each.place < self._place and each.end is not None and each.end > now
        ]
        limit = max(under_way, default=now) + _WAIT_S
        for each in self._free:
            if each.place >= self._place and _serves(each.begin, wanted):
                return each if each.begin.at <= limit else None
        return None

    def _imply(self, wanted: RequestDump | RequestRoutes) -> list[Input]:
        """Return a dump of what is known."""
        engine, dump = self.playback.engine, wanted.dump
        if isinstance(wanted, RequestRoutes):
            routes = tuple(
                each for each in engine.insight.get_routes() if each.family in wanted.families
            )
            return [RoutesDumped(routes, dump), RoutesDumpEnded(dump, consistent=True)]
        snapshots = engine.insight.get_snapshots()
        inputs: list[Input] = [LinkSeen(each.link, dump) for each in snapshots]
        inputs += [AddressSeen(address, dump) for each in snapshots for address in each.addresses]
        inputs += [RuleSeen(rule, dump) for rule in engine.insight.get_rules()]
        return [*inputs, DumpEnded(dump, consistent=True)]


def _serves(begin: DumpBegin, wanted: RequestDump | RequestRoutes) -> bool:
    """Tell whether a recorded dump has what is wanted."""
    if isinstance(wanted, RequestDump):
        return not is_of_routes(begin)
    return {f"routes{family}" for family in wanted.families} <= set(begin.parts)


def _find_dumps(lines: list[Line]) -> list[_Dump]:
    """Return the dumps of a recording that have their ends, in order."""
    found: dict[int, _Dump] = {}
    left: dict[int, set[str]] = {}
    for place, line in enumerate(lines):
        if isinstance(line, DumpBegin):
            found[line.dump] = _Dump(place, line)
            left[line.dump] = set(line.parts)
        elif isinstance(line, DumpEnd) and line.dump in found:
            left[line.dump].discard(line.part)
            if not left[line.dump]:
                found[line.dump].end = line.at
    return [each for each in found.values() if each.end is not None]
