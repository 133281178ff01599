"""
networkd-dispatcher: directories `STATE.d`, no argument, variables from what networkctl says.

Where systemd-networkd does not manage a link, the kernel's facts stand for its states.
"""

from __future__ import annotations

from typing import Final

import msgspec.json

from netevd.compat.call import Call, Occasion
from netevd.model.address import Address
from netevd.model.event import Event, EventType
from netevd.model.link import Link
from netevd.model.shape import printable
from netevd.model.snapshot import OperationalState, Snapshot

ADMINISTRATIVE: Final = frozenset(
    {"pending", "initialized", "configuring", "configured", "failed", "unmanaged", "linger"}
)
"""States of systemd-networkd's own; the events of these names tell of them."""

_OPERATIONAL: Final = {
    EventType.OFF: OperationalState.OFF,
    EventType.DORMANT: OperationalState.DORMANT,
    EventType.DEGRADED_CARRIER: OperationalState.DEGRADED_CARRIER,
    EventType.DEGRADED: OperationalState.DEGRADED,
    EventType.ENSLAVED: OperationalState.ENSLAVED,
    EventType.ROUTABLE: OperationalState.ROUTABLE,
    EventType.OPERATIONAL_CARRIER: OperationalState.CARRIER,
    EventType.OPERATIONAL_NO_CARRIER: OperationalState.NO_CARRIER,
}
"""Events that tell of the operational state. carrier and no-carrier tell of IFF_LOWER_UP."""

_CONFIGURED: Final = frozenset(
    {
        OperationalState.DEGRADED_CARRIER,
        OperationalState.DEGRADED,
        OperationalState.ENSLAVED,
        OperationalState.ROUTABLE,
    }
)

_TYPED: Final = frozenset(
    {"bond", "bridge", "vlan", "vxlan", "wireguard", "macvlan", "macvtap", "geneve", "hsr", "ppp"}
)
"""Kinds that are the type too. Source: SET_NETDEV_DEVTYPE() in Linux, TYPE in networkctl(1)."""


def find_occasions(event: Event, *, assume_configured: bool) -> tuple[Occasion, ...]:
    """Return what the dispatcher would run for an event, the administrative state first."""
    after, before = event.after, event.before
    if after is None:
        return ()
    if event.type is EventType.LINK_REMOVED:
        return (_enter("linger"),)
    if event.type.value in ADMINISTRATIVE and event.backend == "systemd-networkd":
        # of a link that is new, its operational state is told first, and both with it
        return () if before is None else (_enter(event.type.value),)
    state = _OPERATIONAL.get(event.type)
    if state is None:
        return ()
    now = find_administrative(after, assume_configured=assume_configured)
    if before is None or event.initial:
        return (_enter(now), _enter(state.value))
    was = find_administrative(before, assume_configured=assume_configured)
    if now == was or after.setup_state or before.setup_state:  # those have events of their own
        return (_enter(state.value),)
    return (_enter(now), _enter(state.value))


def _enter(state: str) -> Occasion:
    return Occasion(state, (state,))


def find_administrative(snapshot: Snapshot, *, assume_configured: bool) -> str:
    """Return the administrative state of a link: systemd-networkd's word, else what stands for it."""
    if snapshot.setup_state:
        return snapshot.setup_state
    if not assume_configured:
        return "unmanaged"
    return "configured" if snapshot.state in _CONFIGURED else "configuring"


def make_call(event: Event, action: str, *, assume_configured: bool) -> Call:
    """Return what a script of the directory `action`.d is called with."""
    after = event.after
    assert after is not None
    if action in ADMINISTRATIVE:
        administrative = action
    else:
        administrative = find_administrative(after, assume_configured=assume_configured)
    state = after.state.value
    ssid = find_ssid(after)
    values = {
        "IFACE": after.link.name,
        "STATE": action,
        "AdministrativeState": administrative,
        "OperationalState": state,
        "ADDR": next((each.ip for each in after.addresses), ""),
        "IP_ADDRS": " ".join(_list_addresses(after.addresses, 4)),
        "IP6_ADDRS": " ".join(_list_addresses(after.addresses, 6)),
        "ESSID": ssid,
        "json": _describe(after, administrative, ssid),
    }
    return Call((), tuple(values.items()))


def _list_addresses(addresses: tuple[Address, ...], family: int) -> list[str]:
    return [
        each.ip
        for each in addresses
        if each.family == family and not each.ip.startswith(("127.", "fe80:"))
    ]


def find_ssid(snapshot: Snapshot) -> str:
    """
    Return the name of a wireless link's network without backslashes, "" for none.

    As of the output of iw(8), where what is no text is escaped, and of that too only the backslash goes.
    """
    found = snapshot.ssid
    return printable(found).replace("\\", "")


def find_type(link: Link, ssid: str) -> str:
    """Return the type of a link as networkctl(1) has it."""
    if ssid:
        return "wlan"
    if link.loopback:
        return "loopback"
    if link.kind in _TYPED:
        return link.kind
    return "ether" if link.mac else "none"


def _describe(snapshot: Snapshot, administrative: str, ssid: str) -> str:
    """Return what networkctl says of a link, in the form of the dispatcher."""
    link = snapshot.link
    told: dict[str, str | list[str]] = {
        "InterfaceName": link.name,
        "Type": find_type(link, ssid),
        "AdministrativeState": administrative,
        "OperationalState": snapshot.state.value,
        "State": f"{snapshot.state.value} ({administrative})",
    }
    if ssid:
        told["ESSID"] = ssid
    labels: dict[str, list[str]] = {
        "Address": [each.ip for each in snapshot.addresses],
        "Gateway": list(snapshot.gateways),
        "DNS": list(snapshot.dns),
        "Search Domains": list(snapshot.domains),
        "HW Address": [link.mac] if link.mac else [],
        "Hardware Address": [link.mac] if link.mac else [],
        "Kind": [link.kind] if link.kind else [],
        "MTU": [str(link.mtu)],
        "Alternative Names": [printable(each) for each in link.altnames],
    }
    told |= {name: lines for name, lines in labels.items() if lines}
    return msgspec.json.encode(dict(sorted(told.items()))).decode()
