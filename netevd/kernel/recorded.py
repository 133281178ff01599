"""
From lines of a recording to inputs of the core, by the same translation as the helper's feed. Pure.

A dump of a recording means nothing to the core until it is bound to one that the core has asked for.
"""

from __future__ import annotations

from typing import Final, assert_never

from netevd.kernel.feed import FeedTranslator, Part
from netevd.kernel.recording import (
    Datagrams,
    DumpBegin,
    DumpEnd,
    DumpPart,
    End,
    Kind,
    Line,
    Overrun,
    Source,
)
from netevd.model.inputs import Input
from privsep import protocol

_SOURCES: Final[dict[Source, int]] = {"links": protocol.LINKS, "routes": protocol.ROUTES}


def is_of_routes(begin: DumpBegin) -> bool:
    """Tell whether a dump is one of routes, not of links, addresses and rules."""
    return any(part.startswith("routes") for part in begin.parts)


class LineTranslator:
    """Turns lines into inputs for one engine."""

    def __init__(self) -> None:
        self._feed = FeedTranslator()
        self._numbers: dict[tuple[int, Kind], int] = {}
        """Number in the feed of each part of a dump that is bound and has not ended."""

    def bind(self, begin: DumpBegin, number: int) -> None:
        """Take the recorded dump that begins here for the core's dump of this number."""
        for fed, part in self._feed.expect(number, tuple(Part(kind) for kind in begin.parts)):
            self._numbers[begin.dump, part.kind] = fed  # type: ignore[index]

    def translate(self, line: Line) -> list[Input]:
        """Return what a line means to the core, in order."""
        match line:
            case Datagrams():
                return self._feed.translate(protocol.Datagrams(_SOURCES[line.source], line.data))
            case Overrun():
                return self._feed.translate(protocol.Overrun(_SOURCES[line.source]))
            case DumpPart():
                fed = self._numbers.get((line.dump, line.part))
                return [] if fed is None else self._feed.translate(
                    protocol.DumpPart(fed, line.data)
                )  # fmt: skip
            case DumpEnd():
                fed = self._numbers.pop((line.dump, line.part), None)
                return [] if fed is None else self._feed.translate(
                    protocol.DumpFinished(fed, line.errno, line.interrupted)
                )  # fmt: skip
            case DumpBegin() | End():
                return []
            case _:
                assert_never(line)
