"""
A slate: a snapshot and the records that follow it, in a file or in memory that outlives the worker.

Layout: header; snapshot; records, each length, checksum, body. The header is written last, so a
snapshot that was not finished is none; a record is there as a whole or not at all. Checksums hold the
slate's generation, so that what an earlier use has left behind is no record.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from zlib import crc32

from netevd.report.packing import Unreadable

_NAME: Final = "netevd-2"
_MAGIC: Final = _NAME.encode()
"""Name and version of the format."""

_HEADER: Final = struct.Struct("<8sQQII")
"""Magic, generation, octets of the snapshot, its checksum, checksum of the header so far."""

_FRAME: Final = struct.Struct("<II")
"""Octets of a body, its checksum."""

_GENERATIONS: Final = 1 << 63
"""No slate comes to so many: one that says so was written by who wants the next to have no number left."""

_AT_LEAST: Final = 1 << 20
"""Octets of records before a new snapshot is worth its price."""


class Content(NamedTuple):
    """What a slate says."""

    generation: int
    snapshot: bytes
    records: list[bytes]
    end: int
    """Offset behind the last record."""


def frame(body: bytes, generation: int) -> bytes:
    """Return a record as it is appended to a slate of this generation; of an older one it is no record."""
    return _FRAME.pack(len(body), crc32(body, generation & 0xFFFFFFFF)) + body


class Slate:
    """One file or memfd."""

    def __init__(self, descriptor: int, capacity: int) -> None:
        """capacity: octets that it may have."""
        self.descriptor = descriptor
        self._capacity = capacity
        self._generation = 0
        self._end = 0
        self._limit = 0
        """Offset from which on a new snapshot is wanted."""

    def read(self) -> Content | None:
        """
        Return what it says, None if there is no whole snapshot; then go on behind its end.

        Raises: Unreadable, if another version has written it.
        """
        head = os.pread(self.descriptor, _HEADER.size, 0)
        if len(head) < _HEADER.size:
            return None
        magic, generation, size, check, own = _HEADER.unpack(head)
        if magic != _MAGIC and magic.startswith(_MAGIC[:-1]):
            raise Unreadable(f"it has the format {magic.decode('ascii', 'replace')}, not {_NAME}")
        if magic != _MAGIC or own != crc32(head[:-4]) or size > self._capacity:
            return None
        if generation >= _GENERATIONS:
            return None
        snapshot = os.pread(self.descriptor, size, _HEADER.size)
        if len(snapshot) != size or crc32(snapshot, generation & 0xFFFFFFFF) != check:
            return None
        self._generation = generation
        self._end = _HEADER.size + size
        self._limit = self._end + max(_AT_LEAST, size)
        records = list(self._read_records())
        return Content(generation, snapshot, records, self._end)

    def _read_records(self) -> Iterator[bytes]:
        rest = memoryview(os.pread(self.descriptor, self._capacity - self._end, self._end))
        place = 0
        while place + _FRAME.size <= len(rest):
            size, check = _FRAME.unpack_from(rest, place)
            body = bytes(rest[place + _FRAME.size : place + _FRAME.size + size])
            if not size or len(body) != size or self._check(body) != check:
                return
            yield body
            place += _FRAME.size + size
            self._end += _FRAME.size + size

    def _check(self, body: bytes) -> int:
        return crc32(body, self._generation & 0xFFFFFFFF)

    def begin(self, generation: int, snapshot: bytes) -> None:
        """Replace all that it says by a snapshot. Raises: OSError."""
        check = crc32(snapshot, generation & 0xFFFFFFFF)
        head = _HEADER.pack(_MAGIC, generation, len(snapshot), check, 0)[:-4]
        _write(self.descriptor, snapshot, _HEADER.size)
        _write(self.descriptor, head + struct.pack("<I", crc32(head)), 0)
        self._generation = generation
        self._end = _HEADER.size + len(snapshot)
        self._limit = self._end + max(_AT_LEAST, len(snapshot))

    def append(self, framed: bytes) -> None:
        """Append a record, see `frame`. Raises: OSError."""
        _write(self.descriptor, framed, self._end)
        self._end += len(framed)

    def close(self) -> None:
        """Take no more records: what it says is not what goes on from here."""
        self._limit = 0

    def has_room(self, size: int) -> bool:
        """Tell whether a record of this size had better be appended than a new snapshot written."""
        return self._end + _FRAME.size + size <= min(self._limit, self._capacity)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, content, offset)
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], offset + written)


class Memory:
    """Two slates in memfds of the supervisor's, one of which is in use."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        """descriptors: of two memfds of one size, taken over."""
        self.capacity = os.fstat(descriptors[0]).st_size
        self._slates = [Slate(each, self.capacity) for each in descriptors]
        self._used = 0
        self.generation = 0
        """Of the slate in use, 0 for none."""

    def read(self) -> Content | None:
        """Return what the last worker left, None if there is nothing. Raises: Unreadable."""
        contents = [slate.read() for slate in self._slates]
        found = [(each.generation, place) for place, each in enumerate(contents) if each]
        if not found:
            return None
        self.generation, self._used = max(found)
        return contents[self._used]

    def has_room(self, size: int) -> bool:
        """Tell whether a record of this size may be appended; if not, `replace` is due."""
        return self.generation > 0 and self._slates[self._used].has_room(size)

    def close(self) -> None:
        """Have the next thing that is kept be a snapshot."""
        self._slates[self._used].close()

    def append(self, framed: bytes) -> None:
        """Append a record of this generation to the snapshot."""
        self._slates[self._used].append(framed)

    def replace(self, snapshot: bytes, generation: int) -> None:
        """Begin a higher generation with this snapshot, in the slate that is not in use; it has to fit."""
        old, self._used = self._used, 1 - self._used
        self.generation = generation
        self._clear(self._used)
        self._slates[self._used].begin(generation, snapshot)
        self._clear(old)

    def _clear(self, place: int) -> None:
        """Give the memory of a slate back."""
        with mmap.mmap(self._slates[place].descriptor, self.capacity) as whole:
            whole.madvise(mmap.MADV_REMOVE, 0, self.capacity)
