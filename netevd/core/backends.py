"""
What backends say: the latest report of each, of links and of the host, and who is there.

Belongs here: keeping reports and finding what is different about the host. What differs about a link
is found by core.observe, whose snapshots hold the reports. A backend that is lost keeps its last
reports until it is back, so that its restart invents no event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias, assert_never

from netevd.model.actions import Action, Kind, Note
from netevd.model.backend import (
    OF_THE_KERNEL,
    PRECEDENCE,
    SUSPENDING,
    BackendName,
    HostReport,
    LinkReport,
)
from netevd.model.event import EventType
from netevd.model.inputs import (
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendMet,
    BackendSaid,
    BackendSaidHost,
    Now,
)
from netevd.model.link import IfIndex
from netevd.model.memory import KnownLink

PATIENCE_S: Final = 3.0
"""Seconds that the announcement of the first start waits for backends, once links are known."""

BackendInput: TypeAlias = (
    BackendMet | BackendFound | BackendSaid | BackendSaidHost | BackendForgot | BackendLost
)


class Presence(NamedTuple):
    """Whether a backend is there."""

    backend: BackendName
    found: bool
    version: str
    """The last that was known, "" for none."""
    reason: str
    """Why it is not there, "" if it is."""
    wanted: bool
    """Whether the configuration names it."""


class HostNews(NamedTuple):
    """One event of the host."""

    type: EventType
    before: HostReport
    after: HostReport
    reason: str = ""
    """suspend or resume for what systemd-logind tells of the machine's sleep, else ""."""


class Backends:
    """Every backend that is followed, and what it said last."""

    def __init__(self, followed: Iterable[BackendName] = ()) -> None:
        """followed: those that will say whether they are there; of others nothing is taken over."""
        self._followed: Final = frozenset(followed)
        self._awaited = set(self._followed)
        """Those that have not said yet whether they are there."""
        self.due: float | None = None
        """When the announcement waits no longer for them, monotonic seconds; None: it does not wait."""
        self._reports: dict[IfIndex, dict[BackendName, LinkReport]] = {}
        self._hosts: dict[BackendName, HostReport] = {}
        self._told: dict[BackendName, HostReport] = {}
        """What users know of the host."""
        self._presences: dict[BackendName, Presence] = {}
        self._met: set[BackendName] = set()
        """Those that are there, and have not told anything yet."""
        self._touched = False
        """Whether what users know of the host is to be remembered anew."""

    # --- what is asked ---------------------------------------------------------------------------

    def find_reports(self, ifindex: IfIndex) -> tuple[LinkReport, ...]:
        """Return what is said of a link, the report that counts most first."""
        found = self._reports.get(ifindex)
        if not found:
            return ()
        return tuple(sorted(found.values(), key=lambda each: PRECEDENCE[each.backend]))

    def get_hosts(self) -> tuple[HostReport, ...]:
        """Return what is said of the host, the report that counts most first."""
        return _sort(self._hosts)

    def get_presences(self) -> tuple[Presence, ...]:
        """Return which backends have said whether they are there, those that count most first."""
        return tuple(each for _, each in sorted(self._presences.items(), key=_rank))

    def has_settled(self, now: Now) -> bool:
        """Tell whether the announcement need not wait; the first question begins the wait."""
        if self._awaited and self.due is None:
            self.due = now.monotonic + PATIENCE_S
        if self.due is not None and self.due <= now.monotonic:
            self._awaited.clear()
        if not self._awaited:
            self.due = None
        return not self._awaited

    def is_there(self, backend: BackendName) -> bool:
        """Tell whether a backend is there now, be it that it has told nothing yet."""
        known = self._presences.get(backend)
        return backend in self._met or (known is not None and known.found)

    def is_new(self, backend: BackendName) -> bool:
        """Tell whether nothing was heard of a backend yet, be it that it is not there."""
        return backend not in self._presences

    # --- what is said ----------------------------------------------------------------------------

    def handle(self, given: BackendInput, actions: list[Action]) -> list[IfIndex]:
        """Take in what a backend says; return the links of which it says something else than before."""
        match given:
            case BackendMet(backend=backend):
                self._met.add(backend)
            case BackendFound():
                return self._find(given, actions)
            case BackendSaid(report=report):
                return self._put(report)
            case BackendSaidHost(report=report):
                self._hosts[report.backend] = report
            case BackendForgot(backend=backend, ifindex=ifindex):
                return self._drop(backend, ifindex)
            case BackendLost():
                self._lose(given, actions)
            case _:
                assert_never(given)
        return []

    def forget_link(self, ifindex: IfIndex) -> None:
        """Take in that a link does not exist any more, whatever is said of it."""
        self._reports.pop(ifindex, None)

    def _find(self, given: BackendFound, actions: list[Action]) -> list[IfIndex]:
        backend = given.backend
        self._met.discard(backend)
        self._awaited.discard(backend)
        known = self._presences.get(backend)
        self._presences[backend] = Presence(backend, True, given.version, "", False)
        if backend not in OF_THE_KERNEL and (known is None or not known.found):
            version = f" {given.version}" if given.version else ""
            again = "again" if known is not None and known.version else "too"
            text = f"{backend}{version} is there: what it knows counts {again}"
            actions.append(Note("info", text, {"backend": backend}, Kind.BACKEND))
        if given.host is not None:
            self._hosts[backend] = given.host
        else:
            self._hosts.pop(backend, None)
        said = {each.ifindex for each in given.reports}
        gone = [each for each, known in self._reports.items() if backend in known]
        changed = [each for report in given.reports for each in self._put(report)]
        return changed + [
            each for lost in gone if lost not in said for each in self._drop(backend, lost)
        ]

    def _put(self, report: LinkReport) -> list[IfIndex]:
        known = self._reports.setdefault(report.ifindex, {})
        if known.get(report.backend) == report:
            return []
        known[report.backend] = report
        return [report.ifindex]

    def _drop(self, backend: BackendName, ifindex: IfIndex) -> list[IfIndex]:
        known = self._reports.get(ifindex, {})
        if known.pop(backend, None) is None:
            return []
        if not known:
            del self._reports[ifindex]
        return [ifindex]

    def _lose(self, given: BackendLost, actions: list[Action]) -> None:
        backend = given.backend
        self._met.discard(backend)
        self._awaited.discard(backend)
        known = self._presences.get(backend)
        version = "" if known is None else known.version
        self._presences[backend] = Presence(backend, False, version, given.reason, given.wanted)
        if known is not None and not known.found and known.reason == given.reason:
            return
        was_there = known is not None and known.found
        level = "warn" if was_there or given.wanted else "debug"
        kept = "; what it said last counts until it is back" if was_there else ""
        text = f"{backend} is not there: {given.reason}{kept}"
        actions.append(Note(level, text, {"backend": backend}, Kind.BACKEND))

    # --- the host --------------------------------------------------------------------------------

    def settle(self, *, silently: bool) -> list[HostNews]:
        """
        Return what users have to be told of the host, and count it as told.

        silently: nothing, since they know nothing yet. The first that a backend says is no change.
        """
        if self._told == self._hosts:
            return []
        before, self._told = self._told, dict(self._hosts)
        self._touched = True
        return [] if silently else list(_compare(before, self._told))

    def take_memory(self) -> tuple[HostReport, ...] | None:
        """Return all that users know of the host, None if that is as it was at the last call."""
        if not self._touched:
            return None
        self._touched = False
        return _sort(self._told)

    def get_memory(self) -> tuple[HostReport, ...]:
        """Return all that users know of the host."""
        return _sort(self._told)

    def restore(self, links: tuple[KnownLink, ...], hosts: tuple[HostReport, ...]) -> None:
        """Take what users know, as far as it is of backends that are followed still."""
        self._awaited.clear()
        for each in hosts:
            if each.backend in self._followed:
                self._hosts[each.backend] = self._told[each.backend] = each
        for link in links:
            for report in () if link.told is None else link.told.reports:
                if report.backend in self._followed:
                    self._put(report)


def _rank(pair: tuple[BackendName, object]) -> int:
    return PRECEDENCE[pair[0]]


def _sort(hosts: dict[BackendName, HostReport]) -> tuple[HostReport, ...]:
    return tuple(each for _, each in sorted(hosts.items(), key=_rank))


def _compare(
    before: dict[BackendName, HostReport], after: dict[BackendName, HostReport]
) -> Iterable[HostNews]:
    """Yield what is different of the host; a name or server that two tell changes once."""
    changed = [
        (before[backend], report)
        for backend, report in sorted(after.items(), key=_rank)
        if backend in before and before[backend] != report
    ]
    names = _find_name(before), _find_name(after)
    servers = _find_servers(before), _find_servers(after)
    for old, new in changed:
        if old.states != new.states:
            yield HostNews(EventType.MANAGER, old, new, _find_reason(old, new))
        if (old.dns, old.domains) != (new.dns, new.domains) and servers[0] != servers[1]:
            yield HostNews(EventType.DNS_CHANGED, old, new)
            servers = servers[1], servers[1]
        if old.hostname != new.hostname and names[0] != names[1] and names[0]:
            yield HostNews(EventType.HOSTNAME_CHANGED, old, new)
            names = names[1], names[1]


def _find_reason(old: HostReport, new: HostReport) -> str:
    if SUSPENDING in new.states:
        return "" if SUSPENDING in old.states else "suspend"
    return "resume" if SUSPENDING in old.states else ""


def _find_name(hosts: dict[BackendName, HostReport]) -> str:
    """Return the host's name: of several that tell it, the service that keeps it knows it best."""
    named = [each.hostname for each in _sort(hosts) if each.hostname]
    return named[-1] if named else ""


def _find_servers(hosts: dict[BackendName, HostReport]) -> tuple[frozenset[str], frozenset[str]]:
    return (
        frozenset(each for host in hosts.values() for each in host.dns),
        frozenset(each for host in hosts.values() for each in host.domains),
    )
