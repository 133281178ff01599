"""What the API has done about the configuration; whoever does it is the worker's."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from netevd.config.sealed import Sealed


@frozen(slots=True)
class Settlement:
    """What became of a request to change the configuration."""

    outcome: str
    """As in `Settled` of privsep.protocol; or taken: another client's is being settled."""
    problems: tuple[str, ...] = ()
    sealed: Sealed | None = None
    """What was made of a configuration that was only to be checked."""


class Writer(Protocol):
    """What clients may do with the configuration."""

    sealed: Sealed
    confirm_until: float
    """Until when it has to be confirmed, monotonic seconds; 0 if it has not."""

    async def write(
        self, content: bytes, by: str, *, patch: bool, dry_run: bool, confirm_s: int
    ) -> Settlement:
        """
        Have a configuration checked and, but for a dry run, written and put in force.

        by: who has asked, for the audit log.
        """

    async def confirm(self, by: str) -> Settlement:
        """Keep what waits for confirmation."""

    async def roll_back(self, by: str) -> Settlement:
        """Take it back, and wait until what was before is in force."""
