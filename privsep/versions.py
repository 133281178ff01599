"""
The highest version of each manifest that a runner has believed: what rollback is told by.

Kept in a directory of root's own beside the worker's, so that it outlives the machine's boots and no
runner can write it. Each user has its own: what a runner that was taken over says of a version
concerns the scripts of its user alone. Why so: docs/decisions/0016.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import msgspec

from privsep.log import Log
from privsep.scripts import find_fault

PAUSE: Final = 10.0
"""Seconds from one writing to the next: a runner that was taken over may say what it likes, as often."""


class Versions:
    """By uid and root of script directories the highest version that was accepted."""

    def __init__(self, state: str, owners: frozenset[int], log: Log) -> None:
        """state: the worker's directory, "" for none. owners: whom ours may belong to."""
        self._path = f"{state}-signed/versions.json" if state else ""
        self._owners, self._log = owners, log
        self._known: dict[int, dict[str, int]] = {}
        self._rested = 0.0
        self.due: float | None = None
        """When what is new has to be written, monotonic seconds."""
        if os.path.lexists(self._path):
            self._attempt(self._read)

    def find(self, uid: int) -> dict[str, int]:
        """Return the versions that scripts of this user have had, by root."""
        return self._known.get(uid, {})

    def note(self, uid: int, root: str, version: int) -> None:
        """Take in that the scripts of this user are those of this version."""
        known = self._known.setdefault(uid, {})
        if version > known.get(root, 0):
            known[root] = version
            soon = time.monotonic() + PAUSE / 20  # of all runners
            self.due = self.due or max(self._rested, soon)

    def keep(self) -> None:
        """Write what is known."""
        self.due, self._rested = None, time.monotonic() + PAUSE
        self._attempt(self._write)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            words = f"versions of manifests can't be kept in {self._path or 'any file'}: {error}"
            self._log.write("error", f"{words}; after a restart an older one would not be noticed")

    def _check(self, path: str) -> None:
        if fault := find_fault(path, self._owners, script=False):
            raise OSError(fault)

    def _read(self) -> None:
        self._check(self._path)
        with open(self._path, "rb") as file:
            self._known = msgspec.json.decode(file.read(), type=dict[int, dict[str, int]])

    def _write(self) -> None:
        new, flags = f"{self._path}.new", os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.makedirs(os.path.dirname(new), 0o755, exist_ok=True)
        with open(new, "wb", opener=lambda path, mode: os.open(path, mode | flags, 0o644)) as file:
            self._check(new)
            file.write(msgspec.json.encode(self._known))
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self._path)
