"""Numbers, durations and sizes as values."""

from __future__ import annotations

import re
from typing import Final

from netevd.config.words.text import read_text
from netevd.model.route import (
    PROTOCOL_NAMES,
    PROTOCOLS,
)

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\Z")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?\Z")
_MARK = re.compile(r"(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})\Z")


def read_wait(value: object, kind: object) -> float:
    """Read a duration that may be none at all."""
    none = isinstance(value, str) and re.match(r"0+(\.0+)?\s*(ms|s|m|h)\Z", value.strip())
    return 0.0 if none else read_duration(value, kind)


def read_duration(value: object, _: object) -> float:
    """Read a Duration."""
    text = read_text(value, "a duration such as 30s")
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"expected a duration such as 250ms, 30s, 5m or 1h, found {text[:80]!r}")
    if match[2] is None:
        raise ValueError(f"the unit is missing; write {text}s for seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0.001 <= seconds <= 86400 * 366:
        raise ValueError(f"expected a duration from 1ms to one year, found {text[:80]!r}")
    return seconds


def _read_bytes(value: object, most: int) -> int:
    text = read_text(value, "a size such as 64KiB")
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 65536, 64KiB or 1MiB, found {text[:80]!r}")
    size = int(match[1]) * _SIZES[match[2] or ""]
    if size > most:
        raise ValueError(f"expected at most {show_bytes(most)}, found {text[:80]!r}")
    return size


def show_bytes(size: int) -> str:
    """Return a size as a file would have it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return str(size)


def read_size(value: object, _: object) -> int:
    """Read a Size."""
    return _read_bytes(value, 16 * 1024**2)


def read_large_size(value: object, _: object) -> int:
    """Read a Bytes."""
    return _read_bytes(value, 1024**4)


def read_file_size(value: object, _: object) -> int:
    """Read a FileSize."""
    size = _read_bytes(value, 1024**4)
    if size < 65536:
        raise ValueError(f"expected at least 64KiB, found {show_bytes(size)}")
    return size


def read_number(value: object, least: int, most: int) -> int:
    """Read a number between two, both included."""
    expected = f"a number from {least} to {most}"
    text = read_text(value, expected).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValueError(f"expected {expected}, found {text[:80]!r}")
    return int(text)


def read_count(value: object, _: object) -> int:
    """Read a Count."""
    return read_number(value, 1, 200)


def read_times(value: object, _: object) -> int:
    """Read a Times."""
    return read_number(value, 0, 1000)


def read_amount(value: object, _: object) -> int:
    """Read an Amount."""
    return read_number(value, 16, 1048576)


def read_event_limit(value: object, _: object) -> int:
    """Read an EventLimit."""
    return read_number(value, 1, 1000)


def read_series_limit(value: object, _: object) -> int:
    """Read a SeriesLimit."""
    return read_number(value, 100, 10000)


def read_penalty(value: object, _: object) -> int:
    """Read a Penalty."""
    return read_number(value, 1, 1_000_000)


def read_own_protocol(value: object, _: object) -> int:
    """Read an OwnProtocol."""
    number = read_number(value, 64, 255)
    if number in PROTOCOLS.values():
        raise ValueError(f"{number} is what {PROTOCOL_NAMES[number]} marks its routes with")
    return number


def read_base(value: object, _: object) -> int:
    """Read a Base."""
    number = read_number(value, 2000, 31000)
    if number % 1000:
        raise ValueError(f"expected a multiple of 1000, found {number}")
    return number


def read_fixed_priority(value: object, _: object) -> int:
    """Read a FixedPriority."""
    return read_number(value, 1, 32765)


def read_mark(value: object, _: object) -> int:
    """Read a Mark."""
    expected = "a number from 0 to 4294967295, decimal or as 0xff00"
    text = read_text(value, expected).strip()
    match = _MARK.match(text)
    number = int(text, 0 if text[1:2] in {"x", "X"} else 10) if match else -1
    if not 0 <= number < 1 << 32:
        raise ValueError(f"expected {expected}, found {text[:80]!r}")
    return number


def read_mark_and_mask(value: object, kind: object) -> tuple[int, int]:
    """Read a MarkAndMask."""
    text = read_text(value, "a firewall mark such as 0x10 or 0x10/0xff")
    mark, _, mask = text.partition("/")
    found = (read_mark(mark, kind), read_mark(mask or "0xffffffff", kind))
    if found[0] & ~found[1]:
        raise ValueError(f"the mark has bits that its mask has not: {text[:80]!r}")
    return found


def read_interval(value: object, kind: object) -> float:
    """Read an Interval."""
    seconds = 0.0 if value == "off" else read_wait(value, kind)
    if 0 < seconds < 1:
        raise ValueError(f"expected off or at least 1s, found {str(value)[:80]!r}")
    return seconds


def read_metric(value: object, _: object) -> int:
    """Read a Metric."""
    return read_number(value, 0, 0xFFFFFFFF)
