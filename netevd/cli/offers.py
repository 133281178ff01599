"""
What a running daemon offers for completion: in a bounded time, and silent about everything.

The whole question is over after half a second whatever the daemon does, since a shell waits for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

LIMIT_S: Final = 0.5


class _TooLong(Exception):
    """The time is over."""


def offer(ctx: click.Context, path: str, key: str, **parameters: str | int) -> list[dict[str, Any]]:
    """Return the objects of an answer's list; none where no daemon answers in time. ctx: names it."""
    from netevd.cli.client import ask  # noqa: PLC0415 - only for those who complete

    try:
        with _limit(), ctx.scope(cleanup=False):
            found = ask(path, parameters, timeout_s=LIMIT_S)[key]
    except Exception:  # a shell is in the middle of a line: it is told nothing
        return []
    return [each for each in found if isinstance(each, dict)]


@contextmanager
def _limit() -> Iterator[None]:
    """End what is below after the limit, even a daemon that trickles."""

    def give_up(_number: int, _frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
