"""Messages of every channel: a message or a violation, and what was understood is judged without a surprise."""

from __future__ import annotations

from privsep import protocol, rtnetlink
from privsep.launch import WritePolicy
from privsep.policy import Grant, State, judge
from privsep.protocol import ProtocolViolation, pack
from privsep.variables import find_bad_value
from tests.unit.privsep.test_protocol import MESSAGES

_RULE = protocol.AddRule(4, 21001, 21001, "10.0.0.1/32")
_ROUTE = protocol.AddRoute(6, 21501, "2001:db8::/32", 0, 102, "fe80::1")
_MORE = [
    protocol.Write([_RULE, _ROUTE, protocol.DeleteRule(4, 21001, 21001), protocol.DeleteRoute(4, 21501, "0.0.0.0/0", 0, 1)]),
    protocol.Wireguard(1, 2, "wg0", userspace=True),
    protocol.Wireless(2, 0),
    protocol.Candidate(b"a: 1\n", False, True, 0),
    protocol.Audit("reload", "asked", "somebody", "why"),
]  # fmt: skip
_CODECS = {id(codec): codec for codec, _ in MESSAGES}.values()
_GREETED = State(greeted=True)


def seeds() -> list[bytes]:
    """Return a packet of each message."""
    return [pack(message) for message in [*(each for _, each in MESSAGES), *_MORE]]


def check(data: bytes) -> None:
    """Unpack on every channel; judge requests as the helper does and encode what is granted."""
    for codec in _CODECS:
        try:
            message = codec.unpack(data)
        except ProtocolViolation:
            continue
        assert codec.unpack(pack(message)) == message
        if codec is protocol.REQUEST:
            _judge(message)
        elif isinstance(message, protocol.Run):
            assert find_bad_value(message.values) is None or find_bad_value(message.values)
        elif isinstance(message, protocol.Audit | protocol.Violated | protocol.Serving):
            protocol.escape(str(message)).encode()


def _judge(request: protocol.Request) -> None:
    try:
        verdict = judge(request, _GREETED, WritePolicy(adds=True), 0.0)
        if isinstance(verdict, Grant) and isinstance(request, protocol.Write):
            for change in request.changes:
                encoded = rtnetlink.encode_change(change, 1, 110)
                assert b"\x6e" in encoded  # marked as ours
    except ProtocolViolation:
        pass
