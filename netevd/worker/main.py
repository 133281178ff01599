"""
The worker: everything of netevd between kernel bytes and scripts, without any privilege.

`main` runs after `privsep.confined` has imported this module and loaded the sandbox. One Trio
thread; the engine is called synchronously, so inputs are handled one after another in the order in
which they were received.
"""

from __future__ import annotations

import gc
import os
import time
from collections import deque
from typing import Final

import attrs
import msgspec
import trio

from netevd.config.identities import Identities
from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.model.actions import Action, Kind, Note, Outcome, Publish
from netevd.model.inputs import (
    HelperConnected,
    HooksListed,
    Input,
    Now,
    RunnerConnected,
    RunnerLost,
    Stopping,
    Tick,
)
from netevd.report.journal_entries import connect
from netevd.report.records import make_log
from netevd.worker.helperlink import HelperLink
from netevd.worker.perform import DryPerformer, Performer
from netevd.worker.ports import PeerGone, Port
from netevd.worker.runnerlink import RunnerLink
from privsep.protocol import (
    CONTROL,
    Alive,
    Configure,
    Control,
    HelperPeer,
    Liveness,
    Prepared,
    RunnerPeer,
    Serving,
    Stop,
)

_JOURNAL: Final = connect()
"""Made at import, before the sandbox forbids it; the configuration tells later if it is used."""


def main(arguments: list[str]) -> int:
    """Run the worker on the control socket whose descriptor is the argument; return the status."""
    gc.disable()  # until the first dumps are known: what they make stays
    gc.set_threshold(20_000, 20, 20)  # values are frozen: cycles are rare
    control: Port[Control] = Port(int(arguments[0]), CONTROL, descriptors=2)
    trio.run(_run, control)
    return 0


async def _run(control: Port[Control]) -> None:
    control.send(Prepared())
    while True:
        await control.wait()
        try:
            received = control.receive_with_descriptors()
        except PeerGone:
            return
        if received is None:
            continue
        message, descriptors = received
        if isinstance(message, Configure):
            await _Worker(control, message, descriptors[0]).run()
            return
        if isinstance(message, Stop):
            return


class _Worker:
    """The composition root: knows every part and hands each its means."""

    def __init__(self, control: Port[Control], configure: Configure, descriptor: int) -> None:
        self._control = control
        self._configuration = _read_configuration(descriptor)
        system = self._configuration.system
        self._log = make_log(system.log_level, system.log_format, _JOURNAL)
        self._tracing = system.log_level == "trace"
        wall = time.time_ns()
        first = 1 if configure.dry_run else wall // 1000
        observe = configure.observe
        self._engine = Engine(self._configuration, first, first, observe=observe)
        self._identities = len(Identities(self._configuration, observe=observe).all)
        kind = DryPerformer if configure.dry_run else Performer
        self._performer = kind(
            self._log,
            request_dump=self._request_dump,
            request_routes=self._request_routes,
            report_ready=self._report_ready,
        )
        self._dry_run = configure.dry_run
        self._observe = observe
        self._inputs: deque[Input] = deque()
        self._handling = False
        self._alarm = trio.CancelScope()
        self._alarm_for: float | None = None
        """The deadline that the alarm is set for."""
        self._helper: HelperLink | None = None
        self._runners: dict[int, RunnerLink] = {}
        self._nursery: trio.Nursery
        self._stopping = False
        self._scripts_ended = trio.Event()

    async def run(self) -> None:
        """Serve until the supervisor closes control."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._control.flush)
            self._nursery.start_soon(self._keep_time)
            await self._follow_control()
            if self._runners:
                with trio.move_on_after(1):
                    await self._scripts_ended.wait()
            self._nursery.cancel_scope.cancel()

    # --- engine ---------------------------------------------------------------------------------

    def submit(self, input_: Input) -> None:
        """Hand one input to the engine and perform what comes of it, in order."""
        if self._tracing:
            self._log.debug(f"input {input_}")
        self._inputs.append(input_)
        if self._handling:
            return  # an action had an immediate outcome: the loop below takes it
        self._handling = True
        try:
            while self._inputs:
                now = Now(time.monotonic(), time.time_ns())
                actions = self._engine.handle(self._inputs.popleft(), now)
                # a script waits for its request, nobody waits for a line in the log
                for action in sorted(actions, key=_is_told) if len(actions) > 1 else actions:
                    outcome = self._performer.perform(action)
                    if outcome is not None:
                        self._inputs.append(outcome)
        finally:
            self._handling = False
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self._engine.deadline()
        if deadline == self._alarm_for:
            return  # most inputs change nothing about it
        self._alarm_for = deadline
        if deadline is None:
            self._alarm.deadline = float("inf")
        else:
            self._alarm.deadline = trio.current_time() + deadline - time.monotonic()

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope() as self._alarm:
                self._alarm_for = None  # as a new scope has it
                self._set_alarm()
                await trio.sleep_forever()
            self.submit(Tick())

    # --- control --------------------------------------------------------------------------------

    async def _follow_control(self) -> None:
        while True:
            try:
                await self._control.wait()
                received = self._control.receive_with_descriptors()
            except PeerGone:
                return
            if received is not None:
                self._handle_control(*received)

    def _handle_control(self, message: Control, descriptors: list[int]) -> None:
        match message:
            case HelperPeer():
                if self._helper is not None:
                    self._helper.close()
                self._helper = HelperLink(
                    descriptors[0], descriptors[1], self.submit, self._configuration.routes
                )
                self.submit(HelperConnected())
                self._nursery.start_soon(self._follow_helper, self._helper)
            case RunnerPeer(runner=number):
                self._take_runner(number, descriptors[0])
            case Liveness(number=number):
                self._nursery.start_soon(self._answer_liveness, number)
            case Stop():
                self._stopping = True
                self.submit(Stopping())
            case Configure():
                for descriptor in descriptors:
                    os.close(descriptor)

    async def _answer_liveness(self, number: int) -> None:
        if self._helper is not None and await self._helper.ping(number):
            self._control.send(Alive(number))

    async def _follow_helper(self, helper: HelperLink) -> None:
        await helper.run()
        if helper is self._helper and not self._stopping:
            self._log.warning("the helper is gone; kernel events wait for its successor")

    def _take_runner(self, number: int, descriptor: int) -> None:
        if number in self._runners:
            self._runners[number].close()
            self.submit(RunnerLost(number))
        limit = self._configuration.scripts.output_limit
        submit = self._submit_for_all if self._dry_run else self.submit
        tell = self._performer.log_output
        runner = RunnerLink(number, descriptor, limit, submit, tell=tell, log=self._log)
        self._runners[number] = self._performer.runners[number] = runner
        self._nursery.start_soon(self._follow_runner, number, runner)

    def _submit_for_all(self, input_: Input) -> None:
        """Take what the only runner of a dry run says, which is no real one, for that of each."""
        for number in range(self._identities):
            if isinstance(input_, HooksListed | RunnerConnected):
                input_ = attrs.evolve(input_, runner=number)
            self.submit(input_)

    async def _follow_runner(self, number: int, runner: RunnerLink) -> None:
        await runner.run()
        if self._dry_run:
            return
        if runner is self._runners.get(number):
            del self._runners[number]
            self._performer.runners.pop(number, None)
            self.submit(RunnerLost(number))
            if not self._runners:
                self._scripts_ended.set()

    # --- what the engine asks for -------------------------------------------------------------------

    def _request_dump(self, dump: int) -> None:
        if self._helper is not None:
            self._helper.request_dump(dump)

    def _request_routes(self, dump: int, families: tuple[int, ...]) -> None:
        if self._helper is not None:
            self._helper.request_routes(dump, families)

    def _report_ready(self) -> None:
        watched = ", ".join(self._configuration.network.links) or "all links but lo"
        mode = "dry run" if self._dry_run else "observe mode" if self._observe else "privileged"
        status = f"watching {watched} ({mode})"
        self._log.info(f"netevd is {status}", kind=Kind.SERVING)
        self._control.send(Serving(status))
        gc.collect()
        gc.freeze()
        gc.enable()


def _is_told(action: Action) -> bool:
    return isinstance(action, Publish | Outcome | Note)


def _read_configuration(descriptor: int) -> Configuration:
    """Return the configuration from the sealed memory that the reader wrote."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    os.close(descriptor)
    return msgspec.msgpack.decode(content, type=Configuration)
