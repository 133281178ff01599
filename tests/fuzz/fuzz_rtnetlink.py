"""What the kernel tells of links, addresses, routes, rules, neighbours and namespaces."""

from __future__ import annotations

import json
from pathlib import Path

from netevd.kernel import decode
from netevd.kernel.attributes import DecodeError

_DATA = Path(__file__).parents[1] / "data"


def seeds() -> list[bytes]:
    """Return datagrams as they were recorded."""
    found = []
    for name in ("rtnetlink.jsonl", "routes.jsonl"):
        for line in (_DATA / name).read_text().splitlines():
            found += [bytes.fromhex(each) for each in json.loads(line).get("datagrams", [])]
    return sorted({each for each in found if len(each) < 4096}, key=len)[:200]


def check(data: bytes) -> None:
    """Read a datagram as each kind of message there is."""
    for read in (
        decode.decode,
        decode.decode_routes,
        decode.decode_neighbours,
        decode.decode_namespaces,
    ):
        try:
            repr(read(data))
        except DecodeError:
            continue
