"""
The journal on disk: what is remembered, for a daemon that starts again.

Two files in the state directory that take turns, each a slate; a third holds numbers that are reserved,
so that none is used twice even if the last records were lost with the power.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final, NamedTuple

import msgspec

from netevd.worker.slate import Content, Slate

CAPACITY: Final = 64 << 20
"""Octets of one of the two files at most."""

_BLOCK: Final = 100_000
"""Numbers that are reserved at a time."""

_LARGE: Final = 8
"""A file that is so many times larger than what it has to hold is cut."""

_NAMES: Final = ("journal.0", "journal.1")
_RESERVED: Final = "reserved"


class Reserved(NamedTuple):
    """Numbers below which all may have been used."""

    sequence: int
    run: int


class Disk:
    """The files of one state directory, of which the lock of the daemon keeps others away."""

    def __init__(self, directory: str) -> None:
        """Open the files, or make them. Raises: OSError, BlockingIOError if another daemon has them."""
        self._directory = directory
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._slates = [
            Slate(os.open(os.path.join(directory, name), flags, 0o600), CAPACITY) for name in _NAMES
        ]
        fcntl.lockf(self._slates[0].descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._sync_directory()  # the files may be new
        self._used = 0
        self.generation = 0
        """Of the file in use, 0 for none."""
        self._reserved = self._read_reserved()

    def read(self) -> Content | None:
        """Return what the last daemon left, None if there is nothing. Raises: Unreadable."""
        contents = [slate.read() for slate in self._slates]
        found = [(each.generation, place) for place, each in enumerate(contents) if each]
        if not found:
            return None
        self.generation, self._used = max(found)
        return contents[self._used]

    @property
    def reserved(self) -> Reserved:
        """The numbers that are not to be used again if it is not known how far they were."""
        return self._reserved

    def reserve(self, sequence: int, run: int) -> None:
        """Make sure that these numbers, and many more, are never used again. Raises: OSError."""
        if sequence < self._reserved.sequence and run < self._reserved.run:
            return
        self._reserved = Reserved(sequence + _BLOCK, run + _BLOCK)
        path = os.path.join(self._directory, _RESERVED)
        descriptor = os.open(
            f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, msgspec.json.encode(self._reserved))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(f"{path}.new", path)
        self._sync_directory()

    def has_room(self, size: int) -> bool:
        """Tell whether a record of this size may be appended; if not, `replace` is due."""
        return self.generation > 0 and self._slates[self._used].has_room(size)

    def close(self) -> None:
        """Have the next thing that is kept be a snapshot."""
        self._slates[self._used].close()

    def spoil(self) -> None:
        """
        Let nothing be read that is older than what was last announced.

        What could not be written would be missing, and its numbers be used again.
        """
        self.close()
        with contextlib.suppress(OSError):
            for slate in self._slates:
                os.ftruncate(slate.descriptor, 0)

    def append(self, framed: bytes) -> None:
        """Append a record of this generation. Raises: OSError."""
        self._slates[self._used].append(framed)

    def replace(self, snapshot: bytes, generation: int) -> None:
        """Begin a higher generation with this snapshot, in the file that is not in use. Raises: OSError."""
        self._used = 1 - self._used
        self.generation = generation
        slate = self._slates[self._used]
        if os.fstat(slate.descriptor).st_size > _LARGE * max(len(snapshot), 1 << 20):
            os.ftruncate(slate.descriptor, 0)
        # else it is overwritten, which needs no new blocks: what is left behind the end is of an older
        # generation, and so no record of this one
        slate.begin(generation, snapshot)
        os.fdatasync(slate.descriptor)

    def _read_reserved(self) -> Reserved:
        try:
            with open(os.path.join(self._directory, _RESERVED), "rb") as file:
                return msgspec.json.decode(file.read(256), type=Reserved)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Reserved(0, 0)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
