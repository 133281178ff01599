"""nl80211's messages, as a real kernel has sent them, and as none would."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from netevd.kernel.attributes import DecodeError
from netevd.kernel.wireless import Network, decode_network, decode_news, decode_stations
from privsep.generic import RADIO, redact
from privsep.protocol import Datagrams
from privsep.wireguard import Inquiry

RECORD = Path(__file__).parents[2] / "data" / "wireless.jsonl"
LINES = [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]
MLME, FAMILIES = (46, 47, 48), (1, 2)


def find(command: str) -> list[list[bytes]]:
    """Return what was told at each command that begins so."""
    return [
        [bytes.fromhex(part) for part in each["datagrams"]]
        for each in LINES
        if each["command"].startswith(command)
    ]


def get_family(datagram: bytes) -> int:
    return int(struct.unpack_from("=H", datagram, 4)[0])


def forward(datagrams: list[bytes]) -> list[bytes]:
    """Return what the helper forwards of them."""
    return [redact(each, get_family(each), RADIO) for each in datagrams]


def get_events() -> list[bytes]:
    return [part for line in find("") for part in line if not struct.unpack_from("=I", part, 8)[0]]


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(command: int, attributes: bytes, kind: int = 32, flags: int = 0) -> bytes:
    return (
        struct.pack("=IHHIIBBH", 20 + len(attributes), kind, flags, 1, 0, command, 1, 0)
        + attributes
    )


def bss(ssid: bytes = b"home", status: int | None = 1, bssid: bytes = b"\2\0\0\0\1\0") -> bytes:
    told = attribute(1, bssid) + attribute(6, b"\0" + bytes((len(ssid),)) + ssid)
    told += b"" if status is None else attribute(9, struct.pack("=I", status))
    return message(34, attribute(47, told))


def test_stations_of_a_recorded_dump() -> None:
    """All three radios are stations to begin with; those of access points, and a P2P device, are none."""
    idle, *later = find("dump interfaces")

    assert len(decode_stations(forward(idle))) == 3
    assert later
    for each in later:
        assert len(decode_stations(forward(each))) == 1
        assert decode_stations(forward(each)) == decode_stations(each)


def test_news_of_recorded_events() -> None:
    """A connection, the end of one and the coming of nl80211 are news; frames and stations of access points are not."""
    events = get_events()
    heard = {decode_news(each) for each in events}

    assert heard == {"joined", "left", "appeared", ""}
    roaming = [
        news for each in find("wpa_cli -p /run/wpa -i wlan0 roam")[0] if (news := decode_news(each))
    ]
    assert roaming == ["left", "joined"]


def test_nothing_but_news_is_forwarded() -> None:
    """Of what the kernel tells by itself the helper passes on connections and families, and no frame of an access point."""
    told: list[object] = []
    inquiry = Inquiry(told.append, lambda _: None)
    for each in get_events():
        inquiry._take_datagram(each)
    inquiry._generic.close()
    parts = [part for each in told if isinstance(each, Datagrams) for part in each.parts]

    wanted = [each for each in get_events() if each[16] in {*MLME, *FAMILIES}]
    assert [decode_news(each) for each in parts] == [decode_news(each) for each in wanted]
    assert {decode_news(each) for each in parts} >= {"joined", "left", "appeared"}
    assert {each[16] for each in parts} <= {*MLME, *FAMILIES}
    assert 0 < len(parts) < len(get_events()) / 2


def test_a_key_is_not_forwarded() -> None:
    """What nl80211 may tell with a connection that it has made itself stays in the helper."""
    kek, pmk = b"K" * 32, b"P" * 32
    told = redact(
        message(46, attribute(6, b"\2\0\0\0\1\0") + attribute(242, kek) + attribute(254, pmk)),
        32,
        RADIO,
    )

    assert decode_news(told) == "joined"
    assert kek not in told and pmk not in told


@pytest.mark.parametrize(
    ("ssid", "shown"),
    [(b"home", "home"), (b"", ""), (bytes(6), ""), (b"\xff\n", "\udcff\n"), (b"x" * 32, "x" * 32), (b"x" * 33, "")],
)  # fmt: skip
def test_names_of_networks(ssid: bytes, shown: str) -> None:
    """Up to 32 octets of anything; a hidden one has no name yet, one that is longer is none."""
    network, whole = decode_network([bss(ssid)])

    assert (network, whole) == (Network(shown, "02:00:00:00:01:00"), True)


def test_what_is_not_associated_is_no_network() -> None:
    """Neither one that is seen alone, nor one that was authenticated to, nor one without address."""
    others = [bss(status=None), bss(status=0), bss(status=2), bss(bssid=b"\1")]

    assert decode_network(others) == (None, True)
    assert decode_network([*others, bss(b"mine"), bss(status=None)])[0] == Network(
        "mine", "02:00:00:00:01:00"
    )


def test_dump_that_was_interrupted_is_not_whole() -> None:
    """A list that was changed while it was read."""
    assert decode_network([message(34, b"", flags=0x12)]) == (None, False)


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_a_message_that_lies_is_refused(cut: int) -> None:
    """What ends before it says is no message."""
    whole = bss()
    broken = struct.pack("=I", len(whole) + cut) + whole[4:]

    with pytest.raises(DecodeError):
        decode_network([broken])
    with pytest.raises(DecodeError):
        decode_news(broken)
