"""What is told of the daemon itself."""

from __future__ import annotations

import time

from attrs import field, frozen


@frozen(slots=True)
class About:
    """What does not change while a worker lives."""

    version: str
    generation: int
    mode: str
    """privileged or observe."""
    started: float
    """When the daemon was started, monotonic seconds."""
    loaded_ns: int = field(factory=time.time_ns)
