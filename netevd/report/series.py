"""
The series of one metric as plain numbers.

They are not prometheus-client's own, since these can be neither taken out nor put back: what was
counted outlives the worker that did. How they are written for Prometheus is exposition's, with that
library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import frozen

from netevd.report.families import Family

Labels: TypeAlias = tuple[str, ...]
"""Values of a family's labels, in its order."""


@frozen(slots=True)
class Exemplar:
    """One measurement that a bucket has counted, and the event that it was of."""

    value: float
    sequence: int
    time_s: float
    """Seconds since 1970."""


class Series:
    """The series of one family."""

    def __init__(self, family: Family, room: int | None = None) -> None:
        """room: how many label values may have series of their own, None for all."""
        self.family = family
        self.version = 0
        """Grows whenever there may be something else to tell."""
        self.cells: dict[Labels, list[float]] = {}
        """A counter's or gauge's value; of a histogram the count of each bucket by itself, those
        beyond all buckets, and the sum."""
        self.exemplars: dict[Labels, dict[int, Exemplar]] = {}
        self._size = len(family.bounds) + 2 if family.kind == "histogram" else 1
        self._room = room
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.cells = {labels: [0.0] * self._size for labels in self.family.starts}
        self.exemplars = {}
        self.version += 1

    def find(self, labels: Labels, other: Labels) -> tuple[list[float], bool]:
        """Return the cell for these label values, or that of `other`; tell whether it is theirs."""
        self.version += 1
        cell = self.cells.get(labels)
        if cell is not None:
            return cell, True
        if self._room is None or len(self.cells) < self._room:
            cell = self.cells[labels] = [0.0] * self._size
            return cell, True
        return self.cells.setdefault(other, [0.0] * self._size), labels == other

    def count(self, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter that has room for everybody."""
        self.find(labels, labels)[0][0] += amount

    def put(self, values: dict[Labels, float]) -> None:
        """Set all values of a gauge."""
        cells = {labels: [value] for labels, value in values.items()}
        if cells != self.cells:
            self.cells = cells
            self.version += 1

    def observe(
        self, cell: list[float], labels: Labels, value: float, exemplar: Exemplar | None = None
    ) -> None:
        """Take a measurement into a histogram's cell, which `find` has returned for these labels."""
        place = bisect_left(self.family.bounds, value)
        cell[place] += 1
        cell[-1] += value
        if exemplar is not None:
            self.exemplars.setdefault(labels, {})[place] = exemplar

    def drop(self, is_dropped: Callable[[Labels], bool]) -> None:
        """Remove series by their label values."""
        for labels in [each for each in self.cells if is_dropped(each)]:
            del self.cells[labels]
            self.exemplars.pop(labels, None)
            self.version += 1

    def restore(self, cells: Iterable[tuple[Labels, list[float]]]) -> None:
        """Go on from what another worker has counted; what does not fit is passed over."""
        for labels, cell in cells:
            if len(labels) == len(self.family.labels) and len(cell) == self._size:
                self.cells[labels] = cell
        self.version += 1
