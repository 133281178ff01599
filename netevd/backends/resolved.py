"""
systemd-resolved and systemd-hostnamed: told what a lease says of links and of the host's name.

resolved is followed, since it forgets what it was told when it is started anew; hostnamed is started by
the bus when it is called, and the kernel keeps the name. What a link of networkd's shall have goes
through networkd, since resolved leaves such links to it. Source: org.freedesktop.resolve1(5),
org.freedesktop.network1(5), org.freedesktop.hostname1(5).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from netevd.backends.bus import Peer
from netevd.backends.connection import BusGone, CallFailed, Connection
from netevd.model.actions import GiveAdvice
from netevd.model.advice import Advice
from netevd.model.inputs import AdviceAnswered, BackendFound, BackendLost, Input

_HOSTNAMED: Final = ("org.freedesktop.hostname1", "/org/freedesktop/hostname1")
_FAMILIES: Final = {4: 2, 6: 10}
"""AF_INET and AF_INET6. Source: socket.h of Linux."""

_REFUSALS: Final = (
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    "org.freedesktop.PolicyKit1.Error.NotAuthorized",
)


class _Keeper(NamedTuple):
    """Who keeps DNS of links, and how it is told."""

    name: str
    path: str
    interface: str
    revert: bool
    """Whether taking back is a method of its own; else nothing is set."""


_KEEPERS: Final = {
    "systemd-resolved": _Keeper(
        "org.freedesktop.resolve1", "/org/freedesktop/resolve1",
        "org.freedesktop.resolve1.Manager", revert=False,
    ),
    "systemd-networkd": _Keeper(
        "org.freedesktop.network1", "/org/freedesktop/network1",
        "org.freedesktop.network1.Manager", revert=True,
    ),
}  # fmt: skip


class Resolved:
    """Says whether resolved is there."""

    name: str = "org.freedesktop.resolve1"
    rules: tuple[str, ...] = ()

    def __init__(self, submit: Callable[[Input], None]) -> None:
        """submit: takes what is found out."""
        self._submit = submit

    async def follow(self, peer: Peer) -> None:
        """Tell that it is there, for as long as it is."""
        self._submit(BackendFound("systemd-resolved", ""))
        await trio.sleep_forever()
        del peer

    def lose(self, reason: str) -> None:
        """Take in that it is not there: it is needed, since it is followed only then."""
        self._submit(BackendLost("systemd-resolved", reason, wanted=True))


async def give(action: GiveAdvice, connection: Connection | None) -> AdviceAnswered:
    """Tell a service, and return what it says to it. connection: None where there is no bus."""
    if connection is None:
        return AdviceAnswered(action.number, "there is no system bus")
    try:
        if action.advice.service == "systemd-hostnamed":
            await _name_host(connection, "" if action.withdraw else action.advice.hostname)
        else:
            await _tell_link(connection, action.advice, withdraw=action.withdraw)
    except CallFailed as error:
        return AdviceAnswered(action.number, str(error), refused=error.name in _REFUSALS)
    except BusGone as gone:
        return AdviceAnswered(action.number, f"the system bus is gone: {gone}")
    return AdviceAnswered(action.number)


async def _name_host(connection: Connection, name: str) -> None:
    service, path = _HOSTNAMED
    await connection.call(service, path, f"{service}.SetHostname", "sb", (name, False))


async def _tell_link(connection: Connection, advice: Advice, *, withdraw: bool) -> None:
    keeper = _KEEPERS[advice.service]
    if withdraw and keeper.revert:
        method = f"{keeper.interface}.RevertLinkDNS"
        await connection.call(keeper.name, keeper.path, method, "i", (advice.subject,))
        return
    if advice.dns is not None:
        servers = [] if withdraw else [_pack(each) for each in advice.dns]
        method = f"{keeper.interface}.SetLinkDNS"
        await connection.call(
            keeper.name, keeper.path, method, "ia(iay)", (advice.subject, servers)
        )
    if advice.domains is not None:
        domains = [] if withdraw else [(each, False) for each in advice.domains]
        method = f"{keeper.interface}.SetLinkDomains"
        await connection.call(keeper.name, keeper.path, method, "ia(sb)", (advice.subject, domains))


def _pack(address: str) -> tuple[int, bytes]:
    parsed = ipaddress.ip_address(address)
    return _FAMILIES[parsed.version], parsed.packed
