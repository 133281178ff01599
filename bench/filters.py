"""What stands between an event and its scripts costs: 100 filters, 20 with conditions, and debounce."""

from __future__ import annotations

import time
from typing import Final

from attrs import evolve
from plan import Plan
from table import Row

from netevd.config.kinds import Expression, InterfaceName, Pattern, Tables
from netevd.config.schema import Configuration, Debounce, Filter, Match, Routes
from netevd.core.engine import Engine
from netevd.core.filters import Filters
from netevd.model.actions import Publish
from netevd.model.address import Address
from netevd.model.event import Event, EventType
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    DumpEnded,
    HelperConnected,
    LinkSeen,
    Now,
)
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.model.snapshot import OperationalState, Snapshot

LINKS: Final = 100
EVENTS: Final = 5000
CONDITIONS: Final = (
    "has_gateway && dns_count > 0",
    'event == "routable" && addresses.exists(a, a.startsWith("192.168."))',
    "mtu > 9000 || !up",
    'kind in ["bridge", "bond"] && previous_state != state',
    'now.getHours() > 24 && interface.matches("^eth[0-9]+$")',
)


def _make_rules(asked: int) -> tuple[Filter, ...]:
    """Return 80 filters by name or glob and 20 different conditions, of which so many are asked."""
    plain = [Match(interface_pattern=Pattern(f"docker{number}*")) for number in range(40)]
    plain += [Match(interface=InterfaceName(f"veth{number}")) for number in range(40)]
    texts = [f"({CONDITIONS[number % 5]}) && mtu > {number}" for number in range(20)]
    conditions = [
        Match(None if number < asked else InterfaceName(f"wg{number}"), condition=Expression(text))
        for number, text in enumerate(texts)
    ]
    return tuple(Filter("ignore", match) for match in [*plain, *conditions])


def _make_events(first: int) -> list[Event]:
    """Return an address event of each of many links; no two have a snapshot in common."""
    events = []
    for number in range(EVENTS):
        index = IfIndex(number % LINKS + 1)
        address = Address(index, 4, f"10.0.{number % LINKS}.{first % 200 + 1}", 24, 0, 0)
        link = Link(
            index, f"eth{index}", IFF_UP | IFF_LOWER_UP, 6, 1500, "02:00:00:00:00:01", kind="veth"
        )
        after = Snapshot(link, (address,), OperationalState.ROUTABLE)
        events.append(
            Event(number + 1, EventType.ADDRESS_ADDED, time.time_ns(), after, None, 1, address=address, family=4)
        )  # fmt: skip
    return events


def _measure(filters: Filters, first: int) -> float:
    """Return microseconds of processor time for one event."""
    events = _make_events(first)
    began = time.process_time()
    for event in events:
        filters.judge(event, [])
    return 1e6 * (time.process_time() - began) / EVENTS


def _make_inputs(turn: int) -> list[AddressSeen | AddressGone]:
    """Return messages of addresses that come and go on many links."""
    inputs: list[AddressSeen | AddressGone] = []
    for number in range(EVENTS // 3):
        index = IfIndex(number % LINKS + 1)
        address = Address(index, 4, f"10.{turn}.{number // 250}.{number % 250 + 1}", 24, 0, 0)
        inputs += [AddressSeen(address), AddressGone(address)]
    return inputs


def _measure_engine(engine: Engine, turn: int) -> float:
    """Return microseconds of processor time for one event, from message to decision."""
    inputs = _make_inputs(turn)
    now = time.monotonic()
    published = 0
    began = time.process_time()
    for number, each in enumerate(inputs):
        actions = engine.handle(each, Now(now + number / 1000, 1))
        published += sum(isinstance(action, Publish) for action in actions)
        engine.take_record()
    return 1e6 * (time.process_time() - began) / published


def _start_engine(configuration: Configuration) -> Engine:
    engine = Engine(configuration, 1)
    now = Now(time.monotonic(), 1)
    engine.handle(HelperConnected(), now)
    for number in range(1, LINKS + 1):
        flags = IFF_UP | IFF_LOWER_UP
        link = Link(IfIndex(number), f"eth{number}", flags, 6, 1500, "", kind="veth")
        engine.handle(LinkSeen(link, 1), now)
    engine.handle(DumpEnded(1, consistent=True), now)
    return engine


def filters(plan: Plan) -> list[Row]:
    """100 filters of which 20 have conditions and 5, or all, of these are asked; and debounce."""
    turns = range(max(3, plan.rounds))
    without = Filters(())
    costs = {}
    for asked in (5, 20):
        judge = Filters(_make_rules(asked))
        costs[asked] = min(_measure(judge, turn) - _measure(without, turn) for turn in turns)
    plain = evolve(Configuration(), routes=Routes(Tables(()), default_routes=False))
    held = evolve(plain, filters=_make_rules(5), debounce=Debounce(enabled=True))
    engines = [_start_engine(each) for each in (plain, held)]
    both = []
    for turn in turns:
        bare, whole = (_measure_engine(engine, turn) for engine in engines)
        both.append(whole - bare)
    return [
        Row("filters CPU an event", "us", costs[5], None, 60.0, "value"),
        Row("filters CPU an event, all 20 asked", "us", costs[20], None, 200.0, "value"),
        Row("filters and debounce CPU an event", "us", min(both), None, 60.0, "value"),
    ]
