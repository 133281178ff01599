"""What a reader leaves in its memory is sealed, or refused; it may have been taken over."""

from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from privsep.reading import LIMIT, seal
from privsep.spawn import Memory


@pytest.fixture
def memory() -> Memory:
    """Return the memory of a reader that has said little."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    memory = Memory(*(os.memfd_create(name, flags) for name in Memory._fields))
    for each in memory:
        os.pwrite(each, b"x", 0)
    return memory


def test_sealed_memory_stays_as_it_is(memory: Memory) -> None:
    """Neither its content nor its size can be changed afterwards."""
    assert seal(memory) == []

    for each in memory:
        with pytest.raises(PermissionError):
            os.pwrite(each, b"y", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(each, 0)


def test_mapped_memory_is_refused(memory: Memory) -> None:
    """A reader that could still write by a mapping is refused; it does not end the supervisor."""
    with mmap.mmap(memory.targets, 1):
        (fault,) = seal(memory)

    assert "can't be sealed" in fault


def test_memory_sealed_by_the_reader_is_refused(memory: Memory) -> None:
    """Whoever forbids seals keeps what they forbid, so it is no answer."""
    fcntl.fcntl(memory.configuration, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)

    (fault,) = seal(memory)

    assert "can't be sealed" in fault


def test_memory_that_would_not_be_compared_whole_is_refused(memory: Memory) -> None:
    """What is beyond the compared octets could differ unseen."""
    os.ftruncate(memory.targets, LIMIT + 1)

    (fault,) = seal(memory)

    assert str(LIMIT) in fault
