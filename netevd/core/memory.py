"""
Folding: what is remembered after a record, from what was remembered before it.

Pure, and the only reader of records, so that what the engine tells by `take_record` and by
`get_state` can't drift apart unseen: a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from netevd.model.event import Event
from netevd.model.link import IfIndex
from netevd.model.memory import (
    DeliveryMemory,
    KnownLink,
    OpenDelivery,
    OpenRun,
    Record,
    RunMemory,
    State,
)
from netevd.model.route import Route
from netevd.model.waiting import Waiting
from netevd.model.webhook import Target

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def fold(state: State, records: Iterable[Record]) -> State:
    """Return what is remembered after these records."""
    links: dict[IfIndex, KnownLink] = {each.link.ifindex: each for each in state.links}
    routes = None if state.routes is None else dict.fromkeys(state.routes)
    events: dict[int, Event] = {each.sequence: each for each in state.events}
    runs = _Runs(state.runs)
    deliveries = {(each.target, each.sequence): each for each in state.deliveries}
    windows, flaps = dict(state.waiting.windows), dict(state.waiting.flaps)
    devices = {each.ifindex: each for each in state.wireguard}
    numbers, routing = state.numbers, state.routing
    hosts, advice = state.hosts, state.advice
    for record in records:
        numbers = record.numbers
        routing = record.routing or routing
        hosts = hosts if record.hosts is None else record.hosts
        advice = advice if record.advice is None else record.advice
        for ifindex in record.gone:
            links.pop(ifindex, None)
        links.update((each.link.ifindex, each) for each in record.links)
        if routes is not None:
            _fold_routes(routes, record)
        events.update((each.sequence, each) for each in record.events)
        _fold_values(devices, record.wireguard)
        if record.runs is not None:
            runs.fold(record.runs)
        if record.deliveries is not None:
            _fold_deliveries(deliveries, record.deliveries)
        if record.waiting is not None:
            _fold_values(windows, record.waiting.windows)
            _fold_values(flaps, record.waiting.flaps)
    memory = runs.close()
    wanted = {run.sequence for run in memory.runs if run.event is None}
    wanted.update(each.sequence for each in memory.early if each.event is None)
    wanted.update(each.sequence for each in deliveries.values() if each.event is None)
    return State(
        numbers,
        tuple(links.values()),
        None if routes is None else tuple(routes),
        tuple(event for sequence, event in sorted(events.items()) if sequence in wanted),
        memory,
        Waiting(tuple(windows.items()), tuple(flaps.items())),
        tuple(deliveries.values()),
        tuple(devices.values()),
        routing,
        hosts,
        advice,
    )


def _fold_values(known: dict[_Key, _Value], changes: Iterable[tuple[_Key, _Value | None]]) -> None:
    for key, value in changes:
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value


def _fold_deliveries(
    known: dict[tuple[Target, int], OpenDelivery], changes: DeliveryMemory
) -> None:
    known.update(((each.target, each.sequence), each) for each in changes.open)
    for key in changes.ended:
        known.pop(key, None)


def _fold_routes(routes: dict[Route, None], record: Record) -> None:
    for is_there, route in record.routes:
        if is_there:
            routes[route] = None
        else:
            routes.pop(route, None)


class _Runs:
    """What is remembered of runs, while it is folded."""

    def __init__(self, memory: RunMemory) -> None:
        self._runs: dict[int, OpenRun] = {each.number: each for each in memory.runs}
        self._early = list(memory.early)
        self._streaks = memory.streaks
        self._held = memory.held

    def fold(self, record: RunMemory) -> None:
        """Take in what has changed."""
        self._runs.update((each.number, each) for each in record.runs)
        for number in record.ended:
            self._runs.pop(number, None)
        if record.looked_up:
            self._early = []
        self._early += record.early
        if record.streaks is not None:
            self._streaks = record.streaks
        if record.held is not None:
            self._held = record.held

    def close(self) -> RunMemory:
        """Return what is remembered now."""
        runs = tuple(run for _, run in sorted(self._runs.items()))
        return RunMemory(runs, early=tuple(self._early), streaks=self._streaks, held=self._held)
