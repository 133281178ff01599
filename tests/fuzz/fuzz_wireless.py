"""What nl80211 tells: whatever it is, it is a value or an error, and nothing but what is harmless is forwarded."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from netevd.kernel.attributes import DecodeError
from netevd.kernel.wireless import decode_network, decode_news, decode_stations
from privsep.generic import RADIO, read_family, redact
from privsep.protocol import ProtocolViolation

_DATA = Path(__file__).parents[1] / "data" / "wireless.jsonl"
_SECRET = b"KEY-THAT-NOBODY-MAY-SEE"
_PMK = 254
"""NL80211_ATTR_PMK."""


def seeds() -> list[bytes]:
    """Return datagrams as they were recorded."""
    lines = _DATA.read_text(encoding="utf-8").splitlines()
    found = [bytes.fromhex(each) for line in lines for each in json.loads(line)["datagrams"]]
    return sorted({each for each in found if len(each) < 4096}, key=len)[:100]


def check(data: bytes) -> None:
    """Read a datagram as each kind of message there is, as it is and as it is forwarded."""
    told = [data]
    if len(data) >= 20:
        kind = struct.unpack_from("=H", data, 4)[0]
        secret = struct.pack("=HH", 4 + len(_SECRET), _PMK) + _SECRET
        head = struct.pack("=IHHII", 20 + len(secret), kind, 0, 0, 0) + b"\x2e\1\0\0"
        try:
            forwarded = redact(data + bytes(-len(data) % 4) + head + secret, kind, RADIO)
            read_family(data)
        except ProtocolViolation:
            forwarded = b""
        assert _SECRET not in forwarded
        told.append(forwarded)
    for each in told:
        for read in (
            decode_news,
            lambda one: decode_stations([one]),
            lambda one: decode_network([one]),
        ):
            try:
                repr(read(each))
            except DecodeError:
                continue
