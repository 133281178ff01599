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
from netevd.compat.networkmanagerdetails import (
    BACKEND,
    Details,
    cut,
    describe,
    find_report,
    has_profile,
    is_activated,
    is_managed,
    is_vpn,
    read,
)
from netevd.config.hooktrees import NO_WAIT
from netevd.model.backend import HostReport
from netevd.model.event import Event, EventType
from netevd.model.snapshot import Snapshot

_UP: Final = frozenset({"activated", "deactivating"})
_DOWN: Final = frozenset(
    {EventType.DISCONNECTED, EventType.UNAVAILABLE, EventType.UNMANAGED, EventType.FAILED}
)
_OF_THE_HOST: Final = frozenset({"hostname", "connectivity-change", "dns-change"})
_NO_GATEWAY: Final = "0.0.0.0"  # noqa: S104 - of both families, and nothing is bound to it
_ENDS: Final = frozenset({"down", "vpn-pre-down", "vpn-down"})
_BARE: Final = frozenset({"pre-up", "down"})
"""Actions of a device whose configuration is not told."""
_NAME: Final = re.compile(r"[A-Z0-9_]{1,128}\Z")
_NAMESPACE: Final = uuid.UUID("6d4a3f55-1c8f-4f0e-9a52-6f8a2f4be4c1")
"""Of the UUIDs that stand for connections where NetworkManager has none; random."""


_OVER_CONFIGURED: Final = ("over.ip4.", "over.ip6.")


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
    elif is_there or is_managed(after) or (before is not None and is_managed(before)):
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
    of_vpn = is_vpn(after)
    match event.type:
        case EventType.IP_CHECK:
            yield "pre-up"
        case EventType.ACTIVATED:
            yield from ("vpn-pre-up", "vpn-up", "up") if of_vpn else ("up",)
        case EventType.DEACTIVATING if was_up:
            yield "vpn-pre-down" if of_vpn else "pre-down"
        case _ if event.type in _DOWN and was_up and before is not None:
            yield from _end(before)


def _end(was: Snapshot) -> tuple[str, ...]:
    """Return what is run when a link is not up any more. was: the link as it was."""
    return ("vpn-down", "down") if is_vpn(was) else ("down",)


def _find_vpn_actions(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """
    Yield what happened to a VPN whose link was up all the time.

    It has none of its own, or one that it has found: that it changes DNS servers is how it is noticed.
    """
    if not before.device_state == after.device_state == "activated":
        return
    was, now = read(before).get(Details.VPN_UUID, ""), read(after).get(Details.VPN_UUID, "")
    if was and was != now:
        yield "vpn-down"
    if now and was != now:
        yield from ("vpn-pre-up", "vpn-up")


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
    details = read(told) if has_profile(told) else describe(told)
    of_vpn = action.startswith("vpn-")
    device = cut(details, Details.OVER) if of_vpn and is_vpn(told) else details
    link = device.get("interface", told.link.name)
    inner = device.get(Details.IP_INTERFACE, "") or link
    vpn = details.get(Details.VPN + Details.IP_INTERFACE, "") if of_vpn else ""
    values |= _name_connection(told, details, action)
    values |= {"DEVICE_IFACE": link, "DEVICE_IP_IFACE": inner}
    if vpn:
        values["VPN_IP_IFACE"] = vpn
    if _tells_configuration(event, action, told):
        values |= _name_configuration("", {} if _is_foreign(told) else device)
        values |= _name_options(device)
    if of_vpn:
        given = {} if action == "vpn-down" else cut(details, Details.VPN)
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
    if action.startswith("vpn-") and is_vpn(told):
        return any(name.startswith(_OVER_CONFIGURED) for name in read(told))
    return action not in _BARE and is_activated(told)


def _is_foreign(snapshot: Snapshot) -> bool:
    """Tell whether somebody else has configured a link: its dispatcher tells what NetworkManager has, nothing here."""
    report = find_report(snapshot)
    return report is not None and report.external and not is_vpn(snapshot)


def _name_connection(told: Snapshot, details: dict[str, str], action: str) -> dict[str, str]:
    report, link = find_report(told), told.link.name
    identity = report.connection_id if report else ""
    number = report.connection_uuid if report else ""
    if action.startswith("vpn-"):
        number = details.get(Details.VPN_UUID, number)
        identity = details.get(Details.VPN_ID, identity)
        details = cut(details, Details.VPN)
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
        values |= _name_family(f"{head}{family.upper()}", cut(details, f"{family}."))
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
        options = cut(details, prefix)
        for name, value in options.items():
            if _NAME.match(name.upper()):
                values[f"{prefix[:-1].upper()}_{name.upper()}"] = value
        if prefix == "dhcp4." and "private_245" in options and "unknown_245" not in options:
            values["DHCP4_UNKNOWN_245"] = options["private_245"]
    return values
