"""
Playbooks: `>>` hands an input to the engine, `<<` says what has to come of it, line by line.

    story >> seen("eth0", 2, carrier=True) << '''
        1 eth0 carrier
    '''

A number after `>>` is seconds that pass; the engine gets its tick at each deadline in between.
Whatever comes of an input and is not expected fails the story, also at its end.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from textwrap import dedent
from typing import assert_never

from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.core.policyhints import describe_change
from netevd.core.policyrouting import Start
from netevd.model.actions import (
    Action,
    AdoptRun,
    ChangeRouting,
    Deliver,
    EndDelivery,
    EndRun,
    GiveAdvice,
    Note,
    Outcome,
    Publish,
    ReadWireguard,
    Ready,
    RequestDump,
    RequestHooks,
    RequestRoutes,
    ResolveEndpoint,
    SetEndpoint,
    SignalRun,
    StartRun,
)
from netevd.model.address import Address
from netevd.model.backend import BackendName
from netevd.model.event import Event, EventType
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    DumpEnded,
    HelperConnected,
    Hook,
    HooksListed,
    Input,
    LinkGone,
    LinkSeen,
    Now,
    RunFinished,
    RunnerConnected,
    Tick,
)
from netevd.model.link import IFF_LOWER_UP, IFF_RUNNING, IFF_UP, IfIndex, Link
from netevd.model.memory import State
from netevd.model.route import Nexthop, Route, Table
from netevd.model.shape import describe_route
from tests.stories.configurations import configure

START_NS = 1_700_000_000_123_456_789
"""Wall clock at the beginning of each story: 2023-11-14T22:13:20.123Z."""

NOTHING = ""

DOWN, LOWER_LAYER_DOWN, DORMANT, UP, UNKNOWN = 2, 3, 5, 6, 0
"""RFC 2863 values."""


class Playbook:
    """One engine, a clock that stands still, and what the engine wanted."""

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        observe: bool = False,
        start: Start | None = None,
        backends: tuple[BackendName, ...] = (),
        state: State | None = None,
    ) -> None:
        self.configuration = configuration or configure()
        self.engine = Engine(
            self.configuration, first_sequence=1, observe=observe, start=start, backends=backends,
            state=state,
        )  # fmt: skip
        self.time = 1000.0
        self.actions: list[Action] = []
        """What came of the last input."""
        self.events: list[Event] = []
        """Every event that was published."""
        self._unread = ""

    def __rshift__(self, given: Input | float) -> Playbook:
        """Hand in an input, or let seconds pass."""
        self.check_read()
        self.actions = []
        if isinstance(given, float | int):
            self._pass_time(given)
        else:
            self._hand_in(given)
        self.events += [each.event for each in self.actions if isinstance(each, Publish)]
        self._unread = show(self.actions)
        return self

    def __lshift__(self, expected: str) -> Playbook:
        """Compare what came of the last input."""
        wanted = dedent(expected).strip()
        found, self._unread = self._unread, ""
        if found != wanted:
            lines = difflib.ndiff(wanted.splitlines(), found.splitlines())
            raise AssertionError("- expected, + found\n" + "\n".join(lines))
        return self

    def check_read(self) -> None:
        """Fail if something came of the last input that the story does not speak of."""
        unread, self._unread = self._unread, ""
        assert not unread, f"not expected:\n{unread}"

    def begin(self, *parts: Input) -> Playbook:
        """Have everything connected, no script, and these links; the story starts after that."""
        self._skip(RunnerConnected(), HooksListed(()), HelperConnected(), *parts)
        return self._skip(DumpEnded(1, consistent=True))

    def with_scripts(self, *paths: str) -> Playbook:
        """Have the runner list these scripts."""
        return self._skip(HooksListed(hooks(*paths)))

    def fill(self, *given: Input | float) -> Playbook:
        """Hand in inputs of whose outcome the story does not speak."""
        return self._skip(*given)

    def pass_over(self) -> Playbook:
        """Don't speak of what came of the last input."""
        self._unread = ""
        return self

    def get_values(self) -> dict[str, str]:
        """Return the variables of the script that was started last."""
        (start,) = [each for each in self.actions if isinstance(each, StartRun)]
        return dict(start.values)

    def _skip(self, *given: Input | float) -> Playbook:
        for each in given:
            self >> each
            self._unread = ""
        return self

    def _hand_in(self, given: Input) -> None:
        now = Now(self.time, START_NS + round((self.time - 1000.0) * 1e9))
        self.actions += self.engine.handle(given, now)

    def _pass_time(self, seconds: float) -> None:
        end = self.time + seconds
        while (deadline := self.engine.deadline()) is not None and deadline <= end:
            self.time = max(self.time, deadline)
            self._hand_in(Tick())
        self.time = end


def show(actions: list[Action]) -> str:
    """Return one line for each action."""
    return "\n".join(_show(action) for action in actions)


def _show(action: Action) -> str:
    match action:
        case Publish(event=event):
            return f"{event.sequence} {event.name or 'host'} {event.type}{_show_subject(event)}"
        case Outcome():
            into = f" into {action.into}" if action.into else ""
            return f"{action.result} {' '.join(map(str, action.sequences))}{into}"
        case StartRun():
            where = f" by {action.runner}" if action.runner else ""
            return f"start {action.run}: {action.hook.path} for {action.event.sequence}{where}"
        case AdoptRun():
            return f"adopt {action.run}"
        case SignalRun():
            return f"signal {action.run}: {action.which}"
        case EndRun():
            again = "" if action.final else ", not final"
            return f"end {action.run}: {action.result}{again}"
        case Deliver(target=target, event=event, attempt=attempt):
            return f"post {event.sequence} to {target.url}, attempt {attempt}"
        case EndDelivery(target=target, event=event):
            again = "" if action.final else ", not final"
            return f"end post {event.sequence} to {target.url}: {action.result}{again}"
        case RequestHooks(runner=runner):
            return f"list hooks of {runner}"
        case RequestDump(dump=dump):
            return f"dump {dump}"
        case RequestRoutes(dump=dump, families=families):
            return f"dump {dump} of routes {' '.join(map(str, families))}"
        case ReadWireguard():
            where = "userspace" if action.userspace else "kernel"
            return f"read {action.number}: {action.name} by {where}"
        case ResolveEndpoint(number=number):
            return f"resolve {number}"
        case SetEndpoint():
            where = f"{action.public_key} to {action.address} port {action.port}"
            return f"set {action.number}: {action.name} {where}"
        case ChangeRouting(number=number, changes=changes):
            return "\n".join((f"change {number}:", *map(describe_change, changes)))
        case GiveAdvice(number=number, advice=advice, withdraw=withdraw):
            verb = "withdraw" if withdraw else "advise"
            words = [*(advice.dns or ()), *(advice.domains or ()), advice.hostname]
            told = " ".join(filter(None, words))
            return f"{verb} {number} {advice.service} {advice.name or 'host'}: {told}"
        case Note():
            return f"{action.level}: {action.message}"
        case Ready():
            return "ready"
        case _:
            assert_never(action)


def _show_subject(event: Event) -> str:
    subject = ""
    if event.routing is not None:
        subject = f" {event.routing.describe()}"
    elif event.address is not None:
        subject = f" {event.address.ip}"
    elif event.route is not None:
        subject = f" {'del' if event.gone else 'new'} {describe_route(event.route)}"
    elif event.wireguard is not None and event.wireguard.peer is not None:
        subject = f" {event.wireguard.name or event.wireguard.peer.public_key}"
    elif event.type is EventType.GATEWAY_CHANGED:
        assert event.after is not None
        gateway = event.after.gateway4 if event.family == 4 else event.after.gateway6
        subject = f" {event.family} {gateway or 'none'}"
    elif event.type is EventType.SSID_CHANGED and event.after is not None:
        subject = f" {event.after.ssid or 'none'}"
    elif event.type is EventType.ROAMED and event.after is not None:
        subject = f" {event.after.bssid}"
    elif event.lease is not None:
        subject = f" {event.reason} {event.lease.address}/{event.lease.prefix}"
    elif event.type is EventType.DNS_CHANGED and event.after is not None:
        subject = f" {' '.join(event.after.dns) or 'none'}"
    elif event.host is not None:
        words = (event.host.hostname, *(word for _, word in event.host.states))
        subject = f" {' '.join(filter(None, words))}"
    return subject + (" initial" if event.initial else "")


# --- words of the stories --------------------------------------------------------------------------


def link(
    name: str,
    ifindex: int,
    *,
    up: bool = True,
    carrier: bool = True,
    operstate: int | None = None,
    flags: int = 0,
    mtu: int = 1500,
    mac: str = "02:00:00:00:00:01",
    kind: str = "veth",
    master: int = 0,
) -> Link:
    """Return a link; up and with carrier unless said otherwise."""
    carrier = up and carrier
    if operstate is None:
        operstate = UP if carrier else LOWER_LAYER_DOWN if up else DOWN
    flags |= up * IFF_UP | carrier * (IFF_LOWER_UP | IFF_RUNNING)
    return Link(
        IfIndex(ifindex), name, flags, operstate, mtu, mac, kind=kind, master=IfIndex(master)
    )


def seen(name: str, ifindex: int, *, dump: int = 0, **more: object) -> LinkSeen:
    """Return RTM_NEWLINK, see `link`."""
    return LinkSeen(link(name, ifindex, **more), dump)  # type: ignore[arg-type]


def gone(ifindex: int) -> LinkGone:
    """Return RTM_DELLINK."""
    return LinkGone(IfIndex(ifindex))


def address(text: str, ifindex: int, *, flags: int = 0, scope: int | None = None) -> Address:
    """Return the address of "IP/PREFIX"; IPv6 link-local ones have their scope."""
    ip, _, prefix = text.partition("/")
    family = 6 if ":" in ip else 4
    if scope is None:
        scope = 253 if ip.startswith("fe80:") else 0
    return Address(IfIndex(ifindex), family, ip, int(prefix), scope, flags)


def has(
    text: str, ifindex: int, *, flags: int = 0, scope: int | None = None, dump: int = 0
) -> AddressSeen:
    """Return RTM_NEWADDR, see `address`."""
    return AddressSeen(address(text, ifindex, flags=flags, scope=scope), dump)


def lost(text: str, ifindex: int) -> AddressGone:
    """Return RTM_DELADDR, see `address`."""
    return AddressGone(address(text, ifindex))


def route(
    destination: str,
    *ways: str,
    table: int = 254,
    metric: int = 0,
    protocol: int = 4,
    kind: int = 1,
    source: str = "",
    nexthop_id: int = 0,
) -> Route:
    """Return a route; a way is "GATEWAY@IFINDEX" or "@IFINDEX"."""
    hops = []
    for way in ways:
        gateway, _, ifindex = way.partition("@")
        hops.append(Nexthop(IfIndex(int(ifindex)), gateway))
    return Route(
        6 if ":" in destination else 4,
        Table(table),
        destination,
        metric,
        kind,
        protocol,
        0,
        tuple(hops),
        source,
        nexthop_id=nexthop_id,
    )


def hooks(*paths: str, first: int = 1) -> tuple[Hook, ...]:
    """Return runnable scripts; the directory's name is the event type: /etc/netevd/TYPE.d/NAME."""
    found = []
    for entry, path in enumerate(paths, first):
        directory, _, name = path.rpartition("/")
        event = directory.rpartition("/")[2].removesuffix(".d")
        found.append(Hook(entry, event, name, path, runnable=True, reason=""))
    return tuple(found)


def finished(run: int, status: int = 0, *, leftovers: int = 0) -> RunFinished:
    """Return the end of a run that took 1.5 s."""
    return RunFinished(run, status, 1.5, 0.25, leftovers)


Play = Callable[..., Playbook]
"""Makes a playbook; see `play` in conftest."""
