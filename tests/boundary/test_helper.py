"""A helper as a worker knows it, a hostile one included: real process, real kernel."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess

import pytest

from privsep.channel import SO_RCVBUFFORCE, Closed, grow_buffer
from privsep.protocol import (
    VERSION,
    Datagrams,
    Denied,
    Done,
    Dump,
    DumpFinished,
    DumpPart,
    End,
    FeedMessage,
    Hello,
    Overrun,
    Ping,
    Violated,
)
from tests.boundary.rig import HelperRig, receive, wait_for

_HEADER = struct.Struct("=IHHII")


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _types(datagrams: list[bytes]) -> list[int]:
    """Return the message types in these datagrams."""
    types = []
    for datagram in datagrams:
        offset = 0
        while offset < len(datagram):
            length, type_, *_ = _HEADER.unpack_from(datagram, offset)
            types.append(type_)
            offset += (length + 3) & ~3
    return types


def _until_finished(helper: HelperRig) -> list[FeedMessage]:
    messages: list[FeedMessage] = []
    while not messages or not isinstance(messages[-1], DumpFinished):
        messages.append(receive(helper.feed)[0])
    return messages


def test_dump_comes_whole(helper: HelperRig) -> None:
    """A dump is parts with the links of the kernel, then its end without an error."""
    _ip("link add index 101 name a0 type veth peer name b0")
    assert isinstance(helper.ask(Hello(VERSION)), Done)

    assert isinstance(helper.ask(Dump(7, "links")), Done)
    messages = _until_finished(helper)

    parts = [m.data for m in messages if isinstance(m, DumpPart) and m.dump == 7]
    assert sum(type_ == 16 for type_ in _types(parts)) == 3  # lo, a0, b0
    assert messages[-1] == DumpFinished(7, 0, False)


def test_event_is_forwarded_as_it_came(helper: HelperRig) -> None:
    """Kernel messages arrive in their order, undecoded."""
    _ip("link add index 101 name a0 type veth peer name b0", "link del a0")

    types: list[int] = []
    while types.count(17) < 2:
        message = receive(helper.feed)[0]
        assert isinstance(message, Datagrams)
        types += _types(message.parts)

    assert set(types) == {16, 17}
    assert types.index(16) < types.index(17)


def test_events_before_the_end_of_a_dump_come_before_it(helper: HelperRig) -> None:
    """What the kernel queued while a dump was read is told before the dump's end."""
    helper.ask(Hello(VERSION))
    os.kill(helper.pid, signal.SIGSTOP)
    helper.rpc.send(Dump(1, "addresses"))
    _ip("link add index 101 name a0 type veth peer name b0")
    os.kill(helper.pid, signal.SIGCONT)

    messages = _until_finished(helper)

    assert any(isinstance(message, Datagrams) for message in messages[:-1])


def test_overrun_is_told_after_what_was_kept(helper: HelperRig) -> None:
    """When the kernel drops messages, a marker follows the last one that was kept."""
    grow_buffer(helper.events[0], socket.SO_RCVBUF, SO_RCVBUFFORCE, 4096)
    os.kill(helper.pid, signal.SIGSTOP)
    _ip(*[f"link add name x{n} type veth peer name y{n}" for n in range(20)])
    os.kill(helper.pid, signal.SIGCONT)
    kept = 0
    while not isinstance(message := receive(helper.feed)[0], Overrun):
        kept += len(message.parts) if isinstance(message, Datagrams) and not message.source else 0

    assert 0 < kept < 40
    assert message.source == 0
    _ip("link del x0")  # and it goes on
    assert isinstance(receive(helper.feed)[0], Datagrams)


def test_full_feed_leaves_messages_in_the_kernel(helper: HelperRig) -> None:
    """A worker that does not read loses nothing: the helper waits, the kernel queues."""
    _ip(*[f"link add name x{n} type veth peer name y{n}" for n in range(200)])
    _ip(*[f"link del x{n}" for n in range(200)])

    removed = 0
    while removed < 400:
        message = receive(helper.feed)[0]
        assert isinstance(message, Datagrams)
        if message.source == 0:
            removed += _types(message.parts).count(17)

    assert removed == 400


def test_new_worker_gets_what_the_kernel_queued_meanwhile(helper: HelperRig) -> None:
    """Between two workers the helper reads nothing, so nothing is lost with the first one."""
    helper.feed.close()
    helper.rpc.close()
    wait_for(lambda: not select.select([helper.lead], [], [], 0.2)[0] or None, "quiet")
    _ip("link add index 101 name a0 type veth peer name b0")

    helper.connect()

    message = receive(helper.feed)[0]
    assert isinstance(message, Datagrams)
    assert 16 in _types(message.parts)


def test_second_dump_is_denied_while_one_is_under_way(helper: HelperRig) -> None:
    """One dump at a time; a request too many is denied, not punished."""
    helper.ask(Hello(VERSION))
    os.kill(helper.pid, signal.SIGSTOP)
    helper.rpc.send(Dump(1, "links"))
    helper.rpc.send(Dump(2, "links"))
    os.kill(helper.pid, signal.SIGCONT)

    replies = [receive(helper.rpc)[0], receive(helper.rpc)[0]]

    assert replies == [Done(), Denied("dump 1 is under way")]


def _violate(helper: HelperRig) -> str:
    message = receive(helper.lead)[0]
    assert isinstance(message, Violated)
    with pytest.raises(Closed):
        receive(helper.rpc)
    helper.connect()
    assert isinstance(helper.ask(Hello(VERSION)), Done)
    return message.reason


@pytest.mark.parametrize(
    "packet",
    [
        b"\xc1", b"\x01", b"\x91\x14", b"\x93\x14\x01\x01", b"\x92\x14\xc3", b"\x92\x14\xca\x00\x00\x00\x00",
        b"\x93\x15\x01\xa6routes", b"\x93\x15\x00\xa5links", b"\x93\x15\xff\xa5links",
        b"\x93\x15\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa5links", b"\x93\x15\x01\xa6links\x00",
        b"\x92\x1e\x01", b"\x91" * 2000, b"\xdd\xff\xff\xff\xff", b"\x92\x28\x01", b"\x82\x01\x02\x01\x03",
        b"\x92\x14\x01\x00", b"\xc7\x01\x05\x00", b"\x93\x15\x01\xa9os.system", b"x" * 5000,
    ],
)  # fmt: skip
def test_broken_packet_ends_the_worker_not_the_helper(helper: HelperRig, packet: bytes) -> None:
    """What is no request closes the worker's sockets, is told the supervisor, and harms nothing."""
    helper.rpc.sock.send(packet)

    assert _violate(helper)


def test_requests_out_of_order_are_violations(helper: HelperRig) -> None:
    """A request before hello, a second hello and a dump number used again end the worker."""
    helper.rpc.send(Ping(1))
    assert "before hello" in _violate(helper)
    helper.rpc.send(Hello(VERSION))
    assert "hello" in _violate(helper)
    helper.ask(Dump(5, "links"))
    _until_finished(helper)
    helper.rpc.send(Dump(5, "links"))
    assert "dump 5 after dump 5" in _violate(helper)
    helper.connect()
    helper.rpc.send(Hello(VERSION + 1))
    assert "version" in _violate(helper)


def test_descriptor_on_any_request_is_a_violation(helper: HelperRig) -> None:
    """The helper takes no descriptor from a worker and keeps none."""
    helper.ask(Hello(VERSION))
    before = sorted(os.listdir(f"/proc/{helper.pid}/fd"))
    helper.rpc.send(Ping(1), (0, 1, 2))
    _violate(helper)

    assert sorted(os.listdir(f"/proc/{helper.pid}/fd")) == before


def test_replies_that_nobody_reads_end_the_worker(helper: HelperRig) -> None:
    """A worker that asks without end and reads no answer is ended; memory stays bounded."""
    helper.ask(Hello(VERSION))
    helper.rpc.sock.setblocking(True)
    with pytest.raises(Closed):
        while True:
            helper.rpc.send(Ping(1))

    message = receive(helper.lead)[0]
    assert isinstance(message, Violated)
    assert "not read" in message.reason
    helper.connect()
    assert isinstance(helper.ask(Hello(VERSION)), Done)


def test_half_closed_feed_is_the_end_of_the_worker(helper: HelperRig) -> None:
    """A worker that closes feed and keeps rpc is gone; the helper does not spin."""
    helper.ask(Hello(VERSION))
    helper.feed.close()

    with pytest.raises(Closed):
        receive(helper.rpc)
    helper.connect()
    assert isinstance(helper.ask(Hello(VERSION)), Done)


def test_helper_ends_with_its_supervisor(helper: HelperRig) -> None:
    """End of file on lead, or `end`, is the end of the helper."""
    helper.lead.send(End())

    assert os.waitpid(helper.pid, 0)[1] == 0
