"""Cases 1 to 17 and 33: what comes over a channel and is no message of it ends the worker, and nothing else."""

from __future__ import annotations

import struct

import msgspec
import pytest

from privsep.protocol import PACKET_LIMIT
from tests.attacks.rig import Hostile

encode = msgspec.msgpack.encode
CHANNELS = ("rpc", "scripts", "control")
LIMITS = {"rpc": 4096, "scripts": PACKET_LIMIT, "control": PACKET_LIMIT}
VALID = {
    "rpc": [21, 1, "links", 0],
    "scripts": [42, 7],
    "control": [100, "role", "died", "", "", 0],
}
"""A message of each channel with a number, a word or both in it."""


def spoil(channel: str, value: object) -> bytes:
    """Return the message of a channel with this value in the place of its first."""
    return encode([VALID[channel][0], value, *VALID[channel][2:]])


BROKEN = {
    2: lambda channel: b"\x01",
    3: lambda channel: b"\xc1",
    4: lambda channel: b"\x83\xa4kind\xa5links\xa4dump",
    5: lambda channel: encode(VALID[channel]) + b"\x00",
    6: lambda channel: (
        b"\x91" + b"\xc6" + struct.pack(">I", LIMITS[channel]) + b"x" * LIMITS[channel]
    ),
    7: lambda channel: b"x" * (208 * 1024),
    8: lambda channel: b"\xdd\xff\xff\xff\xff",
    9: lambda channel: b"\x91" * min(100_000, LIMITS[channel]) + b"\x90",
    10: lambda channel: b"\x82\xa5table\x01\xa5table\x02",
    11: lambda channel: b"\x82\xc4\x04dump\x01\x05\x02",
    12: lambda channel: b"\xd6\xff\x00\x00\x00\x01",
    13: lambda channel: spoil(channel, True),
    14: lambda channel: spoil(channel, 2**64 - 1),
    16: lambda channel: encode([*VALID[channel], *([0] * 9)]),
}
"""Number of a case, and its packet. 1, 15 and 17 have tests of their own."""
MORE = [
    lambda channel: spoil(channel, -1),
    lambda channel: spoil(channel, float("nan")),
    lambda channel: spoil(channel, 1.0),
    lambda channel: encode([VALID[channel][0]])[:-1] + b"\xc7\x01\x05\x00",
    lambda channel: encode([255]),
    lambda channel: encode({"type": VALID[channel][0]}),
]  # fmt: skip
"""Some more of the same kinds, each for one channel in turn."""


@pytest.mark.parametrize("number", BROKEN)
def test_packet_that_is_no_message_ends_the_worker(hostile: Hostile, number: int) -> None:
    """On rpc, scripts and control alike; helper, runner and supervisor serve the next worker."""
    for channel in CHANNELS:
        with hostile.attack("broke the protocol"):
            hostile.send(channel, BROKEN[number](channel))


@pytest.mark.parametrize("number", range(len(MORE)))
def test_more_that_is_no_message(hostile: Hostile, number: int) -> None:
    """Other values in the wrong place, on one channel each."""
    channel = CHANNELS[number % 3]
    with hostile.attack("broke the protocol"):
        hostile.send(channel, MORE[number](channel))
