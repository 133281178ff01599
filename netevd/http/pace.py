"""Long work in short steps: everybody else has a turn in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec
import trio

T = TypeVar("T")

STEP: Final = 128
"""Entries of a journal, or objects of a list, that are looked at in one go: about a millisecond."""


async def pace(found: Iterable[T | None]) -> AsyncIterator[T]:
    """Yield what is not None."""
    for number, each in enumerate(found, 1):
        if number % STEP == 0:
            await trio.lowlevel.checkpoint()
        if each is not None:
            yield each


async def gather(found: Iterable[T | None], limit: int) -> tuple[list[T], bool]:
    """Return the first ones that are not None, and whether there are more than `limit`."""
    kept: list[T] = []
    async for each in pace(found):
        if len(kept) == limit:
            return kept, True
        kept.append(each)
    return kept, False


async def write_list(
    name: str, first: list[object], rest: Iterator[object], total: int | None
) -> AsyncIterator[bytes]:
    """Yield an object of a list, its count and perhaps a total as JSON, in parts."""
    encode = msgspec.json.encode
    count = len(first)
    yield encode({name: first})[:-2]
    while step := list(islice(rest, STEP)):
        await trio.lowlevel.checkpoint()
        yield (b"," if count else b"") + encode(step)[1:-1]
        count += len(step)
    more = {"count": count} if total is None else {"count": count, "total": total}
    yield b"]," + encode(more)[1:]
