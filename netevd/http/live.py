"""
The stream by WebSocket: each message an object of kind, data and, for an event, id.

A client may send `{"subscribe": {"type": [...], "interface": [...]}}` to hear of something else, and
is told `subscribed` once it does.
Source: RFC 6455.
"""

from __future__ import annotations

from typing import Final

import msgspec
import trio

from netevd.http.broadcast import Message
from netevd.http.parameters import read_choice
from netevd.http.problem import Problem
from netevd.http.stream import Reader, Receive, Send, TooSlow
from netevd.model.objects import SubscribedObject

GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
TOO_SLOW: Final = 1013
"""Close codes. Source: RFC 6455, 7.4.1, and the IANA registry of WebSocket close codes."""

BEAT: Final = '{"kind":"heartbeat","data":{}}'


class Subscription(msgspec.Struct, forbid_unknown_fields=True):
    """Which events a client wants to hear of from here on."""

    type: list[str] = []
    """Globs of event types; none: all."""
    interface: list[str] = []
    """Globs of names; none: all."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a client may send."""

    subscribe: Subscription


async def serve_live(reader: Reader, receive: Receive, send: Send) -> None:
    """Accept a WebSocket and send messages until client or worker end."""
    await receive()  # websocket.connect
    code, reason = GOING_AWAY, "netevd was reloaded or ends: come again"
    with reader:  # listening first: who is accepted misses nothing
        await send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, reader, receive, send, nursery.cancel_scope)
            try:
                while (batch := await reader.next()) is not None:
                    for text in [each.text for each in batch] or [BEAT]:
                        await send({"type": "websocket.send", "text": text})
            except TooSlow:
                code, reason = TOO_SLOW, "what happened was not read in time: come again"
            await send({"type": "websocket.close", "code": code, "reason": reason})
            nursery.cancel_scope.cancel()


async def _listen(reader: Reader, receive: Receive, send: Send, scope: trio.CancelScope) -> None:
    """Take what the client says, until it goes or says what is not understood."""
    while (message := await receive())["type"] == "websocket.receive":
        try:
            wanted = msgspec.json.decode(message.get("text") or b"", type=Request).subscribe
            choice = read_choice("", wanted.type, wanted.interface)
        except (msgspec.MsgspecError, RecursionError, Problem) as error:
            reason = str(error)[:100]
            await send({"type": "websocket.close", "code": UNSUPPORTED, "reason": reason})
            break
        reader.choice = choice
        told: SubscribedObject = {"type": wanted.type, "interface": wanted.interface}
        await send({"type": "websocket.send", "text": Message("subscribed", told).text})
    scope.cancel()
