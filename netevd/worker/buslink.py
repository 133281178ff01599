"""Connections to the system bus, as the supervisor has them made: the worker's filter has no connect."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

import trio

from netevd.backends.bus import Undialed
from netevd.worker.ports import PeerGone, Port
from privsep.protocol import BUS, BUS_PATH, BusPeer, BusSocket, Message, ProtocolViolation, WantBus

_ANSWER_S: Final = 10.0


class BusLink:
    """Asks for connections, one at a time."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        """send: to the supervisor."""
        self._send = send
        self._asking = trio.Lock()
        self._maker: Port[BusSocket] | None = None
        """Kept open while the connection is: whoever has made it lives as long."""
        self._answers, self._to_answer = trio.open_memory_channel[tuple[BusPeer, list[int]]](4)

    def hear(self, answer: BusPeer, descriptors: list[int]) -> None:
        """Take the supervisor's answer."""
        try:
            self._answers.send_nowait((answer, descriptors))
        except trio.WouldBlock:
            _close(descriptors)

    async def dial(self) -> int:
        """Return the descriptor of a new connection. Raises: Undialed."""
        if not _is_there():
            raise Undialed(f"{BUS_PATH} does not exist")
        async with self._asking:
            with trio.move_on_after(_ANSWER_S):
                self._send(WantBus())
                answer, descriptors = await self._to_answer.receive()
                if not descriptors:
                    raise Undialed(os.strerror(answer.errno or errno.EIO))
                if self._maker is not None:
                    self._maker.close()
                self._maker = Port(descriptors[0], BUS, descriptors=1)
                return await _receive(self._maker)
        raise Undialed(f"no connection was made within {_ANSWER_S:g} s")


def _is_there() -> bool:
    """Tell whether it is worth to have a process made for it."""
    return os.path.exists(BUS_PATH)


async def _receive(port: Port[BusSocket]) -> int:
    """Return what whoever makes the connection sends here. Raises: Undialed."""
    try:
        while True:
            await port.wait()
            received = port.receive_with_descriptors()
            if received is not None:
                message, carried = received
                if carried:
                    return carried[0]
                raise Undialed(f"{BUS_PATH}: {os.strerror(message.errno or errno.EIO)}")
    except (PeerGone, ProtocolViolation):
        raise Undialed("the process that was to connect has died") from None


def _close(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)
