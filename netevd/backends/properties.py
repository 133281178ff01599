"""
Values of properties as they arrive on D-Bus, read without trust: a wrong type is as good as missing.

Pure. Properties are without the signatures of the outermost values, those inside have theirs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from netevd.model.backend import is_name

Properties: TypeAlias = dict[str, Any]

ITEMS: Final = 256
"""Addresses, routes, servers or options of one kind that are told of a device."""


def get(values: Properties, name: str, kind: type, default: Any) -> Any:
    """Return a property, the default where it is missing or of another type."""
    value = values.get(name, default)
    return value if isinstance(value, kind) else default


def get_number(values: Properties, name: str) -> int:
    """Return a property that is a number, 0 where it is none."""
    return int(get(values, name, int, 0))


def open_variant(value: Any) -> Any:
    """Return a variant's value; anything else as it is."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[1]
    return value


def take(items: Iterable[Any]) -> Iterator[Any]:
    """Yield the first `ITEMS` of something."""
    for number, each in enumerate(items):
        if number >= ITEMS:
            return
        yield each


def list_mappings(values: Properties, name: str) -> Iterator[dict[str, Any]]:
    """Yield the elements of a property of type aa{sv}, without the signatures of their values."""
    for each in take(get(values, name, list, [])):
        if isinstance(each, dict):
            yield {key: open_variant(value) for key, value in each.items()}


def list_strings(values: Properties, name: str) -> list[str]:
    """Return the strings of a property of type as."""
    return [each for each in take(get(values, name, list, [])) if isinstance(each, str)]


def list_servers(ip: Properties) -> list[str]:
    """Return the DNS servers of an IP configuration, canonical and without zone."""
    found = [str(each.get("address", "")) for each in list_mappings(ip, "NameserverData")]
    if not found:  # IPv6 has them as octets
        octets = (
            bytes(each)
            for each in take(get(ip, "Nameservers", list, []))
            if isinstance(each, bytes | list)
        )
        found = [str(ipaddress.IPv6Address(each)) for each in octets if len(each) == 16]
    return list(unique(list_addresses(" ".join(found))))


def list_searches(ip: Properties) -> list[str]:
    """Return what names are completed by: search domains, else the domain. As NetworkManager does."""
    return list_strings(ip, "Searches") or list_strings(ip, "Domains")


def divide_domains(domains: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return domains to search, and those that only say which servers are asked (with ~ there)."""
    searches, routed = list[str](), list[str]()
    for domain in domains:
        bare = domain.removeprefix("~").rstrip(".")
        if is_name(bare) or (domain.startswith("~") and not bare):
            (routed if domain.startswith("~") else searches).append(bare or ".")
    return tuple(unique(searches)), tuple(unique(routed))


def read_options(dhcp: Properties) -> dict[str, str]:
    """Return the options of a DHCP configuration, those that are strings."""
    options = take(sorted(get(dhcp, "Options", dict, {}).items()))
    opened = ((name, open_variant(value)) for name, value in options)
    return {name: value for name, value in opened if isinstance(value, str)}


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without its zone, None if it is none."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def read_number(text: str) -> int:
    """Return a count of seconds, 0 for none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def list_words(text: str) -> list[str]:
    """Return what stands between blanks and commas."""
    return list(take(text.replace(",", " ").split()))


def list_addresses(text: str) -> list[str]:
    """Return the words that are addresses, in canonical form."""
    return [str(found) for each in list_words(text) if (found := read_address(each)) is not None]


def list_names(text: str) -> list[str]:
    """Return the words that are names, without a dot at their end."""
    words = (each.rstrip(".") for each in list_words(text))
    return [each for each in words if is_name(each)]


def unique(items: Iterable[str]) -> Iterator[str]:
    """Yield each once, where it stands first."""
    return iter(dict.fromkeys(items))
