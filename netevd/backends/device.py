"""
What NetworkManager tells of a device on D-Bus, as a report of ours.

Pure. Properties are as they arrive, without the signatures of the outermost values; one that is
missing or of another type is not told. Source: org.freedesktop.NetworkManager.Device(5) and the
objects it leads to; seen with 1.42.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from attrs import frozen

from netevd.model.backend import Family, Lease, LinkReport, is_name
from netevd.model.link import IfIndex

BACKEND: Final = "NetworkManager"

Properties: TypeAlias = dict[str, Any]

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
_ACTIVATED: Final = 2
"""NMActiveConnectionState."""
_EXTERNAL: Final = 0x80
"""Of NMActivationStateFlags: whoever made the configuration, it was not NetworkManager."""

ITEMS: Final = 256
"""Addresses, routes, servers or options of one kind that are told of a device."""

_TOLD: Final = frozenset({
    "ip_address", "ip6_address", "subnet_mask", "routers", "domain_name_servers", "domain_name",
    "domain_search", "host_name", "dhcp_server_identifier", "dhcp_lease_time", "expiry",
    "dhcp6_name_servers", "dhcp6_domain_search", "dhcp_renewal_time", "dhcp_rebinding_time",
})  # fmt: skip
"""Options that a lease has by another name, or that change with each renewal."""


@frozen(slots=True)
class Profile:
    """A connection that is in use, and what it has configured."""

    active: Properties
    """Of Connection.Active."""
    settings: Properties
    """What GetSettings returns: settings by name, each a mapping."""
    saved: Properties
    """Of Settings.Connection."""
    ip4: Properties
    ip6: Properties
    dhcp4: Properties
    dhcp6: Properties


@frozen(slots=True)
class Device:
    """A device with all that it leads to; what it has not is empty."""

    properties: Properties
    profile: Profile
    ssid: bytes = b""
    vpn: Profile | None = None
    """A VPN over this device that is up."""


def describe(device: Device, ifindex: IfIndex, state: str) -> LinkReport:
    """Return all that is known. state: the last that was signalled, a word of STATES."""
    profile = device.profile
    external = bool(_get(profile.active, "StateFlags", int, 0) & _EXTERNAL)
    leases = (
        _read_lease4(profile.dhcp4, profile.ip4),
        _read_lease6(profile.dhcp6, profile.ip6),
    )
    searches, routed = _divide([*_list_searches(profile.ip4), *_list_searches(profile.ip6)])
    return LinkReport(
        BACKEND,
        ifindex,
        manages=state not in _UNMANAGED and not external,
        device_state=state,
        leases=tuple(each for each in leases if each is not None),
        dns=tuple(_unique([*list_servers(profile.ip4), *list_servers(profile.ip6)])),
        domains=searches,
        route_domains=routed,
        ntp=tuple(_list_words(_read_options(profile.dhcp4).get("ntp_servers", ""))),
        ssid=device.ssid.decode("utf-8", "surrogateescape"),
        connection_id=_get(profile.active, "Id", str, ""),
        connection_uuid=_get(profile.active, "Uuid", str, ""),
        external=external,
        details=tuple(sorted(_list_details(device).items())),
    )


def get_number(values: Properties, name: str) -> int:
    """Return a property that is a number, 0 where it is none."""
    return int(_get(values, name, int, 0))


def is_up(active: Properties) -> bool:
    """Tell whether an active connection is activated."""
    return bool(_get(active, "State", int, 0) == _ACTIVATED)


# --- details ---------------------------------------------------------------------------------------


def _list_details(device: Device) -> dict[str, str]:
    """Return what trees of NetworkManager's dispatcher tell, by the names of compat's `Details`."""
    details = _describe_profile(device.profile)
    inner = _get(device.properties, "IpInterface", str, "")
    if inner and inner != _get(device.properties, "Interface", str, ""):
        details["ip-interface"] = inner
    if device.vpn is not None:
        active = device.vpn.active
        details |= {f"vpn.{name}": value for name, value in _describe_profile(device.vpn).items()}
        details |= {
            "vpn.uuid": _get(active, "Uuid", str, ""),
            "vpn.id": _get(active, "Id", str, ""),
        }
    return details


def _describe_profile(profile: Profile) -> dict[str, str]:
    details: dict[str, str] = {}
    path = _get(profile.active, "Connection", str, "")
    if path and path != "/":
        details["connection.path"] = path
    filename = _get(profile.saved, "Filename", str, "")
    if filename:
        details["connection.filename"] = filename
    user = _open(_get(profile.settings, "user", dict, {}).get("data"))
    for key, value in _take(user.items() if isinstance(user, dict) else ()):
        details[f"connection.user.{key}"] = str(value)
    proxy = _get(profile.settings, "proxy", dict, {})
    for name in ("pac-url", "pac-script"):
        value = _open(proxy.get(name))
        if isinstance(value, str) and value:
            details[f"proxy.{name}"] = value
    for family, ip in (("ip4", profile.ip4), ("ip6", profile.ip6)):
        if ip:
            details |= {f"{family}.{name}": value for name, value in _describe_ip(ip).items()}
    for prefix, dhcp in (("dhcp4", profile.dhcp4), ("dhcp6", profile.dhcp6)):
        details |= {f"{prefix}.{name}": value for name, value in _read_options(dhcp).items()}
    return details


def _describe_ip(ip: Properties) -> dict[str, str]:
    addresses = [
        f"{each['address']}/{each['prefix']}"
        for each in _list_mappings(ip, "AddressData")
        if "address" in each and "prefix" in each
    ]
    return {
        "addresses": " ".join(addresses),
        "gateway": _get(ip, "Gateway", str, ""),
        "nameservers": " ".join(list_servers(ip)),
        "domains": " ".join(_list_strings(ip, "Domains")),
        "wins-servers": " ".join(_list_strings(ip, "WinsServerData")),
        "routes": ",".join(_list_routes(ip)),
    }


def _list_routes(ip: Properties) -> Iterator[str]:
    """Yield routes but the default ones, which stand as gateway, as NetworkManager's dispatcher does."""
    for each in _list_mappings(ip, "RouteData"):
        destination, prefix = each.get("dest"), each.get("prefix", 0)
        if not isinstance(destination, str) or not prefix:
            continue
        none = "::" if ":" in destination else "0.0.0.0"  # noqa: S104 - a next hop, bound by nobody
        yield f"{destination}/{prefix} {each.get('next-hop') or none} {each.get('metric', 0)}"


# --- leases ----------------------------------------------------------------------------------------


def _read_lease4(dhcp: Properties, ip: Properties) -> Lease | None:
    options = _read_options(dhcp)
    address = _read_address(options.get("ip_address", ""))
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
    options = _read_options(dhcp)
    address = _read_address(options.get("ip6_address", ""))
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
    lifetime = _read_number(options.get("dhcp_lease_time", options.get("max_life", "")))
    expires = _read_number(options.get("expiry", ""))
    return Lease(
        BACKEND,
        family,
        address,
        prefix,
        gateways=tuple(_list_addresses(gateways)),
        dns=tuple(_list_addresses(dns)),
        domains=tuple(_unique(_list_names(domains))),
        hostname=hostname if is_name(hostname) else "",
        server=str(_read_address(server) or ""),
        lifetime_s=lifetime,
        obtained_ns=(expires - lifetime) * 10**9 if expires and lifetime else None,
        options=tuple((name, value) for name, value in options.items() if _is_told_alone(name)),
        expires_ns=expires * 10**9 if expires else None,
        rebind_s=_read_number(options.get("dhcp_rebinding_time", "")),
    )


def _is_told_alone(option: str) -> bool:
    return option not in _TOLD and not option.startswith("requested_")


def _find_prefix(ip: Properties, address: str) -> int:
    """Return the prefix length of an address, 0 for none."""
    for each in _list_mappings(ip, "AddressData"):
        if each.get("address") == address and isinstance(each.get("prefix"), int):
            return int(each["prefix"])
    return 0


# --- values ----------------------------------------------------------------------------------------


def _get(values: Properties, name: str, kind: type, default: Any) -> Any:
    value = values.get(name, default)
    return value if isinstance(value, kind) else default


def _open(value: Any) -> Any:
    """Return a variant's value; anything else as it is."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[1]
    return value


def _take(items: Iterable[Any]) -> Iterator[Any]:
    for number, each in enumerate(items):
        if number >= ITEMS:
            return
        yield each


def _list_mappings(values: Properties, name: str) -> Iterator[dict[str, Any]]:
    """Yield the elements of a property of type aa{sv}, without the signatures of their values."""
    for each in _take(_get(values, name, list, [])):
        if isinstance(each, dict):
            yield {key: _open(value) for key, value in each.items()}


def _list_strings(values: Properties, name: str) -> list[str]:
    return [each for each in _take(_get(values, name, list, [])) if isinstance(each, str)]


def list_servers(ip: Properties) -> list[str]:
    """Return the DNS servers of an IP configuration, canonical and without zone."""
    found = [str(each.get("address", "")) for each in _list_mappings(ip, "NameserverData")]
    if not found:  # IPv6 has them as octets
        octets = (
            bytes(each)
            for each in _take(_get(ip, "Nameservers", list, []))
            if isinstance(each, bytes | list)
        )
        found = [str(ipaddress.IPv6Address(each)) for each in octets if len(each) == 16]
    return list(_unique(_list_addresses(" ".join(found))))


def _list_searches(ip: Properties) -> list[str]:
    """Return what names are completed by: search domains, else the domain. As NetworkManager does."""
    return _list_strings(ip, "Searches") or _list_strings(ip, "Domains")


def _divide(domains: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return domains to search, and those that only say which servers are asked (with ~ there)."""
    searches, routed = list[str](), list[str]()
    for domain in domains:
        bare = domain.removeprefix("~").rstrip(".")
        if is_name(bare) or (domain.startswith("~") and not bare):
            (routed if domain.startswith("~") else searches).append(bare or ".")
    return tuple(_unique(searches)), tuple(_unique(routed))


def _read_options(dhcp: Properties) -> dict[str, str]:
    options = _take(sorted(_get(dhcp, "Options", dict, {}).items()))
    opened = ((name, _open(value)) for name, value in options)
    return {name: value for name, value in opened if isinstance(value, str)}


def _read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _read_number(text: str) -> int:
    """Return a count of seconds, 0 for none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _list_words(text: str) -> list[str]:
    return list(_take(text.replace(",", " ").split()))


def _list_addresses(text: str) -> list[str]:
    return [str(found) for each in _list_words(text) if (found := _read_address(each)) is not None]


def _list_names(text: str) -> list[str]:
    words = (each.rstrip(".") for each in _list_words(text))
    return [each for each in words if is_name(each)]


def _unique(items: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(items))
