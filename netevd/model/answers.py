"""
What the API answers, as types: the lists and the daemon's own state. See model.objects for their items.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from netevd.model.objects import (
    DescribedEventObject,
    DetailedInterfaceObject,
    KnownPeerObject,
    RouteObject,
    RuleObject,
    RunObject,
)


class InterfacesObject(TypedDict):
    """Interfaces, in order of their index."""

    interfaces: list[DetailedInterfaceObject]
    count: int


class RoutesObject(TypedDict):
    """Routes, by table. While an answer of many parts is sent, it tells of one moment."""

    routes: list[RouteObject]
    count: int
    total: int
    """How many there are of this choice, without limit and offset."""


class RulesObject(TypedDict):
    """Rules of the routing policy, by family, in the order in which the kernel asks them."""

    rules: list[RuleObject]
    count: int


class PeersObject(TypedDict):
    """Peers of WireGuard devices, in order of interface."""

    peers: list[KnownPeerObject]
    count: int


class EventsObject(TypedDict):
    """Events, the oldest first."""

    events: list[DescribedEventObject]
    count: int
    more: bool
    """Whether there are further ones of this choice: with `since` later ones, without it earlier ones."""
    first: int
    """Sequence number of the oldest event that is still known, of any kind."""
    last: int
    """Sequence number of the last event, of any kind: go on from here with `since`."""


class RunsObject(TypedDict):
    """Runs: those that have ended, then those that have not."""

    runs: list[RunObject]
    count: int
    more: bool
    """Whether there are earlier ones."""


class AuditRecordObject(TypedDict):
    """Something that was done or refused with privilege, or asked for by a client."""

    time: str
    source: str
    """Role that has said so."""
    what: str
    by: str
    """On whose behalf."""
    outcome: str
    detail: str
    lost: int
    """Notes before this one that were too many."""


class AuditObject(TypedDict):
    """Records of the audit log, the oldest first."""

    records: list[AuditRecordObject]
    count: int
    more: bool
    """Whether there are earlier ones."""


class HookObject(TypedDict):
    """One file of a script directory."""

    event: str
    """Event type whose directory holds it; in another dispatcher's tree, the group of files it is in."""
    tree: str | None
    """Of another dispatcher's script its tree, as `networkd-dispatcher`."""
    name: str
    path: str
    runnable: bool
    reason: str | None
    """Why it is skipped."""
    paused: bool
    """Whether it has failed too often in a row (scripts.pause_after)."""


class HooksObject(TypedDict):
    """Files of the script directories, in the order in which scripts of an event run."""

    hooks: list[HookObject]
    count: int


class PlannedObject(TypedDict):
    """What policy routing wants for one interface in one family, or why nothing."""

    interface: str
    family: Literal["ipv4", "ipv6"]
    slot: int | None
    sources: list[str]
    gateways: list[str]
    reason: str | None
    """Why nothing is wanted; null if something is."""


class TunnelRoutesObject(TypedDict):
    """What the peers of a WireGuard device imply for routing, and how it is."""

    interface: str
    table: int | None
    """Where netevd writes its routes."""
    fwmark: int | None
    """Of the device."""
    prefixes: list[str]
    """That its peers take."""
    missing: list[str]
    """Of these, those that no route over it covers."""
    strays: list[str]
    """Where routes over it lead to that no peer takes."""
    reason: str | None
    """Why no routes are made for it."""
    advice: str | None
    """Why some routes are not made, and what to do about it."""


class PolicyRoutingObject(TypedDict):
    """Policy routing: what is wanted, and how the kernel differs from it."""

    enabled: bool
    """Whether anything is configured that rules and routes are made or looked at for."""
    interfaces: list[PlannedObject]
    rules: list[RuleObject]
    """That are wanted."""
    routes: list[RouteObject]
    """That are wanted."""
    tunnels: list[TunnelRoutesObject]
    """Devices whose routes are looked at or made, see `wireguard.routes`."""
    changes: list[str]
    """What would make the kernel so, as commands of ip(8); none: it is so."""
    contested: bool
    """Somebody keeps removing what is netevd's."""
    halted: str | None
    """Why nothing is written any more."""
    trial_seconds: float | None
    """How long the configuration is still on trial; null: it is not."""
    given_up: bool
    """The configuration was not confirmed: that of before is in force."""


class SteeredObject(TypedDict):
    """What became of a request to policy routing."""

    outcome: str


class ResumedObject(TypedDict):
    """A script that was paused."""

    path: str
    paused: bool


class ReloadObject(TypedDict):
    """How a reload ended."""

    time: str
    outcome: Literal["in force", "refused"]
    generation: int
    """The configuration that is in force since: of a refused one, that of before."""
    problems: list[str]
    """`file:line:column: problem`, of a refused one."""


class ReloadedObject(TypedDict):
    """The configuration was read again and is in force."""

    outcome: Literal["in force"]
    generation: int


class StatusObject(TypedDict):
    """The daemon on one screen. Counts are those since the daemon was started, over all reloads."""

    state: Literal["starting", "serving", "reloading", "stopping"]
    """starting: the first dump is not known yet."""
    version: str
    mode: Literal["privileged", "observe"]
    generation: int
    """Counts the configurations that were in force, from 1."""
    loaded: str
    """When this one was put in force."""
    uptime_seconds: float
    backend: str
    """Sources of knowledge, separated by commas."""
    interfaces: int
    interfaces_by_state: dict[str, int]
    routes: int
    rules: int
    """Rules of the routing policy, whoever has made them."""
    routing_rules: int
    """Those that netevd has made."""
    unrouted_prefixes: int
    """Prefixes of WireGuard peers that no route leads to, where that is looked at (`wireguard.routes`)."""
    sequence: int
    """Of the last event."""
    events_processed: int
    scripts_executed: int
    """Attempts of runs that were started and have ended."""
    scripts_failed: int
    """Those of them that failed, were timed out or lost."""
    runs_by_result: dict[str, int]
    """Runs that have ended, retries not counted."""
    open_runs: int
    paused_scripts: list[str]
    losses: int
    """How often kernel messages were lost, or may have been; what had changed was told."""
    audit_trouble: str | None
    """Why the audit log can't be written."""
    last_event: DescribedEventObject | None
    last_reload: ReloadObject | None
    """null: none since the daemon was started."""


class CheckObject(TypedDict):
    """One check of the daemon's health."""

    status: Literal["pass", "warn", "fail"]
    """warn: something is worse than it should be, and events are told all the same."""
    detail: str
    """What was found."""
    advice: NotRequired[str]
    """What to do, where it did not pass."""


class HealthObject(TypedDict):
    """The daemon's health: unhealthy when a check fails, degraded when one warns."""

    status: Literal["healthy", "degraded", "unhealthy"]
    uptime: float
    """Seconds."""
    interfaces: int
    routing_rules: int
    """Those that netevd has made."""
    checks: dict[str, CheckObject]


class AliveObject(TypedDict):
    """The worker answers."""

    status: Literal["alive"]


class ReadyObject(TypedDict):
    """Whether events are told."""

    status: Literal["ready", "not ready"]
    detail: str


class ConfigurationObject(TypedDict):
    """The configuration in force, with every default. Nothing secret is in it."""

    generation: int
    loaded: str
    configuration: dict[str, object]
    file: str | None
    """The main file, None where there is none."""
    included: list[str]
    """The other files, in the order in which they were read."""
    tag: str
    """Of the content of all of them: what If-Match takes, in quotation marks."""
    writable: bool
    """Whether it may be changed over the API."""
    confirm_within_seconds: float | None
    """How much time is left to confirm the last change, None if it needs none."""


class ChangeObject(TypedDict):
    """One setting that would change."""

    key: str
    before: object
    after: object


class ChangedObject(TypedDict):
    """What has become of a change of the configuration."""

    outcome: Literal["in force", "not tried", "confirmed", "rolled back"]
    """not tried: it was a dry run."""
    confirm_within_seconds: NotRequired[int | None]
    tag: NotRequired[str]
    """Of what is in force, for a dry run."""
    changes: NotRequired[list[ChangeObject]]
    count: NotRequired[int]
    diff: NotRequired[str]
    """Of the main file, as a unified diff."""


class PlacedProblemObject(TypedDict):
    """One problem of a configuration."""

    file: str | None
    line: int | None
    column: int | None
    detail: str


class ProblemObject(TypedDict):
    """Why a request was not answered. Source: RFC 9457."""

    type: str
    """Address of its description below the documentation."""
    title: str
    status: int
    detail: str
    problems: NotRequired[list[str]]
    """Of a configuration: `file:line:column: problem`."""
    errors: NotRequired[list[PlacedProblemObject]]
    """The same by their parts, of one that was sent."""
