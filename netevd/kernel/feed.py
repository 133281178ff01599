"""
From the helper's feed to inputs of the core. Pure: messages in, inputs out; no socket, no clock.

Belongs here: which message of `privsep.protocol` means which input. Receiving them does not.
"""

from __future__ import annotations

from typing import Final

from netevd.kernel.decode import DecodeError, decode
from netevd.model.inputs import DumpEnded, Input, Overran
from privsep import protocol

_LINKS_PART: Final = 0
_ADDRESSES_PART: Final = 1


def dump_id(dump: int, kind: str) -> int:
    """
    Return the helper's number for one half of the core's dump `dump`.

    `kind` is links or addresses, requested in this order.
    """
    return 2 * dump + (_LINKS_PART if kind == "links" else _ADDRESSES_PART)


class FeedTranslator:
    """
    Turns feed messages of one helper into inputs; a new helper needs a new translator.

    One dump of the core is two of the helper, see `dump_id`.
    """

    def __init__(self) -> None:
        self._complete: dict[int, bool] = {}
        """Helper's number of a dump to whether what came of it so far can be trusted."""

    def translate(self, message: protocol.FeedMessage) -> list[Input]:
        """
        Return what a message means to the core, in order.

        A datagram that cannot be decoded counts as lost: the core will ask for a new dump.
        """
        match message:
            case protocol.Datagrams():
                return self._translate_events(message)
            case protocol.Overrun(source=source):
                return [Overran()] if source == protocol.LINKS else []
            case protocol.DumpPart():
                return self._translate_part(message)
            case protocol.DumpFinished():
                return self._finish(message)

    def _translate_events(self, message: protocol.Datagrams) -> list[Input]:
        """Return the events of the link socket; routes are read from issue 3 on."""
        inputs: list[Input] = []
        if message.source != protocol.LINKS:
            return inputs
        for part in message.parts:
            try:
                inputs += decode(part)
            except DecodeError as error:
                inputs.append(Overran(str(error)))
        return inputs

    def _translate_part(self, message: protocol.DumpPart) -> list[Input]:
        """Return one part of a dump; one that cannot be decoded spoils the dump."""
        try:
            return decode(message.data, message.dump // 2)
        except DecodeError:
            self._complete[message.dump] = False
            return []

    def _finish(self, message: protocol.DumpFinished) -> list[Input]:
        """Return the end of a dump once its second half has ended."""
        number, part = divmod(message.dump, 2)
        sound = self._complete.pop(message.dump, True)
        whole = sound and message.errno == 0 and not message.interrupted
        if part == _LINKS_PART:
            later = {half: sound for half, sound in self._complete.items() if half > message.dump}
            self._complete = {message.dump: whole, **later}
            return []
        links = self._complete.pop(dump_id(number, "links"), False)
        return [DumpEnded(number, consistent=whole and links)]
