"""A dict that knows what was done to it, so that just this is remembered anew."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Tracked(dict[K, V]):
    """Takes note of what is set and deleted by item; nothing else may change it."""

    def __init__(self) -> None:
        super().__init__()
        self._deleted: dict[K, None] = {}
        self._set: dict[K, None] = {}

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self._set[key] = None

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        self._deleted[key] = None
        self._set.pop(key, None)

    def take(self) -> tuple[tuple[K, V | None], ...]:
        """
        Return what was done since the last call, None for a key that was deleted.

        Done to a copy in this order it gives the same dict, its order included.
        """
        if not (self._deleted or self._set):
            return ()
        deleted, self._deleted = self._deleted, {}
        kept, self._set = self._set, {}
        return (*((key, None) for key in deleted), *((key, self[key]) for key in kept))
