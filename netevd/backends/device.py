"""
What NetworkManager tells of a device on D-Bus, as a report of ours.

Pure. Properties are as they arrive, without the signatures of the outermost values; one that is
missing or of another type is not told. Source: org.freedesktop.NetworkManager.Device(5) and the
objects it leads to; seen with 1.42.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from netevd.backends.profile import Device, list_details
from netevd.backends.properties import (
    Properties,
    divide_domains,
    get,
    list_addresses,
    list_mappings,
    list_names,
    list_searches,
    list_servers,
    list_words,
    read_address,
    read_number,
    read_options,
    unique,
)
from netevd.model.backend import Family, Lease, LinkReport, is_name
from netevd.model.link import IfIndex

BACKEND: Final = "NetworkManager"

STATES: Final = {
    0: "unknown",
    10: "unmanaged",
    20: "unavailable",
    30: "disconnected",
    40: "prepare",
    50: "config",
    60: "need-auth",
    70: "ip-config",
    80: "ip-check",
    90: "secondaries",
    100: "activated",
    110: "deactivating",
    120: "failed",
}
"""NMDeviceState by its number. Source: nm-dbus-interface.h."""

_UNMANAGED: Final = frozenset({"unknown", "unmanaged", ""})
_EXTERNAL: Final = 0x80
"""Of NMActivationStateFlags: whoever made the configuration, it was not NetworkManager."""

_TOLD: Final = frozenset({
    "ip_address", "ip6_address", "subnet_mask", "routers", "domain_name_servers", "domain_name",
    "domain_search", "host_name", "dhcp_server_identifier", "dhcp_lease_time", "expiry",
    "dhcp6_name_servers", "dhcp6_domain_search", "dhcp_renewal_time", "dhcp_rebinding_time",
})  # fmt: skip
"""Options that a lease has by another name, or that change with each renewal."""


def describe(device: Device, ifindex: IfIndex, state: str) -> LinkReport:
    """Return all that is known. state: the last that was signalled, a word of STATES."""
    profile = device.profile
    external = bool(get(profile.active, "StateFlags", int, 0) & _EXTERNAL)
    leases = (
        _read_lease4(profile.dhcp4, profile.ip4),
        _read_lease6(profile.dhcp6, profile.ip6),
    )
    searches, routed = divide_domains([*list_searches(profile.ip4), *list_searches(profile.ip6)])
    state = _find_state(device, state)
    return LinkReport(
        BACKEND,
        ifindex,
        manages=state not in _UNMANAGED and not external,
        device_state=state,
        leases=tuple(each for each in leases if each is not None),
        dns=tuple(unique([*list_servers(profile.ip4), *list_servers(profile.ip6)])),
        domains=searches,
        route_domains=routed,
        ntp=tuple(list_words(read_options(profile.dhcp4).get("ntp_servers", ""))),
        ssid=device.ssid.decode("utf-8", "surrogateescape"),
        connection_id=get(profile.active, "Id", str, ""),
        connection_uuid=get(profile.active, "Uuid", str, ""),
        external=external,
        details=tuple(sorted(list_details(device).items())),
    )


def _find_state(device: Device, state: str) -> str:
    """Return the state of a VPN's link: NetworkManager only looks on, so the VPN itself says when it ends."""
    if not device.is_vpn or device.vpn is None or state != "activated":
        return state
    if device.vpn.ended:
        return "disconnected"
    return "deactivating" if device.vpn.is_ending else state


# --- leases ----------------------------------------------------------------------------------------


def _read_lease4(dhcp: Properties, ip: Properties) -> Lease | None:
    options = read_options(dhcp)
    address = read_address(options.get("ip_address", ""))
    if address is None or address.version != 4:
        return None
    try:
        prefix = ipaddress.ip_network(f"0.0.0.0/{options['subnet_mask']}").prefixlen
    except (KeyError, ValueError):
        prefix = _find_prefix(ip, str(address)) or 32
    return _make_lease(
        "ipv4", str(address), prefix, options,
        gateways=options.get("routers", ""),
        dns=options.get("domain_name_servers", ""),
        domains=f"{options.get('domain_name', '')} {options.get('domain_search', '')}",
        hostname=options.get("host_name", ""),
        server=options.get("dhcp_server_identifier", ""),
    )  # fmt: skip


def _read_lease6(dhcp: Properties, ip: Properties) -> Lease | None:
    options = read_options(dhcp)
    address = read_address(options.get("ip6_address", ""))
    if address is None or address.version != 6:
        return None
    return _make_lease(
        "ipv6", str(address), _find_prefix(ip, str(address)) or 128, options,
        dns=options.get("dhcp6_name_servers", ""),
        domains=options.get("dhcp6_domain_search", ""),
    )  # fmt: skip


def _make_lease(
    family: Family,
    address: str,
    prefix: int,
    options: dict[str, str],
    *,
    gateways: str = "",
    dns: str = "",
    domains: str = "",
    hostname: str = "",
    server: str = "",
) -> Lease:
    lifetime = read_number(options.get("dhcp_lease_time", options.get("max_life", "")))
    expires = read_number(options.get("expiry", ""))
    return Lease(
        BACKEND,
        family,
        address,
        prefix,
        gateways=tuple(list_addresses(gateways)),
        dns=tuple(list_addresses(dns)),
        domains=tuple(unique(list_names(domains))),
        hostname=hostname if is_name(hostname) else "",
        server=str(read_address(server) or ""),
        lifetime_s=lifetime,
        obtained_ns=(expires - lifetime) * 10**9 if expires and lifetime else None,
        options=tuple((name, value) for name, value in options.items() if _is_told_alone(name)),
        expires_ns=expires * 10**9 if expires else None,
        rebind_s=read_number(options.get("dhcp_rebinding_time", "")),
    )


def _is_told_alone(option: str) -> bool:
    return option not in _TOLD and not option.startswith("requested_")


def _find_prefix(ip: Properties, address: str) -> int:
    """Return the prefix length of an address, 0 for none."""
    for each in list_mappings(ip, "AddressData"):
        if each.get("address") == address and isinstance(each.get("prefix"), int):
            return int(each["prefix"])
    return 0
