"""
NetworkManager's dispatcher: `script INTERFACE ACTION`, and variables that tell of connection and device.

While NetworkManager is there, its states count, as with its own dispatcher; without it the kernel's: up
is what `routable` says. What it knows of a device is read from `LinkReport.details` by the names in `Details`.
Source: NetworkManager-dispatcher(8); seen with 1.42, see tests/data/networkmanager.jsonl.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Final

from netevd.compat.call import Call, Occasion
from netevd.compat.ifupdown import find_change
from netevd.compat.lease import describe_lease
from netevd.config.hooktrees import NO_WAIT
from netevd.model.backend import HostReport, LinkReport
from netevd.model.event import Event, EventType
from netevd.model.snapshot import OperationalState, Snapshot

BACKEND: Final = "NetworkManager"

_UP: Final = frozenset({"activated", "deactivating"})
_DOWN: Final = frozenset(
    {EventType.DISCONNECTED, EventType.UNAVAILABLE, EventType.UNMANAGED, EventType.FAILED}
)
_UNMANAGED: Final = frozenset({"", "unmanaged", "unknown"})
_OF_THE_HOST: Final = frozenset({"hostname", "connectivity-change", "dns-change"})
_NO_GATEWAY: Final = "0.0.0.0"  # noqa: S104 - of both families, and nothing is bound to it
_ENDS: Final = frozenset({"down", "vpn-pre-down", "vpn-down"})
_BARE: Final = frozenset({"pre-up", "down"})
"""Actions of a device whose configuration is not told."""
_NAME: Final = re.compile(r"[A-Z0-9_]{1,128}\Z")
_NAMESPACE: Final = uuid.UUID("6d4a3f55-1c8f-4f0e-9a52-6f8a2f4be4c1")
"""Of the UUIDs that stand for connections where NetworkManager has none; random."""


_OVER_CONFIGURED: Final = ("over.ip4.", "over.ip6.")


class Details:
    """
    Names of what NetworkManager tells of a device, in `LinkReport.details`.

    Behind a family (ip4, ip6), and again with `vpn.` before it: addresses (with prefix length, between
    blanks), gateway, nameservers, domains, wins-servers (between blanks), routes (each destination/prefix,
    next hop and metric between blanks, with commas between routes). What has no name here is not told.
    """

    PATH = "connection.path"
    FILENAME = "connection.filename"
    USER = "connection.user."
    """Before each key of the setting `user`."""
    IP_INTERFACE = "ip-interface"
    """The link that has the addresses, where it is not the device itself."""
    VPN = "vpn."
    """Before all of these again, for a VPN that has this link's addresses."""
    OVER = "over."
    """Before those of the device that a VPN with a link of its own runs over, and `interface`, its name."""
    VPN_UUID = "vpn.uuid"
    VPN_ID = "vpn.id"
    PROXY = ("proxy.pac-url", "proxy.pac-script")
    DHCP = ("dhcp4.", "dhcp6.")
    """Before each option."""


# --- when ------------------------------------------------------------------------------------------


def find_occasions(event: Event, *, is_there: bool = False) -> tuple[Occasion, ...]:
    """Return what the dispatcher would run for an event. is_there: NetworkManager is, and its states count."""
    return tuple(_make_occasion(action) for action in _find_actions(event, is_there=is_there))


def _make_occasion(action: str) -> Occasion:
    place = action.removeprefix("vpn-")
    place = place if place in {"pre-up", "pre-down"} else "dispatcher"
    return Occasion(action, (place + NO_WAIT, place))


def _find_actions(event: Event, *, is_there: bool) -> Iterator[str]:
    after, before = event.after, event.before
    if event.type is EventType.HOSTNAME_CHANGED:
        yield "hostname"
    elif event.type is EventType.DNS_CHANGED:
        if before is not None and after is not None:
            yield from _find_vpn_actions(before, after)
        yield "dns-change"
    elif event.type is EventType.MANAGER:
        now = _find_connectivity(event.host)
        if now and now != _find_connectivity(event.host_before):
            yield "connectivity-change"
    elif after is None:
        return
    elif event.type is EventType.LEASE:
        is_known = event.backend == BACKEND or (not is_there and is_activated(after))
        if is_known and event.reason not in {"expire", "release"}:
            yield f"dhcp{event.family}-change"
    elif is_there or _is_managed(after) or (before is not None and _is_managed(before)):
        yield from _find_device_actions(event, after, before)
    else:
        change = find_change(event)
        yield from {"up": ("pre-up", "up"), "down": ("down",)}.get(change, ())


def _find_device_actions(event: Event, after: Snapshot, before: Snapshot | None) -> Iterator[str]:
    was_up = before is not None and before.device_state in _UP
    if event.type is EventType.LINK_REMOVED and after.device_state in _UP:
        yield from _end(after)
    if event.backend != BACKEND:
        return
    is_vpn = _is_vpn(after)
    match event.type:
        case EventType.IP_CHECK:
            yield "pre-up"
        case EventType.ACTIVATED:
            yield from ("vpn-pre-up", "vpn-up", "up") if is_vpn else ("up",)
        case EventType.DEACTIVATING if was_up:
            yield "vpn-pre-down" if is_vpn else "pre-down"
        case _ if event.type in _DOWN and was_up and before is not None:
            yield from _end(before)


def _end(was: Snapshot) -> tuple[str, ...]:
    """Return what is run when a link is not up any more. was: the link as it was."""
    return ("vpn-down", "down") if _is_vpn(was) else ("down",)


def _is_vpn(snapshot: Snapshot) -> bool:
    """Tell whether this is the link of a VPN: its states are those of the VPN too."""
    return Details.OVER + "interface" in _read(snapshot)


def _find_vpn_actions(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """
    Yield what happened to a VPN whose link was up all the time.

    It has none of its own, or one that it has found: that it changes DNS servers is how it is noticed.
    """
    if not before.device_state == after.device_state == "activated":
        return
    was, now = _read(before).get(Details.VPN_UUID, ""), _read(after).get(Details.VPN_UUID, "")
    if was and was != now:
        yield "vpn-down"
    if now and was != now:
        yield from ("vpn-pre-up", "vpn-up")


def _is_managed(snapshot: Snapshot) -> bool:
    return snapshot.device_state not in _UNMANAGED


def _has_profile(snapshot: Snapshot) -> bool:
    """Tell whether NetworkManager has a connection for a link."""
    report = _find_report(snapshot)
    return report is not None and (_is_managed(snapshot) or bool(report.connection_uuid))


def is_activated(snapshot: Snapshot) -> bool:
    """Tell whether a link is what NetworkManager calls activated, by its word or by the kernel's facts."""
    if _has_profile(snapshot):
        return snapshot.device_state == "activated"
    return snapshot.state is OperationalState.ROUTABLE


def _find_connectivity(host: HostReport | None) -> str:
    """Return NetworkManager's word for how far the host gets, "" where it is not known."""
    return "" if host is None else dict(host.states).get("connectivity", "")


# --- with what -------------------------------------------------------------------------------------


def make_call(event: Event, action: str) -> Call:
    """Return what a script is called with."""
    values = {"NM_DISPATCHER_ACTION": action}
    if action in _OF_THE_HOST:
        word = _find_connectivity(event.host)
        if action == "connectivity-change" and word != "unknown":
            values["CONNECTIVITY_STATE"] = word.upper()
        return Call(("none" if action == "hostname" else "", action), tuple(values.items()))
    told = _find_told(event, action)
    details = _read(told) if _has_profile(told) else _describe(told)
    is_vpn = action.startswith("vpn-")
    device = _cut(details, Details.OVER) if is_vpn and _is_vpn(told) else details
    link = device.get("interface", told.link.name)
    inner = device.get(Details.IP_INTERFACE, "") or link
    vpn = details.get(Details.VPN + Details.IP_INTERFACE, "") if is_vpn else ""
    values |= _name_connection(told, details, action)
    values |= {"DEVICE_IFACE": link, "DEVICE_IP_IFACE": inner}
    if vpn:
        values["VPN_IP_IFACE"] = vpn
    if _tells_configuration(event, action, told):
        values |= _name_configuration("", {} if _is_foreign(told) else device)
        values |= _name_options(device)
    if is_vpn:
        given = {} if action == "vpn-down" else _cut(details, Details.VPN)
        values |= _name_configuration("VPN_", given)
    return Call((vpn or inner, action), tuple(values.items()))


def _find_told(event: Event, action: str) -> Snapshot:
    """Return the link as it is told: one that has ended as it was, since its profile went with it."""
    after, before = event.after, event.before
    assert after is not None
    return before if before is not None and action in _ENDS else after


def _tells_configuration(event: Event, action: str, told: Snapshot) -> bool:
    """Tell whether an action has the configuration of the device: it is activated, and was before its lease came."""
    if action.startswith("dhcp") and event.backend == BACKEND:
        return event.before is not None and event.before.device_state == "activated"
    if action.startswith("vpn-") and _is_vpn(told):
        return any(name.startswith(_OVER_CONFIGURED) for name in _read(told))
    return action not in _BARE and is_activated(told)


def _is_foreign(snapshot: Snapshot) -> bool:
    """Tell whether somebody else has configured a link: its dispatcher tells what NetworkManager has, nothing here."""
    report = _find_report(snapshot)
    return report is not None and report.external and not _is_vpn(snapshot)


def _cut(details: dict[str, str], prefix: str) -> dict[str, str]:
    """Return what stands behind a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in details.items()
        if name.startswith(prefix)
    }


def _name_connection(told: Snapshot, details: dict[str, str], action: str) -> dict[str, str]:
    report, link = _find_report(told), told.link.name
    identity = report.connection_id if report else ""
    number = report.connection_uuid if report else ""
    if action.startswith("vpn-"):
        number = details.get(Details.VPN_UUID, number)
        identity = details.get(Details.VPN_ID, identity)
        details = _cut(details, Details.VPN)
        report = None
    values = {
        "CONNECTION_UUID": number or str(uuid.uuid5(_NAMESPACE, link)),
        "CONNECTION_ID": identity or link,
    }
    if details.get(Details.PATH):
        values["CONNECTION_DBUS_PATH"] = details[Details.PATH]
    if details.get(Details.FILENAME):
        values["CONNECTION_FILENAME"] = details[Details.FILENAME]
    if report and report.external:
        values["CONNECTION_EXTERNAL"] = "1"
    for name, value in details.items():
        if name.startswith(Details.USER):
            values[f"CONNECTION_USER_{encode_key(name.removeprefix(Details.USER))}"] = value
    return values


def encode_key(key: str) -> str:
    """Return a key of the setting `user` as part of the name of a variable."""
    return "".join(map(_encode, key))


def _encode(letter: str) -> str:
    if "a" <= letter <= "z":
        return letter.upper()
    if "A" <= letter <= "Z":
        return f"_{letter}"
    if "0" <= letter <= "9":
        return letter
    if letter == ".":
        return "__"
    return "".join(f"_{octet:03o}" for octet in letter.encode("utf-8", "surrogateescape"))


def _name_configuration(head: str, details: dict[str, str]) -> dict[str, str]:
    """Return addresses, routes and name servers. head: what names begin with, "" or "VPN_"."""
    values: dict[str, str] = {}
    for detail in Details.PROXY:
        if details.get(detail):
            values[head + detail.upper().replace(".", "_").replace("-", "_")] = details[detail]
    for family in ("ip4", "ip6"):
        values |= _name_family(f"{head}{family.upper()}", _cut(details, f"{family}."))
    return values


def _name_family(head: str, told: dict[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    addresses = told.get("addresses", "").split()
    gateway = told.get("gateway", "") or _NO_GATEWAY
    for number, address in enumerate(addresses):
        values[f"{head}_ADDRESS_{number}"] = f"{address} {gateway}"
    if addresses:
        values |= {f"{head}_NUM_ADDRESSES": str(len(addresses)), f"{head}_GATEWAY": gateway}
    for name in ("nameservers", "domains", "wins-servers"):
        if told.get(name):
            values[f"{head}_{name.upper().replace('-', '_')}"] = told[name]
    routes = [each for each in told.get("routes", "").split(",") if each]
    for number, route in enumerate(routes):
        values[f"{head}_ROUTE_{number}"] = route.strip()
    if routes or head.endswith("IP4"):
        values[f"{head}_NUM_ROUTES"] = str(len(routes))
    return values


def _name_options(details: dict[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for prefix in Details.DHCP:
        options = _cut(details, prefix)
        for name, value in options.items():
            if _NAME.match(name.upper()):
                values[f"{prefix[:-1].upper()}_{name.upper()}"] = value
        if prefix == "dhcp4." and "private_245" in options and "unknown_245" not in options:
            values["DHCP4_UNKNOWN_245"] = options["private_245"]
    return values


# --- what is known ---------------------------------------------------------------------------------


def _find_report(snapshot: Snapshot) -> LinkReport | None:
    return next((each for each in snapshot.reports if each.backend == BACKEND), None)


def _read(snapshot: Snapshot) -> dict[str, str]:
    """Return what NetworkManager tells of a device."""
    report = _find_report(snapshot)
    return {} if report is None else dict(report.details)


def _describe(snapshot: Snapshot) -> dict[str, str]:
    """Return the same of a device that NetworkManager does not manage, by the kernel and leases."""
    details: dict[str, str] = {}
    for family, gateway in ((4, snapshot.gateway4), (6, snapshot.gateway6)):
        addresses = [
            f"{each.ip}/{each.prefix}" for each in snapshot.addresses if each.family == family
        ]
        if not addresses:
            continue
        lease = snapshot.find_lease(family)
        servers = [each for each in snapshot.dns if (":" in each) == (family == 6)]
        domains = snapshot.domains if lease is None else lease.domains
        details |= {
            f"ip{family}.addresses": " ".join(addresses),
            f"ip{family}.gateway": gateway,
            f"ip{family}.nameservers": " ".join(servers),
            f"ip{family}.domains": " ".join(domains),
        }
        if lease is not None:
            options = describe_lease(lease)
            details |= {f"dhcp{family}.{name}": value for name, value in options.items()}
    return details
