"""inotify for Trio: which names of watched directories have changed. Source: inotify(7)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

import trio

_libc = ctypes.CDLL(None, use_errno=True)

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ONLYDIR: Final = 0x01000000
MASK_ADD: Final = 0x20000000
"""Source: linux/inotify.h."""

_HEAD: Final = struct.Struct("=iIII")
_BUFFER: Final = 65536


class Seen(NamedTuple):
    """One event."""

    watch: int
    """Number of the watch, -1 for an overflow."""
    mask: int
    name: str
    """Name in the directory, "" for the directory itself."""


class Inotify:
    """One inotify descriptor."""

    def __init__(self) -> None:
        """Open it. Raises: OSError, where the user has as many as the system grants (EMFILE)."""
        self._descriptor = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._descriptor < 0:
            raise _make_error("inotify_init1")

    def close(self) -> None:
        """Close it, and so every watch."""
        os.close(self._descriptor)

    def add(self, path: str, mask: int) -> int:
        """Watch a path; return the number of the watch, the same for the same inode. Raises: OSError."""
        number = int(_libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask))
        if number < 0:
            raise _make_error(path)
        return number

    def remove(self, number: int) -> None:
        """Watch it no more; one that the kernel has ended already is passed over."""
        _libc.inotify_rm_watch(self._descriptor, number)

    async def wait(self) -> None:
        """Return when there is something to read."""
        await trio.lowlevel.wait_readable(self._descriptor)

    def read(self) -> list[Seen]:
        """Return what was seen since the last call."""
        found: list[Seen] = []
        while True:
            try:
                content = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                return found
            offset = 0
            while offset < len(content):
                watch, mask, _, length = _HEAD.unpack_from(content, offset)
                offset += _HEAD.size
                name = content[offset : offset + length].rstrip(b"\0")
                offset += length
                found.append(Seen(watch, mask, os.fsdecode(name)))


def _make_error(subject: str) -> OSError:
    code = ctypes.get_errno() or errno.EIO
    return OSError(code, os.strerror(code), subject)
