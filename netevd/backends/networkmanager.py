"""
NetworkManager: states of devices, their connections, leases and DNS, and its states of the host.

Its signals tell each state of a device, so that none of a row is missed; all else is asked of it when
a signal says that it has changed. What a device leads to (connection, addresses, leases) are objects
of their own, so which of them belongs to which device is remembered from the last time it was asked.
Source: org.freedesktop.NetworkManager(5) and the pages it leads to.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from attrs import evolve

from netevd.backends.bus import Heard, Peer
from netevd.backends.connection import Signal
from netevd.backends.device import BACKEND, STATES, describe
from netevd.backends.networkmanagerobjects import (
    ACTIVE,
    CONFIGURATIONS,
    DEVICE,
    NAME,
    PATH,
    SAVED,
    WIRELESS,
    ask_device,
    await_manager,
    find_vpns,
    list_configurations,
    list_paths,
    list_uses,
)
from netevd.backends.networkmanagersignals import (
    is_starting,
    is_state,
    read_host,
    read_state,
    skip_told,
    tells_of_active,
)
from netevd.backends.profile import Device, Vpn
from netevd.backends.properties import Properties, get_number
from netevd.backends.returning import Returning
from netevd.model.backend import HostReport, LinkReport
from netevd.model.inputs import (
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendMet,
    BackendSaid,
    BackendSaidHost,
    Input,
    LinkGone,
    LinkSeen,
)
from netevd.model.link import IfIndex

_CHANGED: Final = (
    "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='{}'"
)
_RULES: Final = tuple(
    _CHANGED.format(each) for each in (NAME, DEVICE, WIRELESS, ACTIVE, *CONFIGURATIONS.values())
)
"""Not of access points, which change their strength all the time, nor of statistics."""

_SIGNAL_S: Final = 1.0
"""Seconds within which a state is signalled that is in an answer already."""

_PASSING: Final = frozenset({"prepare", "config", "ip-config", "ip-check", "secondaries"})
"""States on a device's way up, which another one follows by itself."""

_FIRST: Final = "prepare"
"""The first of them."""

_ROW: Final = 64
"""States of one device that wait to be told; the oldest are left out."""

_SETTLING_S: Final = 0.05
"""Seconds for what belongs together to arrive: a state is signalled before the properties it came with."""


class NetworkManager:
    """Follows NetworkManager while it is on the bus."""

    name: str = NAME
    rules: tuple[str, ...] = (
        *_RULES,
        f"type='signal',interface='{DEVICE}',member='StateChanged'",
        f"type='signal',interface='{SAVED}',member='Updated'",
    )

    def __init__(self, submit: Callable[[Input], None], *, wanted: bool) -> None:
        """submit: takes what is found out. wanted: the configuration names it."""
        self._submit = submit
        self._wanted = wanted
        self._links: dict[str, IfIndex] = {}
        """Links of the kernel by name: NetworkManager tells no index."""
        self._names: dict[IfIndex, str] = {}
        self._devices: dict[str, LinkReport | None] = {}
        """By path of the device; None: it is none of the kernel's links."""
        self._states: dict[str, str] = {}
        """The last state of each device."""
        self._answers: dict[str, str] = {}
        """The last state of each device that it was asked for."""
        self._answered: dict[str, str] = {}
        """States that are from an answer: up to it, signals that wait tell nothing new."""
        self._rows: dict[str, deque[str]] = {}
        """States that were signalled and not told yet, also of devices that are not known yet."""
        self._returning = Returning()
        self._host: HostReport | None = None
        """The last that was told of the host."""
        self._beginning: set[str] = set()
        """Devices that have begun to be activated, by a connection that was not told yet."""
        self._uses: dict[str, set[str]] = {}
        """Which devices lead to an object."""
        self._others: set[str] = set()
        """Active connections that are no VPNs."""
        self._vpns: dict[str, Vpn] = {}
        """The last VPN of each device that is the link of one."""
        self._postponed: dict[str, float] = {}
        """Devices whose state in an answer was not signalled yet, and when that is not waited for any more."""
        self._awaited = False
        """Whether a link has come, or got a name, that a device may be waiting for."""
        self._peer: Peer | None = None

    def lose(self, reason: str) -> None:
        """Take in that it is not there."""
        self._peer = None
        links = (each for each in self._devices.values() if each is not None)
        self._returning.keep(links, self._host)
        self._submit(BackendLost(BACKEND, reason, wanted=self._wanted))

    def note(self, inputs: list[Input]) -> None:
        """Take in which links the kernel has."""
        for given in inputs:
            match given:
                case LinkSeen(link=link):
                    if self._names.get(link.ifindex) != link.name:
                        self._forget_link(link.ifindex)
                        self._names[link.ifindex] = link.name
                        self._links[link.name] = link.ifindex
                        self._awaited = True
                case LinkGone(ifindex=ifindex):
                    self._forget_link(ifindex)
        if self._awaited and self._peer is not None:
            self._peer.wake()

    def _forget_link(self, ifindex: IfIndex) -> None:
        name = self._names.pop(ifindex, None)
        if name is not None and self._links.get(name) == ifindex:
            del self._links[name]

    async def follow(self, peer: Peer) -> None:
        """Tell all that it knows, then what changes of it. Raises: CallFailed, BusGone."""
        self._submit(BackendMet(BACKEND))
        signals = await self._find(peer)
        self._peer = peer
        while True:
            await self._handle(peer, signals)
            heard = Heard([], lost=False)
            with trio.move_on_at(min(self._returning.due, *self._postponed.values(), math.inf)):
                heard = await peer.hear()
            signals = await self._find(peer) if heard.lost else heard.signals

    async def _handle(self, peer: Peer, signals: list[Signal]) -> None:
        """Tell what signals, and what the kernel has told meanwhile, have changed."""
        host, touched = self._take(signals)
        if touched:
            await trio.sleep(_SETTLING_S)
        now = trio.current_time()
        touched |= {path: None for path, due in self._postponed.items() if due <= now}
        if self._awaited:
            self._awaited = False
            touched |= dict.fromkeys(self._list_unplaced())
        if host or now >= self._returning.due:
            await self._look_round(peer, touched)
        elif touched:
            await self._tell(peer, touched, await peer.get_properties(PATH, NAME))

    def _take(self, signals: list[Signal]) -> tuple[bool, dict[str, None]]:
        """Take in states in their order; return whether the host may have changed, and which devices have."""
        host = False
        touched: dict[str, None] = {}
        for signal in skip_told(signals, self._answered):
            if signal.path == PATH:
                host = True
            elif is_state(signal):
                self._take_state(signal.path, read_state(signal))
                touched[signal.path] = None
            else:
                if signal.path in self._devices:
                    touched[signal.path] = None
                touched |= dict.fromkeys(sorted(self._uses.get(signal.path, ())))
                host = host or (signal.path not in self._others and tells_of_active(signal))
        self._answered.clear()
        return host, touched

    def _take_state(self, path: str, state: str) -> None:
        """
        Tell a device's state that is on the way, at once; one that it stays in is told with all else.

        Those of a connection wait until it is known: whoever hears of them is told which one it is.
        """
        row = self._rows.setdefault(path, deque(maxlen=_ROW))
        row.append(state)
        if state == _FIRST:
            self._beginning.add(path)
        while row and (len(row) > 1 or row[0] in _PASSING):
            known = self._devices.get(path)
            if known is None or (path in self._beginning and row[0] in _PASSING):
                return
            self._states[path] = row.popleft()
            self._say(path, evolve(known, device_state=self._states[path]))

    # --- what is there ---------------------------------------------------------------------------

    async def _find(self, peer: Peer) -> list[Signal]:
        """Ask for all there is, and tell it; return the signals that tell of what came later."""
        while True:
            self._devices.clear()
            self._states.clear()
            self._answered.clear()
            self._rows.clear()
            self._postponed.clear()
            self._uses.clear()
            self._others.clear()
            self._vpns.clear()
            self._beginning.clear()
            self._awaited = False
            manager = await await_manager(peer)
            self._returning.begin(trio.current_time(), is_starting=is_starting(manager))
            vpns = await find_vpns(peer, manager, self._others)
            for path in list_paths(manager, "AllDevices"):
                self._devices[path] = None
                self._devices[path] = await self._read(peer, path, vpns)
            heard = await hear_now(peer)
            if not heard.lost:
                break
        self._step_back(heard.signals)
        for path, each in self._devices.items():
            self._devices[path] = None if each is None else self._returning.choose(each)
        reports = tuple(each for each in self._devices.values() if each is not None)
        version = str(manager.get("Version", ""))
        self._host = self._returning.choose_host(read_host(manager))
        self._submit(BackendFound(BACKEND, version, reports, self._host))
        return heard.signals

    def _step_back(self, signals: list[Signal]) -> None:
        """Take devices for what they were before these signals, which are told one after another then."""
        for signal in reversed(signals):
            report = self._devices.get(signal.path)
            if report is not None and is_state(signal):
                state = STATES.get(signal.body[1], "unknown")
                self._answered.pop(signal.path, None)
                self._states[signal.path] = state
                self._devices[signal.path] = evolve(report, device_state=state)

    async def _look_round(self, peer: Peer, touched: dict[str, None]) -> None:
        """Take in which devices there are, and the states of the host. touched: devices to tell anyway."""
        manager = await peer.get_properties(PATH, NAME)
        if self._returning.is_over(trio.current_time(), is_starting=is_starting(manager)):
            self._returning.end()
            self._states |= {path: row[-1] for path, row in self._rows.items() if row}
            self._rows.clear()
            touched |= dict.fromkeys(self._devices)
        now = list_paths(manager, "AllDevices")
        for path in [each for each in self._devices if each not in now]:
            self._drop(path)
        new = [each for each in now if each not in self._devices]
        self._devices.update(dict.fromkeys(new))
        self._rows = {path: each for path, each in self._rows.items() if path in self._devices}
        under = [path for path in self._devices if self._is_under_vpn(path)]
        await self._tell(peer, dict.fromkeys([*touched, *new, *under]), manager)
        self._host = self._returning.choose_host(read_host(manager))
        self._submit(BackendSaidHost(self._host))

    def _is_under_vpn(self, path: str) -> bool:
        report = self._devices.get(path)
        return report is not None and "vpn.uuid" in dict(report.details)

    def _list_unplaced(self) -> list[str]:
        """Return devices whose link the kernel had not told, or tells by another name."""
        return [
            path
            for path, report in self._devices.items()
            if report is None or report.ifindex not in self._names
        ]

    def _drop(self, path: str) -> None:
        for each in (self._states, self._answers, self._postponed, self._vpns):
            each.pop(path, None)
        self._beginning.discard(path)
        report = self._devices.pop(path, None)
        for users in self._uses.values():
            users.discard(path)
        self._uses = {each: users for each, users in self._uses.items() if users}
        if report is not None:
            # NetworkManager signals this state too, when its device can't be asked for any more
            self._submit(BackendSaid(evolve(report, manages=False, device_state="unmanaged")))
            self._submit(BackendForgot(BACKEND, report.ifindex))

    # --- one device ------------------------------------------------------------------------------

    async def _tell(self, peer: Peer, touched: dict[str, None], manager: Properties) -> None:
        """Ask for all of some devices, and those with the addresses of a VPN, and tell it."""
        vpns = await find_vpns(peer, manager, self._others)
        shared = [each for vpn in vpns for each in sorted(list_configurations(vpn.profile.active))]
        users = [path for each in shared for path in sorted(self._uses.get(each, ()))]
        for path in dict.fromkeys([*touched, *users]):
            if path in self._devices:
                row = self._rows.get(path)
                if row:
                    self._states[path] = row[-1]
                report = await self._read(peer, path, vpns)
                # without one it is gone, which is told of all devices, or no link of the kernel yet
                if report is not None and not self._postpones(path):
                    self._say_row(path, report, self._rows.pop(path, deque()))

    def _postpones(self, path: str) -> bool:
        """
        Tell whether a device is told later: what comes with a state is there before that is signalled.

        So that nobody hears of a device that is up and has nothing.
        """
        if self._answers[path] == self._states[path]:
            self._postponed.pop(path, None)
            return False
        now = trio.current_time()
        if self._postponed.setdefault(path, now + _SIGNAL_S) > now:
            return True
        del self._postponed[path]
        self._states[path] = self._answers[path]
        self._rows.setdefault(path, deque(maxlen=_ROW)).append(self._states[path])
        return False

    def _say_row(self, path: str, report: LinkReport, row: deque[str]) -> None:
        """Tell the states on the way to a report, with what was known then, and the report."""
        known = self._devices.get(path) or LinkReport(BACKEND, report.ifindex)
        for state in list(row)[:-1]:
            if state in _PASSING:  # of the connection that the report tells of
                known = evolve(
                    known, connection_id=report.connection_id, connection_uuid=report.connection_uuid,
                    external=report.external, details=report.details,
                )  # fmt: skip
            self._say(path, evolve(known, ifindex=report.ifindex, device_state=state))
        self._say(path, report)
        self._beginning.discard(path)

    async def _read(self, peer: Peer, path: str, vpns: list[Vpn]) -> LinkReport | None:
        """Return what is known of a device, None while it is none of the kernel's links."""
        device = await ask_device(peer, path, vpns)
        if device is None:
            return None
        device = self._keep_vpn(path, device)
        self._note_uses(path, device)
        state = STATES.get(get_number(device.properties, "State"), "unknown")
        self._answers[path] = state
        if path not in self._states:
            self._states[path] = self._answered[path] = state
        ifindex = self._links.get(str(device.properties.get("Interface", "")))
        return None if ifindex is None else describe(device, ifindex, self._states[path])

    def _keep_vpn(self, path: str, device: Device) -> Device:
        """Return a device with the VPN whose link it was, if that has ended: its link is there a little longer."""
        known = self._vpns.get(path)
        if device.is_vpn and device.vpn is not None:
            self._vpns[path] = device.vpn
        elif known is not None:
            return evolve(device, vpn=evolve(known, ended=True))
        return device

    def _say(self, path: str, report: LinkReport) -> None:
        report = self._returning.choose(report)
        known = self._devices.get(path)
        if known is not None and known.ifindex != report.ifindex:
            self._submit(BackendForgot(BACKEND, known.ifindex))
        if known != report:
            self._devices[path] = report
            self._submit(BackendSaid(report))

    def _note_uses(self, path: str, device: Device) -> None:
        for users in self._uses.values():
            users.discard(path)
        for each in list_uses(device):
            self._uses.setdefault(each, set()).add(path)
        self._uses = {each: users for each, users in self._uses.items() if users}


async def hear_now(peer: Peer) -> Heard:
    """Return the signals that have come, without waiting for one."""
    peer.wake()
    return await peer.hear()
