"""What the exit status of every command means."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses, the same for all commands."""

    FINE = 0
    FAILED = 1
    """The asked thing failed: a script, a check."""
    USAGE = 2
    """The command was given wrongly."""
    UNREACHABLE = 3
    """The daemon does not answer."""
    NOT_FOUND = 4
    """There is no such interface or script."""
    NOT_ALLOWED = 5
    """This caller may not do that."""
