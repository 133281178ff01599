"""Which networks wireless links are in: read when the kernel hints that it may have changed, and told whole."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

import trio

from netevd.kernel.attributes import DecodeError
from netevd.kernel.wireless import Network, decode_network, decode_news, decode_stations
from netevd.model.backend import LinkReport
from netevd.model.inputs import BackendFound, Input
from netevd.model.link import IfIndex
from netevd.worker.inquiries import Answer, Inquiries
from privsep.protocol import Datagrams, Overrun, Wireless

ROAMING_S: Final = 2.0
"""Seconds that a link which has left its network has to be in another one: then it has roamed."""

RETRY_S: Final = 5.0
"""Seconds until what could not be read this time is read again."""

ATTEMPTS: Final = 3
"""How often in a row a link is read whose dump was interrupted; it is anew with each scan."""

LINKS: Final = 64
"""Wireless links that are followed."""

_PASSING: Final = frozenset(
    (errno.ETIMEDOUT, errno.ENOBUFS, errno.EINTR, errno.EAGAIN, errno.EBUSY)
)
"""Why something can't be read now, but maybe later; without nl80211 it is ENOENT until that comes."""


class Unread(Exception):
    """It could not be read this time."""


class WirelessWatch:
    """The task that reads for one helper."""

    def __init__(self, inquiries: Inquiries, submit: Callable[[list[Input]], None]) -> None:
        """submit: takes what is found out."""
        self._inquiries = inquiries
        self._submit = submit
        self._news = trio.Event()
        self._left = False
        """Whether the latest that was heard is that a link has left its network."""

    def hear(self, message: Datagrams | Overrun) -> None:
        """Take in what nl80211 has told by itself, or that some of it was lost."""
        for part in message.parts if isinstance(message, Datagrams) else ():
            try:
                news = decode_news(part)
            except DecodeError:
                news = "appeared"  # whatever it was: it is read anew
            if not news:
                continue
            self._left = news == "left"
            self._news.set()
        if isinstance(message, Overrun):
            self._news.set()

    async def run(self) -> None:
        """Read once, and then whenever something has changed; for ever. Raises: PeerGone."""
        while True:
            again = False
            try:
                reports = await self._read()
            except Unread:
                again = True
            else:
                self._submit([BackendFound("nl80211", "", reports)])
            with trio.move_on_after(RETRY_S if again else float("inf")):
                await self._news.wait()
            await self._let_roam()
            self._news = trio.Event()

    async def _let_roam(self) -> None:
        """Wait until a link that has left its network has entered another, or has had the time for it."""
        with trio.move_on_after(ROAMING_S):
            while self._left:
                self._news = trio.Event()
                await self._news.wait()
        self._left = False

    async def _read(self) -> tuple[LinkReport, ...]:
        """Return what there is to say of each wireless link. Raises: Unread, PeerGone."""
        answer = await self._inquiries.make(lambda number: Wireless(number, 0))
        _check(answer)
        try:
            links = decode_stations(answer.parts)[:LINKS] if not answer.errno else []
            reports = []
            for ifindex in links:
                network = await self._read_network(ifindex)
                told = network or Network("", "")
                reports.append(LinkReport("nl80211", ifindex, ssid=told.ssid, bssid=told.bssid))
        except DecodeError as error:
            raise Unread(str(error)) from None
        return tuple(reports)

    async def _read_network(self, ifindex: IfIndex) -> Network | None:
        for _ in range(ATTEMPTS):
            answer = await self._inquiries.make(lambda number: Wireless(number, ifindex))
            _check(answer)
            network, whole = decode_network(answer.parts)
            if network is not None or whole:
                return network
        raise Unread("each dump was interrupted")


def _check(answer: Answer) -> None:
    if answer.errno in _PASSING:
        raise Unread(str(answer.errno))
