"""
Whether somebody keeps removing what is ours, and how long to wait before it is put back.

Counted are the passes that found something missing, not the things: a network manager that flushes
everything when it starts does so once, and that is put back at once.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WITHIN_S: Final = 60.0
LIMIT: Final = 5
"""So many within that time are a contest."""
_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 30.0


class Contest:
    """What was missing lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=LIMIT)
        self.going_on = False
        self.not_before = 0.0
        """Monotonic seconds before which nothing is put back."""
        self._delay = 0.0

    def note(self, now: float) -> bool:
        """Take in that something was missing at this time; return whether a contest begins by it."""
        self._times.append(now)
        if not self.going_on:
            self.going_on = len(self._times) == LIMIT and now - self._times[0] < WITHIN_S
            self._delay = _FIRST_DELAY_S if self.going_on else 0.0
            self.not_before = now + self._delay
            return self.going_on
        self._delay = min(_LONGEST_DELAY_S, self._delay * 2)
        self.not_before = now + self._delay
        return False

    def calm(self, now: float) -> bool:
        """Take in that nothing is missing; return whether a contest is over by it."""
        if not self.going_on or now - self._times[-1] < WITHIN_S:
            return False
        self.going_on = False
        self._times.clear()
        return True
