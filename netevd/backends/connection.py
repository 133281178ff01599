"""
One connection to the system bus: authentication, calls with a deadline, and what arrives.

Belongs here: the wire. jeepney knows its format, Trio waits. Who is listened to, and that a lost
connection is made again, is `bus`'s. Source: D-Bus specification.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import trio
from attrs import frozen
from jeepney import DBusAddress, Header, HeaderFields, Message, MessageType, Parser, new_method_call

MESSAGE_LIMIT: Final = 16 << 20
"""Octets of one message; what networkd or NetworkManager tell of a thousand links is less."""

CALL_S: Final = 10.0
"""Seconds within which a call is answered; polkit may have to be started for it."""

_GREETING_S: Final = 5.0
_CHUNK: Final = 64 * 1024
_PARSING: Final = (
    ValueError, LookupError, TypeError, AssertionError, struct.error, RecursionError,
)  # fmt: skip
"""What jeepney raises at octets that are no message."""
_CALLS: Final = 256
"""Calls under way at once; beyond, somebody asks without waiting."""

DAEMON: Final = "org.freedesktop.DBus"
"""Name of the bus itself: nobody else can send by it."""


class BusGone(Exception):
    """The connection has ended, or can't be used any more; the text says why."""


class CallFailed(Exception):
    """A call had an error for an answer, or none in time."""

    def __init__(self, name: str, text: str) -> None:
        """name: of the error, as org.freedesktop.DBus.Error.AccessDenied. text: what it says of itself."""
        super().__init__(f"{text or name}")
        self.name = name


@frozen(slots=True)
class Signal:
    """A signal as it arrived."""

    sender: str
    """Unique name of who sent it, as the bus says; or DAEMON."""
    path: str
    interface: str
    member: str
    body: tuple[Any, ...]
    signature: str
    """Of the body, by which its values have their types."""


class Connection:
    """A connection that is authenticated and has a name of its own."""

    def __init__(self, stream: trio.SocketStream, hear: Callable[[Signal], None]) -> None:
        """hear: called with each signal, in the order in which they arrive."""
        self._stream = stream
        self._hear = hear
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._waiting: dict[int, tuple[trio.Event, list[Message]]] = {}
        self._sending = trio.Lock()
        self.gone = trio.Event()
        """Set once the connection has ended."""
        self.reason = ""
        """Why it has."""

    async def call(
        self,
        destination: str,
        path: str,
        method: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
        *,
        answer: str | None = None,
        timeout_s: float = CALL_S,
    ) -> tuple[Any, ...]:
        """
        Return what a method returns. Raises: CallFailed, BusGone.

        method: with its interface, as org.freedesktop.DBus.Hello. answer: signature that its answer must
        have, None where nobody looks at it.
        """
        interface, _, member = method.rpartition(".")
        if len(self._waiting) >= _CALLS:
            raise CallFailed("", f"{_CALLS} calls wait for their answers")
        serial = next(self._serials)
        try:
            address = DBusAddress(path, bus_name=destination, interface=interface)
            octets = new_method_call(address, member, signature or None, body).serialise(serial)
        except (ValueError, TypeError, struct.error) as error:  # a path that an answer told
            raise CallFailed("", f"{member} can't be asked of {path!r}: {error}") from None
        arrived, answers = trio.Event(), list[Message]()
        self._waiting[serial] = (arrived, answers)
        try:
            with trio.move_on_after(timeout_s):
                async with self._sending:
                    await self._send(octets)
                await arrived.wait()
        finally:
            del self._waiting[serial]
        if not answers and self.gone.is_set():
            raise BusGone(self.reason)
        if not answers:
            raise CallFailed("", f"{member} was not answered within {timeout_s:g} s")
        return _read_answer(answers[0], answer)

    async def _send(self, octets: bytes) -> None:
        """Send all of it: a part of a message would spoil all that follows."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(CALL_S) as late:
                try:
                    await self._stream.send_all(octets)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise BusGone("it was closed") from None
            if late.cancelled_caught:
                self.end("it does not take what is sent")
                raise BusGone(self.reason)

    async def receive(self) -> None:
        """Hand on what arrives until the connection ends."""
        try:
            while not self.gone.is_set():
                self._take(await self._stream.receive_some(_CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.end("it was closed")
        except BusGone as gone:
            self.end(str(gone))

    def end(self, reason: str) -> None:
        """Take in that nothing more comes of this connection; all who wait go on."""
        self.reason = self.reason or reason
        self.gone.set()
        for arrived, _ in self._waiting.values():
            arrived.set()

    def _take(self, octets: bytes | bytearray) -> None:
        if not octets:
            raise BusGone("it was closed")
        try:
            self._parser.add_data(bytes(octets))
            while (message := self._parser.get_next_message()) is not None:
                self._sort(message)
        except _PARSING as error:
            raise BusGone(f"what it sent can't be read: {error!r}") from None
        size = self._parser.next_msg_size
        if size is not None and size > MESSAGE_LIMIT:
            raise BusGone(f"a message has {size} octets, more than {MESSAGE_LIMIT}")

    def _sort(self, message: Message) -> None:
        header = message.header
        if header.message_type in {MessageType.method_return, MessageType.error}:
            waiting = self._waiting.get(header.fields.get(HeaderFields.reply_serial, 0))
            if waiting is not None and not waiting[1]:
                waiting[1].append(message)
                waiting[0].set()
        elif header.message_type is MessageType.signal:
            self._hear(_read_signal(header, message.body))


def _read_answer(message: Message, signature: str | None) -> tuple[Any, ...]:
    body = tuple(message.body or ())
    if message.header.message_type is MessageType.error:
        text = next((each for each in body if isinstance(each, str)), "")
        raise CallFailed(str(message.header.fields.get(HeaderFields.error_name, "")), text)
    found = str(message.header.fields.get(HeaderFields.signature, ""))
    if signature is not None and found != signature:
        raise CallFailed("", f"its answer is of type ({found}), expected ({signature})")
    return body


def _read_signal(header: Header, body: tuple[Any, ...]) -> Signal:
    fields = header.fields
    names = (
        HeaderFields.sender, HeaderFields.path, HeaderFields.interface, HeaderFields.member,
        HeaderFields.signature,
    )  # fmt: skip
    sender, path, interface, member, signature = (str(fields.get(each, "")) for each in names)
    return Signal(sender, path, interface, member, tuple(body or ()), signature)


def open_stream(descriptor: int) -> trio.SocketStream:
    """Return a connection as Trio reads it. descriptor: taken over."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


async def authenticate(stream: trio.SocketStream) -> None:
    """
    Say who we are, which the kernel confirms; nothing was said before. Raises: BusGone.

    Source: D-Bus specification, "EXTERNAL" of "Authentication Protocol".
    """
    identity = str(os.geteuid()).encode().hex()
    with trio.move_on_after(_GREETING_S) as late:
        try:
            await stream.send_all(b"\0AUTH EXTERNAL " + identity.encode() + b"\r\n")
            line = b""
            while not line.endswith(b"\r\n") and len(line) < 512:
                octets = await stream.receive_some(512)
                if not octets:
                    raise BusGone("it was closed while we told it who we are")
                line += octets
            if not line.startswith(b"OK "):
                raise BusGone(f"it does not take us for uid {os.geteuid()}")
            await stream.send_all(b"BEGIN\r\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise BusGone("it was closed while we told it who we are") from None
    if late.cancelled_caught:
        raise BusGone(f"it did not answer within {_GREETING_S:g} s")
