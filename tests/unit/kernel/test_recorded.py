"""Lines of a recording as inputs: the same translation as the helper's feed."""

from __future__ import annotations

import json
from pathlib import Path

from netevd.kernel.recorded import LineTranslator, is_of_routes
from netevd.kernel.recording import Datagrams, DumpBegin, DumpEnd, DumpPart, End, Overrun
from netevd.model.inputs import (
    DumpEnded,
    LinkSeen,
    Overran,
    RoutesDumped,
    RoutesDumpEnded,
    RoutesOverran,
)

MESSAGE = bytes.fromhex(
    json.loads(
        (Path(__file__).parents[2] / "data" / "rtnetlink.jsonl").read_text().splitlines()[0]
    )["datagrams"][0]
)
LINKS = DumpBegin(0.0, 7, ["links", "addresses"])


def test_events_and_losses() -> None:
    """Datagrams are decoded; a loss is that of its source; a datagram that is none counts as lost."""
    translator = LineTranslator()

    (seen,) = translator.translate(Datagrams(0.0, "links", [MESSAGE]))
    assert isinstance(seen, LinkSeen)
    assert seen.link.name == "lo"
    assert translator.translate(Overrun(0.0, "links")) == [Overran()]
    assert translator.translate(Overrun(0.0, "routes")) == [RoutesOverran()]
    (lost,) = translator.translate(Datagrams(0.0, "routes", [b"xyz"]))
    assert isinstance(lost, RoutesOverran)
    assert translator.translate(End(0.0)) == []


def test_dump_that_is_bound_is_the_engine_s() -> None:
    """Its parts have the engine's number; it ends when all parts have ended."""
    translator = LineTranslator()
    translator.bind(LINKS, 3)

    assert translator.translate(LINKS) == []
    (seen,) = translator.translate(DumpPart(0.0, 7, "links", MESSAGE))
    assert isinstance(seen, LinkSeen)
    assert seen.dump == 3
    assert translator.translate(DumpEnd(0.0, 7, "links")) == []
    assert translator.translate(DumpEnd(0.0, 7, "addresses")) == [DumpEnded(3, consistent=True)]


def test_dump_that_was_interrupted_is_not_consistent() -> None:
    """One bad part spoils the whole."""
    translator = LineTranslator()
    translator.bind(LINKS, 3)

    translator.translate(DumpEnd(0.0, 7, "links", interrupted=True))
    assert translator.translate(DumpEnd(0.0, 7, "addresses")) == [DumpEnded(3, consistent=False)]


def test_dump_of_routes() -> None:
    """Routes come as such; a family that the kernel lacks is as good as empty."""
    begin = DumpBegin(0.0, 1, ["nothing", "routes4", "routes6"])
    translator = LineTranslator()
    translator.bind(begin, 5)

    assert is_of_routes(begin)
    assert not is_of_routes(LINKS)
    assert translator.translate(DumpEnd(0.0, 1, "nothing")) == []
    assert translator.translate(DumpPart(0.0, 1, "routes4", b"")) == [RoutesDumped((), 5)]
    assert translator.translate(DumpEnd(0.0, 1, "routes4")) == []
    ended = translator.translate(DumpEnd(0.0, 1, "routes6", 2))
    assert ended == [RoutesDumpEnded(5, consistent=True)]


def test_dump_that_nobody_asked_for_means_nothing() -> None:
    """It is passed over, and so is a part that has ended already."""
    translator = LineTranslator()

    assert translator.translate(DumpPart(0.0, 7, "links", MESSAGE)) == []
    assert translator.translate(DumpEnd(0.0, 7, "links")) == []
