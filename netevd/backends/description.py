"""
What systemd-networkd describes as JSON, as a report of ours.

Pure. Only what is needed is looked at, and only in the form that versions 252 to 257 have; what
another version lacks is not told. Source: networkd-json.c of systemd; seen with 252 and 257.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from attrs import evolve
from msgspec import Struct, field

from netevd.model.backend import Family, Lease, LinkReport, is_name
from netevd.model.link import IfIndex

BACKEND: Final = "systemd-networkd"

MANAGED: Final = frozenset({"configuring", "configured", "failed"})
"""Setup states of links that networkd configures. Source: networkctl(1)."""

PASSING: Final = frozenset({"pending", "initialized", "configuring", "linger"})
"""States that another one follows by itself."""

SERVERS: Final = 64
"""Servers, domains and addresses of one kind that are told of a link; a lease can't have as many."""


class Unreadable(Exception):
    """This is no description as any version known to us writes it."""


class _Sourced(Struct, rename="pascal"):
    config_source: str = ""
    config_provider: list[int] = []


class _Server(_Sourced, rename="pascal"):
    address: list[int] = []
    server: str = ""
    """Name of an NTP server that is no address."""


class _Domain(_Sourced, rename="pascal"):
    domain: str = ""


class _Address(_Sourced, rename="pascal"):
    address: list[int] = []
    prefix_length: int = 0
    valid_lifetime_usec: int | None = None
    """When it is over, microseconds of CLOCK_BOOTTIME."""
    config_state: str = ""


class _Route(_Sourced, rename="pascal"):
    destination_prefix_length: int = 0
    gateway: list[int] = []


class _ClientLease(Struct, rename="pascal"):
    timestamp_usec: int | None = field(name="LeaseTimestampUSec", default=None)
    """When it was granted, microseconds of CLOCK_BOOTTIME. Since 255."""


class _Client(Struct, rename="pascal"):
    lease: _ClientLease | None = None


class _Link(Struct, rename="pascal"):
    index: int
    administrative_state: str = ""
    network_file: str = ""
    ssid: str = field(name="SSID", default="")
    dns: list[_Server] = field(name="DNS", default_factory=list)
    ntp: list[_Server] = field(name="NTP", default_factory=list)
    search_domains: list[_Domain] = []
    route_domains: list[_Domain] = []
    addresses: list[_Address] = []
    routes: list[_Route] = []
    client4: _Client | None = field(name="DHCPv4Client", default=None)


class _Manager(Struct, rename="pascal"):
    interfaces: list[_Link] = []


_LINK: Final = msgspec.json.Decoder(_Link)
_MANAGER: Final = msgspec.json.Decoder(_Manager)

Clock = Callable[[int], int]
"""Returns the wall clock in nanoseconds since 1970 of microseconds of CLOCK_BOOTTIME."""


Known = Mapping[IfIndex, LinkReport]
"""The latest report of each link."""


def read_link(text: str, tell_time: Clock, known: Known) -> LinkReport:
    """Return the report of one link's description. Raises: Unreadable."""
    try:
        return _report(_LINK.decode(text), tell_time, known)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unreadable(str(error)) from None


def read_all(text: str, tell_time: Clock, known: Known) -> tuple[LinkReport, ...]:
    """Return the reports of all links that networkd knows. Raises: Unreadable."""
    try:
        links = _MANAGER.decode(text).interfaces
        return tuple(_report(each, tell_time, known) for each in links)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unreadable(str(error)) from None


def _report(link: _Link, tell_time: Clock, known: Known) -> LinkReport:
    leases = (_find_lease4(link, tell_time), _find_lease6(link, tell_time))
    report = LinkReport(
        BACKEND,
        IfIndex(link.index),
        manages=link.administrative_state in MANAGED,
        setup_state=link.administrative_state,
        leases=tuple(each for each in leases if each is not None),
        dns=_list_servers(link.dns),
        domains=_list_domains(link.search_domains),
        route_domains=_list_domains(link.route_domains),
        ntp=_list_servers(link.ntp),
        ssid=link.ssid,
        details=(("network-file", link.network_file),) if link.network_file else (),
    )
    before = known.get(report.ifindex)
    return report if before is None else _keep(before, report, link)


def _keep(before: LinkReport, report: LinkReport, link: _Link) -> LinkReport:
    """
    Return a report with what a networkd that has just started does not know again yet.

    It asks its server anew for a lease whose address the link has kept, and may get it: as long as the
    address is there, the lease is not given up. Servers are not either, until it is done with the link.
    """
    if report.setup_state in {"unmanaged", "linger", ""}:
        return report
    there = {_show(each.address) for each in link.addresses if each.address}
    passing = report.setup_state in PASSING
    told = {each.family: each.address for each in report.leases}
    kept = {
        each.family: each
        for each in before.leases
        if each.address in there
        and (each.family not in told or (passing and told[each.family] == each.address))
    }
    if not kept:
        return report
    others = (each for each in report.leases if each.family not in kept)
    report = evolve(report, leases=(*others, *kept.values()))
    if not passing:
        return report
    return evolve(
        report,
        dns=report.dns or before.dns,
        domains=report.domains or before.domains,
        route_domains=report.route_domains or before.route_domains,
        ntp=report.ntp or before.ntp,
    )


def _find_lease4(link: _Link, tell_time: Clock) -> Lease | None:
    found = _find_address(link, "DHCPv4")
    if found is None:
        return None
    gateways = dict.fromkeys(
        _show(each.gateway)
        for each in link.routes
        if each.config_source == "DHCPv4" and not each.destination_prefix_length and each.gateway
    )
    lease = evolve(_make_lease(link, found, "ipv4", tell_time), gateways=tuple(gateways))
    begun = None if link.client4 is None or link.client4.lease is None else link.client4.lease
    if begun is None or begun.timestamp_usec is None:
        return lease
    over = found.valid_lifetime_usec
    seconds = 0 if over is None else max(0, round((over - begun.timestamp_usec) / 1e6))
    return evolve(lease, lifetime_s=seconds, obtained_ns=tell_time(begun.timestamp_usec))


def _find_lease6(link: _Link, tell_time: Clock) -> Lease | None:
    found = _find_address(link, "DHCPv6")
    if found is None:
        return None
    return _make_lease(link, found, "ipv6", tell_time)


def _find_address(link: _Link, source: str) -> _Address | None:
    """Return the first address that this client has configured, None for none."""
    for each in link.addresses:
        if each.config_source == source and each.config_state.startswith("config"):
            return each
    return None


def _make_lease(link: _Link, found: _Address, family: Family, tell_time: Clock) -> Lease:
    source = "DHCPv4" if family == "ipv4" else "DHCPv6"
    over = found.valid_lifetime_usec
    return Lease(
        BACKEND,
        family,
        _show(found.address),
        found.prefix_length,
        dns=_list_servers(each for each in link.dns if each.config_source == source),
        domains=_list_domains(
            each
            for each in (*link.search_domains, *link.route_domains)
            if each.config_source == source
        ),
        server=_show(found.config_provider) if found.config_provider else "",
        expires_ns=None if over is None else tell_time(over),
    )


def _show(octets: list[int]) -> str:
    return str(ipaddress.ip_address(bytes(octets)))


def _list_servers(servers: Iterable[_Server]) -> tuple[str, ...]:
    words = (_show(each.address) if each.address else each.server for each in servers)
    return tuple(dict.fromkeys(filter(None, words)))[:SERVERS]


def _list_domains(domains: Iterable[_Domain]) -> tuple[str, ...]:
    names = (each.domain.rstrip(".") for each in domains)
    return tuple(dict.fromkeys(filter(is_name, names)))[:SERVERS]
