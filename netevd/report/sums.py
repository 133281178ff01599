"""
How what was counted goes on in the next worker.

What is counted from entries of the journal is right whatever becomes of a worker, since the next one
counts again what was written after the last sums. The rest is handed over by a worker that ends in
good order, and begins at 0 after one that died: a smaller number than before would be taken for a
new beginning with that number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from netevd.report.families import COUNTED
from netevd.report.journal import PACKING
from netevd.report.metrics import Metrics
from netevd.report.packing import Packing, Unreadable
from netevd.report.series import Labels


class _Sums(msgspec.Struct, array_like=True, frozen=True):
    """All that a worker has counted."""

    started: float
    """When the daemon was started, monotonic seconds: those of another one are not gone on with."""
    start_time: float
    deaths: int
    """How many workers had died."""
    cells: dict[str, list[tuple[Labels, list[float]]]]


_SUMS: Final = Packing[_Sums](_Sums)


def sum_up(metrics: Metrics) -> bytes:
    """Return all that was counted, for the next worker."""
    metrics.fold()
    cells = {each.name: list(metrics.series[each.name].cells.items()) for each in COUNTED}
    before = metrics.before
    return _SUMS.pack(_Sums(before.started, metrics.start_time, before.deaths, cells))


def go_on(metrics: Metrics, sums: bytes, entries: Iterable[bytes], *, in_order: bool) -> None:
    """
    Go on from what the last worker has counted, and what was written into the journal since.

    in_order: what it has written is all that it was to write; whether it then died, the supervisor
    knows. What is of another daemon is passed over. Raises: Unreadable.
    """
    found = _SUMS.unpack(sums)
    if found.started != metrics.before.started:
        return
    metrics.start_time = found.start_time
    in_order = in_order and found.deaths == metrics.before.deaths
    for family in COUNTED:
        if in_order or family.journaled:
            metrics.series[family.name].restore(found.cells.get(family.name, []))
    for packed in entries:
        try:
            metrics.count(PACKING.unpack(packed))
        except Unreadable:
            continue  # as the journal itself does
    metrics.tell_before()
