"""
What clients may have done, as they ask for it over HTTP: reload, resume, flush, confirm, examine.

Belongs here: what is waited for and noted on the way. Who may ask is netevd.http's to judge, what
comes of it the engine's and the supervisor's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from structlog.typing import FilteringBoundLogger

from netevd.core.engine import Engine
from netevd.model.inputs import ConfirmRouting, FlushRouting, Input, ResumeHook
from netevd.report.audit import Note
from netevd.report.health import Vitals
from netevd.worker.ports import Port
from privsep.protocol import Control, Reload

EXAMINED_S = 1.0
"""Seconds for which the daemon is as it was found, however often somebody asks."""


class Steering:
    """The worker's side of what `netevd.http.app.Steering` promises."""

    def __init__(
        self,
        engine: Engine,
        submit: Callable[[Input], None],
        control: Port[Control],
        note: Note,
        log: FilteringBoundLogger,
        *,
        find_vitals: Callable[[], Awaitable[Vitals]],
    ) -> None:
        """submit: hands an input to the engine. note: for the audit log. find_vitals: asks helper and runners."""
        self._engine = engine
        self._submit = submit
        self._control = control
        self._note = note
        self._log = log
        self._find_vitals = find_vitals
        self._outcome: list[str] | None = None
        self._over: trio.Event | None = None
        """Set once a reload that a client waits for is over."""
        self.reloading = False
        """Whether a client has asked for a reload and waits for its outcome."""
        self._examining = trio.Lock()
        self._examined = Vitals(started=False)
        self._examined_at = float("-inf")
        """When that was, seconds of Trio's clock."""

    async def reload(self, by: str) -> list[str] | None:
        """
        Have the configuration read again; return its problems, None where it is in force.

        by: who has asked, for the audit log.
        """
        self._note("reload", "asked", by=by)
        wait = self.follow_reload()
        self._control.send(Reload())
        self.reloading = True
        return await wait()

    def follow_reload(self) -> Callable[[], Awaitable[list[str] | None]]:
        """Begin to wait for the end of the next reload; return what waits on."""
        if self._over is None:
            self._over = trio.Event()
        over = self._over

        async def wait() -> list[str] | None:
            await over.wait()
            return self._outcome

        return wait

    def end_reload(self, problems: list[str] | None) -> None:
        """Tell whoever waits for it how a reload has ended."""
        self._outcome = problems
        self.reloading = False
        if self._over is not None:
            self._over.set()
            self._over = None

    def resume(self, path: str, by: str) -> bool:
        """Let a paused script run again; tell whether it was paused. by: who has asked."""
        was_paused = path in self._engine.insight.get_paused()
        self._note("resume", "accepted" if was_paused else "refused", by=by, detail=path)
        self._submit(ResumeHook(path))
        return was_paused

    def flush_routing(self, by: str) -> None:
        """Remove every rule and route of netevd's. by: who has asked."""
        self._note("routing-flush", "accepted", by=by, detail="")
        self._submit(FlushRouting())

    def confirm_routing(self, by: str) -> bool:
        """Keep the routing configuration on trial; tell whether one is. by: who has asked."""
        on_trial = self._engine.insight.get_policy_trial() is not None
        self._note("routing-confirm", "accepted" if on_trial else "refused", by=by, detail="")
        self._submit(ConfirmRouting())
        return on_trial

    async def examine(self) -> Vitals:
        """Find out how the daemon is; helper and runners are asked, at most once a second."""
        async with self._examining:
            if trio.current_time() - self._examined_at >= EXAMINED_S:
                self._examined = await self._find_vitals()
                self._examined_at = trio.current_time()
            return self._examined

    def note_fault(self, text: str) -> None:
        """Log that an answer could not be made, by a mistake of ours."""
        self._log.error(text)
