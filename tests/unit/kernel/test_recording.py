"""The format of recordings: what is written is read, and what is no recording says where and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netevd.kernel.recording import (
    FORMAT,
    VERSION,
    Datagrams,
    DumpBegin,
    DumpEnd,
    DumpPart,
    End,
    Header,
    Line,
    Overrun,
    RecordingError,
    encode,
    read,
    show_start,
)

START_NS = 1_768_991_400_123_456_000
HEADER = Header(
    format=FORMAT, version=VERSION, netevd="0.1.0", kernel="Linux 6.1 x86_64", byte_order="little",
    time=show_start(START_NS), commands=["ip link set eth0 down"],
)  # fmt: skip
FIRST = encode(HEADER)
LINES: list[Line] = [
    DumpBegin(0.001, 1, ["links", "addresses", "rules"]),
    DumpPart(0.002, 1, "links", b"\x00\xff"),
    DumpEnd(0.002, 1, "links"),
    DumpEnd(0.003, 1, "addresses", 16, interrupted=True),
    Datagrams(1.5, "routes", [b"one", b"two"]),
    Overrun(1.5, "links"),
    End(2.0),
]


def test_what_is_written_is_read() -> None:
    """Every kind of line comes back as it was, in its order, and nothing is doubtful."""
    found = read([FIRST, *map(encode, LINES)], "f")

    assert found.header == HEADER
    assert found.lines == LINES
    assert found.doubts == []


def test_start_is_kept_to_the_microsecond() -> None:
    """The wall clock of second 0 comes back, whatever the reader's time zone."""
    assert HEADER.time == "2026-01-21T10:30:00.123456Z"
    assert read([FIRST], "f").header.time_ns == START_NS


def test_lines_are_for_other_programs_too() -> None:
    """Documented keys, in the documented order, datagrams as base64."""
    assert encode(LINES[1]) == (
        b'{"kind":"dump-part","at":0.002,"dump":1,"part":"links","data":"AP8="}\n'
    )
    assert encode(LINES[4]) == (
        b'{"kind":"datagrams","at":1.5,"source":"routes","data":["b25l","dHdv"]}\n'
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", 'f:1: expected {"format": "netevd-recording", "version": 1, ...} as netevd record writes it, found nothing'),
        (b"\x7fELF\x02\n", "found '\\x7fELF\\x02'"),
        (b"[]\n", "found '[]'"),
        (b'{"format": "other"}\n', "found '{\"format\": \"other\"}'"),
        (FIRST.replace(b'"version":1', b'"version":2'),
         "f:1: version: expected 1, which this netevd reads, found 2; written by netevd '0.1.0'"),
        (FIRST.replace(b'"little"', b'"pdp"'), "f:1: byte_order: expected one of little, big; found 'pdp'"),
        (FIRST.replace(b"2026-01-21T", b"yesterday "), "f:1: time: expected a time such as"),
        (FIRST.replace(b"56Z", b"56"), "f:1: time: expected a time such as"),
        (FIRST.replace(b'"commands"', b'"comands"'), "f:1: Object contains unknown field `comands`"),
    ],
)  # fmt: skip
def test_file_that_is_no_recording(text: bytes, told: str) -> None:
    """The first line decides; the error names file, line and key, what was expected and found."""
    with pytest.raises(RecordingError) as caught:
        read([text], "f")

    assert told in str(caught.value)
    assert str(caught.value).startswith("f:1: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\n", "expected one JSON object, found nothing"),
        (b"{]\n", "expected one JSON object, found '{]'"),
        (b"x" * 1000 + b"\n", "expected one JSON object, found '" + "x" * 60 + "...'"),
        (b'{"at":3}\n', "Object missing required field `kind`"),
        (b'{"kind":"datagrms","at":3}\n',
         "kind: expected one of datagrams, overrun, dump-begin, dump-part, dump-end, end; found 'datagrms'"),
        (b'{"kind":"overrun","at":3,"source":"addresses"}\n',
         "source: expected one of links, routes; found 'addresses'"),
        (b'{"kind":"overrun","at":3}\n', "Object missing required field `source`"),
        (b'{"kind":"overrun","at":"3","source":"links"}\n', "at: Expected `float`, got `str`"),
        (b'{"kind":"overrun","at":-3,"source":"links"}\n', "at: Expected `float` >= 0.0"),
        (b'{"kind":"overrun","at":1,"source":"links"}\n',
         "at: expected at least 1.5, as in the line before, found 1.0"),
        (b'{"kind":"datagrams","at":3,"source":"links","data":["%"]}\n', "data[0]: Invalid base64"),
        (b'{"kind":"datagrams","at":3,"source":"links","data":[]}\n', "data: Expected `array` of length >= 1"),
        (b'{"kind":"dump-begin","at":3,"dump":0,"parts":["links"]}\n', "dump: Expected `int` >= 1"),
        (b'{"kind":"dump-begin","at":3,"dump":1,"parts":["lynx"]}\n', "parts[0]: expected one of links,"),
        (b'{"kind":"end","at":3,"x":1}\n', "Object contains unknown field `x`"),
    ],
)  # fmt: skip
def test_damaged_line(text: bytes, told: str) -> None:
    """A line that is none, other than a last one that was cut off, is an error at its place."""
    lines = [FIRST, *map(encode, LINES[:5]), text, encode(End(4.0))]

    with pytest.raises(RecordingError) as caught:
        read(lines, "f")

    assert str(caught.value).startswith(f"f:7: {told}")


def test_nothing_follows_the_end() -> None:
    """Two recordings in one file are none."""
    with pytest.raises(RecordingError, match="f:3: nothing may follow the line of kind end"):
        read([FIRST, encode(End(1.0)), encode(End(1.0))], "f")


def test_every_cut_is_told_and_what_is_before_it_used() -> None:
    """Wherever behind the first line a file breaks off, the whole lines are read."""
    text = b"".join([FIRST, *map(encode, LINES)])
    for cut in range(len(FIRST), len(text) - 1):
        kept = text[:cut]
        found = read(kept.splitlines(keepends=True), "f")
        whole = kept.count(b"\n") - 1

        assert found.lines[:whole] == LINES[:whole]
        assert len(found.lines) - whole in {0, 1}  # only the end of its line may be missing
        assert len(found.doubts) == 1
        assert found.doubts[0].startswith("f:")
    assert read(text[:-1].splitlines(keepends=True), "f").doubts == []


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_file_does_more_than_be_refused(lines: list[bytes]) -> None:
    """Whatever stands in a file, reading it ends in a recording or in an error that names it."""
    for text in ([*lines], [FIRST, *lines]):
        try:
            read([line + b"\n" for line in text], "f")
        except RecordingError as error:
            assert str(error).startswith("f:")
