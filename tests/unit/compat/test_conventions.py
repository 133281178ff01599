"""Conventions of dispatchers other than NetworkManager's: when, with which arguments and variables."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from netevd.compat import trees
from netevd.compat.call import Call
from netevd.config.hooktrees import CUSTOMS
from netevd.config.schema import Compat, HookTree, StateTree
from netevd.model.address import Address
from netevd.model.backend import Lease, LinkReport
from netevd.model.event import Event, EventType
from netevd.model.link import IFF_LOOPBACK, IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.trees import CONVENTIONS
from privsep.variables import find_bad_value
from tests.stories.playbook import link

COMPAT = Compat()
ADDRESSES = (
    Address(IfIndex(3), 4, "127.0.0.2", 8, 254, 0),
    Address(IfIndex(3), 4, "192.0.2.9", 24, 0, 0),
    Address(IfIndex(3), 6, "2001:db8::9", 64, 0, 0),
    Address(IfIndex(3), 6, "fe80::9", 64, 253, 0),
)


def make(state: str = "routable", *reports: LinkReport, **more: Any) -> Snapshot:
    """Return a link in an operational state."""
    addresses = more.pop("addresses", ())
    gateways = more.pop("gateways", ())
    altnames = more.pop("altnames", ())
    return Snapshot(
        attrs.evolve(link("eth0", 3, **more), altnames=altnames),
        addresses,
        OperationalState(state),
        "",
        gateways,
        reports,
    )


def event(kind: str, after: Snapshot, before: Snapshot | None = None, **more: Any) -> Event:
    """Return an event of a link."""
    return Event(1, EventType(kind), 0, after, before, 1, **more)


def actions(tree: str, given: Event, compat: Compat = COMPAT) -> list[str]:
    """Return what a tree would run for an event."""
    return [each.action for each in trees.find_occasions(tree, given, compat)]


def call(tree: str, given: Event, action: str, compat: Compat = COMPAT) -> Call:
    """Return a call that the runner takes."""
    found = trees.make_call(tree, given, action, compat)
    assert find_bad_value([*found.values], of_tree=True) is None
    return found


def test_core_and_runner_have_the_same_trees_and_groups() -> None:
    """Every tree is a convention of the runner's, and an occasion names groups that it has."""
    assert {*CUSTOMS} == {*CONVENTIONS} - {""}
    assert {each.name.replace("_", "-") for each in attrs.fields(Compat)} == {*CUSTOMS}
    after, before = make(addresses=ADDRESSES), make("carrier")
    lease = Lease("dhclient", "ipv4", "192.0.2.9", 24)
    for tree in CUSTOMS:
        groups = {each.removesuffix("-no-wait") for each in CONVENTIONS[tree].groups}
        found = 0
        for kind in EventType:
            given = event(kind, after, before, lease=lease, reason="bound", family=4)
            for each in trees.find_occasions(tree, given, COMPAT):
                assert {group.removesuffix("-no-wait") for group in each.groups} <= groups
                call(tree, given, each.action)
                found += 1
        assert found, tree


# --- networkd-dispatcher -----------------------------------------------------------------------------


def test_variables_of_networkd_dispatcher() -> None:
    """Addresses without prefix, loopback and link-local ones left out of the lists; json is sorted."""
    report = LinkReport("systemd-networkd", IfIndex(3), True, "configured", dns=("192.0.2.53",))
    after = make("routable", report, addresses=ADDRESSES, gateways=("192.0.2.1",))
    found = call(
        "networkd-dispatcher", event("routable", after, make("carrier", report)), "routable"
    )

    values = dict(found.values)
    told = values.pop("json")
    assert found.words == ()
    assert values == {
        "IFACE": "eth0", "STATE": "routable", "AdministrativeState": "configured",
        "OperationalState": "routable", "ADDR": "127.0.0.2", "IP_ADDRS": "192.0.2.9",
        "IP6_ADDRS": "2001:db8::9", "ESSID": "",
    }  # fmt: skip
    shape = json.loads(told)
    assert list(shape) == sorted(shape)
    assert shape == {
        "Address": ["127.0.0.2", "192.0.2.9", "2001:db8::9", "fe80::9"],
        "AdministrativeState": "configured", "DNS": ["192.0.2.53"], "Gateway": ["192.0.2.1"],
        "HW Address": ["02:00:00:00:00:01"], "Hardware Address": ["02:00:00:00:00:01"],
        "InterfaceName": "eth0", "Kind": ["veth"], "MTU": ["1500"], "OperationalState": "routable",
        "State": "routable (configured)", "Type": "ether",
    }  # fmt: skip


def test_essid_of_a_wireless_link() -> None:
    """Its name without backslashes, in ESSID and in json, and its type is wlan."""
    report = LinkReport("NetworkManager", IfIndex(3), ssid='Caf\\é "5 GHz"')
    found = dict(
        call("networkd-dispatcher", event("routable", make("routable", report)), "routable").values
    )

    assert found["ESSID"] == 'Café "5 GHz"'
    shape = json.loads(found["json"])
    assert (shape["ESSID"], shape["Type"]) == ('Café "5 GHz"', "wlan")


def test_essid_that_is_no_text() -> None:
    """What iw(8) escapes loses its backslash, as all do; so no name of a network keeps a script from running."""
    report = LinkReport("NetworkManager", IfIndex(3), ssid="a\udce9\nb")
    after = make("routable", report, altnames=("x\udce9",))
    found = dict(call("networkd-dispatcher", event("routable", after), "routable").values)

    assert found["ESSID"] == "axe9x0ab"
    assert json.loads(found["json"])["Alternative Names"] == ["x\\xe9"]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"kind": "bridge"}, "bridge"), ({"kind": "veth"}, "ether"), ({"kind": "tun", "mac": ""}, "none"),
        ({"kind": "", "flags": IFF_LOOPBACK}, "loopback"), ({"kind": "wireguard", "mac": ""}, "wireguard"),
    ],
)  # fmt: skip
def test_types_of_links(more: dict[str, Any], kind: str) -> None:
    """As networkctl has them."""
    found = dict(call("networkd-dispatcher", event("off", make("off", **more)), "off").values)

    assert json.loads(found["json"])["Type"] == kind


def test_administrative_states() -> None:
    """Of a new link its administrative state comes first; those of systemd-networkd are told by it."""
    tree = "networkd-dispatcher"
    report = LinkReport("systemd-networkd", IfIndex(3), True, "configuring")
    done = attrs.evolve(report, setup_state="configured")
    told = make("carrier", report)

    assert actions(tree, event("off", make("off"))) == ["unmanaged", "off"]
    assert actions(tree, event("operational-carrier", make("carrier"), make("off"))) == ["carrier"]
    assert actions(tree, event("operational-no-carrier", make("no-carrier"), make("off"))) == [
        "no-carrier"
    ]
    assert actions(tree, event("carrier", make("carrier"), make("off"))) == []
    assert actions(tree, event("operational-carrier", told)) == ["configuring", "carrier"]
    assert actions(tree, event("configuring", told, backend="systemd-networkd")) == []
    after = make("carrier", done)
    assert actions(tree, event("configured", after, told, backend="systemd-networkd")) == [
        "configured"
    ]
    assert actions(tree, event("routable", make("routable", done), after)) == ["routable"]
    assert actions(tree, event("failed", after, told, backend="NetworkManager")) == []
    assert actions(tree, event("link-removed", after, after)) == ["linger"]
    linger = dict(call(tree, event("link-removed", after, after), "linger").values)
    assert (linger["STATE"], linger["AdministrativeState"]) == ("linger", "linger")


def test_links_that_count_as_configured() -> None:
    """With assume_configured an address makes a link configured, and its loss configuring."""
    compat = Compat(networkd_dispatcher=StateTree(assume_configured=True))
    tree = "networkd-dispatcher"

    assert actions(tree, event("operational-carrier", make("carrier")), compat) == [
        "configuring",
        "carrier",
    ]
    up = event("degraded", make("degraded"), make("carrier"))
    assert actions(tree, up, compat) == ["configured", "degraded"]
    assert dict(call(tree, up, "degraded", compat).values)["AdministrativeState"] == "configured"
    assert actions(tree, event("routable", make(), make("degraded")), compat) == ["routable"]
    down = event("off", make("off"), make())
    assert actions(tree, down, compat) == ["configuring", "off"]


# --- dhclient ---------------------------------------------------------------------------------------


LEASE4 = Lease(
    "dhclient", "ipv4", "192.0.2.9", 24, ("192.0.2.1",), ("192.0.2.53", "192.0.2.54"), ("example.org",),
    server="192.0.2.2", lifetime_s=600, obtained_ns=10**18, options=(("ntp-servers", "192.0.2.123"),),
)  # fmt: skip
LEASE6 = Lease(
    "systemd-networkd",
    "ipv6",
    "2001:db8::9",
    128,
    dns=("2001:db8::53",),
    domains=("a.example", "b.example"),
)


def leased(*leases: Lease) -> Snapshot:
    """Return a link with leases."""
    return make("routable", LinkReport("dhclient", IfIndex(3), leases=leases))


@pytest.mark.parametrize(
    ("reason", "family", "action", "prefixes"),
    [
        ("bound", 4, "BOUND", {"new"}), ("renew", 4, "RENEW", {"new", "old"}), ("rebind", 4, "REBIND", {"new", "old"}),
        ("expire", 4, "EXPIRE", {"old"}), ("release", 4, "RELEASE", {"old"}), ("bound", 6, "BOUND6", {"new"}),
        ("renew", 6, "RENEW6", {"new", "old"}), ("release", 6, "RELEASE6", {"old"}),
    ],
)  # fmt: skip
def test_each_reason_has_its_leases(
    reason: str, family: int, action: str, prefixes: set[str]
) -> None:
    """BOUND tells of the new lease, RENEW and REBIND of both, EXPIRE and RELEASE of the old one."""
    lease = LEASE4 if family == 4 else LEASE6
    over = reason in {"expire", "release"}
    before = leased(attrs.evolve(lease, dns=("203.0.113.1",) if family == 4 else ("2001:db8::1",)))
    after = leased() if over else leased(lease)
    given = event("lease", after, before, lease=lease, reason=reason, family=family)

    assert actions("dhclient-hooks", given) == [action]
    values = dict(call("dhclient-hooks", given, action).values)
    assert (values["reason"], values["interface"]) == (action, "eth0")
    assert {name.partition("_")[0] for name in values if "_" in name} == prefixes
    if prefixes == {"new", "old"}:
        name = "domain_name_servers" if family == 4 else "dhcp6_name_servers"
        assert values[f"new_{name}"] != values[f"old_{name}"]


def test_names_of_a_lease() -> None:
    """Those of dhclient-script(8), with what the server has sent beside, dashes as underscores."""
    given = event("lease", leased(LEASE4), leased(), lease=LEASE4, reason="bound", family=4)
    values = dict(call("dhclient-hooks", given, "BOUND").values)

    assert values == {
        "reason": "BOUND", "interface": "eth0", "new_ip_address": "192.0.2.9",
        "new_subnet_mask": "255.255.255.0", "new_network_number": "192.0.2.0",
        "new_broadcast_address": "192.0.2.255", "new_routers": "192.0.2.1",
        "new_domain_name": "example.org", "new_domain_name_servers": "192.0.2.53 192.0.2.54",
        "new_dhcp_lease_time": "600", "new_dhcp_server_identifier": "192.0.2.2",
        "new_expiry": "1000000600", "new_ntp_servers": "192.0.2.123",
    }  # fmt: skip
    given = event("lease", leased(LEASE6), leased(), lease=LEASE6, reason="bound", family=6)
    values = dict(call("dhclient-hooks", given, "BOUND6").values)
    assert values == {
        "reason": "BOUND6", "interface": "eth0", "new_ip6_address": "2001:db8::9",
        "new_ip6_prefixlen": "128", "new_dhcp6_name_servers": "2001:db8::53",
        "new_dhcp6_domain_search": "a.example b.example",
    }  # fmt: skip


# --- ifupdown, ifplugd, netplug -----------------------------------------------------------------------


def test_ifupdown_once_a_family() -> None:
    """if-up.d for each family of a link's addresses; if-post-down.d for those that it had."""
    up = event("routable", make(addresses=ADDRESSES), make("carrier"))
    down = event("off", make("off"), make(addresses=ADDRESSES))

    assert actions("ifupdown", up) == ["up inet", "up inet6"]
    assert call("ifupdown", up, "up inet6") == Call((), (
        ("IFACE", "eth0"), ("LOGICAL", "eth0"), ("ADDRFAM", "inet6"), ("METHOD", "manual"),
        ("MODE", "start"), ("PHASE", "post-up"), ("VERBOSITY", "0"),
    ))  # fmt: skip
    assert [each.groups for each in trees.find_occasions("ifupdown", down, COMPAT)] == [
        ("if-post-down",)
    ] * 2
    values = dict(call("ifupdown", down, "down inet").values)
    assert (values["MODE"], values["PHASE"]) == ("stop", "post-down")


def test_method_is_who_configures_the_link() -> None:
    """NetworkManager, a DHCP client, or nobody that is known."""
    for report, method in (
        (LinkReport("NetworkManager", IfIndex(3), True), "NetworkManager"),
        (LinkReport("dhclient", IfIndex(3), leases=(LEASE4,)), "dhcp"),
    ):
        given = event("routable", make("routable", report, addresses=ADDRESSES[1:2]))
        assert dict(call("ifupdown", given, "up inet").values)["METHOD"] == method


def test_ifplugd_delays_and_order() -> None:
    """Down waits 5 s and goes backward; nothing waits at the start, where all was disabled before."""
    up = event("carrier", make("carrier"), make("no-carrier", carrier=False))
    down = event("no-carrier", make("no-carrier", carrier=False), make("carrier"))
    first = event("no-carrier", make("no-carrier", carrier=False), initial=True)

    (raised,) = trees.find_occasions("ifplugd", up, COMPAT)
    (fallen,) = trees.find_occasions("ifplugd", down, COMPAT)
    (begun,) = trees.find_occasions("ifplugd", first, COMPAT)
    assert (raised.action, raised.delay_s, raised.backward) == ("up", 0.0, False)
    assert (fallen.action, fallen.delay_s, fallen.backward) == ("down", 5.0, True)
    assert begun.delay_s == 0.0
    assert call("ifplugd", up, "up") == Call(
        ("eth0", "up"), (("IFPLUGD_PREVIOUS", "down"), ("IFPLUGD_CURRENT", "up"))
    )
    assert dict(call("ifplugd", first, "down").values)["IFPLUGD_PREVIOUS"] == "disabled"


def test_netplug_words() -> None:
    """in and out, and probe for a new link that is set down; no variable at all."""
    assert call("netplug", event("carrier", make("carrier"), make("no-carrier")), "in") == Call(
        ("eth0", "in"), ()
    )
    off = make("off", up=False)
    assert actions("netplug", event("no-carrier", off, initial=True)) == ["probe"]
    assert actions("netplug", event("no-carrier", off, make("carrier"))) == ["out"]


def test_only_some_trees_need_the_whole_scale() -> None:
    """Nobody is told of operational-carrier unless a tree reads it."""
    assert not trees.needs_whole_scale(COMPAT)
    assert trees.needs_whole_scale(Compat(networkmanager=HookTree(enabled=True)))
    assert not trees.needs_whole_scale(Compat(netplug=HookTree(enabled=True)))
