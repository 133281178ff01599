"""
What services of the host are told of leases: DNS servers, search domains, the host's name.

Belongs here: what they ought to know, what they were told, and when to try again. A service that was
started anew has forgotten it. What was told is remembered over the worker's life, so that a lease that
is lost meanwhile is taken back all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define

from netevd.config.schema import Network
from netevd.core.observe import Observer
from netevd.model.actions import Action, GiveAdvice, Kind, Note
from netevd.model.advice import Advice
from netevd.model.backend import BackendName
from netevd.model.inputs import AdviceAnswered, BackendFound, BackendLost, Now
from netevd.model.link import IfIndex
from netevd.model.snapshot import Snapshot

PAUSES_S: Final = (1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds from the n-th failure in a row to the next attempt; the last value stays."""

ANSWER_S: Final = 30.0
"""Seconds after which nobody waits for an answer any more."""

NEVER: Final = float("inf")

_HOST: Final = IfIndex(0)

_KEEPERS: Final = frozenset({"systemd-networkd", "NetworkManager"})
"""Managers that tell resolved themselves what their leases say, unless they are told not to."""


@define(slots=True, eq=False)
class _Trouble:
    """A service that did not take what it was told."""

    failures: int
    due: float
    """When to try again, monotonic seconds; NEVER while it is being tried."""
    reason: str


class Advising:
    """Everything that services ought to know, and know."""

    def __init__(self, settings: Network, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._told: dict[IfIndex, Advice] = {}
        """What services have taken, by subject."""
        self._asked: dict[int, tuple[GiveAdvice, float]] = {}
        """What was not answered yet, and until when it may be."""
        self._troubles: dict[IfIndex, _Trouble] = {}
        self._absent: set[BackendName] = {"systemd-resolved", "systemd-networkd"}
        """Services that are not there, or have not said yet that they are."""
        self._number = 0
        self._stale = True
        """Whether anything may have changed since it was looked at."""
        self._changed = False
        self._lost: set[IfIndex] = set()
        """Subjects whose service has forgotten what it was told."""

    # --- what is asked ---------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether there is anything to tell, or to take back."""
        settings = self._settings
        wanted = settings.use_dns or settings.use_domain or settings.use_hostname
        return wanted or bool(self._told or self._asked)

    @property
    def due(self) -> float | None:
        """When `step` is wanted, in monotonic seconds; None for never."""
        times = [each.due for each in self._troubles.values() if each.due != NEVER]
        times += [until for _, until in self._asked.values()]
        return min(times, default=None)

    def find_troubles(self) -> list[str]:
        """Return in words which services did not take what they were told."""
        return [each.reason for _, each in sorted(self._troubles.items())]

    def get_memory(self) -> tuple[Advice, ...]:
        """Return what services know from us."""
        return tuple(self._told.values())

    def take_memory(self) -> tuple[Advice, ...] | None:
        """Return all of it, None if it is as it was at the last call."""
        if not self._changed:
            return None
        self._changed = False
        return self.get_memory()

    def restore(self, told: tuple[Advice, ...]) -> None:
        """Take what services were told by an earlier engine."""
        self._told = {each.subject: each for each in told}

    # --- what happens ----------------------------------------------------------------------------

    def note(self) -> None:
        """Take in that links, leases or who manages them may have changed."""
        self._stale = True

    def note_service(self, given: BackendFound | BackendLost) -> None:
        """Take in that a service is there anew, and has forgotten what it was told; or that it is not."""
        self._stale = True
        if isinstance(given, BackendLost):
            self._absent.add(given.backend)
            return
        self._absent.discard(given.backend)
        for subject, advice in self._told.items():
            if advice.service == given.backend:
                self._lost.add(subject)
                self._troubles.pop(subject, None)

    def take(self, given: AdviceAnswered, now: Now, actions: list[Action]) -> None:
        """Take in what became of something that was told."""
        found = self._asked.pop(given.number, None)
        if found is None:
            return
        self._stale = True
        asked, _ = found
        subject = asked.advice.subject
        if given.error:
            self._fail(asked, given, now, actions)
            return
        if self._troubles.pop(subject, None) is not None:
            actions.append(Note("info", _describe(asked), {}, Kind.BACKEND))
        self._changed = True
        if asked.withdraw:
            self._told.pop(subject, None)
        else:
            self._told[subject] = asked.advice

    def _fail(
        self, asked: GiveAdvice, given: AdviceAnswered, now: Now, actions: list[Action]
    ) -> None:
        subject = asked.advice.subject
        before = self._troubles.get(subject)
        failures = 1 if before is None else before.failures + 1
        pause = PAUSES_S[min(failures, len(PAUSES_S)) - 1]
        reason = f"{asked.advice.service} was not told: {given.error}"
        self._troubles[subject] = _Trouble(failures, now.monotonic + pause, reason)
        if before is None or before.reason != reason:
            advice = "; the rule packaging/polkit/50-netevd.rules lets it" if given.refused else ""
            text = f"{_describe(asked, failed=True)}: {given.error}{advice}; tried again"
            actions.append(Note("warn", text, {}, Kind.BACKEND))

    def step(self, now: Now, actions: list[Action]) -> None:
        """Have told what ought to be and is not."""
        late = [number for number, (_, until) in self._asked.items() if until <= now.monotonic]
        for number in late:
            answer = AdviceAnswered(number, f"it did not answer within {ANSWER_S:.0f} s")
            self.take(answer, now, actions)
        due = [each for each in self._troubles.values() if each.due <= now.monotonic]
        if not self._stale and not due:
            return
        self._stale = False
        wanted = self._find_wanted()
        for subject in sorted({*wanted, *self._told}):
            self._tell(wanted.get(subject), subject, now, actions)

    def _tell(
        self, wanted: Advice | None, subject: IfIndex, now: Now, actions: list[Action]
    ) -> None:
        told = self._told.get(subject)
        if wanted == told and subject not in self._lost:
            self._troubles.pop(subject, None)
            return
        trouble = self._troubles.get(subject)
        busy = any(asked.advice.subject == subject for asked, _ in self._asked.values())
        if busy or (trouble is not None and trouble.due > now.monotonic):
            return
        if told is not None and (wanted is None or wanted.service != told.service):
            if subject and subject not in self._observer:
                self._told.pop(subject)  # the link took it along
                self._changed = True
                return
            self._ask(GiveAdvice(0, told, withdraw=True), now, actions)
        elif wanted is not None:
            self._ask(GiveAdvice(0, wanted, withdraw=False), now, actions)

    def _ask(self, action: GiveAdvice, now: Now, actions: list[Action]) -> None:
        subject = action.advice.subject
        if action.advice.service in self._absent:
            self._troubles.pop(subject, None)
            return  # it will say when it is there
        self._lost.discard(subject)
        if subject in self._troubles:
            self._troubles[subject].due = NEVER  # until it has answered
        self._number += 1
        asked = GiveAdvice(self._number, action.advice, action.withdraw)
        self._asked[self._number] = (asked, now.monotonic + ANSWER_S)
        actions.append(asked)

    # --- what ought to be ------------------------------------------------------------------------

    def _find_wanted(self) -> dict[IfIndex, Advice]:
        links = [each for each in self._observer.get_told() if each.leases]
        wanted: dict[IfIndex, Advice] = {}
        if self._settings.use_dns or self._settings.use_domain:
            advised = (self._advise(each) for each in links)
            wanted.update((each.subject, each) for each in advised if each is not None)
        if self._settings.use_hostname:
            name = _choose_name(links)
            if name:
                wanted[_HOST] = Advice(_HOST, "", "systemd-hostnamed", hostname=name)
        return wanted

    def _advise(self, snapshot: Snapshot) -> Advice | None:
        """Return what is to be told of a link; None where its manager has done so, or there is nothing."""
        dns = tuple(dict.fromkeys(each for lease in snapshot.leases for each in lease.dns))
        domains = tuple(dict.fromkeys(each for lease in snapshot.leases for each in lease.domains))
        if not self._settings.use_dns:
            dns = ()
        if not self._settings.use_domain:
            domains = ()
        ifindex, backend = snapshot.link.ifindex, snapshot.backend
        is_told = {*dns} <= {*snapshot.dns} and {*domains} <= {*snapshot.domains}
        if not (dns or domains):
            return None
        if backend in _KEEPERS and is_told and ifindex not in self._told:
            return None
        return Advice(
            ifindex,
            snapshot.link.name,
            "systemd-networkd" if backend == "systemd-networkd" else "systemd-resolved",
            dns if self._settings.use_dns else None,
            domains if self._settings.use_domain else None,
        )


def _choose_name(links: Iterable[Snapshot]) -> str:
    """Return the name that a lease gives the host: of a link with a gateway first, then by index."""
    named = [
        (not each.gateways, each.link.ifindex, lease.hostname)
        for each in links
        for lease in each.leases
        if lease.hostname
    ]
    return min(named)[2] if named else ""


def _describe(asked: GiveAdvice, *, failed: bool = False) -> str:
    advice = asked.advice
    verb = "could not be told" if failed else "was told"
    if not advice.subject:
        what = f"to call this host {advice.hostname}"
    else:
        what = f"DNS servers and domains of {advice.name}"
    return f"{advice.service} {verb} {'to take back what it was told: ' if asked.withdraw else ''}{what}"
