"""
Devices, profiles and VPNs as NetworkManager has them on the bus, in the words of its dispatcher.

Pure. The words are names of `LinkReport.details`, see compat's `Details`; who is told what for which action
is compat's. Source: org.freedesktop.NetworkManager.Device(5) and the objects it leads to; what its
dispatcher makes of them was seen with 1.42, see tests/data/networkmanager.jsonl.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final, TypeAlias

from attrs import frozen

from netevd.backends.properties import (
    Properties,
    get,
    list_mappings,
    list_servers,
    list_strings,
    open_variant,
    read_options,
    take,
)

ACTIVATED: Final = 100
"""NMDeviceState."""
_ON_ITS_WAY: Final = 1
_UP: Final = 2
_ENDING: Final = 3
"""NMActiveConnectionState. Source: nm-dbus-interface.h."""


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
class Vpn:
    """A VPN that has a configuration, and the device that it runs over."""

    path: str
    """Of its active connection."""
    profile: Profile
    over: Device
    over_path: str
    ended: bool = False
    """Whether it is gone, and only its link is there still."""

    @property
    def is_ending(self) -> bool:
        """Whether it is being taken down."""
        return bool(get(self.profile.active, "State", int, 0) == _ENDING)


@frozen(slots=True)
class Device:
    """A device with all that it leads to; what it has not is empty."""

    properties: Properties
    profile: Profile
    ssid: bytes = b""
    vpn: Vpn | None = None
    """The VPN that has this device's addresses: its own link, or without one the device that it runs over."""

    @property
    def is_vpn(self) -> bool:
        """Whether this is the link of a VPN."""
        return self.vpn is not None and self.vpn.over.name != self.name

    @property
    def name(self) -> str:
        """Name of its link."""
        return str(get(self.properties, "Interface", str, ""))


def is_in_use(active: Properties) -> bool:
    """Tell whether an active connection is up, on its way there, or being taken down."""
    return get(active, "State", int, 0) in {_ON_ITS_WAY, _UP, _ENDING}


def list_details(device: Device) -> dict[str, str]:
    """Return what trees of NetworkManager's dispatcher tell, by the names of compat's `Details`."""
    vpn = device.vpn
    details = _describe_profile(device.profile)
    inner = get(device.properties, "IpInterface", str, "")
    if inner and inner != device.name:
        details["ip-interface"] = inner
    if vpn is None:
        return details
    if device.is_vpn:  # what others do to the link is none of its configuration
        details |= _describe_configuration(device.profile, foreign=False)
        details |= {f"over.{name}": value for name, value in _describe_over(vpn.over).items()}
        details["vpn.ip-interface"] = inner or device.name
    told = _describe_profile(vpn.profile)
    told |= _describe_configuration(vpn.profile, foreign=False, derived=False)
    told |= {"uuid": get(vpn.profile.active, "Uuid", str, "")}
    told |= {"id": get(vpn.profile.active, "Id", str, "")}
    return details | {f"vpn.{name}": value for name, value in told.items()}


def _describe_over(device: Device) -> dict[str, str]:
    """Return what is told of the device that a VPN runs over; its profile is not."""
    details = {"interface": device.name}
    inner = get(device.properties, "IpInterface", str, "")
    if inner and inner != device.name:
        details["ip-interface"] = inner
    if get(device.properties, "State", int, 0) == ACTIVATED:
        told = _describe_profile(device.profile)
        details |= {
            name: value for name, value in told.items() if not name.startswith("connection.")
        }
    return details


def _describe_profile(profile: Profile) -> dict[str, str]:
    details: dict[str, str] = {}
    path = get(profile.active, "Connection", str, "")
    if path and path != "/":
        details["connection.path"] = path
    filename = get(profile.saved, "Filename", str, "")
    if filename:
        details["connection.filename"] = filename
    user = open_variant(get(profile.settings, "user", dict, {}).get("data"))
    for key, value in take(user.items() if isinstance(user, dict) else ()):
        details[f"connection.user.{key}"] = str(value)
    proxy = get(profile.settings, "proxy", dict, {})
    for name in ("pac-url", "pac-script"):
        value = open_variant(proxy.get(name))
        if isinstance(value, str) and value:
            details[f"proxy.{name}"] = value
    for prefix, dhcp in (("dhcp4", profile.dhcp4), ("dhcp6", profile.dhcp6)):
        details |= {f"{prefix}.{name}": value for name, value in read_options(dhcp).items()}
    return details | _describe_configuration(profile)


def _describe_configuration(
    profile: Profile, *, foreign: bool = True, derived: bool = True
) -> dict[str, str]:
    """
    Return addresses, routes and name servers of both families.

    foreign: with link-local addresses, which the kernel gives to a link. derived: with the routes that
    follow from addresses.
    """
    return {
        f"{family}.{name}": value
        for family, ip in (("ip4", profile.ip4), ("ip6", profile.ip6))
        if ip
        for name, value in _describe_ip(ip, foreign=foreign, derived=derived).items()
    }


def _describe_ip(ip: Properties, *, foreign: bool, derived: bool) -> dict[str, str]:
    addresses = {
        text: interface
        for text, interface in _list_addresses(ip)
        if foreign or not interface.is_link_local
    }
    return {
        "addresses": " ".join(addresses),
        "gateway": get(ip, "Gateway", str, ""),
        "nameservers": " ".join(list_servers(ip)),
        "domains": " ".join(list_strings(ip, "Domains")),
        "wins-servers": " ".join(list_strings(ip, "WinsServerData")),
        "routes": ",".join(_list_routes(ip, list(addresses.values()), derived=derived)),
    }


_Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _list_addresses(ip: Properties) -> Iterator[tuple[str, _Interface]]:
    """Yield addresses with their prefix lengths, as text and as such."""
    for each in list_mappings(ip, "AddressData"):
        text = f"{each.get('address')}/{each.get('prefix')}"
        try:
            yield text, ipaddress.ip_interface(text)
        except ValueError:
            continue


def _list_routes(ip: Properties, interfaces: list[_Interface], *, derived: bool) -> list[str]:
    """
    Return routes but the default ones, which stand as gateway, in the order of NetworkManager's dispatcher.

    That is: those that were configured, then those that follow from addresses, of IPv6 the last address first.
    """
    networks = list(dict.fromkeys(each.network for each in interfaces))
    if networks and networks[0].version == 6:
        networks.reverse()
    configured, following = list[str](), list[tuple[int, str]]()
    for each in list_mappings(ip, "RouteData"):
        text = f"{each.get('dest')}/{each.get('prefix')}"
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            continue
        hop, metric = each.get("next-hop"), each.get("metric", 0)
        none = "::" if network.version == 6 else "0.0.0.0"  # noqa: S104 - a next hop, bound by nobody
        route = f"{text} {hop or none} {metric}"
        if not hop and network in networks:
            following.append((networks.index(network), route))
        elif network.prefixlen and (hop or not network.is_link_local):
            configured.append(route)
    return configured + [route for _, route in sorted(following) if derived]
