"""
What one worker keeps: of what was before it, and of each decision before anything is done about it.

How that is written is `recovery`'s, what of it people see `report`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from structlog.typing import FilteringBoundLogger

from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.model.actions import Action, EndRun, Publish
from netevd.model.history import RunOutcome
from netevd.model.inputs import Now
from netevd.report.journal import AuditEntry, Entry, Journal, ReloadEntry
from netevd.report.metrics import Metrics
from netevd.report.packing import Unreadable
from netevd.report.sums import go_on, sum_up
from netevd.report.tally import Tally
from netevd.report.view import View
from netevd.worker.entries import list_entries
from netevd.worker.recovery import Place, Recovery, Remembered
from netevd.worker.slate import Memory
from privsep.protocol import Audited, Configure

_PROBLEMS: Final = 100
"""Problems of a configuration that are remembered."""


class Ledger:
    """
    Keeps what outlives the worker, and tells metrics and view of it.

    To be used in this order: `read`, `begin`, `open`; then the rest.
    """

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.journal: Final = Journal()
        self._metrics = metrics
        self._log = log
        self._recovery: Recovery | None = None
        self._engine: Engine
        self._view: View
        self._tell_run: Callable[[EndRun, int], RunOutcome]
        self.closed = False
        """Whether the next worker has taken over, so that nothing is kept here any more."""

    # --- what was before ------------------------------------------------------------------------

    def read(
        self, memory: Memory, state_directory: str, configuration: Configuration, place: Place
    ) -> Remembered | None:
        """
        Return what an earlier worker left, in memory or in the state directory ("" for none).

        Without this, as in a dry run, nothing is kept.
        """
        recovery = self._recovery = Recovery(
            memory, self.journal, configuration.routes, place, sum_up=partial(sum_up, self._metrics)
        )
        if state_directory:
            try:
                recovery.open_disk(state_directory)
            except OSError as error:
                taken = isinstance(error, BlockingIOError)
                why = "another netevd has it" if taken else f"it can't be written: {error.strerror}"
                recovery.fault = f"{state_directory}: {why}"
                self._log.warning(
                    f"the state directory {state_directory} is not used, since {why}; each start of"
                    " this netevd is a first start (--state-dir names another one)"
                )
        found = recovery.read()
        for trouble in recovery.unreadable:
            rest = "all that is found is told as at a first start"
            rest = rest if found is None else "netevd goes on with what the state directory has"
            self._log.error(f"what was remembered can't be read ({trouble}): {rest}")
        if found is not None and found.gap:
            self._log.warning(
                f"{found.gap} sequence numbers are left out: netevd did not end in good order, and it"
                " is not known how many were used"
            )
        return found

    def discard(self) -> None:
        """Let nothing go on from what was read."""
        if self._recovery is not None:
            self._recovery.begin_anew()

    def begin(self, engine: Engine, configure: Configure, notices: tuple[str, ...]) -> Tally:
        """
        Return what is counted, going on where the last worker has ended, if it was one of this daemon.

        notices: what is to be said of a configuration, unless a worker that had it has said so.
        """
        self._engine, recovery = engine, self._recovery
        tally = Tally() if recovery is None else recovery.tally
        if (tally.started, tally.generation) != (configure.started, configure.generation):
            for notice in notices:
                self._log.warning(notice)
        if recovery is None:
            return Tally(configure.started)
        if tally.started != configure.started:
            recovery.tally = Tally(configure.started)
        if recovery.tally.generation != configure.generation:
            in_force = ReloadEntry(round(configure.loaded * 1e9), configure.generation)
            recovery.write(engine, None, [in_force])
        last = recovery.tally.reload
        if not configure.reload_ok and (last is None or not last.problems):
            text = "it was refused while no worker was there to hear why; the log says it"
            refused = ReloadEntry(time.time_ns(), configure.generation, (text,))
            recovery.write(engine, None, [refused])
        return recovery.tally

    def open(
        self, view: View, found: Remembered | None, tell_run: Callable[[EndRun, int], RunOutcome]
    ) -> None:
        """Begin to keep. found: what `read` has returned. tell_run: how a run ended, see `Performer`."""
        self._view = view
        self._tell_run = tell_run
        view.gauges.on_disk = self._recovery is not None and self._recovery.on_disk
        if found is None or not found.sums:
            return
        try:
            go_on(self._metrics, found.sums, found.since, in_order=found.in_order)
        except Unreadable as error:
            self._log.warning(f"what metrics had counted can't be read ({error}): they begin at 0")

    # --- what happens -----------------------------------------------------------------------------

    def keep(self, actions: list[Action], now: Now, received: float) -> None:
        """Keep what was decided, before anything is done about it. received: monotonic seconds."""
        recovery = self._recovery
        if recovery is None:
            return
        published = sum(isinstance(each, Publish) for each in actions)
        first = self._engine.numbers.sequence - published
        entries = list_entries(actions, first, now.wall_ns, self._tell_run)
        record = self._engine.take_record()
        self._metrics.take(entries, received, time.monotonic())
        if record is not None:
            self._view.gauges.note_record(record)
        recovery.write(self._engine, record, entries)
        while recovery.news:
            self._log.error(recovery.news.pop(0))
            self._view.gauges.on_disk = False
        self._view.tell(entries)

    def note(self, noted: Audited) -> None:
        """Keep what the supervisor has noted, unless this worker has said that it keeps no more."""
        if not self.closed:
            entries: list[Entry] = [AuditEntry(noted)]
            if self._recovery is not None:
                self._recovery.write(self._engine, None, entries)
            self._view.tell(entries)

    def refuse(self, problems: list[str]) -> None:
        """Keep that a reload has changed nothing, and why. No problem: another one is under way."""
        if problems and self._recovery is not None:
            generation = self._recovery.tally.generation
            kept = tuple(each[:4096] for each in problems[:_PROBLEMS])
            refused = ReloadEntry(time.time_ns(), generation, kept)
            self._recovery.write(self._engine, None, [refused])

    def end(self) -> None:
        """Say that all that was sent was handled."""
        if self._recovery is not None:
            self._recovery.end(self._engine)

    # --- what is asked ----------------------------------------------------------------------------

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the last reload was refused, () if it was not."""
        reload = None if self._recovery is None else self._recovery.tally.reload
        return () if reload is None else reload.problems

    @property
    def fault(self) -> str:
        """Why the state directory can't be written, "" if it can or there is none."""
        return "" if self._recovery is None else self._recovery.fault

    @property
    def truncated(self) -> bool:
        """Whether more was to be remembered than there is room for."""
        return self._recovery is not None and self._recovery.truncated

    @property
    def on_disk(self) -> bool:
        """Whether the journal is written to the state directory."""
        return self._recovery is not None and self._recovery.on_disk
