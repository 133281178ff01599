"""
What stands between an event and its scripts: values, so that a later worker can take them over.

Times are monotonic seconds, as `Now.monotonic`.
"""

from __future__ import annotations

from attrs import frozen

from netevd.model.event import Event
from netevd.model.webhook import Target


@frozen(slots=True)
class Fact:
    """What events of one link are about: of these the latest says what is so."""

    lane: int
    """Number of the link's incarnation."""
    group: str
    """address, usability, route, gateway, carrier, operational, or an event type."""
    subject: str = ""
    """Which address, route or family it is, "" where there is just one."""


@frozen(slots=True)
class Window:
    """Events of one fact whose scripts wait."""

    first: Event
    """The event that has opened it."""
    last: Event
    """The event whose scripts are going to run."""
    scripts: tuple[str, ...] | None
    """What the last one's verdict has run, None for its directory."""
    sequences: tuple[int, ...]
    """Every event in it, in order."""
    opened: float
    due: float
    """When it closes at the latest."""
    max_events: int
    net_effect: bool
    webhooks: tuple[Target, ...] = ()
    """Whom the last one's verdict has the event posted to."""


@frozen(slots=True)
class FlapKey:
    """A fact whatever incarnation of the link it is of: a link may flap by coming and going."""

    interface: str
    group: str
    subject: str = ""


@frozen(slots=True)
class Flap:
    """How much a fact has flapped lately."""

    penalty: float
    """As of `at`; from then on it decays."""
    at: float
    until: float | None = None
    """When its scripts run again; None: they are not suppressed."""
    count: int = 0
    """Events that were suppressed since then."""
    first: Event | None = None
    """The first of them."""
    last: Event | None = None
    """The latest of them, whose scripts run then."""
    scripts: tuple[str, ...] | None = None
    """What its verdict has run, None for its directory."""
    webhooks: tuple[Target, ...] = ()
    """Whom its verdict has it posted to."""


@frozen(slots=True)
class Waiting:
    """All of it, each in the order in which it was opened."""

    windows: tuple[tuple[Fact, Window], ...] = ()
    flaps: tuple[tuple[FlapKey, Flap], ...] = ()


@frozen(slots=True)
class WaitingChanges:
    """What has changed of it; None stands for what is no more."""

    windows: tuple[tuple[Fact, Window | None], ...] = ()
    flaps: tuple[tuple[FlapKey, Flap | None], ...] = ()
