"""
Every path of the API as data: what it is for, what it takes, what it answers.

The application is made of this table and so is the OpenAPI document: neither knows what the other does not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from attrs import field, frozen

from netevd.model.answers import (
    AliveObject,
    AuditObject,
    ChangedObject,
    ConfigurationObject,
    EventsObject,
    HealthObject,
    HooksObject,
    InterfacesObject,
    PeersObject,
    PolicyRoutingObject,
    ReadyObject,
    ReloadedObject,
    ResumedObject,
    RoutesObject,
    RulesObject,
    RunsObject,
    StatusObject,
    SteeredObject,
)
from netevd.model.objects import DetailedInterfaceObject, ExplanationObject
from netevd.model.snapshot import OperationalState

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
YAML: Final = "application/yaml"
"""Source: RFC 9512."""
PATCH: Final = "application/merge-patch+json"
"""Source: RFC 7396 section 4."""


class FamilyWord(StrEnum):
    """Families as parameters name them."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Flag(StrEnum):
    """Yes and no as parameters say it."""

    YES = "1"
    NO = "0"


@frozen(slots=True)
class Parameter:
    """One parameter of a path, in its query or in itself."""

    name: str
    description: str
    kind: type[StrEnum | int | str] = str
    """What its text is read as."""
    many: bool = False
    """Whether it may be given more than once."""
    required: bool = False
    minimum: int = 0
    maximum: int = 10**18 - 1
    """Of a number."""
    example: str | int | None = None


@frozen(slots=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    """Parameters in it stand in angle brackets."""
    name: str
    """operationId, and the method of the application that answers."""
    summary: str
    answer: Any
    """Type of the answer, of model.answers or model.objects."""
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    """Statuses of problems beside those that every path has."""
    statuses: tuple[int, ...] = (200,)
    """Statuses with which `answer` is sent."""
    streams: bool = False
    """Whether it answers by a stream of messages too."""
    tags: tuple[str, ...] = field(default=("state",))
    headers: tuple[str, ...] = ()
    """Headers of the answer that clients may want."""
    media: tuple[str, ...] = ()
    """Media types of the answer beside that of `answer`."""
    body: tuple[str, ...] = ()
    """Media types of the request's body, if it has one."""


_SINCE: Final = Parameter(
    "since",
    "Only events after this sequence number, or from this time on: RFC 3339, or 10m for ten minutes"
    " ago (s, m, h, d). The header Last-Event-ID wins over it.",
    example="10m",
)
_TYPES: Final = Parameter(
    "type", "Only events of this type; globs, repeatable.", many=True, example="address-*"
)
_INTERFACES: Final = Parameter(
    "interface", "Only events of interfaces of this name; globs, repeatable.", many=True,
    example="eth*",
)  # fmt: skip
_LIMIT: Final = 100_000
"""Items of an answer at most."""

_CHANGE: Final = (
    Parameter("dry_run", "Only tell what would change, or what is wrong.", Flag, example="1"),
    Parameter("confirm", "Take it back after so many seconds, unless it is confirmed.", int,
              maximum=86400, example=60),
)  # fmt: skip
_REFUSALS: Final = (409, 412, 415, 422, 428, 507)

CHOICE: Final = (_SINCE, _TYPES, _INTERFACES)
"""Parameters that choose events, of `/events` and `/live`."""

ENDPOINTS: Final = (
    Endpoint("GET", "/api/v1/status", "get_status", "The daemon on one screen.", StatusObject),
    Endpoint(
        "GET", "/api/v1/interfaces", "get_interfaces", "Every interface there is.", InterfacesObject,
        (
            Parameter("state", "Only those in this operational state.", OperationalState),
            Parameter("kind", "Only those of this kind; empty: hardware.", example="veth"),
        ),
        headers=("ETag",),
    ),
    Endpoint(
        "GET", "/api/v1/interfaces/<name>", "get_interface", "One interface.",
        DetailedInterfaceObject,
        (Parameter("name", "Name of the interface.", required=True, example="eth0"),), (404,),
    ),
    Endpoint(
        "GET", "/api/v1/routes", "get_routes", "Routes that are known (see `routes` of the"
        " configuration).", RoutesObject,
        (
            Parameter("interface", "Only those that leave by this interface.", example="eth0"),
            Parameter("table", "Only those of this table: a number, main, local or default.",
                      example="main"),
            Parameter("family", "Only those of this family.", FamilyWord),
            Parameter("limit", "At most so many; all, if not given.", int, maximum=10_000_000,
                      example=1000),
            Parameter("offset", "Leave out so many first.", int, example=0),
        ),
        headers=("ETag",),
    ),
    Endpoint(
        "GET", "/api/v1/rules", "get_rules", "Rules of the routing policy.", RulesObject,
        (
            Parameter("interface", "Only those that select this interface, input or output.",
                      example="eth0"),
            Parameter("table", "Only those that look this table up: a number, main, local or"
                      " default.", example="main"),
            Parameter("family", "Only those of this family.", FamilyWord),
        ),
    ),
    Endpoint(
        "GET", "/api/v1/routing", "get_routing", "Policy routing: what is wanted, and how the kernel"
        " differs from it.", PolicyRoutingObject,
    ),
    Endpoint(
        "GET", "/api/v1/peers", "get_peers", "Peers of WireGuard devices, as they were read last.",
        PeersObject,
        (Parameter("interface", "Only those of this interface.", example="wg0"),),
    ),
    Endpoint(
        "GET", "/api/v1/hooks", "get_hooks", "Files of the script directories, and whether they"
        " run.", HooksObject,
        (Parameter("event", "Only those of this event type.", example="routable"),),
    ),
    Endpoint(
        "GET", "/api/v1/config", "get_config", "The configuration in force.", ConfigurationObject,
        headers=("ETag",), media=(YAML,),
    ),
    Endpoint(
        "GET", "/api/v1/events", "get_events", "Events: what has happened as JSON, what happens as a"
        " stream. Accept decides; without it JSON if `limit` is given, else the stream. With `since`"
        " the first events after it, without it the latest.", EventsObject,
        (
            *CHOICE,
            Parameter("limit", "At most so many (100 if not given); for JSON only.", int,
                      maximum=_LIMIT, example=100),
        ),
        streams=True, tags=("history",),
    ),
    Endpoint(
        "GET", "/api/v1/explain", "explain", "What became of an event, and why: by its sequence"
        " number, or the last one of an interface and a type.", ExplanationObject,
        (
            Parameter("sequence", "Of the event.", int, example=1),
            Parameter("interface", "Name or glob; goes with `event`.", example="eth0"),
            Parameter("event", "Event type or glob.", example="routable"),
        ),
        (404,), tags=("history",),
    ),
    Endpoint(
        "GET", "/api/v1/runs", "get_runs", "Runs of scripts: the latest that have ended, then those"
        " that have not.", RunsObject,
        (
            Parameter("sequence", "Only those of this event.", int, example=1),
            Parameter("interface", "Only those of this interface; a glob.", example="eth0"),
            Parameter("result", "Only those that ended so: ok, failed and so on.", example="failed"),
            Parameter("limit", "At most so many (100 if not given).", int, maximum=_LIMIT,
                      example=100),
        ),
        tags=("history",),
    ),
    Endpoint(
        "GET", "/api/v1/runs/<number>", "get_run", "One run with all of its attempts.", RunsObject,
        (Parameter("number", "Of the run.", int, required=True, example=1),), (404,),
        tags=("history",),
    ),
    Endpoint(
        "GET", "/api/v1/audit", "get_audit", "The latest records of the audit log, over the unix"
        " socket only.", AuditObject,
        (
            Parameter("limit", "At most so many (100 if not given).", int, maximum=_LIMIT,
                      example=100),
        ),
        (403,), tags=("history",),
    ),
    Endpoint(
        "POST", "/api/v1/hooks/resume", "resume", "Let a paused script run again.", ResumedObject,
        (Parameter("path", "Of the script.", required=True, example="/etc/netevd/routable.d/10-x"),),
        (404,), tags=("steering",),
    ),
    Endpoint(
        "POST", "/api/v1/routing/flush", "flush_routing", "Remove every rule and route of netevd's,"
        " until the configuration is read again.", SteeredObject, tags=("steering",),
    ),
    Endpoint(
        "POST", "/api/v1/routing/confirm", "confirm_routing", "Keep the routing configuration that is"
        " on trial.", SteeredObject, (), (409,), tags=("steering",),
    ),
    Endpoint(
        "POST", "/api/v1/reload", "reload", "Read the configuration again; answers when that is over.",
        ReloadedObject, (), (409, 422), tags=("steering",),
    ),
    Endpoint(
        "PUT", "/api/v1/config", "put_config", "Write the main configuration file and put it in"
        " force; with `If-Match`.", ChangedObject, _CHANGE, _REFUSALS, tags=("steering",),
        body=(YAML,),
    ),
    Endpoint(
        "PATCH", "/api/v1/config", "patch_config", "Change some settings of the main configuration"
        " file, everything else in it stays; with `If-Match`.", ChangedObject, _CHANGE, _REFUSALS,
        tags=("steering",), body=(PATCH,),
    ),
    Endpoint(
        "POST", "/api/v1/config/confirm", "confirm_config", "Keep a change that waits for that.",
        ChangedObject, (), (409, 412, 507), tags=("steering",),
    ),
    Endpoint(
        "POST", "/api/v1/config/rollback", "roll_back_config", "Take it back; answers when what was"
        " before is in force.", ChangedObject, (), (409, 412, 422, 507), tags=("steering",),
    ),
    Endpoint(
        "GET", "/api/v1/openapi.json", "get_openapi", "This description, as OpenAPI 3.1.",
        dict[str, object], tags=("state",),
    ),
    Endpoint(
        "GET", "/health", "get_health", "Checks of the daemon's health; 503 when one fails.",
        HealthObject, statuses=(200, 503), tags=("health",),
    ),
    Endpoint(
        "GET", "/health/live", "get_alive", "Whether the worker answers.", AliveObject,
        tags=("health",),
    ),
    Endpoint(
        "GET", "/health/ready", "get_ready", "Whether events are told; 503 until they are.",
        ReadyObject, statuses=(200, 503), tags=("health",),
    ),
)  # fmt: skip

LIVE: Final = Endpoint(
    "GET", "/api/v1/live", "live", "The stream by WebSocket: each message is an object of `kind`,"
    " `data` and, for an event, `id`.", None, CHOICE, (426,), statuses=(101,), tags=("history",),
)  # fmt: skip

OTHERS: Final = (
    Endpoint(
        "GET", "/metrics", "get_metrics", "Metrics for Prometheus, as text or OpenMetrics: Accept"
        " decides. Not there with `metrics.enabled: false`.", None, (), (404, 405), tags=("health",),
        headers=("ETag",), media=("text/plain", "application/openmetrics-text"),
    ),
)  # fmt: skip
"""What is answered before this application, and described with it."""
