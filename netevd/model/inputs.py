"""What goes into the core: a closed union. Whoever adds one, adds its arm in core.engine."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from netevd.model.address import Address
from netevd.model.backend import BackendName, HostReport, LinkReport
from netevd.model.link import IfIndex, Link
from netevd.model.route import Route
from netevd.model.rule import Rule
from netevd.model.wireguard import Device


@frozen(slots=True)
class Now:
    """One moment on both clocks; handed in, because the core reads none."""

    monotonic: float
    """Seconds, CLOCK_MONOTONIC."""
    wall_ns: int
    """Nanoseconds since 1970."""


@frozen(slots=True)
class LinkSeen:
    """The kernel said RTM_NEWLINK."""

    link: Link
    dump: int = 0
    """Number of the dump this is part of, 0 for an event."""


@frozen(slots=True)
class LinkGone:
    """The kernel said RTM_DELLINK."""

    ifindex: IfIndex


@frozen(slots=True)
class AddressSeen:
    """The kernel said RTM_NEWADDR."""

    address: Address
    dump: int = 0
    """Number of the dump this is part of, 0 for an event."""


@frozen(slots=True)
class AddressGone:
    """The kernel said RTM_DELADDR."""

    address: Address


@frozen(slots=True)
class RouteSeen:
    """The kernel said RTM_NEWROUTE."""

    route: Route
    replace: bool = False
    """It took the place of the first route of the same key. Source: NLM_F_REPLACE, netlink(7)."""


@frozen(slots=True)
class RouteGone:
    """The kernel said RTM_DELROUTE."""

    route: Route


@frozen(slots=True)
class RoutesDumped:
    """Part of a dump of routes."""

    routes: tuple[Route, ...]
    dump: int


@frozen(slots=True)
class RoutesDumpEnded:
    """Like DumpEnded, of a dump of routes."""

    dump: int
    consistent: bool


@frozen(slots=True)
class RoutesOverran:
    """Like Overran, of the socket that routes come from."""

    reason: str = ""


@frozen(slots=True)
class NexthopChanged:
    """A nexthop object was changed or removed: IPv4 routes that use it may be gone unsaid."""

    nexthop_id: int


@frozen(slots=True)
class RuleSeen:
    """The kernel said RTM_NEWRULE."""

    rule: Rule
    dump: int = 0
    """Number of the dump this is part of, 0 for an event."""


@frozen(slots=True)
class RuleGone:
    """The kernel said RTM_DELRULE."""

    rule: Rule


@frozen(slots=True)
class WireguardRead:
    """What a WireGuard device has said."""

    number: int
    """Of the reading."""
    device: Device | None
    """None: it could not be read."""
    reason: str = ""
    """Why not, "" for a device that was."""


@frozen(slots=True)
class EndpointResolved:
    """The courier has looked up the name of a peer's endpoint."""

    number: int
    """As in `ResolveEndpoint`."""
    addresses: tuple[str, ...]
    """Of either family, the one to be tried first in front."""
    reason: str = ""
    """Why there are none, "" for some."""


@frozen(slots=True)
class DumpEnded:
    """
    Everything of one dump of links, addresses and rules was handed in, and every event that the
    kernel queued before its end.
    """

    dump: int
    consistent: bool
    """False: interrupted or refused, it has to be repeated."""


@frozen(slots=True)
class Overran:
    """
    The kernel dropped messages; what changed meanwhile is not known until the next dump.

    Every loss lies before this input: what comes after it is newer than all that was lost.
    """

    reason: str = ""
    """Why messages were lost, "" for a receive buffer that was full."""


@frozen(slots=True)
class HelperConnected:
    """A (new) helper forwards kernel messages from here on; nothing before it is in flight."""

    lost: str = ""
    """Why messages may have been lost, "" where none were: it goes on where the last one stopped."""


@frozen(slots=True)
class Hook:
    """One file of a script directory, as the runner sees it."""

    entry: int
    """The runner's number for it."""
    event: str
    """Event type whose directory holds it."""
    name: str
    path: str
    runnable: bool
    reason: str
    """Why it is skipped; "" for a runnable one."""
    tree: str = ""
    """Of another dispatcher's script its tree; then `event` is the group of files that it is in."""


@frozen(slots=True)
class HooksListed:
    """A runner's whole script table, in running order."""

    hooks: tuple[Hook, ...]
    runner: int = 0


@frozen(slots=True)
class RunStarted:
    """The run's first process exists."""

    run: int


@frozen(slots=True)
class RunRefused:
    """The run was not started."""

    run: int
    reason: str


@frozen(slots=True)
class RunFinished:
    """The run and all it started is gone."""

    run: int
    status: int
    """Exit code, or minus the signal number."""
    duration_s: float
    cpu_s: float
    leftovers: int
    """Processes that outlived the first one and were killed."""


@frozen(slots=True)
class RunnerLost:
    """A runner died; its scripts were killed."""

    runner: int = 0


@frozen(slots=True)
class RunnerConnected:
    """A (new) runner takes runs."""

    runner: int = 0
    """Its key; by default the number of its identity, 0 for that of scripts without a rule."""
    incarnation: str = ""
    """Which life of it; no two have the same."""
    runs: frozenset[int] = frozenset()
    """Runs that it had from an earlier worker and has not forgotten."""


@frozen(slots=True)
class ChangesMade:
    """
    The helper has answered a `ChangeRouting`, and what the kernel told of it was handed in before.
    """

    number: int
    errors: tuple[int, ...] = ()
    """Of each change 0 or the kernel's error number; those that are missing were not tried."""
    reason: str = ""
    """Why some were not tried, "" if all were."""
    dry: bool = False
    """Nothing was tried: somebody only wanted to see it."""


@frozen(slots=True)
class FlushRouting:
    """Somebody wants all rules and routes of ours to be removed."""


@frozen(slots=True)
class ConfirmRouting:
    """Somebody says that the routing configuration on trial shall stay."""


@frozen(slots=True)
class ResumeHook:
    """Somebody says that a paused script shall run again."""

    path: str


@frozen(slots=True)
class ClearDamping:
    """Somebody says that what damping suppresses shall run again."""

    interface: str = ""
    """Name of the link, "" for all."""


@frozen(slots=True)
class CourierConnected:
    """A courier takes deliveries; one that was under way is asked for once more, and not posted twice."""


@frozen(slots=True)
class CourierLost:
    """The courier died; whether what was under way has arrived is not known."""


@frozen(slots=True)
class DeliveryAnswered:
    """What came of one attempt to post an event."""

    number: int
    """Of the webhook."""
    sequence: int
    attempt: int
    result: Literal["ok", "again", "failed", "refused"]
    """again: it was not taken and may be tried again."""
    status: int
    """0 for no answer at all."""
    reason: str
    duration_s: float
    retry_after_s: float
    """How long the webhook wants to be left alone, 0 for nothing said."""
    jitter: float
    """A random number from 0 to 1."""


@frozen(slots=True)
class BackendFound:
    """
    A backend is there, for the first time or again, and this is all it knows now.

    What it had said before and says no more is not so any more.
    """

    backend: BackendName
    version: str
    """As it calls itself, "" where it does not say."""
    reports: tuple[LinkReport, ...] = ()
    host: HostReport | None = None


@frozen(slots=True)
class BackendSaid:
    """A backend says of one link all that it knows now; in the place of what it said before."""

    report: LinkReport


@frozen(slots=True)
class BackendSaidHost:
    """A backend says of the host all that it knows now."""

    report: HostReport


@frozen(slots=True)
class BackendForgot:
    """A backend knows nothing more of a link."""

    backend: BackendName
    ifindex: IfIndex


@frozen(slots=True)
class BackendMet:
    """A backend is there, and is being asked for what it knows."""

    backend: BackendName


@frozen(slots=True)
class BackendLost:
    """A backend is not there, or does not answer. What it said last counts until it is back."""

    backend: BackendName
    reason: str
    """In a few words, as "it is not running"."""
    wanted: bool = False
    """Whether the configuration names it, so that its absence is a fault."""


@frozen(slots=True)
class AdviceAnswered:
    """A service has answered a `GiveAdvice`, or could not be asked."""

    number: int
    error: str = ""
    """Why it did not take it, "" if it did."""
    refused: bool = False
    """It does not let us: asking again helps only once somebody has changed that."""


@frozen(slots=True)
class Tick:
    """The deadline that the engine asked for has come."""


@frozen(slots=True)
class Stopping:
    """The daemon stops: start nothing more."""

    kept: bool
    """What waits is remembered, and the next daemon goes on with it."""


Input: TypeAlias = (
    LinkSeen | LinkGone | AddressSeen | AddressGone | RouteSeen | RouteGone | RuleSeen | RuleGone
    | NexthopChanged | RoutesDumped | RoutesDumpEnded | RoutesOverran
    | DumpEnded | Overran | HelperConnected | WireguardRead | EndpointResolved
    | HooksListed | RunStarted | RunRefused | RunFinished | RunnerLost | RunnerConnected
    | ChangesMade | FlushRouting | ConfirmRouting
    | ResumeHook | ClearDamping | Tick | Stopping
    | CourierConnected | CourierLost | DeliveryAnswered
    | BackendMet | BackendFound | BackendSaid | BackendSaidHost | BackendForgot | BackendLost
    | AdviceAnswered
)  # fmt: skip
