"""What the helper is asked apart from dumps: one reading at a time, each waited for until it is whole."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import trio

from privsep.protocol import AnswerEnd, AnswerPart, Denied, Reply, Request

ANSWER_S: Final = 6.0
"""Seconds until an answer is not waited for any more: the core gives up a WireGuard device before that."""

LIMIT: Final = 64 << 20
"""Octets of one answer; what a device with a hundred thousand peers says is less."""


class Answer(NamedTuple):
    """What was told."""

    parts: list[bytes]
    errno: int
    """Why it is not all, 0 where it is."""


class Inquiries:
    """Asks one helper, and collects what comes of it on feed."""

    def __init__(self, ask: Callable[[Request], Awaitable[Reply]]) -> None:
        """ask: sends a request and returns the reply. Raises: PeerGone."""
        self._ask = ask
        self._one = trio.Lock()
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = trio.Event()
        self._errno = 0

    async def make(self, form: Callable[[int], Request]) -> Answer:
        """Return what comes of a request. form: makes it of the number of the reading. Raises: PeerGone."""
        async with self._one:
            self._number += 1
            self._parts, self._size, self._errno = [], 0, errno.ETIMEDOUT
            self._ended = trio.Event()
            if isinstance(await self._ask(form(self._number)), Denied):
                return Answer([], errno.EPERM)
            with trio.move_on_after(ANSWER_S):
                await self._ended.wait()
            return Answer(self._parts, self._errno)

    def take(self, message: AnswerPart | AnswerEnd) -> None:
        """Take in what the helper has told; what is left of an earlier reading is passed over."""
        if message.read != self._number or self._ended.is_set():
            return
        if isinstance(message, AnswerEnd):
            self._errno = message.errno if self._size <= LIMIT else errno.EMSGSIZE
            self._ended.set()
            return
        self._size += len(message.data)
        if self._size <= LIMIT:
            self._parts.append(message.data)
