"""
The one file that the supervisor writes: its own main configuration file, on behalf of the API; and
what a worker wants in its place, from the candidate to the end of its trial.

What stands in it is bytes here. Each write is on trial until it is settled: beside the file lie then the
content of before (`.previous`) and the SHA-256 of the content that is on trial (`.unconfirmed`). Why so:
docs/decisions/0011.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from privsep import protocol
from privsep.audit import THE_WORKER
from privsep.launch import Launch, grants_the_same
from privsep.log import Log
from privsep.roles import Generation, Role
from privsep.scripts import find_fault
from privsep.spawn import Memory

DEFAULT: Final = "/etc/netevd/netevd.yaml"
RETRY: Final = 5.0
"""Seconds until the content of before, which could not be brought back, is tried again."""
_CHANGED: Final = ("changed", "was changed by hand since it was read: it stays as it is")


class ConfigurationFile:
    """
    The file, and what is on trial in it.

    Whatever is done about it has an outcome, as in `protocol.Settled`, and the words that tell it.
    """

    def __init__(self, path: str, owners: frozenset[int]) -> None:
        """owners: uids that may own the file and the directories above it."""
        self.path = os.path.realpath(path)
        self._owners = owners

    def replace(self, content: bytes, digest: str) -> tuple[str, str]:
        """Write content on trial. digest: SHA-256 of what has to stand in the file now."""
        if fault := find_fault(self.path, self._owners, script=False):
            return "unwritable", f"can't be written: {fault}"
        try:
            before = self._read()
            if sha256(before).hexdigest() != digest:
                return _CHANGED
            self._write(".previous", before)
            self._write(".unconfirmed", sha256(content).hexdigest().encode())
            self._write("", content)
        except OSError as error:
            for suffix in (".new", ".unconfirmed"):
                with contextlib.suppress(OSError):
                    os.unlink(self.path + suffix)
            return "unwritable", f"can't be written: {error.strerror}"
        return "written", "was written over the API"

    def settle(self, *, keep: bool) -> tuple[str, str]:
        """End the trial: keep its content, or bring back that of before."""
        if find_fault(f"{self.path}.unconfirmed", self._owners, script=False):
            return "nothing", ""
        try:
            same = sha256(self._read()).hexdigest().encode() == self._read(".unconfirmed")
            if same and not keep:
                os.rename(f"{self.path}.previous", self.path)
            os.unlink(f"{self.path}.unconfirmed")
        except OSError as error:
            return "unwritable", f"can't get its content of before again: {error.strerror}"
        if not same:
            return _CHANGED
        kept = ("kept", "stays as it is from now on")
        return kept if keep else ("rolled-back", "has its content of before again")

    def _read(self, suffix: str = "") -> bytes:
        with open(self.path + suffix, "rb") as file:
            return file.read(1024 * 1024)  # SIZE_LIMIT of netevd.config.tree

    def _write(self, suffix: str, content: bytes) -> None:
        """Write a file as ours is, owner, mode and access list: all of it is there, or nothing."""
        status, new = os.stat(self.path), f"{self.path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with open(new, "xb") as file:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            for name in set(os.listxattr(self.path)) & {"system.posix_acl_access"}:
                os.setxattr(file.fileno(), name, os.getxattr(self.path, name))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self.path + suffix)


class Trial:
    """The candidate that is looked at, if there is one, and what waits to be confirmed."""

    def __init__(
        self, path: str, owners: frozenset[int], log: Log,
        note: Callable[[str, str, str, str], None],
    ) -> None:  # fmt: skip
        """
        path, owners: as of ConfigurationFile. note: notes what, its outcome, the words and on whose
        behalf in the audit log.
        """
        self._file = ConfigurationFile(path, owners)
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
        self._note("configuration", outcome, words, THE_WORKER)
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
