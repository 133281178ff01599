"""
The format of recordings: what was received from the kernel, undecoded, one JSON object a line.

Belongs here: the types of lines, reading and writing them, and what a reader is told of a line that
is none. Pure but for `read`, which takes an open file. Where messages come from is kernel.listen's.
The format is documented in docs/reference/recordings.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

FORMAT: Final = "netevd-recording"
VERSION: Final = 1
"""Grows when a reader of an earlier version could not read a file, or would read it wrongly."""

Source: TypeAlias = Literal["links", "routes"]
"""Event socket: links, addresses and rules; or routes and nexthop objects."""
Kind: TypeAlias = Literal["links", "addresses", "rules", "nothing", "routes4", "routes6"]
"""One dump, as `privsep.protocol.Dump` calls it."""

_LINE_SHOWN: Final = 60
"""Characters of a damaged line that are shown."""

_WORDS: Final = {
    "kind": ("datagrams", "overrun", "dump-begin", "dump-part", "dump-end", "end"),
    "source": get_args(Source),
    "part": get_args(Kind),
    "parts": get_args(Kind),
    "byte_order": ("little", "big"),
}
"""What may stand where a word is expected."""

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Payloads = Annotated[list[bytes], Meta(min_length=1)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line: what this is, and where and when it was made."""

    format: str
    version: int
    netevd: str
    """Version of netevd that wrote it."""
    kernel: str
    """System, release and machine, as uname(1) says them."""
    byte_order: Literal["little", "big"]
    """That of the machine: netlink messages have the machine's."""
    time: str
    """RFC 3339 time of second 0, in UTC."""
    commands: list[str] = []
    """What was done meanwhile, as far as somebody has said it."""

    @property
    def time_ns(self) -> int:
        """Wall clock of second 0, nanoseconds since 1970."""
        moment = datetime.fromisoformat(self.time)
        whole = int(moment.replace(microsecond=0).timestamp())
        return whole * 1_000_000_000 + moment.microsecond * 1000


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all lines but the first share."""

    at: Seconds
    """Seconds since the recording began, monotonic clock; never less than in the line before."""


class Datagrams(_Line, frozen=True, tag="datagrams"):
    """Events as they were received, oldest first."""

    source: Source
    data: Payloads


class Overrun(_Line, frozen=True, tag="overrun"):
    """The kernel dropped messages of this source; every loss lies before this line."""

    source: Source


class DumpBegin(_Line, frozen=True, tag="dump-begin"):
    """These dumps were asked for, one after another; together they are one."""

    dump: Number
    parts: Annotated[list[Kind], Meta(min_length=1)]


class DumpPart(_Line, frozen=True, tag="dump-part"):
    """One datagram of the answer."""

    dump: Number
    part: Kind
    data: bytes


class DumpEnd(_Line, frozen=True, tag="dump-end"):
    """
    One part of a dump is complete, and every event queued before its end stands before this line.
    """

    dump: Number
    part: Kind
    errno: Annotated[int, Meta(ge=0, le=4095)] = 0
    """0, or the kernel's error number."""
    interrupted: bool = False
    """NLM_F_DUMP_INTR was set: it is not consistent."""


class End(_Line, frozen=True, tag="end"):
    """The last line: nothing more came until this second."""


Line: TypeAlias = Datagrams | Overrun | DumpBegin | DumpPart | DumpEnd | End


class RecordingError(Exception):
    """A file is no recording, or one that can't be read; the text names file and line."""


class Recording(msgspec.Struct, frozen=True):
    """A whole recording."""

    header: Header
    lines: list[Line]
    doubts: list[str]
    """What is missing at its end, in words; what is there can be used."""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_header_decoder = msgspec.json.Decoder(Header)


def encode(line: Header | Line) -> bytes:
    """Return a line with its end."""
    return _encoder.encode(line) + b"\n"


def show_start(time_ns: int) -> str:
    """Return a moment as `Header.time` has it, microseconds included."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1000 % 1_000_000:06}Z"


def read(lines: Iterable[bytes], name: str) -> Recording:
    """
    Return the recording in these lines, each with its end. name: of the file, for errors.

    A last line that was cut off is left out, and said in `doubts`. Raises: RecordingError.
    """
    numbered = enumerate(lines, 1)
    header = _read_header(next(numbered, (1, b""))[1], name)
    found: list[Line] = []
    doubts: list[str] = []
    for number, text in numbered:
        whole = text.endswith(b"\n")
        if found and isinstance(found[-1], End):
            raise RecordingError(f"{name}:{number}: nothing may follow the line of kind end")
        try:
            line = _decoder.decode(text)
            _check(line, found)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if not whole:
                doubts.append(f"{name}:{number}: the last line is cut off and left out")
                break
            raise RecordingError(f"{name}:{number}: {_explain(text, error)}") from None
        found.append(line)
    if not doubts and not (found and isinstance(found[-1], End)):
        number = len(found) + 1
        doubts.append(
            f"{name}:{number}: the recording has no line of kind end: it was cut off here, or is"
            " still being made"
        )
    return Recording(header, found, doubts)


def _read_header(text: bytes, name: str) -> Header:
    """Return the first line. Raises: RecordingError."""
    place = f"{name}:1"
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # not UTF-8 is a ValueError
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RecordingError(
            f'{place}: expected {{"format": "{FORMAT}", "version": {VERSION}, ...}} as netevd record'
            f" writes it, found {_show(text)}"
        )
    if found.get("version") != VERSION:
        raise RecordingError(
            f"{place}: version: expected {VERSION}, which this netevd reads, found"
            f" {found.get('version')!r}; written by netevd {found.get('netevd')!r}"
        )
    try:
        header = _header_decoder.decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordingError(f"{place}: {_explain(text, error)}") from None
    try:
        moment = datetime.fromisoformat(header.time)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RecordingError(
            f"{place}: time: expected a time such as 2026-01-21T10:30:00.000000Z, found {header.time!r}"
        )
    return header


def _check(line: Line, before: list[Line]) -> None:
    """Compare a line with those before it. Raises: ValueError."""
    earliest = before[-1].at if before else 0.0
    if line.at < earliest:
        raise ValueError(
            f"at: expected at least {earliest}, as in the line before, found {line.at}"
        )


def _explain(text: bytes, error: Exception) -> str:
    """Return in words why a line is none: which key, what was expected, what was found."""
    reason = str(error)
    if isinstance(error, msgspec.ValidationError):
        reason, _, key = reason.partition(" - at ")
        key = key.strip("`").removeprefix("$").removeprefix(".")
        if reason.startswith(("Invalid value ", "Invalid enum value ")):
            words = ", ".join(_WORDS.get(key.partition("[")[0], ()))
            reason = f"expected one of {words}; found {reason.rpartition(' ')[2]}"
        reason = f"{key}: {reason}" if key else reason
    elif isinstance(error, msgspec.MsgspecError):
        reason = f"expected one JSON object, found {_show(text)}: {reason}"
    return reason


def _show(text: bytes) -> str:
    shown = text.decode("utf-8", "backslashreplace").strip()
    if not shown:
        return "nothing"
    return repr(shown if len(shown) <= _LINE_SHOWN else f"{shown[:_LINE_SHOWN]}...")
