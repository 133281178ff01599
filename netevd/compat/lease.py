"""
A lease in the words of dhclient: names and values as its scripts have them, without a prefix.

Source: dhclient-script(8), dhcp-options(5).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from netevd.model.backend import Lease

_NAME: Final = re.compile(r"[a-z0-9_]{1,64}\Z")


def describe_lease(lease: Lease) -> dict[str, str]:
    """Return what a lease has granted, by name; what is not known is left out."""
    values = _describe4(lease) if lease.family == "ipv4" else _describe6(lease)
    for name, value in lease.options:
        word = name.lower().replace("-", "_")
        if _NAME.match(word):
            values.setdefault(word, value.strip('"'))
    return {name: value for name, value in values.items() if value}


def _describe4(lease: Lease) -> dict[str, str]:
    network = ipaddress.IPv4Network((lease.address, lease.prefix), strict=False)
    return {
        "ip_address": lease.address,
        "subnet_mask": str(network.netmask),
        "network_number": str(network.network_address),
        "broadcast_address": str(network.broadcast_address) if lease.prefix < 31 else "",
        "routers": " ".join(lease.gateways),
        "domain_name": lease.domains[0] if lease.domains else "",
        "domain_search": " ".join(lease.domains[1:]),
        "domain_name_servers": " ".join(lease.dns),
        "host_name": lease.hostname,
        "dhcp_lease_time": str(lease.lifetime_s or ""),
        "dhcp_server_identifier": lease.server,
        "expiry": _find_expiry(lease),
    }


def _describe6(lease: Lease) -> dict[str, str]:
    return {
        "ip6_address": lease.address,
        "ip6_prefixlen": str(lease.prefix),
        "dhcp6_name_servers": " ".join(lease.dns),
        "dhcp6_domain_search": " ".join(lease.domains),
        "max_life": str(lease.lifetime_s or ""),
        "host_name": lease.hostname,
    }


def _find_expiry(lease: Lease) -> str:
    """Return when a lease is over, in seconds since 1970, "" where that is not known."""
    if lease.obtained_ns is None or not lease.lifetime_s:
        return ""
    return str(lease.obtained_ns // 10**9 + lease.lifetime_s)
