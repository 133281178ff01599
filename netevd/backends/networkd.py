"""
systemd-networkd: setup states, leases, DNS, domains and NTP of links, and its states of the host.

Its signals tell states by themselves, so that none of a row is missed; all else is asked of it, when a
signal or the kernel hints that it may have changed: a lease that is renewed, or a server that a router
announces, has no signal of its own. Source: org.freedesktop.network1(5).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import trio
from attrs import evolve

from netevd.backends.bus import Peer, read_change
from netevd.backends.connection import CallFailed, Signal
from netevd.backends.description import BACKEND, MANAGED, PASSING, Unreadable, read_all, read_link
from netevd.backends.networkdlease import complete
from netevd.model.backend import HostReport, LinkReport
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendSaid,
    BackendSaidHost,
    Input,
    LinkGone,
)
from netevd.model.link import IfIndex

_PATH: Final = "/org/freedesktop/network1"
_MANAGER: Final = "org.freedesktop.network1.Manager"
_LINK: Final = "org.freedesktop.network1.Link"
_LINKS: Final = f"{_PATH}/link/"
_ESCAPED: Final = re.compile(r"_([0-9a-f]{2})")

_RULE: Final = (
    "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
    f",path_namespace='{_PATH}'"
)

_HINT_S: Final = 0.2
"""Seconds that networkd gets to take in what the kernel has told it and us."""

_STATES: Final = {
    "OperationalState": "operational",
    "OnlineState": "online",
    "CarrierState": "carrier",
    "AddressState": "address",
    "IPv4AddressState": "ipv4-address",
    "IPv6AddressState": "ipv6-address",
}
"""networkd's states of the whole host, and what we call them."""


class Networkd:
    """Follows networkd while it is on the bus."""

    name: str = "org.freedesktop.network1"
    rules: tuple[str, ...] = (_RULE,)

    def __init__(self, submit: Callable[[Input], None], *, wanted: bool) -> None:
        """submit: takes what is found out. wanted: the configuration names it."""
        self._submit = submit
        self._wanted = wanted
        self._reports: dict[IfIndex, LinkReport] = {}
        self._hinted: set[IfIndex] = set()
        """Links of which the kernel has told something that may be networkd's work."""
        self._peer: Peer | None = None
        self._clock = _Clock()

    def lose(self, reason: str) -> None:
        """Take in that it is not there."""
        self._peer = None
        self._submit(BackendLost(BACKEND, reason, wanted=self._wanted))

    def note(self, inputs: list[Input]) -> None:
        """Take in what the kernel says: it may be what networkd has just done."""
        if not self._reports:
            return
        for given in inputs:
            match given:
                case AddressSeen(address=address, dump=0) | AddressGone(address=address):
                    self._hint(address.ifindex)
                case LinkGone(ifindex=ifindex):
                    if self._reports.pop(ifindex, None) is not None:
                        self._submit(BackendForgot(BACKEND, ifindex))

    def _hint(self, ifindex: IfIndex) -> None:
        report = self._reports.get(ifindex)
        if self._peer is not None and report is not None and report.manages:
            self._hinted.add(ifindex)
            self._peer.wake()

    async def follow(self, peer: Peer) -> None:
        """Tell all that it knows, then what changes of it. Raises: CallFailed, BusGone."""
        self._hinted.clear()
        await self._find(peer)
        self._peer = peer
        while True:
            heard = await peer.hear()
            if heard.lost:
                await self._find(peer)
                continue
            host = False
            touched: dict[IfIndex, None] = {}
            for signal in heard.signals:
                ifindex = _find_link(signal.path)
                if ifindex is None:
                    host = host or signal.path == _PATH
                else:
                    self._pass_state(ifindex, signal)
                    touched[ifindex] = None
            if not touched and self._hinted:
                await trio.sleep(_HINT_S)
            touched.update(dict.fromkeys(self._hinted))
            self._hinted.clear()
            for ifindex in touched:
                await self._describe(peer, ifindex)
            if host:
                self._submit(BackendSaidHost(await _read_host(peer)))

    async def _find(self, peer: Peer) -> None:
        """Ask for all there is, and tell it."""
        version = await read_version(peer)
        host = await _read_host(peer)
        (text,) = await peer.call(_PATH, f"{_MANAGER}.Describe", answer="s")
        try:
            reports = read_all(text, self._clock.tell, self._reports)
        except Unreadable as error:
            raise CallFailed("", f"its description can't be read: {error}") from None
        self._reports = {each.ifindex: await complete(each) for each in reports}
        self._submit(BackendFound(BACKEND, version, tuple(self._reports.values()), host))

    def _pass_state(self, ifindex: IfIndex, signal: Signal) -> None:
        """Tell a state that may be over by the time that we ask; the last one is asked with all else."""
        report, state = self._reports.get(ifindex), _read_state(signal)
        if report is None or not state or state == report.setup_state:
            return
        if state in PASSING:
            self._say(evolve(report, setup_state=state, manages=state in MANAGED))

    async def _describe(self, peer: Peer, ifindex: IfIndex) -> None:
        """Ask for one link, and tell what it is like."""
        try:
            report = await self._ask(peer, ifindex)
            if _is_half_gone(self._reports.get(ifindex), report):
                await trio.sleep(_HINT_S)
                report = await self._ask(peer, ifindex)
            self._say(report)
        except CallFailed as error:
            if "NoSuchLink" not in error.name and "UnknownObject" not in error.name:
                raise
            if self._reports.pop(ifindex, None) is not None:
                self._submit(BackendForgot(BACKEND, ifindex))
        except Unreadable as error:
            raise CallFailed("", f"its description can't be read: {error}") from None

    async def _ask(self, peer: Peer, ifindex: IfIndex) -> LinkReport:
        (text,) = await peer.call(_PATH, f"{_MANAGER}.DescribeLink", "i", (ifindex,), answer="s")
        return await complete(read_link(text, self._clock.tell, self._reports))

    def _say(self, report: LinkReport) -> None:
        if self._reports.get(report.ifindex) != report:
            self._reports[report.ifindex] = report
            self._submit(BackendSaid(report))


def _is_half_gone(before: LinkReport | None, now: LinkReport) -> bool:
    """Tell whether networkd seems to be about taking a lease apart: it grants less, for the same time."""
    old = {each.family: each for each in (before.leases if before else ())}
    return any(
        old[each.family].address == each.address
        and old[each.family].end_ns == each.end_ns
        and old[each.family].content != each.content
        for each in now.leases
        if each.family in old
    )


class _Clock:
    """Wall clock times of CLOCK_BOOTTIME, the same one each time for the same moment."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def tell(self, microseconds: int) -> int:
        """Return nanoseconds since 1970."""
        found = self._known.get(microseconds)
        if found is None:
            offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if len(self._known) >= 1024:
                self._known.clear()
            found = self._known[microseconds] = microseconds * 1000 + offset
        return found


def _find_link(path: str) -> IfIndex | None:
    """Return the link of an object's path, None for another object. Source: sd_bus_path_encode(3)."""
    if not path.startswith(_LINKS):
        return None
    label = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), path.removeprefix(_LINKS))
    return IfIndex(int(label)) if re.fullmatch(r"[0-9]{1,9}", label) else None


def _read_state(signal: Signal) -> str:
    """Return the setup state that a signal tells, "" for none."""
    interface, values = read_change(signal)
    return str(values.get("AdministrativeState", "")) if interface == _LINK else ""


async def _read_host(peer: Peer) -> HostReport:
    values: dict[str, Any] = await peer.get_properties(_PATH, _MANAGER)
    states = ((ours, str(values[theirs])) for theirs, ours in _STATES.items() if theirs in values)
    return HostReport(BACKEND, tuple(states))


async def read_version(peer: Peer) -> str:
    """Return systemd's version, "" where systemd does not run as such."""
    arguments = ("org.freedesktop.systemd1.Manager", "Version")
    try:
        ((_, version),) = await peer.connection.call(
            "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
            "org.freedesktop.DBus.Properties.Get", "ss", arguments, answer="v",
        )  # fmt: skip
    except CallFailed:
        return ""
    return str(version).partition(" ")[0]
