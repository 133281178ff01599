"""Whatever happens, in whatever order it arrives: users end up with the truth, told once."""

from __future__ import annotations

import random
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.config.kinds import Duration, Penalty
from netevd.config.schema import Damping, Debounce
from netevd.core.engine import Engine
from netevd.core.facts import STATE_GROUPS
from netevd.model.address import AddressKey
from netevd.model.event import Event, EventType
from netevd.model.inputs import (
    AddressSeen,
    DumpEnded,
    HelperConnected,
    LinkSeen,
    Now,
)
from netevd.model.link import IFF_DORMANT, IFF_LOWER_UP, IFF_RUNNING, IfIndex, Link
from netevd.model.snapshot import OperationalState, Snapshot
from tests.properties.namespace import KERNEL_OPERATIONS, OPERATIONS, Namespace, Operation
from tests.stories.configurations import configure

Description: TypeAlias = tuple[Link, frozenset[tuple[AddressKey, int]], OperationalState, str]

CONFIGURATION = configure(
    links=("w*",),
    debounce=Debounce(enabled=True, window=Duration(2.0)),
    damping=Damping(True, Duration(10.0), Penalty(3000), Penalty(1000), Duration(40.0)),
)
"""With what stands between events and scripts, so that it is remembered too."""

steps = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9), st.integers(0, 119)), max_size=100
)
kernel_steps = st.lists(
    st.tuples(st.sampled_from(KERNEL_OPERATIONS), st.integers(0, 9), st.integers(0, 119)),
    max_size=100,
)


def make_namespace() -> Namespace:
    """Return an empty namespace whose engine watches the names with w."""
    return Namespace(lambda memory: Engine(CONFIGURATION, 1, state=memory))


def judge_slowly(namespace: Namespace, link: Link) -> OperationalState:
    """Return the operational state by the wording of networkctl(1), from the facts alone."""
    if not _passes(link):
        if link.operstate == 5:
            return OperationalState.DORMANT
        return OperationalState.NO_CARRIER if link.up else OperationalState.OFF
    scopes = {
        address.scope
        for address in namespace.addresses.values()
        if address.ifindex == link.ifindex and address.usable
    }
    weak = _has_weak_port(namespace, link)
    if 0 in scopes:
        return OperationalState.ROUTABLE
    if link.master and not weak:
        return OperationalState.ENSLAVED
    if scopes:
        return OperationalState.DEGRADED
    return OperationalState.DEGRADED_CARRIER if weak else OperationalState.CARRIER


def _passes(link: Link) -> bool:
    if link.operstate == 0:
        wanted = IFF_LOWER_UP | IFF_RUNNING
        return link.flags & (wanted | IFF_DORMANT) == wanted
    return link.operstate == 6


def _has_weak_port(namespace: Namespace, link: Link) -> bool:
    ports = [each for each in namespace.links.values() if each.master == link.ifindex]
    return any(not _passes(port) or _has_weak_port(namespace, port) for port in ports)


def describe(snapshot: Snapshot) -> Description:
    """Return a snapshot without the order of its addresses, which a dump does not keep."""
    addresses = frozenset((each.key, each.flags) for each in snapshot.addresses)
    return (snapshot.link, addresses, snapshot.state, snapshot.master_name)


def tell_truth(namespace: Namespace) -> list[Description]:
    """Return what snapshots of the namespace have to say."""
    truth = []
    for ifindex, link in sorted(namespace.links.items()):
        addresses = frozenset(
            (each.key, each.flags)
            for each in namespace.addresses.values()
            if each.ifindex == ifindex
        )
        master = namespace.links.get(link.master)
        state = judge_slowly(namespace, link)
        truth.append((link, addresses, state, master.name if master else ""))
    return truth


class Listener:
    """What somebody knows who hears nothing but the events, and minds what can't be."""

    def __init__(self) -> None:
        self.present: dict[int, Event] = {}
        """Lane to the last event of a link that is there."""
        self.carrier: dict[int, bool] = {}
        self.addresses: dict[int, set[AddressKey]] = {}
        self.states: dict[int, EventType] = {}

    def hear(self, event: Event) -> None:
        """Take in an event; fail if it contradicts what was heard before."""
        lane, kind = event.lane, event.type
        if kind is EventType.LINK_ADDED or (event.initial and lane not in self.present):
            assert lane not in self.present, "added twice"
            names = [each.after.link.name for each in self.present.values()]
            assert event.after.link.name not in names, "a name that another link has"
            self.carrier.pop(lane, None)
            self.states.pop(lane, None)
            self.addresses[lane] = (
                {a.key for a in event.after.addresses} if event.initial else set()
            )
        assert event.initial or kind is EventType.LINK_ADDED or lane in self.present
        if kind in (EventType.CARRIER, EventType.NO_CARRIER):
            up = kind is EventType.CARRIER
            assert self.carrier.get(lane) is not up, "the same carrier twice"
            self.carrier[lane] = up
        elif event.address is not None:
            self._hear_address(event, event.address.key)
        elif kind is EventType.LINK_RENAMED:
            assert self.present[lane].after.link.name != event.after.link.name
        elif kind.value == event.after.state.value:
            assert kind.value != (event.before and event.before.state.value), "the same state twice"
            self.states[lane] = kind
        self.present[lane] = event
        if kind is EventType.LINK_REMOVED:
            assert not self.addresses[lane], "removed with addresses"
            del self.present[lane]

    def _hear_address(self, event: Event, key: AddressKey) -> None:
        known = self.addresses[event.lane]
        if event.type is EventType.ADDRESS_ADDED:
            assert key not in known, "an address added twice"
            known.add(key)
        elif event.type is EventType.ADDRESS_REMOVED:
            known.remove(key)
        else:
            assert key in known, "an address that is not there"


@settings(max_examples=300, deadline=None)
@given(steps, st.booleans())
def test_any_interleaving_ends_with_the_truth(
    given_steps: list[tuple[Operation, int, int]], announced: bool
) -> None:
    """Events, dumps, losses and helpers that die, in any order: snapshots are the kernel's truth."""
    namespace = make_namespace()
    namespace.connect(0, 0)
    if announced:
        namespace.come_to_rest()
    for operation, where, what in given_steps:
        operation(namespace, where, what)

    namespace.come_to_rest()

    snapshots = namespace.engine.insight.get_snapshots()
    assert [describe(each) for each in snapshots] == tell_truth(namespace)


@settings(max_examples=300, deadline=None)
@given(steps, st.booleans())
def test_who_hears_only_the_events_knows_the_truth(
    given_steps: list[tuple[Operation, int, int]], announced: bool
) -> None:
    """No event is doubled or contradicts an earlier one, and together they tell the truth."""
    namespace = make_namespace()
    namespace.connect(0, 0)
    if announced:
        namespace.come_to_rest()
    for operation, where, what in given_steps:
        operation(namespace, where, what)

    namespace.come_to_rest()

    listener = Listener()
    for event in namespace.events:
        listener.hear(event)
    assert [event.sequence for event in namespace.events] == list(
        range(1, len(namespace.events) + 1)
    )
    heard = {event.after.link.ifindex: lane for lane, event in listener.present.items()}
    watched = {i: link for i, link in namespace.links.items() if link.name.startswith("w")}
    assert heard.keys() == watched.keys()
    for ifindex, link in watched.items():
        _compare(namespace, listener, heard[ifindex], link)


def _compare(namespace: Namespace, listener: Listener, lane: int, link: Link) -> None:
    last = listener.present[lane].after.link
    assert (last.name, last.mtu, last.up, last.master) == (
        link.name, link.mtu, link.up, link.master,
    )  # fmt: skip
    assert listener.carrier[lane] == link.carrier
    assert listener.addresses[lane] == {
        key for ifindex, key in namespace.addresses if ifindex == link.ifindex
    }
    state = judge_slowly(namespace, link)
    if state.value in set(EventType) and state not in ("carrier", "no-carrier"):
        assert listener.states[lane].value == state.value


@settings(max_examples=200, deadline=None)
@given(kernel_steps)
def test_observing_a_stream_equals_dumping_at_its_end(
    given_steps: list[tuple[Operation, int, int]],
) -> None:
    """Who followed from the beginning and who comes at the end know the same."""
    early = make_namespace()
    early.connect(0, 0)
    early.come_to_rest()
    for operation, where, what in given_steps:
        operation(early, where, what)
    early.come_to_rest()

    late = Engine(configure(links=("w*",)), first_sequence=1)
    now = Now(0.0, 0)
    late.handle(HelperConnected(), now)
    for link in early.links.values():
        late.handle(LinkSeen(link, 1), now)
    for address in early.addresses.values():
        late.handle(AddressSeen(address, 1), now)
    late.handle(DumpEnded(1, consistent=True), now)

    assert [describe(each) for each in late.insight.get_snapshots()] == [
        describe(each) for each in early.engine.insight.get_snapshots()
    ]


def test_the_generator_reaches_every_event_type() -> None:
    """The properties above speak of all event types: each occurs in a fixed walk."""
    namespace = make_namespace()
    namespace.connect(0, 0)
    namespace.come_to_rest()
    chance = random.Random(1)
    for _ in range(4000):
        operation = chance.choice(OPERATIONS)
        operation(namespace, chance.randrange(10), chance.randrange(120))

    others = {EventType.ROUTES, EventType.GATEWAY_CHANGED}  # see test_routing
    others |= {EventType.OPERATIONAL_CARRIER, EventType.OPERATIONAL_NO_CARRIER}  # see test_trees
    others |= {each for each in EventType if each.startswith("wg-")}  # see test_wireguardpeers
    others |= {each for each in EventType if each.startswith("routing-")}  # see test_policy_routing
    others |= {each for each, group in STATE_GROUPS.items() if group in {"setup", "NetworkManager"}}
    others |= {EventType.FAILED, EventType.UNMANAGED, EventType.LEASE, EventType.DNS_CHANGED}
    others |= {EventType.HOSTNAME_CHANGED, EventType.MANAGER}  # see stories of backends
    others |= {EventType.SSID_CHANGED, EventType.ROAMED}  # see test_wireless
    assert {event.type for event in namespace.events} == set(EventType) - others
    assert any(IfIndex(event.after.link.master) for event in namespace.events)
