"""
systemd-logind: that this machine is about to sleep, and that it is awake again.

It is listened to and asked for nothing else: no lock is taken, so the machine sleeps whether or not
scripts have ended. elogind, which has the same name on the bus, is heard as well. Source:
org.freedesktop.login1(5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from netevd.backends.bus import Peer
from netevd.backends.connection import CallFailed
from netevd.backends.networkd import read_version
from netevd.model.backend import AWAKE, SUSPENDING, BackendName, HostReport
from netevd.model.inputs import BackendFound, BackendLost, BackendSaidHost, Input

_NAME: Final = "org.freedesktop.login1"
_PATH: Final = "/org/freedesktop/login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"
_SIGNAL: Final = "PrepareForSleep"
BACKEND: Final[BackendName] = "systemd-logind"


class Logind:
    """Follows logind while it is on the bus."""

    name: str = _NAME
    rules: tuple[str, ...] = (
        f"type='signal',interface='{_MANAGER}',member='{_SIGNAL}',path='{_PATH}'",
    )

    def __init__(self, submit: Callable[[Input], None], *, wanted: bool) -> None:
        """submit: takes what is found out. wanted: the configuration names it."""
        self._submit = submit
        self._wanted = wanted

    def lose(self, reason: str) -> None:
        """Take in that it is not there."""
        self._submit(BackendLost(BACKEND, reason, wanted=self._wanted))

    def note(self, inputs: list[Input]) -> None:
        """Take in what the kernel says: none of it is logind's work."""

    async def follow(self, peer: Peer) -> None:
        """Tell whether the machine is about to sleep, and each change of that. Raises: CallFailed, BusGone."""
        version, host = await read_version(peer), await _ask(peer)
        self._submit(BackendFound(BACKEND, version, host=host))
        while True:
            heard = await peer.hear()
            for signal in heard.signals:
                match signal.body:
                    case (bool(preparing),):
                        self._submit(BackendSaidHost(_report(preparing=preparing)))
                    case body:
                        raise CallFailed("", f"{_SIGNAL} has one word, yes or no, and not {body!r}")
            if heard.lost:
                self._submit(BackendSaidHost(await _ask(peer)))


async def _ask(peer: Peer) -> HostReport:
    arguments = (_MANAGER, "PreparingForSleep")
    ((_, preparing),) = await peer.call(
        _PATH, "org.freedesktop.DBus.Properties.Get", "ss", arguments
    )
    return _report(preparing=preparing is True)


def _report(*, preparing: bool) -> HostReport:
    return HostReport(BACKEND, (SUSPENDING if preparing else AWAKE,))
