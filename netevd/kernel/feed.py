"""
From the helper's feed to inputs of the core. Pure: messages in, inputs out; no socket, no clock.

Belongs here: which message of `privsep.protocol` means which input, and which dumps of the helper
make one of the core. Receiving and requesting are the worker's.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from netevd.kernel.attributes import DecodeError
from netevd.kernel.decode import decode, decode_routes
from netevd.kernel.wireguard import Malformed, decode_kernel, decode_userspace
from netevd.model.inputs import (
    DumpEnded,
    Input,
    Overran,
    RoutesDumped,
    RoutesDumpEnded,
    RoutesOverran,
    WireguardRead,
)
from privsep import protocol


class Part(NamedTuple):
    """One dump of the helper."""

    kind: str
    """What `privsep.protocol.Dump` calls it."""
    table: int = 0
    """The one routing table it is about, 0 for all."""


class _Job:
    """One dump of the core: some of the helper, in order."""

    def __init__(self, number: int, parts: tuple[Part, ...]) -> None:
        self.number = number
        self.routes = any(part.kind.startswith("routes") for part in parts)
        self.left = len(parts)
        """Parts that have not ended."""
        self.sound = True
        """Whether what came so far can be trusted."""


class FeedTranslator:
    """Turns feed messages of one helper into inputs; a new helper needs a new translator."""

    def __init__(self) -> None:
        self._jobs: dict[int, _Job] = {}
        """Helper's number of a dump to the core's dump it is a part of."""
        self._last = 0

    def expect(self, number: int, parts: tuple[Part, ...]) -> list[tuple[int, Part]]:
        """
        Return the helper's number for each part of the core's dump `number`.

        They have to be requested in this order.
        """
        job = _Job(number, parts)
        numbered = [(self._last + place, part) for place, part in enumerate(parts, 1)]
        self._last += len(parts)
        self._jobs |= dict.fromkeys((each for each, _ in numbered), job)
        return numbered

    def translate(self, message: protocol.FeedMessage) -> list[Input]:
        """
        Return what a message means to the core, in order.

        A datagram that cannot be decoded counts as lost: the core will ask for a new dump. Nothing of
        readings, and of what nl80211 tells, which those follow who make readings of it.
        """
        match message:
            case (
                protocol.Datagrams(source=protocol.WIRELESS)
                | protocol.Overrun(source=protocol.WIRELESS)
            ):
                return []
            case protocol.Datagrams():
                return _translate_events(message)
            case protocol.Overrun(source=source):
                return [Overran() if source == protocol.LINKS else RoutesOverran()]
            case protocol.DumpPart():
                return self._translate_part(message)
            case protocol.DumpFinished():
                return self._finish(message)
            case protocol.AnswerPart() | protocol.AnswerEnd():
                return []

    def _translate_part(self, message: protocol.DumpPart) -> list[Input]:
        """Return one part of a dump; one that cannot be decoded spoils the dump."""
        job = self._jobs.get(message.dump)
        if job is None:
            return []
        try:
            if job.routes:
                return [RoutesDumped(decode_routes(message.data), job.number)]
            return decode(message.data, job.number)
        except DecodeError:
            job.sound = False
            return []

    def _finish(self, message: protocol.DumpFinished) -> list[Input]:
        """Return the end of a dump once its last part has ended."""
        job = self._jobs.pop(message.dump, None)
        if job is None:
            return []
        # a routing table that nobody has used yet does not exist
        absent = job.routes and message.errno == errno.ENOENT
        if (message.errno and not absent) or message.interrupted:
            job.sound = False
        job.left -= 1
        if job.left:
            return []
        if job.routes:
            return [RoutesDumpEnded(job.number, job.sound)]
        return [DumpEnded(job.number, job.sound)]


def _translate_events(message: protocol.Datagrams) -> list[Input]:
    """Return what events say."""
    inputs: list[Input] = []
    for part in message.parts:
        try:
            inputs += decode(part)
        except DecodeError as error:
            lost = Overran if message.source == protocol.LINKS else RoutesOverran
            inputs.append(lost(str(error)))
    return inputs


def translate_device(
    number: int, parts: list[bytes], code: int, *, userspace: bool
) -> WireguardRead:
    """Return a reading of a WireGuard device. code: why it is not whole, 0 where it is."""
    if code:
        return WireguardRead(number, None, os.strerror(code))
    try:
        device = decode_userspace(b"".join(parts)) if userspace else decode_kernel(parts)
    except Malformed as error:
        return WireguardRead(number, None, str(error))
    return WireguardRead(number, device)
