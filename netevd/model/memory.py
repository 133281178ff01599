"""
What the daemon has to remember beyond one worker: what users know, and which runs have not ended.

A `State` is all of it at one moment, a `Record` what one input of the engine changed about it. All of
it is known from the kernel and the runners but this.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from netevd.model.advice import Advice
from netevd.model.backend import HostReport
from netevd.model.event import Event
from netevd.model.inputs import Hook
from netevd.model.link import IfIndex, Link
from netevd.model.route import Route
from netevd.model.routing import RoutingMemory
from netevd.model.snapshot import Snapshot
from netevd.model.waiting import Waiting, WaitingChanges
from netevd.model.webhook import Target
from netevd.model.wireguard import KnownDevice

WAITING: Final = "waiting"
RESTING: Final = "resting"
"""Stages of a run that no runner has: it waits for its turn, or for its next attempt."""


@frozen(slots=True)
class KnownLink:
    """A link that exists, and what users know of it."""

    lane: int
    """Number of the link's incarnation."""
    link: Link
    told: Snapshot | None
    """None: users know nothing of it, since it is not watched."""


@frozen(slots=True)
class Attempt:
    """How the last attempt of a run ended that is tried again."""

    number: int
    """Counts from 1."""
    result: str
    status: int | None
    duration_s: float
    cpu_s: float
    leftovers: int


@frozen(slots=True)
class OpenRun:
    """A run that has not ended."""

    number: int
    sequence: int
    """Of its event."""
    hook: Hook
    stage: str
    """waiting, resting (until its next attempt), or one of the stages of a run that was handed over."""
    runner: int = 0
    """Key of the runner that has it."""
    incarnation: str = ""
    """Which life of that runner, "" for a run that no runner has."""
    timeout_s: float = 0.0
    due: float | None = None
    """Monotonic seconds when something has to be done about it."""
    failed: Attempt | None = None
    event: Event | None = None
    """Its event, if that is not as it was published: it stands for several."""
    action: str = ""
    """What a script of another dispatcher's tree is called for."""


@frozen(slots=True)
class HeldOccasion:
    """What a tree of another dispatcher runs once a delay is over."""

    tree: str
    action: str
    event: Event
    due: float | None
    """Monotonic seconds; None: not known yet."""


@frozen(slots=True)
class EarlyEvent:
    """An event whose scripts are looked up once the runner has listed them."""

    sequence: int
    scripts: tuple[str, ...] | None
    """What runs instead of its own scripts."""
    event: Event | None = None
    """As of `OpenRun`."""


@frozen(slots=True)
class Streak:
    """Failures of one script since it last did well."""

    path: str
    failures: int
    paused: bool


@frozen(slots=True)
class RunMemory:
    """What is remembered of runs, or, within a `Record`, what has changed of it."""

    runs: tuple[OpenRun, ...] = ()
    """In a record those that are new, or at another stage."""
    ended: tuple[int, ...] = ()
    """Numbers of runs that are over."""
    early: tuple[EarlyEvent, ...] = ()
    """Events whose scripts are looked up later."""
    looked_up: bool = False
    """Whether the scripts of all events before this record were looked up."""
    streaks: tuple[Streak, ...] | None = None
    """All of them; None in a record that changes nothing about them."""
    held: tuple[HeldOccasion, ...] | None = None
    """As streaks."""


@frozen(slots=True)
class OpenDelivery:
    """An event that is to be posted to a webhook, or is being posted."""

    target: Target
    sequence: int
    """Of its event."""
    stage: str
    """waiting, resting (until its next attempt) or posting."""
    attempt: int
    """The one of now, or the next one; counts from 1."""
    due: float | None = None
    """Monotonic seconds of the next attempt, if it rests."""
    event: Event | None = None
    """As of `OpenRun`."""


@frozen(slots=True)
class DeliveryMemory:
    """What is remembered of deliveries, or, within a `Record`, what has changed of it."""

    open: tuple[OpenDelivery, ...] = ()
    """In a record those that are new, or at another stage."""
    ended: tuple[tuple[Target, int], ...] = ()
    """Those that are over, by webhook and event."""


@frozen(slots=True)
class Numbers:
    """The next ones to be used, of events and of runs, and the last one of lanes."""

    sequence: int
    run: int
    lane: int


@frozen(slots=True)
class State:
    """Everything that is remembered."""

    numbers: Numbers
    links: tuple[KnownLink, ...] = ()
    routes: tuple[Route, ...] | None = None
    """None: not known yet, or none is wanted."""
    events: tuple[Event, ...] = ()
    """Those of the runs, and those whose scripts were not looked up yet."""
    runs: RunMemory = field(factory=RunMemory)
    waiting: Waiting = field(factory=Waiting)
    deliveries: tuple[OpenDelivery, ...] = ()
    wireguard: tuple[KnownDevice, ...] = ()
    routing: RoutingMemory = field(factory=RoutingMemory)
    hosts: tuple[HostReport, ...] = ()
    """What users know of the host; what they know of links is in their snapshots."""
    advice: tuple[Advice, ...] = ()
    """What services of the host were told because of leases."""


@frozen(slots=True)
class Record:
    """What one input changed."""

    numbers: Numbers
    links: tuple[KnownLink, ...] = ()
    """New, or known otherwise."""
    gone: tuple[IfIndex, ...] = ()
    routes: tuple[tuple[bool, Route], ...] = ()
    """In order: whether a route is there, and which."""
    events: tuple[Event, ...] = ()
    runs: RunMemory | None = None
    waiting: WaitingChanges | None = None
    deliveries: DeliveryMemory | None = None
    wireguard: tuple[tuple[IfIndex, KnownDevice | None], ...] = ()
    """Devices that are known otherwise; None for one that is gone."""
    routing: RoutingMemory | None = None
    """All of it; None: nothing of it has changed."""
    hosts: tuple[HostReport, ...] | None = None
    """All of it; None: nothing of it has changed."""
    advice: tuple[Advice, ...] | None = None
    """Likewise."""
