"""
Policy routing: when the plan is held against the kernel, what is then asked for, and what is told.

Composes core.policyplan (what shall be), core.policydifference (what is missing or too much),
core.policyslots, core.contest and core.trial. Nothing here is sure that a change was made until the
kernel says so: what counts as present is what rules and routes of the engine say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from attrs import evolve, frozen

from netevd.config.schema import Routing
from netevd.core.contest import Contest
from netevd.core.deadlines import find_earliest
from netevd.core.observe import Observer
from netevd.core.policyanswers import (
    NOT_ALLOWED,
    Answers,
    Entry,
    RoutingNews,
    count,
    describe_failures,
    get_entry,
    sort_answers,
)
from netevd.core.policydifference import Difference, find_difference
from netevd.core.policyhints import find_hints
from netevd.core.policyplan import Known, Plan, get_ours, make_plan, matches
from netevd.core.policyslots import assign, find_keys
from netevd.core.policyslots import find_hints as find_slots
from netevd.core.routes import RouteTable
from netevd.core.rules import RuleTable
from netevd.core.trial import Trial
from netevd.core.tunnelplan import TunnelState
from netevd.core.tunnels import Tunnels
from netevd.model.actions import Action, ChangeRouting, Kind, Note
from netevd.model.event import EventType
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    ChangesMade,
    ConfirmRouting,
    DumpEnded,
    FlushRouting,
    HelperConnected,
    Input,
    LinkGone,
    LinkSeen,
    Now,
    RoutesDumpEnded,
    RuleGone,
    RuleSeen,
    Stopping,
)
from netevd.model.link import IfIndex, Link
from netevd.model.routing import (
    AddRoute,
    AddRule,
    Change,
    Ours,
    RoutingMemory,
    RoutingOutcome,
)
from netevd.model.rule import Rule

COALESCE_S: Final = 0.2
"""What happens within this time after the first thing is looked at together."""
GRACE_S: Final = 30.0
"""After the start of the daemon nothing is removed that it has not made itself for so long: addresses
may be on their way."""
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 30.0

_FLUSHED: Final = "netevd routing flush has removed everything; netevd reload brings it back"


@frozen(slots=True)
class Start:
    """What the engine can't know by itself when it begins."""

    jitter: float = 0.5
    """From 0 to 1, by chance: not all hosts read everything at the same moment."""
    grace_until: float = 0.0
    """Monotonic seconds, see GRACE_S."""
    generation: int = 1
    """Number of the configuration."""


@frozen(slots=True)
class PolicyState:
    """What can be shown of policy routing."""

    enabled: bool
    plan: Plan
    difference: Difference
    tunnels: tuple[TunnelState, ...]
    contested: bool
    halted: str
    """Why nothing is written, "" if it is."""
    trial_until: float | None
    given_up: bool


class PolicyRouting:
    """Keeps the kernel's rules and routes what they shall be."""

    def __init__(
        self,
        routing: Routing,
        observer: Observer,
        table: RouteTable,
        rules: RuleTable,
        tunnels: Tunnels,
        *,
        memory: RoutingMemory,
        start: Start,
        quiet: Callable[[], bool],
        read_again: Callable[[Now], None],
    ) -> None:
        """
        quiet: tells whether no dump is under way or wanted. read_again: has everything dumped.
        """
        self._trial = Trial(routing, memory, start.generation)
        self._observer = observer
        self._table = table
        self._rules = rules
        self._tunnels = tunnels
        self._slots = memory.slots
        self._remembered = memory, memory.slots
        self._start = start
        self._quiet = quiet
        self._read_again = read_again
        self._contest = Contest()
        self._active = True
        """Whether there is, or may be, anything of ours."""
        self._due: float | None = None
        self._resync_due: float | None = None
        self._number = 0
        self._asked: tuple[Change, ...] = ()
        """Changes under way; none: none are."""
        self._made: set[Entry] = set()
        """What is known to be ours: made by this worker, or found and wanted."""
        self._restores = False
        self._failed: frozenset[Change] = frozenset()
        self._retry_s = 0.0
        self._absent: set[int] = set()
        """Families that this kernel has not."""
        self._halted = ""
        self._hinted: frozenset[str] = frozenset()
        self._news: list[RoutingNews] = []

    # --- what happens ----------------------------------------------------------------------------

    @property
    def ours(self) -> Ours:
        """What marks rules and routes as netevd's."""
        return get_ours(self._routing)

    @property
    def contested(self) -> bool:
        """Whether somebody keeps removing what is ours, or has made us give up."""
        return self._contest.going_on

    def count(self) -> dict[tuple[str, int], int]:
        """Return how many rules and routes of ours there are, by kind and family."""
        counts = Counter({(kind, family): 0 for kind in ("rule", "route") for family in (4, 6)})
        counts.update(
            ("rule", each.family) for each in self._rules.get_rules() if self.ours.has_rule(each)
        )
        counts.update(
            ("route", each.family)
            for each in self._table.get_concerning()
            if self.ours.has_route(each)
        )
        return counts

    @property
    def trial_due(self) -> float | None:
        """When the configuration is given up, in monotonic seconds; None: it is on no trial."""
        return self._trial.due

    @property
    def _routing(self) -> Routing:
        return self._trial.routing

    @property
    def _wanted(self) -> bool:
        """Whether anything of ours can be wanted, or is to be compared."""
        return self._routing.wanted or self._tunnels.wanted

    def note(self, given: Input, now: Now, actions: list[Action]) -> None:
        """Take in what has happened, once the tables know it."""
        match given:
            case ChangesMade():
                self._finish(given, now, actions)
            case HelperConnected():
                self._asked = ()  # whatever it had been asked for is seen by the dump that follows
                self._touch(now)
            case FlushRouting():
                self._flush(_FLUSHED, actions)
            case Stopping():
                self._stop(actions)
            case ConfirmRouting():
                if self._trial.confirm():
                    actions.append(Note("info", "The routing configuration is confirmed"))
            case DumpEnded(dump=number) | RoutesDumpEnded(dump=number):
                if number > 0:  # not the one that ends a change
                    self._touch(now)
            case LinkSeen(link=link, dump=dump):
                if not dump and self._concerns(link):
                    self._touch(now)
            case AddressSeen(dump=0) | LinkGone() | AddressGone():
                self._touch(now)
            case RuleSeen(rule=rule, dump=0) | RuleGone(rule=rule):
                if self.ours.has_priority(rule.priority):
                    self._touch(now)
        if self._table.concerned or self._tunnels.take_concern():
            self._table.concerned = False
            self._touch(now)

    def _concerns(self, link: Link) -> bool:
        return matches(self._routing.policy, link) or self._tunnels.has(link.ifindex)

    def _touch(self, now: Now) -> None:
        if self._active:
            self._want(now.monotonic + COALESCE_S)

    def deadline(self) -> float | None:
        """Return when `step` is wanted, in monotonic seconds; None for never."""
        ready = self._due is not None and not self._asked and self._quiet()
        return find_earliest((self._due if ready else None, self._resync_due, self._trial.due))

    def step(self, now: Now, actions: list[Action]) -> list[RoutingNews]:
        """Do what is due, and return what users have to be told since the last call."""
        if self._active:
            self._keep_time(now, actions)
            due = self._due is not None and self._due <= now.monotonic
            if due and not self._asked and self._quiet():
                self._due = None
                self._reconcile(now, actions)
        news, self._news = self._news, []
        return news

    def _keep_time(self, now: Now, actions: list[Action]) -> None:
        trial = self._trial
        if trial.impossible:
            trial.impossible = False
            text = (
                "The routing configuration is in force without a trial: its base, protocol or mark"
            )
            actions.append(
                Note("warn", f"{text} is another one, so that of before can't be put back")
            )
        if trial.begin(now.monotonic):
            seconds = (trial.due or 0.0) - now.monotonic
            text = (
                f"The routing configuration is on trial for {seconds:g} s: netevd routing confirm"
            )
            actions.append(Note("warn", f"{text} keeps it, else that of before is put back"))
        if trial.give_up(now.monotonic):
            text = "nobody confirmed the routing configuration: that of before is in force again"
            actions.append(Note("error", f"Routing: {text}", {}, Kind.ROUTING))
            self._tell(EventType.ROUTING_FAILED, text)
            self._due = now.monotonic
        if self._resync_due is not None and self._resync_due <= now.monotonic:
            self._resync_due = None
            self._read_again(now)

    # --- the pass ----------------------------------------------------------------------------------

    def _compare(self, now: Now) -> tuple[Plan, Difference, tuple[TunnelState, ...]]:
        """Return what shall be, what is missing or too much, and how tunnels are found."""
        ours = self.ours
        routes = self._table.get_concerning()
        snapshots = self._observer.get_snapshots()
        numbers: dict[IfIndex, int] = {}
        if self._routing.policy.enabled:
            keys = find_keys(each.link for each in snapshots)
            wanted = [
                each.link.ifindex for each in snapshots if matches(self._routing.policy, each.link)
            ]
            keys = {ifindex: keys[ifindex] for ifindex in wanted}
            self._slots, numbers = assign(self._slots, keys, find_slots(ours, routes), now.wall_ns)
        plan = make_plan(self._routing, Known(snapshots, routes, numbers))
        rules = self._rules.get_rules()
        tunnels = self._tunnels.plan(snapshots, routes, rules, ours, now)
        plan = plan.join(tunnels.rules, tunnels.routes)
        if self._absent:
            plan = Plan(
                frozenset(each for each in plan.rules if each.family not in self._absent),
                frozenset(each for each in plan.routes if each.family not in self._absent),
                plan.links,
            )
        return plan, find_difference(plan, rules, routes, ours), tunnels.states

    def get_state(self, now: Now) -> PolicyState:
        """Return the plan, and how the kernel differs from it at this moment."""
        slots = self._slots
        plan, difference, tunnels = self._compare(now)
        self._slots = slots
        trial = self._trial
        return PolicyState(
            self._wanted, plan, difference, tunnels, self._contest.going_on, self._halted, trial.due,
            trial.memory.given_up,
        )  # fmt: skip

    def _reconcile(self, now: Now, actions: list[Action]) -> None:
        """Ask for what makes the kernel's rules and routes those of the plan."""
        plan, difference, tunnels = self._compare(now)
        present = difference.present
        wanted: set[Entry] = {*plan.rules, *plan.routes}
        self._tell_tunnels(tunnels, now, actions)
        if not self._wanted and not present:
            self._active = False
            self._made.clear()
            return
        if self._resync_due is None and self._wanted:
            share = 0.9 + 0.2 * self._start.jitter
            self._resync_due = now.monotonic + self._routing.policy.resync * share
        self._tell_hints(plan, difference, actions)
        lost = (self._made & wanted) - present
        self._made = (self._made | wanted) & present
        if self._halted:
            return
        if lost:
            self._note_loss(lost, now, actions)
            if self._halted:
                return
        elif self._contest.calm(now.monotonic):
            actions.append(Note("info", "Nobody removes netevd's rules and routes any more"))
        changes = self._hold_back(difference.changes, now)
        if changes and now.monotonic < self._contest.not_before:
            self._want(self._contest.not_before)
        elif changes:
            self._restores = bool(lost) or self._restores
            self._ask(changes, actions)

    def _tell_tunnels(
        self, states: tuple[TunnelState, ...], now: Now, actions: list[Action]
    ) -> None:
        for drift in self._tunnels.tell(states, now, actions):
            outcome = RoutingOutcome(reason=drift.reason)
            self._news.append(RoutingNews(EventType.ROUTING_DRIFT, outcome, drift.ifindex))
        if self._tunnels.due is not None:
            self._want(self._tunnels.due)

    def _want(self, moment: float) -> None:
        self._due = moment if self._due is None else min(self._due, moment)

    def _hold_back(self, changes: Iterable[Change], now: Now) -> tuple[Change, ...]:
        """Return the changes without those that would remove what somebody may still need."""
        if now.monotonic >= self._start.grace_until:
            return tuple(changes)
        kept = []
        for change in changes:
            if isinstance(change, AddRule | AddRoute) or get_entry(change) in self._made:
                kept.append(change)
            else:
                self._want(self._start.grace_until)
        return tuple(kept)

    def _ask(self, changes: tuple[Change, ...], actions: list[Action]) -> None:
        self._number += 1
        self._asked = changes
        actions.append(ChangeRouting(self._number, changes))

    def _stop(self, actions: list[Action]) -> None:
        """Write nothing more, and remove all that is ours if it is not to outlive the daemon."""
        if self._routing.policy.on_exit == "remove":
            self._flush("netevd stops", actions)
        self._active = False

    def _flush(self, why: str, actions: list[Action]) -> None:
        """Remove all that is ours, and let it be until another configuration comes."""
        if not self._active:
            return
        self._halted = why
        ours = self.ours
        difference = find_difference(
            Plan(), self._rules.get_rules(), self._table.get_concerning(), ours
        )
        if difference.changes:
            self._ask(difference.changes, actions)

    # --- what comes of it ------------------------------------------------------------------------

    def _finish(self, given: ChangesMade, now: Now, actions: list[Action]) -> None:
        """Take in what the kernel said to each change."""
        if given.number != self._number or not self._asked:
            return
        asked, self._asked = self._asked, ()
        if given.dry:
            self._halted = "this is a dry run"
            return
        answers = sort_answers(asked, given.errors)
        self._made.difference_update(map(get_entry, asked))
        self._made.update(
            get_entry(change) for change in answers.done if isinstance(change, AddRule | AddRoute)
        )
        self._judge(answers, given.reason, now, actions)
        if answers.done and self._active:
            outcome = count(answers.done, "restored" if self._restores else "as planned")
            self._news.append(RoutingNews(EventType.ROUTING_APPLIED, outcome))
            text = f"Policy routing: {outcome.describe()}"
            actions.append(Note("info", text, {}, Kind.ROUTING))
        self._restores = False

    def _judge(self, answers: Answers, reason: str, now: Now, actions: list[Action]) -> None:
        """Decide what becomes of changes that were not made."""
        if answers.absent - self._absent:
            self._absent |= answers.absent
            actions.append(Note("info", "Policy routing: this kernel has no IPv6 rules"))
            self._want(now.monotonic)
        reason = reason or describe_failures(answers.failed)
        if not reason:
            self._failed, self._retry_s = frozenset(), 0.0
            return
        if reason == NOT_ALLOWED:
            self._halted = reason
        if not self._halted:
            self._retry_s = min(max(self._retry_s * 2, _FIRST_RETRY_S), _LONGEST_RETRY_S)
            self._want(now.monotonic + self._retry_s)
        if self._failed != answers.failed.keys() or not answers.failed:
            self._failed = frozenset(answers.failed)
            actions.append(Note("error", f"Policy routing: {reason}", {}, Kind.ROUTING))
            self._tell(EventType.ROUTING_FAILED, reason)

    def _note_loss(self, lost: set[Entry], now: Now, actions: list[Action]) -> None:
        """Take in that what was ours, and is wanted, is not there any more."""
        rules = sum(isinstance(each, Rule) for each in lost)
        outcome = RoutingOutcome(0, rules, 0, len(lost) - rules, "removed by somebody else")
        begins = self._contest.note(now.monotonic)
        if begins:
            setting = "ManageForeignRoutingPolicyRules=no" if rules else "ManageForeignRoutes=no"
            stops = self._routing.policy.contested == "fail"
            then = "nothing is put back until a reload" if stops else "they are put back less often"
            text = (
                f"somebody keeps removing netevd's rules or routes, so {then}; if systemd-networkd"
                f" is in use, write {setting} into networkd.conf(5)"
            )
            actions.append(Note("warn", f"Policy routing: {text}", {}, Kind.ROUTING))
            self._news.append(
                RoutingNews(EventType.ROUTING_CONTESTED, evolve(outcome, reason=text))
            )
            if stops:
                self._halted = text
        elif not self._contest.going_on:
            text = f"{outcome.describe()}: they are put back"
            actions.append(Note("warn", f"Policy routing: {text}", {}, Kind.ROUTING))
            self._news.append(RoutingNews(EventType.ROUTING_DRIFT, outcome))

    def _tell(self, kind: EventType, reason: str) -> None:
        self._news.append(RoutingNews(kind, RoutingOutcome(reason=reason)))

    def _tell_hints(self, plan: Plan, difference: Difference, actions: list[Action]) -> None:
        """Say once what stands in the way."""
        ours = self.ours
        rules, routes = self._rules.get_rules(), self._table.get_concerning()
        found = frozenset(find_hints(plan, difference, rules, routes, ours))
        for text in sorted(found - self._hinted):
            actions.append(Note("warn", f"Policy routing: {text}", {}, Kind.ROUTING))
        self._hinted = found

    # --- what is remembered ------------------------------------------------------------------------

    def get_memory(self) -> RoutingMemory:
        """Return all that has to be remembered."""
        return evolve(self._trial.memory, slots=self._slots)

    def take_memory(self) -> RoutingMemory | None:
        """Return it if it has changed since the last call."""
        parts = self._trial.memory, self._slots
        if parts == self._remembered:
            return None
        self._remembered = parts
        return self.get_memory()
