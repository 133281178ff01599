"""What has happened, for those who ask later: how runs ended. Events speak for themselves."""

from __future__ import annotations

from attrs import frozen

from netevd.model.webhook import Target


@frozen(slots=True)
class RunOutcome:
    """How a run, or one attempt of it, ended."""

    run: int
    sequence: int
    """Of its event."""
    event: str
    """Event type."""
    interface: str
    """Name of the link, "" for an event of the host."""
    script: str
    """Path."""
    result: str
    """See `EndRun`."""
    reason: str
    status: int | None
    """Exit code or minus signal number; None when it never started or was lost."""
    duration_s: float
    cpu_s: float
    leftovers: int
    attempt: int
    final: bool
    time_ns: int
    """Wall clock of the end, nanoseconds since 1970."""
    output: tuple[tuple[str, str], ...] = ()
    """Stream (out or err) and text of each line."""
    incomplete: bool = False
    """An earlier worker died with a part of the output that it had read."""


@frozen(slots=True)
class DeliveryOutcome:
    """How a delivery, or one attempt of it, ended."""

    target: Target
    sequence: int
    """Of its event."""
    event: str
    """Event type."""
    interface: str
    """Name of the link, "" for an event of the host."""
    result: str
    """See `EndDelivery`."""
    status: int
    reason: str
    duration_s: float
    attempt: int
    final: bool
    time_ns: int
    """Wall clock of the end, nanoseconds since 1970."""
