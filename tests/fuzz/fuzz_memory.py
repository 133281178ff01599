"""What a worker reads that another has left: whole records of nonsense included, since who left it may have been taken over."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from hashlib import sha512
from typing import Any
from zlib import crc32

import msgspec

from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    HooksListed,
    Input,
    LinkGone,
    LinkSeen,
    Now,
    RunnerConnected,
)
from netevd.report.journal import EventEntry, Journal
from netevd.worker.recovery import Place, Recovery
from netevd.worker.slate import _FRAME, _HEADER, _MAGIC, Memory, frame
from tests.fuzz.mutation import Dice
from tests.stories.configurations import configure
from tests.stories.playbook import finished, has, hooks, link

_SIZE = 4 << 20
_HERE = Place("boot", 1)
_ROUTES = Configuration().routes


@contextlib.contextmanager
def _slates():
    made = (os.memfd_create("a"), os.memfd_create("b"))
    try:
        for each in made:
            os.ftruncate(each, _SIZE)
        yield made
    finally:
        for each in made:
            os.close(each)


@cache
def _remember() -> tuple[bytes, tuple[bytes, ...]]:
    """Return the snapshot and the records that a worker has left."""
    with _slates() as slates:
        recovery = Recovery(Memory(slates), Journal(), _ROUTES, _HERE)
        recovery.read()
        engine = Engine(configure(), 1)
        inputs: list[Input] = [
            HelperConnected(),
            RunnerConnected(0, "first"),
            HooksListed(hooks("link-added.d/10-a", "routable.d/20-b", "carrier.d/30-c")),
            LinkSeen(link("eth0", 2), 1),
            LinkSeen(link("wg0", 3), 1),
            DumpEnded(1, consistent=True),
            *(LinkSeen(link("eth0", 2, mtu=mtu)) for mtu in range(1400, 1420)),
            LinkSeen(link("eth5", 5)),
            has("10.0.0.1/24", 5),
        ]
        for each in inputs:
            actions = engine.handle(each, Now(1.0, 1))
            entries = [EventEntry(a.event) for a in actions if hasattr(a, "verdict")]
            recovery.write(engine, engine.take_record(), list(entries))
        content = Memory(slates).read()
        assert content is not None
        return content.snapshot, tuple(content.records)


def seeds() -> list[bytes]:
    """Return a snapshot, and a snapshot with records behind it."""
    snapshot, records = _remember()
    return [
        b"\0" + snapshot,
        b"\1" + b"".join(_FRAME.pack(len(each), 0) + each for each in records),
        b"\2" + records[0],
        b"\3" + bytes(64),
        *(b"\4" + sha512(bytes([each])).digest() * 12 for each in range(24)),
    ]


def check(data: bytes) -> None:
    """Read it with checksums that fit, begin an engine with what was found, and let it go on."""
    kind, rest = Dice(data[:1]).number(5), data[1:]
    snapshot, records = _remember()
    if kind == 0:
        snapshot, records = rest, ()
    elif kind == 1:
        records = tuple(_split(rest))
    elif kind == 2:
        records = (rest,)
    elif kind == 4:
        snapshot, records = _pervert(snapshot, Dice(rest)), ()
    with _slates() as slates:
        head = _HEADER.pack(_MAGIC, 7, len(snapshot), crc32(snapshot, 7), 0)[:-4]
        whole = (
            head
            + crc32(head).to_bytes(4, "little")
            + snapshot
            + b"".join(frame(each, 7) for each in records if each)
        )
        if kind == 3:
            whole = rest + whole[len(rest) :]
        os.pwrite(slates[0], whole[:_SIZE], 0)
        _go_on(slates)


def _pervert(packed: bytes, dice: Dice) -> bytes:
    """Return the same shape with other values: well-typed nonsense."""
    return msgspec.msgpack.encode(_change(msgspec.msgpack.decode(packed), dice))


def _change(value: Any, dice: Dice) -> Any:
    if isinstance(value, dict):
        return {key: _change(each, dice) for key, each in value.items()}
    if isinstance(value, list):
        found = [_change(each, dice) for each in value]
        return {0: [], 1: found * 2, 2: found[1:], 3: found[::-1]}.get(dice.number(60), found)
    if dice.number(25):
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return (0, 1, -1, 2, 7, 2**31, 2**53, 2**63 - 1, -(2**63))[dice.number(9)]
    if isinstance(value, float):
        return (0.0, -1.0, 1e300, float("inf"), float("nan"))[dice.number(5)]
    if isinstance(value, str):
        return ("", "x" * 300, "eth0", "a\nb", "..", "\0", "é")[dice.number(7)]
    return value


def _split(rest: bytes) -> list[bytes]:
    found = []
    while len(rest) >= _FRAME.size:
        size = _FRAME.unpack_from(rest)[0]
        found.append(rest[_FRAME.size : _FRAME.size + size])
        rest = rest[_FRAME.size + size :]
    return found


def _go_on(slates: tuple[int, int]) -> None:
    """Be the next worker, as `netevd.worker.main` is."""
    recovery = Recovery(Memory(slates), Journal(), _ROUTES, _HERE)
    found = recovery.read()
    state = None if found is None else found.state
    first = 1 if found is None else found.numbers.sequence
    try:
        engine = Engine(configure(), first, state=state)
    except Exception:  # whatever it is, main begins anew
        recovery.begin_anew()
        engine = Engine(configure(), first)
    inputs: list[Input] = [
        RunnerConnected(0, "second"),
        HelperConnected(),
        HooksListed(hooks("link-added.d/10-a", "routable.d/20-b")),
        LinkSeen(link("eth0", 2), 1),
        DumpEnded(1, consistent=True),
        *(finished(run) for run in range(1, 6)),
        LinkGone(2),
        LinkSeen(link("eth9", 9)),
    ]
    for each in inputs:
        engine.handle(each, Now(2.0, 2))
        recovery.write(engine, engine.take_record(), [])
    msgspec.to_builtins(engine.get_state() is None)
