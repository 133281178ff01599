"""The worker's side of lease files: which links the core knows, and who is told what files say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from netevd.backends.leasewatch import CLIENTS, LeaseWatch
from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.model.actions import Action, Publish
from netevd.model.backend import BackendName, LinkReport
from netevd.model.inputs import Input
from netevd.model.snapshot import Snapshot

_NAMES: Final = frozenset(("auto", "dhclient"))
"""What of `system.backend` includes lease files."""


def list_followed(configuration: Configuration) -> tuple[BackendName, ...]:
    """Return the clients whose lease files are read."""
    return CLIENTS if _NAMES.intersection(configuration.system.backend) else ()


class LeaseLink:
    """The lease files of one worker, if they are to be read."""

    def __init__(
        self,
        engine: Engine,
        configuration: Configuration,
        submit: Callable[[list[Input]], None],
        log: FilteringBoundLogger,
        *,
        started: float,
        granted: Sequence[str],
        ask_for_access: Callable[[], None],
    ) -> None:
        """
        started: when the daemon was, monotonic seconds. granted: directories that this worker's sandbox has, as far as they were there then.
        """
        self._engine: Final = engine
        self._watch: LeaseWatch | None = None
        if list_followed(configuration):
            self._watch = LeaseWatch(
                configuration.backends.dhclient.patterns,
                submit,
                self,
                log,
                ask_for_access,
                started_ns=time.time_ns() - int((time.monotonic() - started) * 1e9),
                granted=frozenset(granted),
                quiet=not configuration.backends.dhclient.lease_files,
                wanted="dhclient" in configuration.system.backend,
            )

    async def run(self) -> None:
        """Read lease files, for ever; return where none are to be read."""
        if self._watch is not None:
            await self._watch.run()

    def see(self, actions: Iterable[Action]) -> None:
        """Take in what the core has decided: links or addresses of leases may have come or gone."""
        if self._watch is None:
            return
        if not self._watch.begun or any(isinstance(each, Publish) for each in actions):
            self._watch.look()

    # --- what the watch asks ---------------------------------------------------------------------

    def is_known(self) -> bool:
        """Tell whether the kernel has told of all links there were at the start."""
        return self._engine.knows_links

    def has_begun(self) -> bool:
        """Tell whether what was there at the start is told, maybe by a worker before this one."""
        return self._engine.started

    def find(self, name: str) -> Snapshot | None:
        """Return the link of this name, None for none."""
        return self._engine.insight.find_snapshot(name)

    def list_reported(self) -> Iterable[LinkReport]:
        """Return what was said by anybody of any link, and is remembered."""
        return [each for link in self._engine.insight.iterate_snapshots() for each in link.reports]
