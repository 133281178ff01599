"""
Directories that are watched, also those that are not there yet, and what in them has changed.

A directory that is missing is waited for at the nearest one above it that is there; one that is
removed, or moved away, is waited for again. Without inotify nothing is ever seen: whoever asks then
has to look by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from netevd.backends import inotify
from netevd.backends.inotify import Inotify

_FILES: Final = (
    inotify.MODIFY | inotify.ATTRIB | inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO
    | inotify.CREATE | inotify.DELETE | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ONLYDIR
)  # fmt: skip
"""dhclient keeps its file open, so that each lease is a MODIFY, and CLOSE_WRITE comes at its end."""
_ABOVE: Final = (
    inotify.CREATE | inotify.MOVED_TO | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ONLYDIR
)
_GONE: Final = (
    inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.IGNORED | inotify.UNMOUNT | inotify.OVERFLOW
)
_TRIES: Final = 3
"""How often in a row it is looked again what was made while a watch was put above it."""


class Directories:
    """Watches on directories, by one inotify descriptor."""

    def __init__(self, watch: Inotify, paths: Iterable[str]) -> None:
        """paths: absolute and without links to themselves; each may be missing."""
        self._watch = watch
        self._paths = tuple(dict.fromkeys(paths))
        self._there: dict[int, list[str]] = {}
        """Directories by the number of their watch: two paths may lead to one."""
        self._above: dict[int, set[str]] = {}
        """Names that are waited for, by the number of the watch on the directory that will have them."""
        self.refused: dict[str, OSError] = {}
        """Why a directory that is there is not watched."""

    def arm(self) -> None:
        """Watch whatever is there now, and wait for the rest."""
        stale = {*self._there, *self._above}
        self._there, self._above, self.refused = {}, {}, {}
        for path in self._paths:
            for _ in range(_TRIES):
                if self._arm(path):
                    break
        for number in stale - {*self._there, *self._above}:
            self._watch.remove(number)

    def _arm(self, path: str) -> bool:
        """Watch a directory or wait for it; False if it has to be looked again."""
        try:
            self._there.setdefault(self._watch.add(path, _FILES | inotify.MASK_ADD), []).append(
                path
            )
            return True
        except (FileNotFoundError, NotADirectoryError):
            above, name = os.path.split(path)
        except OSError as error:
            self.refused[path] = error
            return True
        while above not in {"", "/"} and not os.path.isdir(above):
            above, name = os.path.split(above)
        try:
            number = self._watch.add(above, _ABOVE | inotify.MASK_ADD)
        except OSError as error:
            self.refused[path] = error
            return not isinstance(error, FileNotFoundError)
        self._above.setdefault(number, set()).add(name)
        return not os.path.lexists(os.path.join(above, name))

    def read(self) -> set[str]:
        """
        Return the paths in watched directories that were touched; a directory itself, if it came or
        went, and all of them, if something was overlooked.
        """
        touched: set[str] = set()
        again = False
        for seen in self._watch.read():
            if seen.mask & _GONE:
                again = again or seen.watch == -1 or seen.watch in {*self._there, *self._above}
            elif seen.name in self._above.get(seen.watch, ()):
                again = True
            for path in self._there.get(seen.watch, ()):
                if seen.name:
                    touched.add(os.path.join(path, seen.name))
        if again:
            self.arm()
            touched.update(self._paths)
        return touched
