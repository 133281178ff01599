"""
What a worker wants in place of the configuration file, from its candidate to the end of its trial.

Which candidate may come, and what it may change, is decided here; when, by the supervisor. The file
itself is `configfile`'s. Why so: docs/decisions/0011.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from privsep import protocol
from privsep.configfile import ConfigurationFile
from privsep.launch import Launch, grants_the_same
from privsep.log import Log
from privsep.roles import Generation, Role
from privsep.spawn import Memory

RETRY: Final = 5.0
"""Seconds until the content of before, which could not be brought back, is tried again."""


class Trial:
    """The candidate that is looked at, if there is one, and what waits to be confirmed."""

    def __init__(
        self, file: ConfigurationFile, log: Log, note: Callable[[str, str, str, str], None]
    ) -> None:
        """note: notes subject, outcome, detail and on whose behalf in the audit log."""
        self._file = file
        self._log = log
        self._note = note
        self.candidate: protocol.Candidate | None = None
        """Until another generation takes over with it, or it was refused."""
        self._pid = 0
        """Of the worker that has sent it."""
        self.until: float | None = None
        """Until when what was written has to be confirmed, monotonic seconds."""

    def begin(self, role: Role, candidate: protocol.Candidate) -> None:
        """Take a candidate; there is none yet."""
        self._pid, self.candidate = role.pid, candidate

    def is_of(self, role: Role) -> bool:
        """Tell whether this worker has sent the candidate that is looked at."""
        return self.candidate is not None and self._pid == role.pid

    def store(self, launch: Launch, memory: Memory, now: Generation) -> tuple[str, str]:
        """Write what the reader is content with; return the outcome, `written` if it is on trial."""
        assert self.candidate is not None
        if not (memory.posts_like(now.memory) and grants_the_same(now.launch, launch)):
            return "changed", self.say("does not fit what is in force")
        if self.candidate.dry_run:
            return "fine", self.say("")
        outcome, words = self._file.replace(launch.content, now.launch.digest)
        self._log.write("warn", self.say(words))
        self._note("configuration", outcome, words, "the worker")
        return outcome, self.say(words)

    def answer(
        self, worker: Role, outcome: str, problems: list[str], memory: tuple[int, ...] = ()
    ) -> None:
        """Tell the worker what became of its candidate, if it still lives."""
        if self.is_of(worker):
            worker.send(protocol.Settled(outcome, problems), memory)
        self.candidate = None

    def settle(self, *, keep: bool) -> tuple[str, str]:
        """Keep what is on trial in the file, or bring back what was before it."""
        self.until = None
        outcome, words = self._file.settle(keep=keep)
        if words:
            self._log.write("warn", self.say(words))
            self._note("configuration", outcome, words, "")
        if outcome == "unwritable":
            self.until = time.monotonic() + RETRY
        return outcome, self.say(words)

    def say(self, words: str) -> str:
        """Return a sentence about the file."""
        return f"{self._file.path} {words}"

    def take_back(self) -> None:
        """Bring back what was before a candidate that could not be put in force."""
        self._file.settle(keep=False)
