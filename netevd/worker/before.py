"""What the supervisor tells of the time before a worker, as metrics want it."""

from __future__ import annotations

import time

from netevd.report.metrics import Before
from privsep.protocol import Configure


def read_before(configure: Configure) -> Before:
    """Return it."""
    return Before(
        configure.started,
        time.time() - (time.monotonic() - configure.started),
        configure.generation,
        configure.restarts,
        configure.failed,
        configure.reload_ok,
        configure.loaded,
    )
