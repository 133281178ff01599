"""What was decided about an event before its scripts are queued: values that explain it later."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from netevd.model.webhook import Target


@frozen(slots=True)
class Verdict:
    """What the filters say of one event, and why."""

    action: Literal["execute", "ignore", "log"]
    rule: int | None = None
    """Number of the filter that decided, counted from 1 over all files; None: none matched."""
    reason: str = "no filter matched: action execute"
    file: str = ""
    """File of that filter, "" for none."""
    line: int = 0
    """Line where it begins, counts from 1; 0 for none."""
    scripts: tuple[str, ...] | None = None
    """What runs instead of the scripts of the event's directory; None for those."""
    webhooks: tuple[Target, ...] = ()
    """Whom the event is posted to besides."""


EXECUTE = Verdict("execute")
"""Of an event that no filter matched."""
