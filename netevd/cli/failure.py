"""How a command ends: exit codes, and the errors that carry one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes that scripts may rely on."""

    FINE = 0
    FAILED = 1
    """What was asked for did not succeed."""
    USAGE = 2
    """The command line is wrong; click's own."""
    UNREACHABLE = 3
    """No daemon answers."""
    UNKNOWN = 4
    """There is no such interface, script, event or run."""
    DENIED = 5
    """The caller may not do this."""


class Failure(Exception):
    """A command can't go on; the text names subject, expected, found and what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        """Hold the message and the exit code."""
        super().__init__(message)
        self.code = code


class Interrupted(BaseException):
    """A signal asks the command to end; raised by handlers, so no `except Exception` takes it."""

    def __init__(self, number: int) -> None:
        """Hold the signal's number."""
        super().__init__(number)
        self.number = number
