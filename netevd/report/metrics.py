"""What is counted while it happens. How that goes on in the next worker is `sums`' business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from netevd.config.links import watches
from netevd.config.schema import MetricsSettings
from netevd.model.event import Event, EventType
from netevd.model.history import RunOutcome
from netevd.model.link import Link
from netevd.model.shape import printable
from netevd.report import families
from netevd.report.families import FAMILIES, OTHER, Family
from netevd.report.journal import DeliveryEntry, Entry, EventEntry, OutcomeEntry, RunEntry
from netevd.report.series import Exemplar, Labels, Series

GRACE_S: Final = 300.0
"""Seconds for which series of an interface that is gone are still told, so that its last events are
seen; they go at once when others need their place."""

_RECENT: Final = 4096
"""Events whose scripts' begin is measured, at most."""
_NAMES: Final = 4096
"""Names of interfaces whose label is remembered, at most."""


@frozen(slots=True)
class Before:
    """What the supervisor knows of the time before this worker."""

    started: float
    """When the daemon was started, monotonic seconds."""
    start_time: float
    """The same in seconds since 1970."""
    generation: int
    restarts: Mapping[str, int]
    """How often a process was started again, by role."""
    failed: int
    """Reloads that put nothing in force."""
    reload_ok: bool
    """Whether the latest one did."""
    loaded: float
    """When the configuration in force was put in force, seconds since 1970."""

    @property
    def deaths(self) -> int:
        """How many workers have died."""
        return self.restarts.get("worker", 0)


class Metrics:
    """Counts, and keeps the series of every metric."""

    def __init__(self, settings: MetricsSettings, before: Before) -> None:
        self.settings = settings
        self.before = before
        self.version = 0
        """Grows with whatever may change a metric."""
        self.handled = 0
        """Grows with whatever may change what the engine knows."""
        self.start_time = before.start_time
        self.reload_ok = before.reload_ok
        self.series = {each.name: Series(each, self.find_room(each)) for each in FAMILIES}
        """By name."""
        self._pending: list[tuple[list[Entry], float]] = []
        """Entries that are not counted yet, with seconds from message to decision."""
        self._received: dict[int, float] = {}
        """When the message of an event was read, monotonic seconds, of the latest events."""
        self._requested: dict[int, tuple[float, int]] = {}
        """Runs whose begin is measured: when the message was read, and the event."""
        self._retried: set[int] = set()
        """Runs whose first attempt has failed."""
        self._vanished: dict[str, float] = {}
        """Interfaces that are gone and still have series, with the time, monotonic seconds."""
        self._labels: dict[tuple[str, tuple[str, ...]], str] = {}
        self.tell_before()

    def find_room(self, family: Family) -> int | None:
        """Return how many label values of a family may have series of their own."""
        share = self.settings.max_series
        match family.group:
            case "links":
                return share // 8  # with two series each
            case "events":
                return share // 2
            case "scripts":
                return share // 4 // (len(families.SCRIPT_DURATION.bounds) + 4)
            case _:
                return None

    def tell_before(self) -> None:
        """Put what the supervisor has counted in place of what was counted here."""
        self.version += 1
        before = self.before
        for role, times in before.restarts.items():
            self._of(families.RESTARTS).restore([((role,), [float(times)])])
        done = before.generation - 1
        self._of(families.RELOADS).restore(
            [(("success",), [float(done)]), (("failed",), [float(before.failed)])]
        )

    def _of(self, family: Family) -> Series:
        return self.series[family.name]

    # --- on the way of an event -------------------------------------------------------------------

    def take(self, entries: list[Entry], received: float, decided: float) -> None:
        """Take entries of the journal; `fold` counts them. received, decided: monotonic seconds."""
        self.version += 1
        self.handled += 1
        if not entries:
            return
        self._pending.append((entries, decided - received))
        for entry in entries:
            if isinstance(entry, EventEntry):
                self._received[entry.event.sequence] = received
        while len(self._received) > _RECENT:
            del self._received[next(iter(self._received))]

    def fold(self) -> None:
        """Count what was taken."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        for entries, took in pending:
            for entry in entries:
                self.count(entry, took)

    def note_request(self, run: int, event: Event) -> None:
        """Take in that a script is to be started."""
        received = self._received.get(event.sequence)
        if received is not None and not event.coalesced and run not in self._retried:
            self._requested[run] = (received, event.sequence)

    def note_started(self, run: int, now: float, wall_s: float) -> None:
        """Take in that it was. now: monotonic seconds; wall_s: seconds since 1970."""
        requested = self._requested.pop(run, None)
        if requested is None:
            return
        received, sequence = requested
        series = self._of(families.EVENT_TO_SCRIPT)
        cell, _ = series.find((), ())
        took = now - received
        series.observe(cell, (), took, Exemplar(took, sequence, wall_s))
        self.version += 1

    def count(self, entry: Entry, took: float | None = None) -> None:
        """Count an entry. took: seconds from message to decision, None where nobody knows any more."""
        match entry:
            case EventEntry(event=event, verdict=verdict):
                self._count_event(event)
                action = "execute" if verdict is None else verdict.action
                self._of(families.VERDICTS).count(action)
                if took is not None:
                    series, labels = self._of(families.EVENT_DURATION), (event.type.value,)
                    cell, _ = series.find(labels, labels)
                    exemplar = Exemplar(took, event.sequence, event.time_ns / 1e9)
                    series.observe(cell, labels, took, exemplar)
            case OutcomeEntry(outcome=outcome):
                series = self._of(families.DEBOUNCED)
                series.count(outcome.result, amount=len(outcome.sequences))
            case RunEntry(outcome=run):
                self._count_run(run)
            case DeliveryEntry(outcome=delivery):
                result = delivery.result if delivery.final else "retried"
                self._of(families.DELIVERIES).count(result)

    def _count_event(self, event: Event) -> None:
        kind, label = event.type.value, self._find_label(event)
        series = self._of(families.EVENTS)
        labels = (kind, label, event.backend)
        if labels not in series.cells and len(series.cells) >= (self.find_room(series.family) or 0):
            self._drop_vanished(list(self._vanished))
        cell, is_own = series.find(labels, (kind, OTHER, event.backend))
        cell[0] += 1
        if not is_own:
            self._of(families.SERIES_DROPPED).count("events")
        subject, _, result = kind.partition("-")
        if subject == "routing":
            self._of(families.RECONCILES).count(result)
        gone = event.type is EventType.LINK_REMOVED
        if gone and label not in {OTHER, ""}:
            self._vanished[label] = event.time_ns / 1e9
        elif self._vanished:
            self._vanished.pop(label, None)

    def _count_run(self, run: RunOutcome) -> None:
        script = printable(run.script.rpartition("/")[2])
        if run.final:
            self._of(families.RUNS).count(run.result)
            self._retried.discard(run.run)
        else:
            self._of(families.RETRIES).count()
            self._retried.add(run.run)
        self._requested.pop(run.run, None)
        self._of(families.LEFTOVERS).count(amount=run.leftovers)
        if run.status is not None:
            series = self._of(families.SCRIPT_DURATION)
            cell, is_own = series.find((script,), (OTHER,))
            labels = (script,) if is_own else (OTHER,)
            exemplar = Exemplar(run.duration_s, run.sequence, run.time_ns / 1e9)
            series.observe(cell, labels, run.duration_s, exemplar)
            if not is_own:
                self._of(families.SERIES_DROPPED).count("scripts")
        failed = run.result in {"failed", "timeout", "lost"}
        cell, _ = self._of(families.SCRIPT_FAILURES).find((script,), (OTHER,))
        cell[0] += failed

    def _find_label(self, event: Event) -> str:
        """Return what an event's interface is called in metrics."""
        if event.after is None:
            return ""
        link = event.after.link
        found = self._labels.get((link.name, link.altnames))
        if found is None:
            if len(self._labels) >= _NAMES:
                self._labels.clear()
            found = self._labels[link.name, link.altnames] = self.label(link)
        return found

    def label(self, link: Link) -> str:
        """Return the label of an interface, `OTHER` for one that is not to have its own series."""
        chosen = watches(self.settings.interfaces, link.name, link.altnames, loopback=link.loopback)
        return printable(link.name) if chosen else OTHER

    # --- interfaces that are gone -----------------------------------------------------------------

    def keep_only(self, names: set[str], wall_s: float) -> None:
        """Take in which interfaces exist; series of others go away soon."""
        for _, name, _ in self._of(families.EVENTS).cells:
            if name and name != OTHER and name not in names:
                self._vanished.setdefault(name, wall_s)
        for name in [each for each in self._vanished if each in names]:
            del self._vanished[name]

    def forget_vanished(self, wall_s: float) -> None:
        """Drop the series of interfaces that have been gone for long enough."""
        late = [each for each, since in self._vanished.items() if not 0 <= wall_s - since < GRACE_S]
        self._drop_vanished(late)

    def find_due(self) -> float:
        """Return when there will be series to drop, seconds since 1970."""
        return min(self._vanished.values(), default=float("inf")) + GRACE_S

    def _drop_vanished(self, names: list[str]) -> None:
        if names:
            gone = set(names)
            self._of(families.EVENTS).drop(lambda labels: labels[1] in gone)
            for name in names:
                del self._vanished[name]

    # --- beside events ----------------------------------------------------------------------------

    def note_overrun(self, source: int) -> None:
        """Take in that the kernel has dropped messages. source: as in privsep.protocol."""
        self._note(families.OVERRUNS, families.SOCKETS[source])

    def note_resync(self, source: str, *, consistent: bool) -> None:
        """Take in that links or routes were read from the kernel."""
        self._note(families.RESYNCS, source, "ok" if consistent else "failed")

    def note_answer(self, verb: str, *, denied: bool) -> None:
        """Take in that the helper has answered a request."""
        self._note(families.REQUESTS, verb, "denied" if denied else "done")

    def note_restart(self, role: str) -> None:
        """Take in that a process was started again."""
        self._note(families.RESTARTS, role)

    def note_reload_failed(self) -> None:
        """Take in that a reload has put nothing in force."""
        self.reload_ok = False
        self._note(families.RELOADS, "failed")

    def note_answered(self, listener: str, code: int) -> None:
        """Take in that a client was answered."""
        self._note(families.HTTP_REQUESTS, listener, str(code))

    def note_connection(self, listener: str, change: int) -> None:
        """Take in that a connection was opened (1), or closed (-1)."""
        self._of(families.HTTP_CONNECTIONS).count(listener, amount=change)
        self.version += 1

    def tell(self, family: Family, values: dict[Labels, float]) -> None:
        """Take in what is so now."""
        series = self._of(family)
        before = series.version
        series.put(values)
        self.version += series.version != before

    def _note(self, family: Family, *labels: str) -> None:
        self._of(family).count(*labels)
        self.version += 1
