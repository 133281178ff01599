"""What every measurement needs: how long to measure, and the two subjects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from subjects import Daemon, Floor

SETTLE_S: Final = 1.0
"""Until whatever follows a start or a burst is over."""
LOST_S: Final = 5.0
"""A script that has not begun after this time never will."""


class Plan(NamedTuple):
    """How long and with what to measure."""

    rounds: int
    samples: int
    """Addresses added, and removed, in each round and for each subject."""
    starts: int
    idle_s: float
    netevd: list[str]
    """Command line of netevd."""
    build: Path
    """Directory of the compiled programs."""
    work: Path
    """A new directory, every measurement makes its own below it."""


@contextmanager
def make_subjects(plan: Plan, name: str, links: str) -> Iterator[tuple[Floor, Daemon]]:
    """Make floor and netevd in a directory of this name; end them afterwards. links: a pattern."""
    work = plan.work / name
    work.mkdir()
    with ExitStack() as stack:
        floor = Floor(work, plan.build / "floor")
        stack.callback(floor.close)
        daemon = Daemon(work, plan.netevd, links)
        stack.callback(daemon.close)
        yield floor, daemon
