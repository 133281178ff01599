"""What is made of the answers about one run."""

from __future__ import annotations

from typing import Any

import pytest

from netevd.cli.trials.answers import Answer, Finished, Identity, Output, Refused, Started
from netevd.cli.trials.rehearsal import rehearse
from netevd.cli.trials.trial import Trial
from netevd.config.schema import Configuration, Routes
from netevd.model.event import EventType
from netevd.model.inputs import LinkSeen
from netevd.model.link import IfIndex, Link

IDENTITY = Identity("netevd-script", 994, False, 30.0, 65536)


def _finish(status: int, leftovers: int = 0, *, timeout: bool = False) -> Finished:
    return Finished(status, 1.5, 0.25, leftovers, timeout)


def _try(*answers: Answer, streaming: bool = False) -> Trial:
    link = LinkSeen(Link(IfIndex(1), "lo\udcff", 0, 0, 65536, ""), 1)
    event = rehearse([link], IfIndex(1), EventType.OFF, 0, Routes())
    trial = Trial("/x/\udcfe", event, Configuration(), streaming=streaming)
    for answer in answers:
        trial.take(answer)
    return trial


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([IDENTITY, Started(7), _finish(0)], "ok"),
        ([IDENTITY, Started(7), _finish(3)], "failed"),
        ([IDENTITY, Started(7), _finish(-9)], "failed"),
        ([IDENTITY, Started(7), _finish(0, timeout=True)], "timeout"),
        ([IDENTITY, Refused("it is a FIFO")], "refused"),
        ([IDENTITY, Started(7)], "lost"),
    ],
)
def test_result_is_the_daemon_s_word(answers: list[Answer], result: str) -> None:
    """The words are those by which the daemon records its runs."""
    assert _try(*answers).result == result


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_finish(0), "exited with code 0 after 1.500 s, 0.250 s of CPU time"),
        (_finish(-15), "was ended by signal SIGTERM"),
        (_finish(-64), "was ended by signal SIGRTMAX"),
        (_finish(-63), "was ended by signal 63"),
        (_finish(0, 1), "left 1 process behind, which was killed"),
        (_finish(0, 2), "left 2 processes behind, which were killed"),
        (_finish(0, timeout=True), "ran for 30 s, its limit (script_timeout), and got TERM"),
        (Refused("it is a FIFO"), "was not run: it is a FIFO"),
        (Started(7), "is lost"),
    ],
)
def test_end_is_said_in_words(
    answer: Answer, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each way to end has its sentence, with the script's name, on standard error."""
    _try(answer).say_end()

    out, err = capsys.readouterr()
    assert out == ""
    assert any(
        said in line and line.startswith("netevd: Script /x/\\xfe ") for line in err.splitlines()
    )


def test_shape_keeps_both_streams_apart() -> None:
    """Pieces of output are joined for each stream, in their order."""
    trial = _try(IDENTITY, Output("out", "a"), Output("err", "x"), Output("out", "b"), _finish(0))

    shape: Any = trial.shape([("LINK", "lo")])

    assert (shape["stdout"], shape["stderr"]) == ("ab", "x")
    assert shape["environment"] == {"LINK": "lo"}
    assert (shape["script"], shape["interface"]) == ("/x/\\xfe", "lo\\xff")
    assert (shape["user"], shape["uid"], shape["observe"]) == ("netevd-script", 994, False)


def test_shape_of_a_signal_has_its_name() -> None:
    """A script that a signal ended has no exit code."""
    shape: Any = _try(IDENTITY, _finish(-11)).shape([])

    assert (shape["exit_code"], shape["signal"]) == (None, "SIGSEGV")


def test_streaming_passes_output_on_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What a script prints is passed on piece by piece, each to its stream."""
    _try(Output("out", "a\x1b"), Output("err", "b"), streaming=True)

    assert capsys.readouterr() == ("a\x1b", "b")
