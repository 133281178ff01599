"""
The helper's loop: forward kernel messages on feed, answer rpc.

When feed is full the helper stops reading netlink, so the kernel's buffer is the only queue and
ENOBUFS the only sign of loss. The kernel reports an overrun before it hands out what it had queued
until then, and loses more until that queue is empty; the marker is sent when it is, so that every
loss lies before it. Source: netlink_overrun() and netlink_rcv_wake(), net/netlink/af_netlink.c.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from privsep import protocol, rtnetlink
from privsep.audit import Reporter
from privsep.channel import Channel, Closed
from privsep.launch import Launch
from privsep.policy import Denial, State, end_dump, judge
from privsep.wireguard import Inquiry

T = TypeVar("T")
Sockets: TypeAlias = tuple[socket.socket, ...]
"""The event sockets, in the order of their numbers."""
_TRUNCATED: Final = int(socket.MSG_TRUNC)
BATCH_BYTES: Final = 64 * 1024
"""Kernel messages packed into one packet until they have this many bytes; with one more datagram of
at most 64 KiB it stays below the packet limit."""
BATCH_DATAGRAMS: Final = 128
_LOST: Final = b"lost"
"""In the place of what the kernel has dropped."""


class Helper:
    """State of the helper: its sockets, the worker it serves, what waits to be sent."""

    def __init__(self, lead: socket.socket, events: Sockets, launch: Launch) -> None:
        """Take over the lead socket and the two event sockets. launch: says what may be written."""
        self._lead: Channel[protocol.Lead] = Channel(lead, protocol.LEAD, limit=4096, descriptors=2)
        self._events = {protocol.LINKS: events[0], protocol.ROUTES: events[1]}
        self._requests = rtnetlink.open_request_socket()
        self._inquiry = Inquiry(self._send, self._lead.send)
        self._writes = rtnetlink.open_request_socket(rtnetlink.CAP_ACK)
        self._policy = launch.writes
        self._reporter, self._audited = Reporter(self._lead), launch.audit is not None
        self._feed: socket.socket | None = None
        self._rpc: Channel[protocol.Request] | None = None
        self._outbox: deque[bytes] = deque()
        self._state = State()
        self._overrun = dict.fromkeys(self._events, False)
        self._ending: protocol.DumpFinished | None = None
        """End of a dump that waits until both event sockets were empty once."""
        self._empty: set[int] = set()
        self._interrupted = False
        self._stopping = self._lingers = False
        """It ends once all that it has read was sent."""

    def run(self) -> None:
        """Serve until the lead channel ends."""
        links = [(self._events[protocol.LINKS].fileno(), select.POLLIN)]
        state: object = None
        self._lead.send(protocol.Ready())
        while self._is_reading() or self._outbox:
            dump = (self._state.dump, self._ending, self._inquiry.descriptors())
            wanted = (self._feed, bool(self._outbox), dump, self._stopping)
            if wanted != state:  # most rounds are like the one before
                state = wanted
                poll = select.poll()
                for descriptor, events in self._wanted().items():
                    poll.register(descriptor, events)
            draining = self._is_reading() and self._is_draining()
            found = poll.poll(0 if draining else None)
            if found == links and not draining:
                self._guard(self._forward_source, protocol.LINKS)
                continue
            ready = dict(found)
            if self._lead.fileno() in ready:
                state = None  # descriptors may be used again for other sockets
                if not self._handle_lead():
                    return
            elif self._feed is not None:
                self._guard(self._serve, ready)

    def _guard(self, step: Callable[[T], None], argument: T) -> None:
        """Do one step for the worker; whatever ends the worker ends it here."""
        try:
            step(argument)
        except (Closed, BrokenPipeError, ConnectionResetError):
            self._lose_worker()
        except protocol.ProtocolViolation as violation:
            self._lose_worker()
            self._lead.send(protocol.Violated(str(violation)[:1000]))

    def _serve(self, ready: dict[int, int]) -> None:
        """Do what is ready for the worker."""
        assert self._feed is not None and self._rpc is not None
        if ready.get(self._feed.fileno(), 0) & ~select.POLLOUT:
            raise Closed
        if self._rpc.fileno() in ready:
            self._answer()
        self._flush()
        if not self._outbox and self._is_reading():
            self._forward_events(ready)
            self._forward_dump(ready)
            for descriptor in self._inquiry.descriptors():
                if not self._outbox and descriptor in ready:
                    self._inquiry.receive(descriptor)

    def _is_reading(self) -> bool:
        """
        Tell whether the kernel's messages are still forwarded.

        After a loss they are until the sign of it was sent, which nobody else knows of.
        """
        lingers = self._feed is not None and (self._lingers or any(self._overrun.values()))
        return not self._stopping or lingers

    def _is_draining(self) -> bool:
        """Tell whether event sockets must be looked at although they may have nothing to read."""
        return not self._outbox and (self._ending is not None or any(self._overrun.values()))

    def _wanted(self) -> dict[int, int]:
        wanted = {self._lead.fileno(): select.POLLIN}
        if self._feed is None or self._rpc is None:
            return wanted
        wanted[self._rpc.fileno()] = select.POLLIN
        wanted[self._feed.fileno()] = select.POLLOUT if self._outbox else 0
        if not self._outbox and self._is_reading():
            wanted |= {sock.fileno(): select.POLLIN for sock in self._events.values()}
            if self._state.dump and self._ending is None:
                wanted[self._requests.fileno()] = select.POLLIN
            wanted |= dict.fromkeys(self._inquiry.descriptors(), select.POLLIN)
        return wanted

    def _handle_lead(self) -> bool:
        try:
            message, descriptors = self._lead.receive()
        except Closed:
            return False
        if isinstance(message, protocol.End):
            self._stopping, self._lingers = True, message.lingers and self._policy.lingers
            return True
        if isinstance(message, protocol.WireguardSocket):
            given = socket.socket(fileno=descriptors[0]) if descriptors else None
            self._guard(lambda code: self._inquiry.take(code, given), message.errno)
            return True
        if not isinstance(message, protocol.Peer) or len(descriptors) != 2:
            raise protocol.ProtocolViolation("peer without its two sockets")
        self._lose_worker()
        # neither end blocks: that is a property of the pair, and came with it
        self._feed = socket.socket(fileno=descriptors[0])
        self._rpc = Channel(socket.socket(fileno=descriptors[1]), protocol.REQUEST, limit=4096)
        return True

    def _lose_worker(self) -> None:
        """Forget the worker; its kernel messages wait in the event sockets for the next one."""
        for end in (self._feed, self._rpc):
            if end is not None:
                end.close()
        self._feed = self._rpc = self._ending = None
        self._inquiry.cancel()
        self._outbox.clear()
        self._state = State()

    def _answer(self) -> None:
        assert self._rpc is not None
        request, _ = self._rpc.receive()
        verdict = judge(request, self._state, self._policy, time.monotonic())
        if isinstance(verdict, Denial):
            self._reply(protocol.Denied(verdict.reason))
            return
        self._state = verdict.state
        errors: list[int] = []
        if isinstance(request, protocol.Write):
            errors = rtnetlink.write(self._writes, request.changes, self._policy.protocol)
            if self._audited:
                self._note(request.changes, errors)
        if isinstance(request, protocol.Dump):
            self._interrupted = False
            self._discard_dump()
            asked = rtnetlink.encode_dump(request.kind, request.dump, request.table)
            self._requests.send(asked)
        self._reply(protocol.Done(errors))
        if isinstance(request, protocol.Wireguard | protocol.Wireless):
            if self._audited and isinstance(request, protocol.SetEndpoint):
                self._reporter.tell("network", "asked", "worker", str(request))
            self._inquiry.begin(request)

    def _note(self, changes: list[protocol.Change], errors: list[int]) -> None:
        """Tell the audit log of changes, some in each record."""
        texts = [f"{each} {error}" for each, error in zip(changes, errors, strict=True)]
        for start in range(0, len(texts), 3):
            self._reporter.tell("network", "changed", "worker", "; ".join(texts[start : start + 3]))

    def _reply(self, reply: protocol.Reply) -> None:
        assert self._rpc is not None
        try:
            self._rpc.send(reply)
        except BlockingIOError:
            raise protocol.ProtocolViolation("replies are not read") from None

    def _discard_dump(self) -> None:
        """Read the rest of a dump that an earlier worker did not see the end of."""
        while self._read(self._requests) is not None:
            pass

    def _send(self, message: protocol.FeedMessage) -> None:
        self._outbox.append(protocol.pack(message))
        self._flush()

    def _flush(self) -> None:
        assert self._feed is not None
        try:
            while self._outbox:
                self._feed.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            pass

    def _read(self, sock: socket.socket) -> bytes | None:
        """Return one datagram of the kernel, b"" for one to pass over, _LOST for a loss, None for none."""
        try:
            datagram, _, flags, sender = sock.recvmsg(rtnetlink.DATAGRAM_LIMIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return _LOST
        if sender[0] != 0:  # a port other than 0 is a process, not the kernel; netlink(7)
            return b""
        return _LOST if flags & _TRUNCATED else datagram

    def _forward_events(self, ready: dict[int, int]) -> None:
        for source, sock in self._events.items():
            if self._ending or self._overrun[source] or ready.get(sock.fileno()):
                self._forward_source(source)

    def _forward_source(self, source: int) -> None:
        """Forward what one event socket holds, at most one packet of it."""
        sock = self._events[source]
        batch: list[bytes] = []
        size = 0
        while size < BATCH_BYTES and len(batch) < BATCH_DATAGRAMS:
            datagram = self._read(sock)
            if datagram is None:
                break
            if datagram is _LOST:
                self._overrun[source] = True
            elif datagram:
                batch.append(datagram)
                size += len(datagram)
        else:
            datagram = b""
        if batch:
            self._send(protocol.Datagrams(source, batch))
        if datagram is None and (self._ending or self._overrun[source]):
            self._note_empty(source)

    def _note_empty(self, source: int) -> None:
        if self._overrun[source]:
            self._overrun[source] = False
            self._send(protocol.Overrun(source))
        if self._ending is not None:
            self._empty.add(source)
            if self._empty == set(self._events):
                self._send(self._ending)
                self._ending = None
                self._state = end_dump(self._state)

    def _forward_dump(self, ready: dict[int, int]) -> None:
        if not ready.get(self._requests.fileno()) or not self._state.dump or self._ending:
            return
        while not self._outbox:
            datagram = self._read(self._requests)
            if datagram is None:
                return
            if datagram is _LOST:
                self._end_dump(errno.ENOBUFS)
                return
            part = rtnetlink.read_part(datagram)
            if part.sequence != self._state.dump & 0xFFFFFFFF:
                continue
            self._interrupted |= part.interrupted
            self._send(protocol.DumpPart(self._state.dump, datagram))
            if part.done:
                self._end_dump(part.errno)
                return

    def _end_dump(self, code: int) -> None:
        """Note that the dump is complete; it is told once the event sockets were empty."""
        self._ending = protocol.DumpFinished(self._state.dump, code, self._interrupted)
        self._empty = set()
        self._forward_events({})
