"""Sections `filters` and `debounce`: which events run scripts, and when."""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.kinds import (
    AbsolutePath,
    Duration,
    EventLimit,
    EventTypes,
    Expression,
    Family,
    FilterAction,
    InterfaceName,
    KindName,
    Pattern,
    Source,
    Times,
    Url,
    Wait,
)


@frozen(slots=True)
class Match:
    """Which events a filter is for: those of which everything that is given holds."""

    interface: InterfaceName | None = None
    """Name of the link, or one of its alternative names."""
    interface_pattern: Pattern | None = None
    """Glob of the same."""
    event_type: EventTypes | None = None
    """Type of the event: one of these."""
    ip_family: Family | None = None
    """Family of the address, route or gateway that the event is about; for other events whether the
    link has a usable address of it after the event, link-local ones not counted."""
    backend: Source | None = None
    """Source of the fact."""
    kind: KindName | None = None
    """Kind of the link: veth, bridge, wireguard and so on, "" for hardware."""
    condition: Expression | None = None
    """A CEL expression, asked last. Only exactly true holds."""


@frozen(slots=True)
class Origin:
    """Where something is written; not a setting. Line counts from 1; 0 for nowhere."""

    file: str = ""
    line: int = 0


@frozen(slots=True)
class Webhook:
    """Whom events are posted to, as JSON."""

    url: Url
    headers_file: AbsolutePath | None = None
    """File with headers to send, one `Name: value` a line; root's, group netevd-net, mode 0640."""
    retries: Times = Times(8)
    """How often an event is posted again that was not taken; after 1 s, then twice as long each time,
    at most 5 minutes."""


@frozen(slots=True)
class Filter:
    """What becomes of some events. Of all filters the first that matches decides."""

    action: FilterAction
    """execute: scripts run. ignore: none does, and the log tells of it at level debug only. log:
    none does."""
    match: Match = field(factory=Match)
    """Which events it is for; nothing given: all."""
    scripts: tuple[AbsolutePath, ...] | None = None
    """What runs, in this order, instead of the scripts of the event's directory; empty: nothing, where
    there are webhooks."""
    origin: Origin = field(factory=Origin)
    webhooks: tuple[Webhook, ...] | None = None
    """Whom the event is posted to besides, when its scripts are queued."""


@frozen(slots=True)
class Override:
    """What of debounce is different for some events; what is not given is as for all."""

    interface_pattern: Pattern | None = None
    """Glob of the link's name or alternative names; not given: all."""
    event_type: EventTypes | None = None
    """Types of the events; not given: all."""
    window: Wait | None = None
    """0s: these events don't wait."""
    max_events: EventLimit | None = None
    net_effect: bool | None = None
    up: Wait | None = None
    """Window of events that say that something came or got better, instead of `window`."""
    down: Wait | None = None
    """Window of events that say that something went or got worse, instead of `window`."""


@frozen(slots=True)
class Debounce:
    """Whether scripts wait for what follows their event. Off by default."""

    enabled: bool = False
    window: Duration = Duration(5.0)
    """How long after the first event of a fact the scripts of the last one run."""
    max_events: EventLimit = EventLimit(10)
    """So many events end the wait at once."""
    net_effect: bool = True
    """Whether nothing runs when the fact is back where it was."""
    overrides: tuple[Override, ...] = ()
    """What is different for some events; the first one that matches holds."""
