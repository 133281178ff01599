"""The worker's side of feed and rpc of one helper: messages in, dumps and pings out."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from functools import partial

import trio

from netevd.config.schema import Configuration
from netevd.kernel.changes import make_request
from netevd.kernel.feed import FeedTranslator, Part, translate_device
from netevd.model.actions import ChangeRouting, ReadWireguard, SetEndpoint
from netevd.model.inputs import ChangesMade, DumpEnded, Input, RoutesDumpEnded
from netevd.model.route import ALL_TABLES, read_table
from netevd.report.metrics import Metrics
from netevd.worker.inquiries import Inquiries
from netevd.worker.ports import PeerGone, Port
from netevd.worker.pulse import Question
from netevd.worker.wireless import WirelessWatch
from privsep import protocol
from privsep.protocol import (
    FEED,
    REPLY,
    VERSION,
    AnswerEnd,
    AnswerPart,
    Datagrams,
    Denied,
    Dump,
    DumpFinished,
    FeedMessage,
    Hello,
    Overrun,
    Ping,
    Reply,
    Request,
    Wireguard,
    Write,
)

_BATCH = 32
"""Packets handled before other tasks get their turn."""

_CHANGES = 64
"""Changes of one request. Source: privsep.protocol.Write."""

_NO_DUMP = -1
"""Number of a dump that the core has not asked for."""

_LINKS = (Part("links"), Part("addresses"), Part("rules"))


class HelperLink:
    """One helper, from its first packet until it is gone."""

    def __init__(
        self,
        feed: int,
        rpc: int,
        submit: Callable[[list[Input], float], None],
        configuration: Configuration,
        metrics: Metrics,
    ) -> None:
        """
        feed, rpc: descriptors, taken over. submit: takes all inputs of a packet, in order, and when it was
        read, monotonic seconds. configuration: says which routes are wanted, so that others need not be
        dumped.
        """
        self._metrics = metrics
        self._feed: Port[FeedMessage] = Port(feed, FEED)
        self._rpc: Port[Reply] = Port(rpc, REPLY)
        self._submit = submit
        self._translator = FeedTranslator()
        self._asking = trio.Lock()
        self._dumping = trio.Lock()
        routes = configuration.routes
        self._tables = {read_table(word) for word in routes.tables}
        if ALL_TABLES in self._tables or routes.default_routes or configuration.needs_routes:
            self._tables = {ALL_TABLES}  # default routes can't be asked for by themselves
        self._wanted: dict[bool, tuple[int, tuple[Part, ...]]] = {}
        """What is to be dumped next, links (False) and routes (True)."""
        self._changes: ChangeRouting | None = None
        """What is to be changed before that."""
        self._finishing = False
        self._request = trio.Event()
        self._wireguard: ReadWireguard | SetEndpoint | None = None
        """What a WireGuard device is to be asked next."""
        self._inquired = trio.Event()
        self._greeted = trio.Event()
        self._inquiries = Inquiries(self._ask)
        self._wireless = WirelessWatch(
            self._inquiries, lambda inputs: submit(inputs, time.monotonic())
        )
        self._finished = 0
        self._progress = trio.Condition()
        self._scope = trio.CancelScope()
        self.pulse = Question(lambda: self.ping(1))
        """Whether it answers."""

    def close(self) -> None:
        """Let go of this helper; `run` ends."""
        self._scope.cancel()

    async def run(self) -> None:
        """Follow the helper until it is gone."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._dump_on_request)
                    nursery.start_soon(self._ask_wireguard)
                    nursery.start_soon(self._follow_wireless)
                    await self._follow_feed()
                    nursery.cancel_scope.cancel()
        finally:
            self._feed.close()
            self._rpc.close()

    def request_dump(self, dump: int) -> None:
        """Ask for links, addresses and rules; a later request voids an earlier one."""
        self._wanted[False] = (dump, _LINKS)
        self._request.set()

    def request_routes(self, dump: int, families: tuple[int, ...]) -> None:
        """
        Ask for routes of these families; a later request voids an earlier one.

        What the kernel says first may be said before it is so: the dump of no link at all is answered
        once the kernel has done what it was about.
        """
        tables = sorted(self._tables)
        parts = [Part(f"routes{family}", table) for family in families for table in tables]
        self._wanted[True] = (dump, (Part("nothing"), *parts))
        self._request.set()

    def request_changes(self, action: ChangeRouting) -> None:
        """Have rules and routes changed; one action at a time."""
        self._changes = action
        self._request.set()

    def finish(self) -> None:
        """Let go of this helper once all that it was asked for is done."""
        self._finishing = True
        self._request.set()

    def read_wireguard(self, wanted: ReadWireguard) -> None:
        """Ask a WireGuard device; a later request voids an earlier one that was not sent yet."""
        self._wireguard = wanted
        self._inquired.set()

    def set_endpoint(self, wanted: SetEndpoint) -> None:
        """Have a WireGuard device send to a peer elsewhere; as `read_wireguard`."""
        self._wireguard = wanted
        self._inquired.set()

    async def _ask_wireguard(self) -> None:
        """Ask for what is wanted of WireGuard devices, one thing at a time."""
        with contextlib.suppress(PeerGone):
            await self._greeted.wait()
            while True:
                await self._inquired.wait()
                self._inquired = trio.Event()
                if self._wireguard is None:
                    continue
                wanted, self._wireguard = self._wireguard, None
                answer = await self._inquiries.make(partial(_make_wireguard, wanted))
                read = translate_device(
                    wanted.number, answer.parts, answer.errno, userspace=wanted.userspace
                )
                self._submit([read], time.monotonic())

    async def _follow_wireless(self) -> None:
        """Read which networks wireless links are in."""
        with contextlib.suppress(PeerGone):
            await self._greeted.wait()
            await self._wireless.run()

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
                    received = time.monotonic()
                    self._note_reading(message)
                    inputs = list(self._translator.translate(message))
                    if inputs:
                        self._submit(inputs, received)
                    if isinstance(message, Overrun):
                        self._metrics.note_overrun(message.source)
                    if isinstance(message, DumpFinished):
                        self._count_dumps(inputs)
                        self._finished = message.dump
                        async with self._progress:
                            self._progress.notify_all()
            except PeerGone:
                return

    def _note_reading(self, message: FeedMessage) -> None:
        """Take in what is no matter of dumps and events: answers to readings, and what nl80211 tells."""
        match message:
            case AnswerPart() | AnswerEnd():
                self._inquiries.take(message)
            case Datagrams(source=protocol.WIRELESS) | Overrun(source=protocol.WIRELESS):
                self._wireless.hear(message)
            case _:
                pass

    async def _ask(self, request: Request) -> Reply:
        async with self._asking:
            self._rpc.send(request)
            while True:
                await self._rpc.wait()
                reply = self._rpc.receive()
                if reply is not None:
                    self._metrics.note_answer(_name(request), denied=isinstance(reply, Denied))
                    return reply

    def _count_dumps(self, inputs: list[Input]) -> None:
        for each in inputs:
            if isinstance(each, DumpEnded):
                self._metrics.note_resync("links", consistent=each.consistent)
            elif isinstance(each, RoutesDumpEnded):
                self._metrics.note_resync("routes", consistent=each.consistent)

    async def _dump_on_request(self) -> None:
        try:
            await self._ask(Hello(VERSION))
            self._greeted.set()
            while True:
                await self._request.wait()
                self._request = trio.Event()
                while self._wanted or self._changes is not None:
                    if self._changes is not None:
                        action, self._changes = self._changes, None
                        await self._change(action)
                        continue
                    dump, parts = self._wanted.pop(min(self._wanted))
                    for number, part in self._translator.expect(dump, parts):
                        await self._dump(number, part)
                if self._finishing:
                    self.close()
        except PeerGone:
            return

    async def _dump(self, number: int, part: Part) -> None:
        """Have one dump made and wait for its end."""
        await self._ask(Dump(number, part.kind, part.table))
        async with self._progress:
            while self._finished < number:
                await self._progress.wait()

    async def _change(self, action: ChangeRouting) -> None:
        """
        Have the kernel make changes and tell what it said to each.

        The dump of nothing after them ends when all that the kernel told of them was handed in.
        """
        errors: list[int] = []
        reason = ""
        for start in range(0, len(action.changes), _CHANGES):
            part = [make_request(each) for each in action.changes[start : start + _CHANGES]]
            reply = await self._ask(Write(part))
            if isinstance(reply, Denied):
                reason = reply.reason
                break
            errors += reply.errors
        for number, part_of in self._translator.expect(_NO_DUMP, (Part("nothing"),)):
            await self._dump(number, part_of)
        made = ChangesMade(action.number, tuple(errors), reason)
        self._submit([made], time.monotonic())


def _make_wireguard(wanted: ReadWireguard | SetEndpoint, number: int) -> Wireguard:
    """Return the request for a device, as a reading of this number."""
    subject = (number, wanted.ifindex, wanted.name, wanted.userspace)
    if isinstance(wanted, ReadWireguard):
        return Wireguard(*subject)
    return protocol.SetEndpoint(*subject, wanted.public_key, wanted.address, wanted.port)


def _name(request: Request) -> str:
    """Return the verb of a request: add_rule for AddRule."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(request).__name__).lower()
