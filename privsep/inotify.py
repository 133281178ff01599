"""Watch directories for scripts that come, go or change their mode. Source: inotify(7)."""

from __future__ import annotations

import ctypes
import os
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_CHANGES: Final = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
"""IN_ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF."""
_ONLYDIR: Final = 0x01000000


class Watch:
    """A set of watched directories; readable when something in them has changed."""

    def __init__(self) -> None:
        """Open the inotify descriptor; without one (limit reached) nothing is ever readable."""
        self._descriptor = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """Return the descriptor, -1 when the system grants none."""
        return self._descriptor

    def add(self, directories: list[str]) -> None:
        """Watch these directories; those that do not exist are passed over, known ones kept."""
        if self._descriptor >= 0:
            for path in directories:
                _libc.inotify_add_watch(self._descriptor, os.fsencode(path), _CHANGES | _ONLYDIR)

    def drain(self) -> None:
        """Read away what was reported."""
        try:
            while os.read(self._descriptor, 65536):
                pass
        except BlockingIOError:
            pass
