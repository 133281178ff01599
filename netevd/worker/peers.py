"""
Helper, runners and courier of one worker: they come, are asked for what the engine wants, and go.

One that dies is replaced by the supervisor, which hands over the means to reach the next one. What
each is told and tells is `helperlink`'s, `runnerlink`'s and `courierlink`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import trio
from structlog.typing import FilteringBoundLogger

from netevd.config.schema import Configuration
from netevd.model.actions import ChangeRouting, ReadWireguard, SetEndpoint
from netevd.model.inputs import (
    HelperConnected,
    HooksListed,
    Input,
    RunnerConnected,
    RunnerLost,
    RunStarted,
)
from netevd.report.health import Silence
from netevd.report.metrics import Metrics
from netevd.worker.courierlink import CourierLink
from netevd.worker.helperlink import HelperLink
from netevd.worker.pulse import find_silences
from netevd.worker.runnerlink import RunnerLink


class Peers:
    """Those of one worker that it decides nothing for but can't do without."""

    nursery: trio.Nursery
    """Where they are followed; set before the first one comes."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics,
        log: FilteringBoundLogger,
        submit: Callable[[Input], None],
        *,
        submit_of_helper: Callable[[list[Input], float], None],
        submit_of_runner: Callable[[Input], None],
        keys: tuple[int, ...],
        lost: str,
        dry_run: bool,
    ) -> None:
        """
        submit, submit_of_helper, submit_of_runner: hand inputs to the engine; those of the helper with
        the monotonic seconds at which they were read. keys: of the runners that there have to be. lost: why kernel messages may have
        been lost before there was a helper, "" if none were. dry_run: one runner stands for all.
        """
        self._configuration = configuration
        self._metrics = metrics
        self._log = log
        self._keys = keys
        self._submit = submit
        self._submit_of_helper = submit_of_helper
        self._hand_in = submit_of_runner
        self._lost = lost
        self._dry_run = dry_run
        self._helper: HelperLink | None = None
        self.runners: dict[int, RunnerLink] = {}
        """Those that are there, by key."""
        self.courier = CourierLink(submit, self._note_gone)
        self._known: set[str] = set()
        """Helper and runners that there were: another one of that name has followed a dead one."""
        self._gone = trio.Event()
        """Set, and replaced, when one has ended."""

    # --- they come and go -------------------------------------------------------------------------

    def take_helper(self, feed: int, rpc: int) -> None:
        """Listen to a new helper, by descriptors of its sockets."""
        self._note("helper", "helper")
        if self._helper is not None:
            self._helper.close()
        self._helper = HelperLink(
            feed, rpc, self._submit_of_helper, self._configuration, self._metrics
        )
        self._submit(HelperConnected(self._lost))
        self._lost = "the helper died"
        self.nursery.start_soon(self._follow_helper, self._helper)

    def take_runner(
        self, number: int, descriptor: int, tell: Callable[[int, str, str], None]
    ) -> None:
        """Listen to a new runner. number: its key. tell: takes each line that a run prints."""
        self._note("runner", f"runner-{number}")
        if number in self.runners:
            self.runners[number].close()
            self._submit(RunnerLost(number))
        limit = self._configuration.scripts.output_limit
        submit = self._submit_for_all if self._dry_run else self._submit_of_runner
        runner = RunnerLink(number, descriptor, limit, submit, tell=tell, log=self._log)
        self.runners[number] = runner
        self.nursery.start_soon(self._follow_runner, number, runner)

    def take_courier(self, descriptor: int) -> None:
        """Listen to a new courier."""
        self.nursery.start_soon(self.courier.follow, descriptor)

    def finish_helper(self) -> None:
        """Ask the helper for nothing more but what it has been asked for."""
        if self._helper is not None:
            self._helper.finish()

    async def wait_for_helper_to_go(self) -> None:
        """Wait until all that the helper has sent is handled."""
        while self._helper is not None:
            await self._gone.wait()

    async def wait_for_all_to_go(self) -> None:
        """Wait until all that any of them has sent is handled."""
        while self._helper is not None or self.runners or self.courier.is_there:
            await self._gone.wait()

    async def answers(self, number: int) -> bool:
        """Tell whether the helper answers a ping of this number; one that is not there does not."""
        return self._helper is not None and await self._helper.ping(number)

    async def find_silences(self) -> tuple[Silence, ...]:
        """Return which of those that have to be there do not answer."""
        return await find_silences(self._helper, self.runners, self._keys, self.nursery)

    async def _follow_helper(self, helper: HelperLink) -> None:
        await helper.run()
        if helper is self._helper:
            self._helper = None
            self._note_gone()

    async def _follow_runner(self, number: int, runner: RunnerLink) -> None:
        await runner.run()
        if not self._dry_run and runner is self.runners.get(number):
            del self.runners[number]
            self._submit(RunnerLost(number))
            self._note_gone()

    def _submit_of_runner(self, input_: Input) -> None:
        if isinstance(input_, RunStarted):
            self._metrics.note_started(input_.run, time.monotonic(), time.time())
        self._hand_in(input_)

    def _submit_for_all(self, input_: Input) -> None:
        """Take what the only runner of a dry run says, which is no real one, for that of each."""
        for number in self._keys:
            if isinstance(input_, HooksListed | RunnerConnected):
                input_ = attrs.evolve(input_, runner=number)
            self._submit(input_)

    def _note(self, role: str, name: str) -> None:
        if name in self._known:
            self._metrics.note_restart(role)
        self._known.add(name)

    def _note_gone(self) -> None:
        self._gone.set()
        self._gone = trio.Event()

    # --- what the engine asks the helper for ------------------------------------------------------

    def request_dump(self, dump: int) -> None:
        """Start the dump of this number."""
        if self._helper is not None:
            self._helper.request_dump(dump)

    def request_routes(self, dump: int, families: tuple[int, ...]) -> None:
        """Start a dump of the routes of these families."""
        if self._helper is not None:
            self._helper.request_routes(dump, families)

    def read_wireguard(self, wanted: ReadWireguard) -> None:
        """Have a WireGuard device read."""
        if self._helper is not None:
            self._helper.read_wireguard(wanted)

    def set_endpoint(self, wanted: SetEndpoint) -> None:
        """Have a WireGuard device send to a peer elsewhere."""
        if self._helper is not None:
            self._helper.set_endpoint(wanted)

    def request_changes(self, action: ChangeRouting) -> None:
        """Have rules and routes changed."""
        if self._helper is not None:
            self._helper.request_changes(action)
