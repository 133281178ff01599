"""The worker's side of feed and rpc of one helper: messages in, dumps and pings out."""

from __future__ import annotations

from collections.abc import Callable

import trio

from netevd.kernel.feed import FeedTranslator, dump_id
from netevd.model.inputs import Input
from netevd.worker.ports import PeerGone, Port
from privsep.protocol import (
    FEED,
    REPLY,
    VERSION,
    Denied,
    Dump,
    DumpFinished,
    FeedMessage,
    Hello,
    Ping,
    Reply,
    Request,
)

_BATCH = 32
"""Packets handled before other tasks get their turn."""


class HelperLink:
    """One helper, from its first packet until it is gone."""

    def __init__(self, feed: int, rpc: int, submit: Callable[[Input], None]) -> None:
        """feed, rpc: descriptors, taken over. submit: takes every input, in order."""
        self._feed: Port[FeedMessage] = Port(feed, FEED)
        self._rpc: Port[Reply] = Port(rpc, REPLY)
        self._submit = submit
        self._translator = FeedTranslator()
        self._asking = trio.Lock()
        self._dumping = trio.Lock()
        self._wanted = 0
        self._finished = 0
        self._progress = trio.Condition()
        self._scope = trio.CancelScope()
        self._requests_in, self._requests = trio.open_memory_channel[int](64)

    def close(self) -> None:
        """Let go of this helper; `run` ends."""
        self._scope.cancel()

    async def run(self) -> None:
        """Follow the helper until it is gone."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._dump_on_request)
                    await self._follow_feed()
                    nursery.cancel_scope.cancel()
        finally:
            self._feed.close()
            self._rpc.close()

    def request_dump(self, dump: int) -> None:
        """Ask for links and addresses under this number; a later request voids an earlier one."""
        self._wanted = dump
        try:
            self._requests_in.send_nowait(dump)
        except trio.WouldBlock:
            return  # as many are waiting; the newest number is taken in any case

    async def ping(self, number: int) -> bool:
        """Tell whether the helper answers; waits for as long as it takes."""
        try:
            return not isinstance(await self._ask(Ping(number)), Denied)
        except PeerGone:
            return False

    async def _follow_feed(self) -> None:
        while True:
            try:
                await self._feed.wait()
                for _ in range(_BATCH):
                    message = self._feed.receive()
                    if message is None:
                        break
                    for input_ in self._translator.translate(message):
                        self._submit(input_)
                    if isinstance(message, DumpFinished):
                        self._finished = message.dump
                        async with self._progress:
                            self._progress.notify_all()
            except PeerGone:
                return

    async def _ask(self, request: Request) -> Reply:
        async with self._asking:
            self._rpc.send(request)
            while True:
                await self._rpc.wait()
                reply = self._rpc.receive()
                if reply is not None:
                    return reply

    async def _dump_on_request(self) -> None:
        try:
            await self._ask(Hello(VERSION))
            async for dump in self._requests:
                if dump != self._wanted:
                    continue
                for kind in ("links", "addresses"):
                    number = dump_id(dump, kind)
                    await self._ask(Dump(number, kind))
                    async with self._progress:
                        while self._finished < number:
                            await self._progress.wait()
        except PeerGone:
            return
