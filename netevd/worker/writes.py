"""What clients have written into the configuration file: asked of the supervisor, one at a time."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio

from netevd.config.sealed import Sealed, unseal
from netevd.http.writer import Settlement
from netevd.report.audit import Note
from netevd.worker.ports import Port
from privsep.protocol import Candidate, Control, Decide, Message, Settled

TRIES: Final = 20
PAUSE_S: Final = 0.1
"""How often and after how many seconds a change is tried again while a reload is under way."""


class Writes:
    """Sends what is to be written, or decided about it, and hears what became of that."""

    def __init__(
        self,
        control: Port[Control],
        sealed: Sealed,
        confirm_until: float,
        follow_reload: Callable[[], Callable[[], Awaitable[list[str] | None]]],
        note: Note,
    ) -> None:
        """follow_reload: begins to wait for the outcome of a reload that somebody else asks for."""
        self._control = control
        self._follow_reload = follow_reload
        self._note = note
        self.sealed = sealed
        """What is in force."""
        self.confirm_until = confirm_until
        """Until when it has to be confirmed, monotonic seconds; 0 if it has not."""
        self._settled: trio.Event | None = None
        """While an answer is awaited, whoever still waits for it: a second request would end us."""
        self.serving = trio.Event()
        """Set once this worker serves: before that nothing is changed."""
        self._settlement = Settlement("busy")
        self._written: Settlement | None = None
        self._over = False

    async def write(
        self, content: bytes, by: str, *, patch: bool, dry_run: bool, confirm_s: int
    ) -> Settlement:
        """
        Have a configuration checked and, but for a dry run, written; return what came of it.

        by: who has asked, for the audit log.
        """
        if not dry_run:
            self._note("configuration", "asked", by=by, detail=f"to be confirmed: {confirm_s} s")
        await self.serving.wait()
        settlement = await self._ask(Candidate(content, patch, dry_run, confirm_s))
        for _ in range(TRIES):
            if settlement.outcome != "busy" or self._over or self.confirm_until:
                break
            await trio.sleep(PAUSE_S)  # a reload that somebody else has asked for
            settlement = await self._ask(Candidate(content, patch, dry_run, confirm_s))
        if not dry_run and settlement.outcome != "fine":
            detail = "; ".join((settlement.outcome, *settlement.problems))
            self._note("configuration", "refused", by=by, detail=detail)
        return settlement

    async def confirm(self, by: str) -> Settlement:
        """Keep what waits for confirmation; return what came of it."""
        settlement = await self._ask(Decide(keep=True))
        self._note("configuration", "confirmed", by=by, detail=settlement.outcome)
        if settlement.outcome != "busy":
            self.confirm_until = 0.0
        return settlement

    async def roll_back(self, by: str) -> Settlement:
        """Take it back, and wait until what was before is in force; return what came of it."""
        wait = self._follow_reload()
        settlement = await self._ask(Decide(keep=False))
        self._note("configuration", "rolled-back", by=by, detail=settlement.outcome)
        if settlement.outcome != "rolled-back":
            return settlement
        problems = await wait()
        return settlement if problems is None else Settlement("invalid", tuple(problems))

    async def _ask(self, message: Message) -> Settlement:
        if self._settled is not None:
            return Settlement("taken")
        self._settled = settled = trio.Event()
        self._control.send(message)
        await settled.wait()
        return self._settlement

    def hear(self, message: Settled, descriptors: list[int]) -> None:
        """Take an answer of the supervisor's."""
        found = [_read(descriptor) for descriptor in descriptors]
        sealed = found[0] if found else None
        settlement = Settlement(message.outcome, tuple(message.problems), sealed)
        if message.outcome == "fine" and not found:
            self._written = settlement
        else:
            self._end(settlement)

    def give_up(self) -> None:
        """
        Take in that another worker goes on, which is how a change that was written ends.

        It is answered only now, since the client's next request on this connection would come too late.
        """
        self._over = True
        self._end(self._written or Settlement("busy"))

    def _end(self, settlement: Settlement) -> None:
        if self._settled is not None:
            self._settlement = settlement
            self._settled.set()
            self._settled = None


def _read(descriptor: int) -> Sealed | None:
    """Return what the reader has made of a configuration, None where it has written nothing."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    try:
        return unseal(content)
    except msgspec.DecodeError:
        return None
