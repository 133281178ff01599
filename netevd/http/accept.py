"""Accept: which of several media types a client wants. Source: RFC 9110, 12.5.1."""

from __future__ import annotations

from collections.abc import Iterator


def choose(header: str, offered: tuple[str, ...]) -> str | None:
    """
    Return which of the offered media types is wanted most, None where none is acceptable.

    Of equal ones it is the one that the client names first, else the one that is offered first.
    """
    if not header.strip():
        return offered[0]
    ranges = list(_read(header))
    best, rank = None, (0.0, 0.0)
    for place, kind in enumerate(offered):
        quality, order = _weigh(kind, ranges)
        if (quality > 0 and (quality, -order) > rank) or (quality > 0 and best is None):
            best, rank = kind, (quality, -order - place / 1000)
    return best


def names(header: str, kind: str) -> bool:
    """Tell whether a client names a media type itself, and wants it."""
    return any(found == kind and quality > 0 for found, quality in _read(header))


def _read(header: str) -> Iterator[tuple[str, float]]:
    for part in header.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = 1.0
        for each in parameters:
            if each.startswith("q="):
                quality = _read_quality(each[2:])
        if kind:
            yield kind, quality


def _read_quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0


def _weigh(kind: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """Return the quality of a media type, by the range that fits it best, and the place of that."""
    for wanted in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        for place, (found, quality) in enumerate(ranges):
            if found == wanted:
                return quality, place
    return 0.0, 0
