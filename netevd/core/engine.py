"""
The engine: one input in, the actions that follow from it out.

Composition only: each step is another module's (see the package). The engine holds all state of
the worker that decides; it never waits, and what it wants later it says by `deadline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, assert_never

from netevd.compat.trees import needs_whole_scale
from netevd.config.links import watches
from netevd.config.schema import Configuration, Routes
from netevd.core.advising import Advising
from netevd.core.backends import BackendInput, Backends
from netevd.core.backoff import TOLD_AFTER
from netevd.core.classify import classify, introduce
from netevd.core.deadlines import find_earliest
from netevd.core.deliveries import Deliveries
from netevd.core.endpoints import Endpoints
from netevd.core.gate import Gate
from netevd.core.hooks import HookTable
from netevd.core.insight import Insight
from netevd.core.observe import Change, Observer
from netevd.core.policyrouting import PolicyRouting, Start
from netevd.core.publisher import Publisher
from netevd.core.resync import Resync
from netevd.core.routes import RouteTable
from netevd.core.routewatch import RouteWatch
from netevd.core.rules import RuleTable
from netevd.core.runs import Runs
from netevd.core.tunnels import Tunnels
from netevd.core.wanted import make_concern, make_filter, make_knowledge, make_news_filter
from netevd.core.wireguardwatch import WireguardWatch
from netevd.model.actions import Action, Kind, Note, Ready, RequestDump
from netevd.model.backend import BackendName
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    AdviceAnswered,
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendMet,
    BackendSaid,
    BackendSaidHost,
    ChangesMade,
    ClearDamping,
    ConfirmRouting,
    CourierConnected,
    CourierLost,
    DeliveryAnswered,
    DumpEnded,
    EndpointResolved,
    FlushRouting,
    HelperConnected,
    HooksListed,
    Input,
    LinkGone,
    LinkSeen,
    NexthopChanged,
    Now,
    Overran,
    ResumeHook,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RoutesOverran,
    RuleGone,
    RuleSeen,
    RunFinished,
    RunnerConnected,
    RunnerLost,
    RunRefused,
    RunStarted,
    Stopping,
    Tick,
    WireguardRead,
)
from netevd.model.link import IfIndex, Link
from netevd.model.memory import Numbers, Record, State
from netevd.model.route import ANYWHERE, Route
from netevd.model.routing import Ours, RoutingMemory
from netevd.model.snapshot import Snapshot

_NOTHING: Final = ((), None, None, None, (), None, None, None)
"""What a record holds behind its routes when an input has changed nothing of it."""

_GONE_LIMIT: Final = 4096
"""Removed links whose index is remembered, to notice that it is used again."""


class Engine:
    """
    Everything that netevd decides, for one configuration.

    `first_sequence` and `first_run` are the first numbers to be used for events and runs. `observe`:
    the caller can't change users. `keys`: see `Runs`. `state`: what an earlier engine left, whose
    numbers go on; `routes_before`: which routes it wanted; `routing`: what outlives even boots of
    policy routing. `start`: what it can't know by itself. `backends`: those that will say whether they
    are there.
    """

    def __init__(
        self,
        configuration: Configuration,
        first_sequence: int,
        first_run: int = 1,
        *,
        observe: bool = False,
        keys: tuple[int, ...] = (),
        state: State | None = None,
        routes_before: Routes | None = None,
        routing: RoutingMemory | None = None,
        start: Start | None = None,
        backends: Iterable[BackendName] = (),
    ) -> None:
        patterns = configuration.network.links
        tells = make_news_filter(configuration)
        self._table = RouteTable(
            make_knowledge(configuration), tells=tells, concerns=make_concern(configuration)
        )
        self._backends = Backends(backends)
        self._observer = Observer(
            lambda link: watches(patterns, link.name, link.altnames, loopback=link.loopback),
            self._table.find_gateways,
            self._backends.find_reports,
        )
        self._advising = Advising(configuration.network, self._observer)
        routes = configuration.routes
        wanted = bool(routes.tables or routes.default_routes) or configuration.needs_routes
        self._routes = RouteWatch(self._table, self._observer, tells, wanted=wanted)
        self._rules = RuleTable()
        self._wireguard = WireguardWatch(configuration.wireguard)
        self._endpoints = Endpoints(configuration.wireguard, self._wireguard)
        self._resync = Resync()
        self._tunnels = Tunnels(configuration.wireguard, self._wireguard)
        self._policy = PolicyRouting(
            configuration.routing, self._observer, self._table, self._rules,
            self._tunnels,
            memory=routing or RoutingMemory(), start=start or Start(),
            quiet=self._is_quiet, read_again=self._read_again,
        )  # fmt: skip
        self._hooks = HookTable()
        self._runs = Runs(
            configuration, self._hooks, first_run, observe=observe, keys=keys,
            is_there=self._backends.is_there,
        )  # fmt: skip
        waiting = None if state is None else state.waiting
        self._deliveries = Deliveries(configuration)
        self._gate = Gate(configuration, self._runs, self._deliveries, waiting)
        self._whole_scale = needs_whole_scale(configuration.compat)
        """Whether operational states are told that are no event of netevd's own."""
        self._publisher = Publisher(first_sequence, self._gate, self._observer, self._wireguard)
        self._found = False
        """Whether a dump of links has ever come to its end."""
        self._started = False
        """Whether what was found at the start is announced."""
        self._begun = False
        """Whether it is remembered that all that was there at the start is told, if only that it was nothing."""
        self._gone: dict[IfIndex, None] = {}
        """Removed links, oldest first."""
        self._redump = False
        """Another dump is wanted once the one under way has ended."""
        self._catching_up = ""
        """Why the next dump is needed, "" for a reason that nobody has to hear of."""
        self.runs_initial = configuration.scripts.initial
        """Whether scripts run for the state at start."""
        self._ready = False
        """Whether somebody was told that what was found at the start is announced."""
        self.insight: Final = Insight(
            self._observer, self._table, self._routes,
            rules=self._rules, policy=self._policy, gate=self._gate, deliveries=self._deliveries,
            resync=self._resync, hooks=self._hooks, runs=self._runs, wireguard=self._wireguard,
            backends=self._backends, advising=self._advising, tunnels=self._tunnels,
        )  # fmt: skip
        """What others may ask."""
        if state is not None:
            self._restore(state, make_filter(routes_before or routes))

    def _restore(self, state: State, wanted_before: Callable[[Route], bool]) -> None:
        self._publisher.sequence, self._runs.number = state.numbers.sequence, state.numbers.run
        self._routes.restore(state.routes, wanted_before)
        self._backends.restore(state.links, state.hosts)
        self._advising.restore(state.advice)
        self._observer.restore(state.links, state.numbers.lane)
        self._wireguard.restore(state.wireguard, self._find_snapshot)
        for each in self._observer.get_memory():
            if each.told is not None:
                self._wireguard.see(Change(each.lane, None, each.told, ()), Now(0.0, 0))
        self._observer.take_memory()
        self._runs.restore(state)
        self._deliveries.restore(state)
        self._started = self._begun = True

    # --- what is remembered ------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether what was found at the start is announced, so that changes are told."""
        return self._started

    @property
    def knows_links(self) -> bool:
        """Whether the kernel has told of all links and addresses that there were."""
        return self._found

    @property
    def catching_up(self) -> str:
        """Why all links or routes are being read again, "" when nothing is missing."""
        return self._catching_up or self.insight.find_loss()

    @property
    def numbers(self) -> Numbers:
        """The next ones to be used."""
        return Numbers(self._publisher.sequence, self._runs.number, self._observer.lane)

    def take_record(self, *, last: bool = False) -> Record | None:
        """
        Return what has to be remembered of the last input before anything is done about it.

        None: nothing that can't wait, or nothing was announced yet, so that another engine had better
        begin anew. last: nothing follows, so that nothing can wait.
        """
        links, gone = self._observer.take_memory()
        rest = (
            self._publisher.take_memory(),
            self._runs.take_memory(), self._gate.take_changes(), self._deliveries.take_memory(),
            self._wireguard.take_memory(), self._policy.take_memory() if self._started else None,
            self._backends.take_memory(), self._advising.take_memory(),
        )  # fmt: skip
        along = bool(links or gone) or rest != _NOTHING or not self._begun
        routes = self._routes.take_memory(along=along or last)
        if not self._started or not (routes or along):
            return None
        self._begun = True
        return Record(self.numbers, links, gone, routes, *rest)

    def get_state(self) -> State | None:
        """Return all that has to be remembered, None as long as nothing was announced."""
        if not self._started:
            return None
        events = {**self._runs.get_events(), **self._deliveries.get_events()}
        return State(
            self.numbers,
            self._observer.get_memory(),
            self._routes.get_memory(),
            tuple(each for _, each in sorted(events.items()) if not each.coalesced),
            self._runs.get_memory(),
            self._gate.state(),
            self._deliveries.get_memory(),
            self._wireguard.get_memory(),
            self._policy.get_memory(),
            self._backends.get_memory(),
            self._advising.get_memory(),
        )

    @property
    def ours(self) -> Ours:
        """What marks rules and routes as netevd's."""
        return self._policy.ours

    def deadline(self) -> float | None:
        """Return when a `Tick` is wanted, in monotonic seconds; None for never."""
        return find_earliest((
            self._resync.due, self._routes.due, self._runs.deadline(), self._gate.deadline(),
            self._deliveries.deadline(), self._wireguard.due, self._endpoints.due,
            self._policy.deadline(), self._backends.due, self._advising.due,
        ))  # fmt: skip

    def handle(self, given: Input, now: Now) -> list[Action]:
        """Return what is to be done about one input, in this order."""
        actions: list[Action] = []
        self._gate.tick(now, actions)
        match given:
            case LinkSeen(link=link, dump=dump):
                if dump:
                    self._resync.keep_link(link, dump)
                else:
                    self._see_link(link, now, actions)
            case AddressSeen(address=address, dump=dump):
                if dump:
                    self._resync.keep_address(address, dump)
                else:
                    self._resync.note_address(address)
                    self._observer.see_address(address)
                    self._tell_changes(now, actions)
            case AddressGone(address=address):
                self._resync.note_address(address)
                self._routes.note_address_gone(address, now)
                self._observer.drop_address(address.ifindex, address.key)
                self._tell_changes(now, actions)
            case RouteSeen() | RouteGone() | RoutesDumped() | RoutesOverran() | NexthopChanged():
                self._routes.handle(given, now, actions)
                self._tell_changes(now, actions)
            case RoutesDumpEnded():
                before = self._publisher.sequence
                self._routes.handle(given, now, actions)
                self._tell_changes(now, actions)
                self._tell_reread("routes", self._routes.reread, before, actions)
                self._announce(now, actions)
            case RuleSeen() | RuleGone():
                self._rules.handle(given, self._resync.number)
            case WireguardRead():
                for told in self._wireguard.take(given, now, actions):
                    self._publisher.tell_wireguard(told, now, actions)
                self._endpoints.note_reading(now)
            case EndpointResolved():
                self._endpoints.take(given, now, actions)
            case LinkGone(ifindex=ifindex):
                self._drop_link(ifindex, now, actions)
            case DumpEnded():
                self._end_dump(given, now, actions)
            case Overran(reason=reason):
                self._lose(reason, now, actions)
            case HelperConnected():
                self._catching_up = given.lost if self._started else ""
                if self._catching_up:
                    text = f"Kernel messages may have been lost: {given.lost}; reading all again"
                    actions.append(Note("warn", text, {}, Kind.MESSAGES_LOST))
                self._redump = bool(self._catching_up)  # the kernel may go on losing meanwhile
                self._resync.restart(now.monotonic)
                self._routes.restart(now, self._catching_up)
                self._wireguard.restart(now)
            case RunStarted() | RunRefused() | RunFinished() | ResumeHook():
                self._runs.handle(given, now, actions)
            case RunnerLost() | RunnerConnected() | HooksListed():
                self._runs.handle(given, now, actions)
            case CourierConnected() | CourierLost() | DeliveryAnswered():
                self._deliveries.handle(given, now, actions)
            case (
                BackendMet()
                | BackendFound()
                | BackendSaid()
                | BackendSaidHost()
                | BackendForgot()
                | BackendLost()
            ):
                self._hear(given, now, actions)
            case AdviceAnswered():
                self._advising.take(given, now, actions)
            case ClearDamping():
                self._gate.clear(given, actions)
            case ChangesMade() | FlushRouting() | ConfirmRouting():
                pass  # policy routing's, below
            case Tick():
                self._runs.tick(now, actions)
                self._announce(now, actions)
            case Stopping(kept=kept):
                self._stop(actions, kept=kept)
            case _:
                assert_never(given)
        self._policy.note(given, now, actions)
        for news in self._policy.step(now, actions):
            self._publisher.tell_routing(news, now, actions)
        if self._resync.due is not None and self._resync.due <= now.monotonic:
            self._rules.begin_dump()
            actions.append(RequestDump(self._resync.begin()))
        if self._routes.due is not None and self._routes.due <= now.monotonic:
            actions.append(self._routes.begin(now))
        self._note_network(given, now)
        if self._endpoints.due is not None and self._endpoints.due <= now.monotonic:
            self._endpoints.tick(now, actions)
        if self._wireguard.due is not None and self._wireguard.due <= now.monotonic:
            self._wireguard.tick(now, actions)
        if self._advising.enabled and self._started:
            self._advising.step(now, actions)
        self._runs.start(now, actions)
        self._deliveries.start(now, actions)
        return actions

    def _note_network(self, given: Input, now: Now) -> None:
        """Take in whether this host may reach others in another way than before."""
        match given:
            case AddressSeen(address=address, dump=0) | AddressGone(address=address):
                if not self._wireguard.has(address.ifindex):
                    self._endpoints.note_network(now)
            case RouteSeen(route=route) | RouteGone(route=route):
                if route.destination in ANYWHERE and not self.ours.made(route):
                    self._endpoints.note_network(now)
            case _:
                pass

    def _stop(self, actions: list[Action], *, kept: bool) -> None:
        """Start nothing more, and say what waits."""
        runs, windows = self._runs.stop(), self._gate.count_windows()
        deliveries = self._deliveries.stop()
        if not runs and not windows and not deliveries:
            return
        waiting = f"netevd stops while {runs} scripts and {windows} debounce windows wait"
        fields: dict[str, str | int | float | bool] = {"runs": runs, "windows": windows}
        if deliveries:
            waiting = waiting.replace(" and ", ", ").removesuffix(" wait")
            waiting += f" and {deliveries} deliveries to webhooks wait"
            fields["deliveries"] = deliveries
        if kept:
            text = f"{waiting}: the next netevd goes on with them"
            actions.append(Note("info", text, fields))
        else:
            text = f"{waiting}: they are forgotten, since there is no state directory"
            actions.append(Note("warn", text, fields))

    # --- kernel --------------------------------------------------------------------------------

    def _see_link(self, link: Link, now: Now, actions: list[Action]) -> None:
        """
        Take in an RTM_NEWLINK.

        Two links never share a name, so a link that has held this name until now is gone or
        renamed, and that message was lost; only a dump can tell which.
        """
        resync, observer = self._resync, self._observer
        resync.note_link(link.ifindex)
        holder = observer.get_holder(link.name)
        if holder is not None and holder != link.ifindex:
            observer.displace_link(holder)
            if not resync.number:
                self._want_dump(now)
        if link.ifindex in self._gone:
            del self._gone[link.ifindex]
            self._want_dump(now)
        was_up = observer.is_up(link.ifindex)
        observer.see_link(link)
        self._tell_changes(now, actions)
        if was_up and not link.up:
            self._routes.note_link_down(link.ifindex, now)

    def _drop_link(self, ifindex: IfIndex, now: Now, actions: list[Action]) -> None:
        """Take in an RTM_DELLINK."""
        self._resync.note_removal(ifindex)
        if ifindex in self._observer:
            self._gone[ifindex] = None
            if len(self._gone) > _GONE_LIMIT:
                del self._gone[next(iter(self._gone))]
        self._routes.note_link_gone(ifindex, now)
        self._tell_routes(now, actions)
        self._observer.drop_link(ifindex)
        self._tell_changes(now, actions)

    def _is_quiet(self) -> bool:
        """Tell whether what is known of links, addresses, rules and routes is all there is to know."""
        resync = self._resync
        return self._found and not resync.number and resync.due is None and self._routes.quiet

    def _read_again(self, now: Now) -> None:
        """Have everything dumped, since it is time to."""
        self._want_dump(now)
        self._routes.resync(now)

    def _want_dump(self, now: Now) -> None:
        """Have a dump requested: now, or after the one under way, which may be too old."""
        if self._resync.number:
            self._redump = True
        elif self._resync.due is None:
            self._resync.due = now.monotonic

    def _lose(self, reason: str, now: Now, actions: list[Action]) -> None:
        """Take in that messages were lost: a dump under way may lack what they said."""
        self._resync.fail(now.monotonic)
        reason = reason or "the receive buffer was full"
        if self._catching_up != reason:
            self._catching_up = reason
            text = f"Kernel messages were lost: {reason}; reading all links again"
            actions.append(Note("warn", text, {}, Kind.MESSAGES_LOST))

    def _end_dump(self, ended: DumpEnded, now: Now, actions: list[Action]) -> None:
        """Take in the end of a dump: the first is announced, a later one is compared."""
        resync = self._resync
        if ended.dump != resync.number:
            return
        if not ended.consistent:
            resync.fail(now.monotonic)
            if resync.backoff.failures == TOLD_AFTER:
                text = f"The kernel's links could not be read {TOLD_AFTER} times in a row"
                actions.append(Note("warn", f"{text}; still trying"))
            return
        resync.merge(self._observer)
        self._rules.merge()
        self._found = True
        if self._started:
            before = self._publisher.sequence
            self._tell(self._observer.settle(by_ifindex=True), now, actions)
            self._introduce(now, actions)
            self._tell_reread("links", self._catching_up, before, actions)
        else:
            self._announce(now, actions)
        self._catching_up = ""
        if self._redump:
            self._redump = False
            self._want_dump(now)

    def _tell_reread(self, what: str, reason: str, before: int, actions: list[Action]) -> None:
        """Tell that a loss is made good. before: number of the first event that was found by it."""
        if reason:
            text = f"All {what} were read again: {reason}"
            found = self._publisher.sequence - before
            actions.append(Note("info", text, {"events": found}, Kind.RESYNCHRONIZED))

    # --- events --------------------------------------------------------------------------------

    def _announce(self, now: Now, actions: list[Action]) -> None:
        """
        Tell of each watched link as it is, because the daemon started, once links are known.

        Scripts want to know gateways too, so it waits for a first dump of routes, be it in vain; and,
        for a moment, for backends that have not said yet whether they are there.
        """
        if self._started or not (self._found and self._routes.settled):
            return
        if not self._backends.has_settled(now):
            return
        self._started = True
        self._backends.settle(silently=True)
        self._routes.discard()
        self._observer.discard()
        self._introduce(now, actions)

    def _introduce(self, now: Now, actions: list[Action]) -> None:
        """Tell of each watched link that nobody was told of as it is."""
        for change in self._observer.introduce():
            self._wireguard.see(change, now)
            for finding in introduce(change.after, whole_scale=self._whole_scale):
                self._publisher.tell(finding._replace(initial=True), change, now, actions)
        if not self._ready:
            self._ready = True
            actions.append(Ready())

    def _tell_changes(self, now: Now, actions: list[Action]) -> None:
        """Tell what one message changed; before the first dump has ended, nothing."""
        if not self._started:
            self._observer.discard()
            self._routes.discard()
            return
        self._tell_routes(now, actions)
        changes = self._observer.settle()
        if changes:
            self._tell(changes, now, actions)

    def _hear(self, given: BackendInput, now: Now, actions: list[Action]) -> None:
        """Take in what a backend says. What one that was there all along says first is no news."""
        found = None
        if isinstance(given, BackendFound) and self._backends.is_new(given.backend):
            found = given.backend
        self._observer.see_reports(self._backends.handle(given, actions))
        if isinstance(given, BackendFound | BackendLost):
            self._advising.note_service(given)
        if not self._started:
            self._observer.discard()
            self._announce(now, actions)
            return
        self._tell(self._observer.settle(), now, actions, found)
        for told in self._backends.settle(silently=False):
            if told.reason == "resume":
                self._wireguard.hurry(now)
                self._endpoints.note_network(now)
            self._publisher.tell_host(told, now, actions)

    def _tell(
        self,
        changes: list[Change],
        now: Now,
        actions: list[Action],
        found: BackendName | None = None,
    ) -> None:
        for change in changes:
            ifindex = change.after.link.ifindex
            before = change.before
            if before is None or change.gone or before.reports or change.after.reports:
                self._advising.note()
            if change.gone and ifindex not in self._observer:
                self._backends.forget_link(ifindex)
            tunnels = self._wireguard.see(change, now)
            if change.gone:
                for told in tunnels:
                    self._publisher.tell_wireguard(told, now, actions, change)
            for finding in classify(change, now.wall_ns, found, whole_scale=self._whole_scale):
                self._publisher.tell(finding, change, now, actions)
            if not change.gone:
                for told in tunnels:
                    self._publisher.tell_wireguard(told, now, actions, change)
            if change.before is None:
                for news in self._routes.introduce(change.after.link.ifindex):
                    self._publisher.tell_route(news, now, actions)

    def _tell_routes(self, now: Now, actions: list[Action]) -> None:
        if self._started:
            for news in self._routes.settle(now):
                self._publisher.tell_route(news, now, actions)

    def _find_snapshot(self, ifindex: IfIndex) -> Snapshot | None:
        told = self._observer.find_told(ifindex)
        return None if told is None else told[1]
