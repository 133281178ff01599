"""What a worker that was taken over leaves behind for the next one: memories and files that outlive it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from zlib import crc32

import msgspec
import pytest

from netevd.worker.slate import _HEADER, _MAGIC, frame
from tests.attacks.rig import Hostile, Refused, show_kernel
from tests.boundary.conftest import enter_namespace
from tests.processes.rig import Daemon, ip

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to have a worker of another user"
)
TOP = 2**64 - 1


@pytest.fixture(scope="module")
def haunted() -> Iterator[Hostile]:
    """Return a daemon whose worker is netevd's until it is taken over."""
    with enter_namespace():
        ip("link set lo up", "link add name eth0 index 102 type veth peer name p0")
        daemon = Daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n")
        daemon.script("link-added", "#!/bin/sh\n")
        try:
            made = Hostile(daemon)
            made.marker.unlink()
            daemon.start(fault=made.fault)
            yield made
        finally:
            daemon.close()


def head(generation: int, snapshot: bytes, size: int | None = None) -> bytes:
    """Return the header of a slate that begins with this snapshot."""
    check = crc32(snapshot, generation & 0xFFFFFFFF)
    told = _HEADER.pack(_MAGIC, generation, len(snapshot) if size is None else size, check, 0)[:-4]
    return told + crc32(told).to_bytes(4, "little")


def change(snapshot: bytes, **numbers: int) -> bytes:
    """Return a snapshot whose first numbers are others."""
    whole = msgspec.msgpack.decode(snapshot)
    whole[1]["numbers"] |= numbers
    return msgspec.msgpack.encode(whole)


Poison = Callable[[bytes, int], bytes]
"""What a slate says instead, of the snapshot and the generation that it had."""
POISONS: dict[str, Poison] = {
    "ones": lambda snapshot, generation: b"\xff" * 4096,
    "nothing": lambda snapshot, generation: bytes(4096),
    "no snapshot": lambda snapshot, generation: head(generation + 1, b"\xc0") + b"\xc0",
    "larger than it is": lambda snapshot, generation: head(generation + 1, snapshot, 1 << 40),
    "a well": lambda snapshot, generation: head(generation + 1, b"\x91" * 500_000) + b"\x91" * 500_000,
    "the last generation": lambda snapshot, generation: head(TOP, snapshot) + snapshot,
    "a record that is none": lambda snapshot, generation: (
        head(generation + 1, snapshot) + snapshot + frame(b"\x91\x91", generation + 1)
    ),
    "the last number": lambda snapshot, generation: (
        head(generation + 1, changed := change(snapshot, sequence=2**63 - 1, run=2**63 - 1)) + changed
    ),
    "numbers below nought": lambda snapshot, generation: (
        head(generation + 1, changed := change(snapshot, sequence=-5, run=-(2**63))) + changed
    ),
}  # fmt: skip


def expect_honest(haunted: Hostile, served: int) -> None:
    """See that the next worker serves, and that events and scripts go on."""
    haunted.daemon.expect_serving(served + 1)
    added, removed = map(haunted.daemon.events("eth7").count, ("link-added", "link-removed"))
    ip("link add name eth7 type veth peer name p7")
    try:
        haunted.daemon.wait_event("eth7", "link-added", added + 1)
    finally:
        ip("link del eth7")
    haunted.daemon.wait_event("eth7", "link-removed", removed + 1)


@pytest.mark.parametrize("name", POISONS)
def test_memory_of_a_hostile_worker_ends_no_other(haunted: Hostile, name: str) -> None:
    """Whatever stands in it, the next worker serves, and the roles with privilege never look."""
    haunted.take_over()
    there, kernel = haunted.privileged(), show_kernel()
    snapshot, generation = b"", 1
    for slate in range(2):
        magic, number, size, _, _ = _HEADER.unpack(
            bytes.fromhex(haunted.do("peek", slate, 0, _HEADER.size))
        )
        if magic == _MAGIC and number >= generation:
            snapshot = bytes.fromhex(haunted.do("peek", slate, _HEADER.size, size))
            generation = number
    assert snapshot
    for slate in range(2):
        haunted.do("scribble", slate, 0, POISONS[name](snapshot, generation).hex())
        for place in ("journal.0", "journal.1"):
            haunted.do("leave", place, POISONS[name](snapshot, generation).hex())

    served = haunted.relent()
    assert haunted.privileged() == there
    assert show_kernel() == kernel
    expect_honest(haunted, served)
    assert haunted.privileged() == there
    assert not any("giving up" in each["message"] for each in haunted.daemon.log)


@pytest.mark.parametrize("name", ["journal.0", "reserved"])
def test_file_that_is_another_ends_no_worker(haunted: Hostile, name: str) -> None:
    """A directory in the place of a file: what can't be used is done without, and said."""
    haunted.take_over()
    with pytest.raises(Refused):
        haunted.do("plant", "link", "/etc/shadow")  # a worker makes no link
    haunted.do("plant", name, "directory")
    after = len(haunted.daemon.log)
    expect_honest(haunted, haunted.relent())
    haunted.daemon.expect(lambda each: "Is a directory" in each["message"], after)
    (haunted.daemon.root / "state" / name).rmdir()
