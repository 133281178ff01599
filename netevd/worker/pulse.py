"""
Signs of life: helper and runners are asked when somebody wants to know, and never twice at once.

A question whose answer was not awaited to its end stays asked: the answer that comes later is its own
and nobody else's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

import trio

from netevd.report.health import Silence

PATIENCE_S: Final = 2.0
"""Seconds in which a role that is well answers."""


class Question:
    """What one role is asked, again and again."""

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        """ask: returns once the role has answered, or is gone."""
        self._ask = ask
        self._asked: float | None = None
        """When the question that is open was asked, seconds of Trio's clock."""
        self._answered = trio.Event()

    async def find_silence(self, nursery: trio.Nursery) -> float | None:
        """
        Return None once the role answers, or for how many seconds it has not.

        nursery: where an answer is awaited that is late.
        """
        now = trio.current_time()
        if self._asked is None:
            self._asked = now
            self._answered = trio.Event()
            nursery.start_soon(self._await_answer)
        asked, answered = self._asked, self._answered
        with trio.move_on_at(max(now, asked + PATIENCE_S)):
            await answered.wait()
            return None
        return None if answered.is_set() else trio.current_time() - asked

    async def _await_answer(self) -> None:
        await self._ask()
        self._asked = None
        self._answered.set()


class Asked(Protocol):
    """A role that can be asked."""

    pulse: Question


async def find_silences(
    helper: Asked | None, runners: Mapping[int, Asked], wanted: Iterable[int], nursery: trio.Nursery
) -> tuple[Silence, ...]:
    """Return who does not answer. wanted: keys of the runners that have to be there."""
    roles: list[tuple[str, Asked | None]] = [("helper", helper)]
    roles += [(f"runner {key}", runners.get(key)) for key in wanted]
    found: list[Silence] = []

    async def ask(name: str, role: Asked | None) -> None:
        silent = None if role is None else await role.pulse.find_silence(nursery)
        if role is None or silent is not None:
            found.append(Silence(name, silent))

    async with trio.open_nursery() as asking:
        for name, role in roles:
            asking.start_soon(ask, name, role)
    return tuple(sorted(found, key=lambda each: each.role))
