"""What filters cost: 100 rules, 20 with conditions, of which 5 are asked for each event."""

from __future__ import annotations

import time
from typing import Final

from plan import Plan
from table import Row

from netevd.config.schema import Expression, Filter, InterfaceName, Match, Pattern
from netevd.core.filters import Filters
from netevd.model.address import Address
from netevd.model.event import Event, EventType
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


def _make_rules() -> tuple[Filter, ...]:
    """Return 80 rules by name or glob, 15 conditions for other links, and 5 that are asked."""
    plain = [Match(interface_pattern=Pattern(f"docker{number}*")) for number in range(40)]
    plain += [Match(interface=InterfaceName(f"veth{number}")) for number in range(40)]
    others = [
        Match(InterfaceName(f"wg{number}"), condition=Expression(CONDITIONS[number % 5]))
        for number in range(15)
    ]
    asked = [Match(condition=Expression(text)) for text in CONDITIONS]
    return tuple(Filter("ignore", match) for match in [*plain, *others, *asked])


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


def filters(plan: Plan) -> list[Row]:
    """100 filters of which 20 have conditions and 5 of these are asked, for one event."""
    with_rules, without = Filters(_make_rules()), Filters(())
    costs = [
        _measure(with_rules, turn) - _measure(without, turn) for turn in range(max(3, plan.rounds))
    ]
    return [Row("filters CPU an event", "us", min(costs), None, 60.0, "value")]
