"""How long a dump that failed waits for the next one."""

from __future__ import annotations

from typing import Final

_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 5.0

TOLD_AFTER: Final = 5
"""Failures in a row that are worth a line in the log."""


class Backoff:
    """
    Failures in a row: the next dump is asked for at once, then after 0.1 s, 0.2 s and so on, 5 s.

    A refusal or a storm of changes must not become a storm of dumps.
    """

    def __init__(self) -> None:
        self.failures = 0

    def fail(self) -> float:
        """Count a failure; return how many seconds to wait."""
        delay = _FIRST_DELAY_S * 2 ** min(self.failures - 1, 16) if self.failures else 0.0
        self.failures += 1
        return min(delay, _LONGEST_DELAY_S)

    def end(self) -> None:
        """Take in that the row of failures is over."""
        self.failures = 0
