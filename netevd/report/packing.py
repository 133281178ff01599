"""
What is remembered as bytes: msgpack of the model's values, read back with every type checked.

Names of links may hold bytes that are not UTF-8, which msgpack has no text for. What has such a name
is written another way, told by its first octet; nothing else pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

_MENDED: Final = b"\xc1"
"""Never the first octet of msgpack. Source: msgpack specification, formats."""

_SIGN: Final = "\0"
"""Begins a text that stands for octets; no name of the kernel's holds it."""

_encoder: Final = msgspec.msgpack.Encoder()


class Unreadable(Exception):
    """These bytes are not what was written: another version's, or damaged."""


class Packing(Generic[T]):
    """Packs and unpacks values of one type."""

    def __init__(self, kind: type[T] | object) -> None:
        """kind: a type of attrs or msgspec, or a union of tagged structs."""
        self._kind = kind
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def pack(self, value: T) -> bytes:
        """Return the bytes of a value."""
        try:
            return _encoder.encode(value)
        except UnicodeEncodeError:
            return _MENDED + _encoder.encode(_walk(msgspec.to_builtins(value), _hide))

    def unpack(self, packed: bytes | memoryview) -> T:
        """Return the value of bytes that `pack` made. Raises: Unreadable."""
        try:
            if packed[:1] != _MENDED:
                return self._decoder.decode(packed)
            plain = _walk(msgspec.msgpack.decode(packed[1:]), _reveal)
            return msgspec.convert(plain, self._kind)  # type: ignore[no-any-return]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(str(error)) from None


def _walk(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _walk(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(each, change) for each in value]
    return value


def _hide(text: str) -> str:
    if not any("\udc80" <= each <= "\udcff" for each in text):
        return text
    return _SIGN + text.encode("utf-8", "surrogateescape").decode("latin-1")


def _reveal(text: str) -> str:
    if not text.startswith(_SIGN):
        return text
    return text[1:].encode("latin-1").decode("utf-8", "surrogateescape")
