"""Packing, refusing, and the types of a script's variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsep import protocol
from privsep.launch import VERDICT, Rejected
from privsep.protocol import ProtocolViolation, escape, pack
from privsep.variables import VARIABLES, find_bad_value, is_address, is_ifname

ENTRY = protocol.Entry(1, "routable", "10-a", "/etc/netevd/routable.d/10-a", True, "")
ENDED = protocol.Finished(3, -9, 1.5, 0.25, 2)
MESSAGES = [
    (protocol.FEED, protocol.Datagrams(0, [b"x", b""])),
    (protocol.FEED, protocol.Overrun(1)),
    (protocol.FEED, protocol.DumpPart(5, b"x")),
    (protocol.FEED, protocol.DumpFinished(5, 0, False)),
    (protocol.REQUEST, protocol.Hello(1)),
    (protocol.REQUEST, protocol.Dump(2, "links")),
    (protocol.REQUEST, protocol.Ping(1)),
    (protocol.REPLY, protocol.Done()),
    (protocol.REPLY, protocol.Denied("no")),
    (protocol.SCRIPTS_REQUEST, protocol.Run(1, 2, [("LINK", "eth0")])),
    (protocol.SCRIPTS_REQUEST, protocol.Signal(1, "TERM")),
    (protocol.SCRIPTS_REQUEST, protocol.Forget(1)),
    (protocol.SCRIPTS_REQUEST, protocol.Running()),
    (protocol.SCRIPTS_REQUEST, protocol.Rescan()),
    (protocol.SCRIPTS_REPLY, protocol.Started(1, 2)),
    (protocol.SCRIPTS_REPLY, protocol.Refused(1, "why")),
    (protocol.SCRIPTS_REPLY, ENDED),
    (protocol.SCRIPTS_REPLY, protocol.Known(3, ENDED)),
    (protocol.SCRIPTS_REPLY, protocol.Known(3, None)),
    (protocol.SCRIPTS_REPLY, protocol.Incarnation("0123456789abcdef")),
    (protocol.SCRIPTS_REPLY, protocol.Entries([ENTRY], more=False)),
    (protocol.LEAD, protocol.Peer()),
    (protocol.LEAD, protocol.End()),
    (protocol.REPORT, protocol.Ready()),
    (protocol.REPORT, protocol.Violated("x")),
    (protocol.REPORT, protocol.Prepared()),
    (protocol.REPORT, protocol.Serving("x")),
    (protocol.REPORT, protocol.Alive(1)),
    (protocol.CONTROL, protocol.Configure(1, False, False, True, [0, 2], [1], 5.5)),
    (protocol.CONTROL, protocol.HelperPeer()),
    (protocol.CONTROL, protocol.RunnerPeer(0)),
    (protocol.CONTROL, protocol.Liveness(1)),
    (protocol.CONTROL, protocol.Stop(kept=True)),
    (VERDICT, Rejected(["a:1:1: x"])),
]


@pytest.mark.parametrize(("codec", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_message_survives_its_channel_and_no_other(codec, message) -> None:
    """A message comes out as it went in, and is a violation on every channel it is not of."""
    packet = pack(message)

    assert codec.unpack(packet) == message
    for other, example in MESSAGES:
        if other is not codec and message not in [m for c, m in MESSAGES if c is other]:
            with pytest.raises(ProtocolViolation):
                other.unpack(packet)
    assert len({pack(m)[1] for _, m in MESSAGES if type(m) is type(message)}) == 1
    assert example is not None


@pytest.mark.parametrize(
    "packet",
    [b"", b"\xc0", b"\x90", b"\x91\x00", b"\x92\x15\x01", b"\x93\x15\x01\xa3foo", b"\x93\x15\xc2\xa5links",
     b"\x93\x15\xcb?\xf0\x00\x00\x00\x00\x00\x00\xa5links", b"\x95\x15\x01\xa5links\x00\x00", b"\x94\x15\x01\xa5links\xff",
     b"\x93\x15\x01\xa5links\x00", b"\x81\x15\x01", b"\x93\x15\x01\xa3\xed\xa0\x80", b"\x93\x15\x01\xc4\x05links", b"x" * 200_000],
)  # fmt: skip
def test_what_is_no_request_is_a_violation(packet: bytes) -> None:
    """Wrong length, type, range, word, trailing bytes and size are violations, nothing else."""
    with pytest.raises(ProtocolViolation):
        protocol.REQUEST.unpack(packet)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_violation(packet: bytes) -> None:
    """No packet raises anything but ProtocolViolation, on any channel."""
    for codec in {id(codec): codec for codec, _ in MESSAGES}.values():
        try:
            value = codec.unpack(packet)
        except ProtocolViolation:
            continue
        assert codec.unpack(pack(value)) == value


@pytest.mark.parametrize(
    ("name", "good"),
    [("eth0", True), ("<b>", True), ("é", True), ("a" * 15, True), ("a" * 16, False), ("é" * 8, False),
     ("", False), (".", False), ("..", False), ("a/b", False), ("a:b", False), ("a b", False),
     ("a\u00a0b", False), ("a\nb", False), ("a\x00", False), ("\udcff", False), ("a\u2028", False)],
)  # fmt: skip
def test_interface_name(name: str, good: bool) -> None:
    """An interface name is what the kernel takes, as UTF-8 without control characters."""
    assert is_ifname(name) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("10.0.0.1", True), ("fe80::1", True), ("::ffff:1.2.3.4", True), ("10.0.0.1/24", False),
     ("fe80::1%eth0", False), ("10.1", False), ("", False), ("1.2.3.4\n", False), ("\udcff", False),
     ("1.2.3.4\x00", False)],
)  # fmt: skip
def test_address(text: str, good: bool) -> None:
    """An address has neither prefix length nor zone nor anything behind it."""
    assert is_address(text) is good


@pytest.mark.parametrize("name", list(VARIABLES))
def test_no_variable_takes_a_line_end(name: str) -> None:
    """No value of any variable holds a line end, NUL or another control character."""
    for text in ("a\nb", "1\n", "x\x00", "\x1b[0m", "routable\n", '{"a": "\n"}'):
        assert find_bad_value([(name, text)]) is not None


def test_values_together_are_bounded() -> None:
    """All variables of a run stay below 96 KiB."""
    assert find_bad_value([("JSON", "{" + "x" * 90_000 + "}")]) is None
    assert "more than 98304" in (find_bad_value([("JSON", "{" + "x" * 98_304 + "}")]) or "")


@given(st.text())
def test_escaped_text_can_be_shown_and_encoded(text: str) -> None:
    """Escaped text has no control character and no surrogate, whatever it was."""
    shown = escape(text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))

    shown.encode()
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown)
