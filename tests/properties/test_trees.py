"""Whatever happens to links: every call of another dispatcher's script is one that the runner takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.compat.trees import find_occasions, make_call
from netevd.config.hooktrees import CUSTOMS
from netevd.config.schema import CarrierTree, Compat, HookTree, StateTree
from netevd.core.environment import find_bad_name
from netevd.model.backend import Lease, LinkReport
from netevd.model.event import Event, EventType
from netevd.model.link import IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.trees import CONVENTIONS, build_arguments
from privsep.variables import find_bad_value
from tests.stories.playbook import address, link

TREES = {"networkmanager": HookTree(True), "ifplugd": CarrierTree(True)}
COMPAT = Compat(networkd_dispatcher=StateTree(True, assume_configured=True), **TREES)  # type: ignore[arg-type]

text = st.text(max_size=12)
ips4 = st.sampled_from(
    ["192.0.2.1/24", "10.0.0.9/8", "169.254.7.7/16", "192.0.2.2/31", "192.0.2.3/32"]
)
ips6 = st.sampled_from(["fe80::1/64", "2001:db8::1/64", "2001:db8::2/128", "::1/128"])
words = st.sampled_from(["", "configured", "configuring", "failed", "unmanaged", "linger"])
devices = st.sampled_from(
    ["", "activated", "disconnected", "deactivating", "ip-check", "unmanaged"]
)


@st.composite
def leases(draw: st.DrawFn) -> tuple[Lease, ...]:
    """Return at most one lease of each family."""
    found = []
    if draw(st.booleans()):
        ip, _, prefix = draw(ips4).partition("/")
        found.append(Lease(
            "dhclient", "ipv4", ip, int(prefix), dns=("192.0.2.53",), domains=("a.example",), server="192.0.2.2",
            lifetime_s=draw(st.integers(0, 2**32)), obtained_ns=draw(st.none() | st.integers(0, 2**62)),
            options=tuple(draw(st.lists(st.tuples(text, text), max_size=3))),
        ))  # fmt: skip
    if draw(st.booleans()):
        ip, _, prefix = draw(ips6).partition("/")
        found.append(Lease("systemd-networkd", "ipv6", ip, int(prefix), dns=("2001:db8::53",)))
    return tuple(found)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Return a link of any kind with whatever others tell of it."""
    known = draw(leases())
    details = draw(st.dictionaries(st.sampled_from(
        ["connection.path", "connection.user.a.B", "ip4.domains", "dhcp4.x", "dhcp6.private_245", "proxy.pac-url"]
    ), text, max_size=4))  # fmt: skip
    reports = (
        LinkReport("systemd-networkd", IfIndex(2), setup_state=draw(words), leases=known, dns=("192.0.2.53",)),
        LinkReport(
            "NetworkManager", IfIndex(2), device_state=draw(devices), ssid=draw(text), connection_id=draw(text),
            details=(("ip4.addresses", "192.0.2.1/24"), ("ip4.routes", "10.0.0.0/8 0.0.0.0 0"), *details.items()),
        ),
    )  # fmt: skip
    addresses = tuple(
        address(each, 2) for each in draw(st.lists(ips4 | ips6, max_size=4, unique=True))
    )
    flags = {"up": draw(st.booleans()), "carrier": draw(st.booleans())}
    state = draw(st.sampled_from(OperationalState))
    told = reports[: draw(st.integers(0, 2))]
    return Snapshot(
        link(draw(st.sampled_from(["eth0", "-x", "a%"])), 2, **flags),
        addresses,
        state,
        "",
        (),
        told,
    )  # type: ignore[arg-type]


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Return an event of any type that tells of links like these."""
    kind = draw(st.sampled_from(EventType))
    backend = draw(st.sampled_from(["kernel", "systemd-networkd", "NetworkManager"]))
    found = draw(leases())
    lease = found[0] if found else None
    reason = draw(st.sampled_from(["bound", "renew", "rebind", "expire", "release"]))
    if kind is EventType.LEASE and lease is None:
        kind = EventType.ROUTABLE
    family = 0 if lease is None else 4 if lease.family == "ipv4" else 6
    return Event(
        1, kind, 0, draw(snapshots()), draw(st.none() | snapshots()), 1, backend, draw(st.booleans()),
        lease=lease, reason=reason, family=family,
    )  # fmt: skip


@settings(max_examples=300)
@given(events())
def test_the_runner_takes_every_call(event: Event) -> None:
    """Groups are the convention's, arguments are built, and of variables only free text can be refused."""
    assert find_bad_name(event.name) is None
    for tree in CUSTOMS:
        for occasion in find_occasions(tree, event, COMPAT):
            groups = {each.removesuffix("-no-wait") for each in occasion.groups}
            assert groups <= {*CONVENTIONS[tree].groups}
            call = make_call(tree, event, occasion.action, COMPAT)
            assert build_arguments(tree, "/x", [*call.words], [])
            fault = find_bad_value([*call.values], of_tree=True)
            assert fault is None or "is not one line of text" in fault, fault
