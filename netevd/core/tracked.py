"""A dict that knows which of its keys were touched, so that just these are remembered anew."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Tracked(dict[K, V]):
    """Takes note of what is set and removed by item; nothing else may change it."""

    def __init__(self) -> None:
        super().__init__()
        self._touched: dict[K, None] = {}

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self._touched[key] = None

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        self._touched[key] = None

    def take(self) -> tuple[tuple[K, V | None], ...]:
        """Return each key that was touched since the last call, with None if it is gone."""
        if not self._touched:
            return ()
        touched, self._touched = self._touched, {}
        return tuple((key, self.get(key)) for key in touched)
