"""
What systemd-networkd's lease files have that it tells nowhere else: the host's name, other options, and
servers and domains that it does not use itself.

The files are networkd's own and may look otherwise in another version: what is not as expected is
not told. networkd writes one a moment after it has told of the lease, so that is waited for.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Final

import trio
from attrs import evolve

from netevd.model.backend import Lease, LinkReport, is_name

DIRECTORY: Final = "/run/systemd/netif/leases"

_WAITS_S: Final = (0.05, 0.1, 0.2, 0.4)
"""Seconds from one look to the next while the file of a new lease is not there."""

_LIMIT: Final = 64 * 1024

_TOLD: Final = frozenset({
    "ADDRESS", "NETMASK", "ROUTER", "SERVER_ADDRESS", "T1", "T2", "LIFETIME", "DNS", "NTP",
    "DOMAINNAME", "DOMAIN_SEARCH_LIST", "HOSTNAME",
})  # fmt: skip
"""Keys that are told otherwise, or change with each renewal."""


async def complete(report: LinkReport) -> LinkReport:
    """Return a report whose IPv4 lease has what its file has beyond it."""
    lease = next((each for each in report.leases if each.family == "ipv4"), None)
    if lease is None:
        return report
    found: dict[str, str] | None = None
    for wait in (*_WAITS_S, 0.0):
        try:
            found = read(f"{DIRECTORY}/{report.ifindex}")
        except FileNotFoundError:
            found = None
        except OSError:
            return report
        if found is not None and found.get("ADDRESS") == lease.address:
            leases = (_extend(lease, found), *(each for each in report.leases if each is not lease))
            return evolve(report, leases=leases)
        await trio.sleep(wait)
    return report


def read(path: str) -> dict[str, str]:
    """Return keys and values of a file. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, _LIMIT).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key: value for key, equals, value in pairs if equals}


def _extend(lease: Lease, found: dict[str, str]) -> Lease:
    name = found.get("HOSTNAME", "").rstrip(".")
    options = tuple(
        (key.lower().replace("_", "-"), value)
        for key, value in sorted(found.items())
        if key not in _TOLD and value
    )
    return evolve(
        lease,
        hostname=name if is_name(name) else "",
        dns=lease.dns or tuple(filter(_is_address, found.get("DNS", "").split())),
        domains=lease.domains or _list_domains(found),
        options=options,
    )


def _list_domains(found: dict[str, str]) -> tuple[str, ...]:
    words = (found.get("DOMAINNAME", ""), *found.get("DOMAIN_SEARCH_LIST", "").split())
    return tuple(dict.fromkeys(filter(is_name, (each.rstrip(".") for each in words))))


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True
