"""The fuzz targets in `make test`: the same hundred cases each time, and all that ever failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import TARGETS, load, make_property

CRASHES = Path(__file__).with_name("crashes")


@pytest.mark.parametrize("name", TARGETS)
def test_hundred_cases(name: str) -> None:
    """Seeds and what is made of them raise nothing but what is said."""
    target = load(name)
    for seed in target.seeds():
        target.check(seed)
    make_property(target, 100)()


@pytest.mark.parametrize(
    "path", sorted(CRASHES.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_what_failed_once(path: Path) -> None:
    """Cases that were found by `make fuzz` fail no more."""
    load(path.parent.name).check(path.read_bytes())


def test_a_fault_would_be_found() -> None:
    """A target that can't stand some octets is caught within a hundred cases, and the case is told."""

    class Weak:
        """Fails where a seed is spoiled."""

        @staticmethod
        def seeds() -> list[bytes]:
            return [b"good" * 8]

        @staticmethod
        def check(data: bytes) -> None:
            assert b"\xff" not in data

    with pytest.raises(AssertionError) as raised:
        make_property(Weak, 100)()  # type: ignore[arg-type]
    assert b"\xff" in raised.value.__dict__["data"]
