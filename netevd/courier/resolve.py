"""
From the host of a URL to one address that may be connected to, or why there is none.

What is connected to is the address that was judged here and never the name, so nobody can tell us
one address now and another one a moment later.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Final

import trio

from netevd.model.locality import NEVER, Address, find_locality


class Unresolved(Exception):
    """The name has no address now."""


class Refused(Exception):
    """It has one that nothing is posted to."""


async def resolve(host: str, port: int, *, allow_local: bool) -> list[Address]:
    """
    Return the addresses of a host in the order in which they are to be tried.

    Raises: Unresolved; Refused, if any of them may not be posted to.
    """
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise Unresolved(f"{host} has no address: {why or 'unknown'}") from None
    addresses: list[Address] = []
    for family, _, _, _, place in found:
        if family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        address = ip_address(str(place[0]).partition("%")[0])
        fault = find_fault(address, port, allow_local=allow_local)
        if fault:
            name = "" if host.strip("[]") == str(address) else f"{host} is "
            raise Refused(f"{name}{address}, {fault}")
        if address not in addresses:
            addresses.append(address)
    if not addresses:
        raise Unresolved(f"{host} has no address")
    return addresses


LOOK_UP_S: Final = 10.0
"""Seconds for a look-up of a WireGuard peer's endpoint."""
_ADDRESSES: Final = 16


async def look_up(host: str, port: int) -> tuple[list[str], str]:
    """Return the addresses that a WireGuard peer may be at, or why there are none."""
    reason = f"{host} was not found within {LOOK_UP_S:.0f} s"
    with trio.move_on_after(LOOK_UP_S):
        try:
            found = await resolve(host, port, allow_local=True)
        except (Refused, Unresolved) as error:
            return [], str(error)[:500]
        return [str(each) for each in found[:_ADDRESSES]], ""
    return [], reason


def find_fault(address: Address, port: int, *, allow_local: bool) -> str:
    """Return why nothing is posted to an address, "" if it may be."""
    locality = find_locality(address)
    if locality in NEVER:
        return f"which is {locality}"
    if allow_local:
        return ""
    if not locality and _is_ours(address, port):
        locality = "of this machine"
    return f"which is {locality} (webhooks.allow_local: true allows it)" if locality else ""


def _is_ours(address: Address, port: int) -> bool:
    """Tell whether this machine has the address: what it would send there would come from there."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting it sends nothing
        try:
            probe.connect((str(address), port))
            return ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
        except OSError:
            return False  # there is no way there, as the attempt will tell
