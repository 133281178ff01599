"""Answers of WireGuard's keepers: however they are built, a key in them never comes out."""

from __future__ import annotations

import struct
from typing import Any

from netevd.kernel.wireguard import Malformed, decode_kernel, decode_userspace
from privsep import protocol
from privsep.generic import redact
from privsep.protocol import ProtocolViolation
from privsep.wireguard import DEVICE, Inquiry
from tests.fuzz.mutation import Dice

CANARY = b"\x5a\xa5KEY-THAT-NOBODY-MAY-SEE-0123\xc3"
_HEX = CANARY.hex().encode()
_FAMILY = 33
_KNOWN_DEVICE, _KNOWN_PEER = {1, 2, 4, 6, 7, 8}, {1, 4, 5, 6, 7, 8, 9, 10}
_LINES = [b"private_key", b"preshared_key", b"listen_port", b"public_key", b"endpoint", b"tx_bytes", b"errno", b"", b" private_key",
          b"Private_Key", b"private_key\0", b"public_keys", b"protocol_version", b"new_secret_of_later"]  # fmt: skip
_TOLD = {b"listen_port", b"public_key", b"endpoint", b"tx_bytes", b"errno", b"protocol_version"}


def seeds() -> list[bytes]:
    """Return some decisions, since answers are built of them."""
    return [bytes(range(each, 256)) for each in range(0, 250, 10)] + [
        bytes(64),
        b"\x03" * 200,
        b"\x08" * 200,
    ]


def check(data: bytes) -> None:
    """Build an answer of the kernel's and one of a userspace device, redact both and look for the key."""
    dice = Dice(data)
    answer = _build_answer(dice)
    try:
        told = redact(answer, _FAMILY, DEVICE)
    except ProtocolViolation:
        told = b""
    assert CANARY not in told
    try:
        repr(decode_kernel([told]))
    except Malformed:
        pass
    told = _read_lines(_build_lines(dice), dice)
    assert CANARY not in told and _HEX not in told
    try:
        repr(decode_userspace(told))
    except Malformed:
        pass


def _build_answer(dice: Dice) -> bytes:
    """Return messages whose attributes hold the key wherever they are not among the harmless."""
    answer = b""
    for _ in range(1 + dice.number(3)):
        body = b"\0\1\0\0" + _build_attributes(dice, _KNOWN_DEVICE, 2)
        kind = _FAMILY if dice.number(8) else 3
        answer += struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body
    if dice.number(4) == 0:  # it lies about where something ends
        place = dice.number(len(answer))
        answer = (
            answer[:place] + dice.octets(4) + answer[place + 4 :] if place % 16 else answer[:place]
        )
    return answer if _is_harmless_outside(answer) else b""


def _is_harmless_outside(answer: bytes) -> bool:
    """Tell whether the key is still only where a key is: what was cut may have made it another's value."""
    offset = 0
    while offset + 20 <= len(answer):
        length = int.from_bytes(answer[offset : offset + 4], "little")
        if length < 20 or offset + length > len(answer):
            return True  # refused as a whole
        if not _holds_only_where_it_may(answer[offset + 20 : offset + length], _KNOWN_DEVICE, 2):
            return False
        offset += length + 3 & ~3
    return True


def _holds_only_where_it_may(attributes: bytes, known: set[int], depth: int) -> bool:
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if length < 4 or offset + length > len(attributes):
            return True
        payload, number = attributes[offset + 4 : offset + length], kind & 0x3FFF
        nests = number == 8 and depth == 2
        if nests:
            if not _holds_only_where_it_may(payload, set(range(1 << 14)), 1):
                return False
        elif depth == 1:
            if not _holds_only_where_it_may(payload, _KNOWN_PEER, 0):
                return False
        elif number in known and CANARY in payload:
            return False
        offset += length + 3 & ~3
    return True


def _build_attributes(dice: Dice, known: set[int], depth: int) -> bytes:
    built = b""
    for _ in range(dice.number(6)):
        number = dice.number(14)
        flags = (0, 0x8000, 0x4000, 0xC000)[dice.number(4)]
        if number == 8 and depth == 2:
            payload = b"".join(
                _pack(each, 0x8000, _build_attributes(dice, _KNOWN_PEER, 0))
                for each in range(dice.number(4))
            )
        elif number in known:
            payload = dice.octets(dice.number(40))
        else:
            payload = CANARY
        built += _pack(number, flags, payload)
    return built


def _pack(number: int, flags: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, number | flags) + payload + bytes(-length % 4)


def _build_lines(dice: Dice) -> bytes:
    built = b""
    for _ in range(dice.number(20)):
        name = _LINES[dice.number(len(_LINES))]
        value = dice.octets(dice.number(12)).replace(b"\n", b"") if name in _TOLD else _HEX
        built += (
            name + (b"=", b"", b" = ", b"==")[dice.number(4) if name not in _TOLD else 0] + value
        )
        built += (b"\n", b"\r\n", b"\n\n")[dice.number(3)]
    return built + b"\n" * dice.number(3)


class _Connection:
    """Gives an answer in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def recv(self, _: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self._pieces = []


def _read_lines(answer: bytes, dice: Dice) -> bytes:
    """Return what a helper tells of an answer that comes in pieces."""
    told: list[Any] = []
    inquiry = Inquiry(told.append, lambda _: None)
    try:
        inquiry.begin(protocol.Wireguard(1, 0, "wg0", userspace=True))
        pieces = []
        while answer:
            size = 1 + dice.number(64)
            pieces.append(answer[:size])
            answer = answer[size:]
        inquiry._userspace = _Connection(pieces)  # type: ignore[assignment]
        while inquiry._userspace is not None:
            inquiry.receive(-1)
    finally:
        inquiry._generic.close()
    return b"".join(each.data for each in told if isinstance(each, protocol.AnswerPart))
