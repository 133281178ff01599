"""
What is known of a link in NetworkManager's words: by itself, or by the kernel and leases.

`Details` has the names that compat and the backend share; who is told what for which action is `networkmanager`'s.
"""

from __future__ import annotations

from typing import Final

from netevd.compat.lease import describe_lease
from netevd.model.backend import LinkReport
from netevd.model.snapshot import OperationalState, Snapshot

BACKEND: Final = "NetworkManager"

_UNMANAGED: Final = frozenset({"", "unmanaged", "unknown"})


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


def is_managed(snapshot: Snapshot) -> bool:
    """Tell whether NetworkManager has a state for a link beside unmanaged."""
    return snapshot.device_state not in _UNMANAGED


def has_profile(snapshot: Snapshot) -> bool:
    """Tell whether NetworkManager has a connection for a link."""
    report = find_report(snapshot)
    return report is not None and (is_managed(snapshot) or bool(report.connection_uuid))


def is_activated(snapshot: Snapshot) -> bool:
    """Tell whether a link is what NetworkManager calls activated, by its word or by the kernel's facts."""
    if has_profile(snapshot):
        return snapshot.device_state == "activated"
    return snapshot.state is OperationalState.ROUTABLE


def is_vpn(snapshot: Snapshot) -> bool:
    """Tell whether this is the link of a VPN: its states are those of the VPN too."""
    return Details.OVER + "interface" in read(snapshot)


def find_report(snapshot: Snapshot) -> LinkReport | None:
    """Return what NetworkManager says of a link, None if it says nothing."""
    return next((each for each in snapshot.reports if each.backend == BACKEND), None)


def read(snapshot: Snapshot) -> dict[str, str]:
    """Return what NetworkManager tells of a device."""
    report = find_report(snapshot)
    return {} if report is None else dict(report.details)


def describe(snapshot: Snapshot) -> dict[str, str]:
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


def cut(details: dict[str, str], prefix: str) -> dict[str, str]:
    """Return what stands behind a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in details.items()
        if name.startswith(prefix)
    }
