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
from functools import partial
from typing import Final, cast

import attrs
import trio

from netevd import __version__
from netevd.backends.hostname import open_name
from netevd.config.sealed import Sealed, unseal
from netevd.core.engine import Engine
from netevd.core.policyrouting import GRACE_S, Start
from netevd.http.auth import Access
from netevd.http.peer import Kind as ListenerKind
from netevd.http.server import Means, Server
from netevd.model.actions import (
    Action,
    ChangeRouting,
    Kind,
    Note,
    Outcome,
    Publish,
    ReadWireguard,
    SetEndpoint,
)
from netevd.model.inputs import (
    CourierConnected,
    HelperConnected,
    HooksListed,
    Input,
    Now,
    RunnerConnected,
    RunnerLost,
    RunStarted,
    Stopping,
    Tick,
)
from netevd.report.about import About
from netevd.report.audit import AuditNotes
from netevd.report.gauges import Gauges
from netevd.report.health import Vitals
from netevd.report.journal import AuditEntry, Entry, Journal, ReloadEntry
from netevd.report.journal_entries import connect
from netevd.report.metrics import Metrics
from netevd.report.packing import Unreadable
from netevd.report.records import make_log
from netevd.report.sums import go_on, sum_up
from netevd.report.tally import Tally
from netevd.report.view import View
from netevd.worker.before import read_before
from netevd.worker.buslink import BusLink
from netevd.worker.courierlink import CourierLink
from netevd.worker.entries import list_entries
from netevd.worker.following import Following
from netevd.worker.helperlink import HelperLink
from netevd.worker.leaselink import LeaseLink, list_followed
from netevd.worker.perform import DryPerformer, Performer
from netevd.worker.ports import PeerGone, Port
from netevd.worker.pulse import find_silences
from netevd.worker.recovery import Recovery, Remembered, find_place
from netevd.worker.runnerlink import RunnerLink
from netevd.worker.slate import Memory
from netevd.worker.steering import Steering
from netevd.worker.writes import Writes
from privsep.protocol import (
    CONTROL,
    Alive,
    Audited,
    AuditTrouble,
    BusPeer,
    Configure,
    Control,
    CourierPeer,
    HandOver,
    HelperPeer,
    Listening,
    Liveness,
    Prepared,
    Refresh,
    ReloadFailed,
    RunnerPeer,
    Serving,
    Settled,
    Stop,
)

_PLACE: Final = find_place()
_PROBLEMS: Final = 100
"""Problems of a configuration that are remembered."""
_NAME: Final = open_name()
_JOURNAL: Final = connect()
"""Made at import, before the sandbox forbids it; the configuration tells later if it is used."""


def main(arguments: list[str]) -> int:
    """
    Run the worker; return the status.

    arguments: the state directory, "" for none; other directories that may be read, which only the
    sandbox asks for; the descriptor of the control socket.
    """
    gc.disable()  # until the first dumps are known: what they make stays
    gc.set_threshold(20_000, 20, 20)  # values are frozen: cycles are rare
    control: Port[Control] = Port(int(arguments[-1]), CONTROL, descriptors=4)
    trio.run(_run, control, arguments[0], arguments[1:-1])
    return 0


async def _run(control: Port[Control], state_directory: str, readable: list[str]) -> None:
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
            await _Worker(control, message, descriptors, state_directory, readable).run()
            return
        if isinstance(message, Stop):
            return


class _Worker:
    """The composition root: knows every part and hands each its means."""

    def __init__(
        self,
        control: Port[Control],
        configure: Configure,
        descriptors: list[int],
        state_directory: str,
        readable: list[str],
    ) -> None:
        self._control = control
        sealed = _read_sealed(descriptors[0])
        self._configuration = sealed.configuration
        system = self._configuration.system
        self._log = make_log(system.log_level, system.log_format, _JOURNAL)
        self._tracing = system.log_level == "trace"
        wall = time.time_ns()
        first = 1 if configure.dry_run else wall // 1000
        observe = configure.observe
        self._journal = Journal()
        self._metrics = Metrics(self._configuration.metrics, read_before(configure))
        self._recovery = (
            None if configure.dry_run else self._remember(descriptors[1:3], state_directory)
        )
        found = self._read_memory()
        state = None if found is None else found.state
        self._lost = configure.lost
        if found is not None and not found.in_order:
            self._lost = self._lost or "the worker died"
        if found is not None and found.gap:
            self._log.warning(
                f"{found.gap} sequence numbers are left out: netevd did not end in good order, and it"
                " is not known how many were used"
            )
        self._keys = tuple(configure.runners)
        # a reload is meant: what it does not want any more goes at once
        grace_until = configure.started + GRACE_S if configure.generation == 1 else 0.0
        self._bus = BusLink(control.send)
        self._following = Following(self._configuration, self.submit, self._bus.dial, _NAME)
        begin = partial(
            Engine,
            sealed.get_whole(),
            first if found is None else found.numbers.sequence,
            first if found is None else found.numbers.run,
            observe=observe,
            keys=self._keys,
            routing=None if found is None else found.routing,
            start=Start(os.urandom(1)[0] / 255, grace_until, configure.generation),
            backends=(*self._following.names, *list_followed(self._configuration)),
        )
        try:
            self._engine = begin(state=state, routes_before=None if found is None else found.routes)
        except Exception as error:  # whatever it is, another worker would find it again
            self._log.error(
                f"what was remembered can't be used ({error!r}): all that is found is told as at a"
                " first start"
            )
            if self._recovery is not None:
                self._recovery.begin_anew()
            state = None
            self._engine = begin()
        runs = () if state is None else state.runs.runs
        self._vanished = {each.runner for each in runs if each.incarnation}
        self._vanished -= {*configure.runners, *configure.others}
        self._courier = CourierLink(self.submit, self._note_gone)
        kind = DryPerformer if configure.dry_run else Performer
        self._performer = kind(
            self._log,
            request_dump=self._request_dump,
            request_routes=self._request_routes,
            read_wireguard=self._read_wireguard,
            resolve_endpoint=self._courier.resolve,
            set_endpoint=self._set_endpoint,
            request_changes=self._request_changes,
            report_ready=self._report_ready,
            note_request=self._metrics.note_request,
            deliver=self._courier.deliver,
            give_advice=self._following.give_advice,
        )
        self._dry_run = configure.dry_run
        self._sandbox = (configure.sandbox, configure.landlock)
        self._observe = observe
        mode = "observe" if observe else "privileged"
        about = About(__version__, configure.generation, mode, configure.started)
        self.note = AuditNotes(control.send)
        """What only the worker knows, for the audit log; for every part that has something to say."""
        gauges = Gauges(self._engine, self._metrics, about)
        self._say_notices(configure, sealed.notices)
        self._view = View(
            self._engine, self._journal, about, self._metrics, gauges,
            tally=self._begin_tally(configure), configuration=self._configuration,
        )  # fmt: skip
        if found is not None and found.sums:
            self._count_on(found)
        gauges.on_disk = self._recovery is not None and self._recovery.on_disk
        self._steering = Steering(
            self._engine, self.submit, control, self.note, self._log, find_vitals=self._find_vitals
        )
        self._writes = Writes(
            control, sealed, configure.confirm_until, self._steering.follow_reload, self.note
        )
        access = Access(self._configuration.api, sealed.secrets.tokens)
        means = Means(
            access, sealed.secrets, self._view, self._steering, self._writes, self.note, self._log
        )
        self._server = Server(means)
        self._leases = LeaseLink(
            self._engine, self._configuration, self.submit_all, self._log,
            started=configure.started, granted=readable, ask_for_access=self._ask_for_access,
        )  # fmt: skip
        self._inputs: deque[Input] = deque()
        self._handling = False
        self._alarm = trio.CancelScope()
        self._alarm_for: float | None = None
        """The deadline that the alarm is set for."""
        self._helper: HelperLink | None = None
        self._peers: set[str] = set()
        """Helper and runners that there were: another one of that name has followed a dead one."""
        self._runners: dict[int, RunnerLink] = {}
        self._nursery: trio.Nursery
        self._stopping = False
        self._handing_over = False
        self._handed_over = False
        """What comes from here on is the next worker's: runners tell it again."""
        self._peer_gone = trio.Event()
        """Set, and replaced, when helper or runner have ended."""

    async def run(self) -> None:
        """Serve until the supervisor closes control."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._control.flush)
            self._nursery.start_soon(self._keep_time)
            self._nursery.start_soon(self._server.run)
            self._nursery.start_soon(self._leases.run)
            self._nursery.start_soon(self._following.run)
            if self._dry_run:
                self.submit(CourierConnected())
            for key in sorted(self._vanished):
                self.submit(RunnerLost(key))
            await self._follow_control()
            if self._stopping and not self._dry_run:
                with trio.move_on_after(1):
                    await self._peers_gone()
                    if self._recovery is not None:
                        self._recovery.end(self._engine)
                self._server.close()
                with trio.move_on_after(1):
                    await self._server.closed.wait()
            self._nursery.cancel_scope.cancel()

    def _remember(self, descriptors: list[int], state_directory: str) -> Recovery:
        recovery = Recovery(
            Memory(descriptors),
            self._journal,
            self._configuration.routes,
            _PLACE,
            sum_up=partial(sum_up, self._metrics),
        )
        if state_directory:
            try:
                recovery.open_disk(state_directory)
            except OSError as error:
                taken = isinstance(error, BlockingIOError)
                why = "another netevd has it" if taken else f"it can't be written: {error.strerror}"
                recovery.fault = f"{state_directory}: {why}"
                self._log.warning(
                    f"the state directory {state_directory} is not used, since {why}; each start of"
                    " this netevd is a first start (--state-dir names another one)"
                )
        return recovery

    def _say_notices(self, configure: Configure, notices: tuple[str, ...]) -> None:
        """Say what is to be said of a configuration, unless a worker that had it has said so."""
        known = None if self._recovery is None else self._recovery.tally
        if known is None or (known.started, known.generation) != (
            configure.started,
            configure.generation,
        ):
            for notice in notices:
                self._log.warning(notice)

    def _begin_tally(self, configure: Configure) -> Tally:
        """Go on counting where the last worker has ended, if it was one of this daemon."""
        recovery = self._recovery
        if recovery is None:
            return Tally(configure.started)
        if recovery.tally.started != configure.started:
            recovery.tally = Tally(configure.started)
        if recovery.tally.generation != configure.generation:
            in_force = ReloadEntry(round(configure.loaded * 1e9), configure.generation)
            recovery.write(self._engine, None, [in_force])
        last = recovery.tally.reload
        if not configure.reload_ok and (last is None or not last.problems):
            text = "it was refused while no worker was there to hear why; the log says it"
            refused = ReloadEntry(time.time_ns(), configure.generation, (text,))
            recovery.write(self._engine, None, [refused])
        return recovery.tally

    def _read_memory(self) -> Remembered | None:
        if self._recovery is None:
            return None
        found = self._recovery.read()
        for error in self._recovery.unreadable:
            rest = "all that is found is told as at a first start"
            rest = rest if found is None else "netevd goes on with what the state directory has"
            self._log.error(f"what was remembered can't be read ({error}): {rest}")
        return found

    def _count_on(self, found: Remembered) -> None:
        try:
            go_on(self._metrics, found.sums, found.since, in_order=found.in_order)
        except Unreadable as error:
            self._log.warning(f"what metrics had counted can't be read ({error}): they begin at 0")

    # --- engine ---------------------------------------------------------------------------------

    def submit(self, input_: Input) -> None:
        """Hand one input to the engine and perform what comes of it, in order."""
        self.submit_all([input_])

    def submit_all(self, inputs: list[Input], received: float | None = None) -> None:
        """
        Hand inputs that came at once to the engine, and perform what comes of all of them.

        received: when their packet was read, monotonic seconds; None: now.
        """
        if self._tracing:
            for each in inputs:
                self._log.debug(f"input {each}")
        self._inputs.extend(inputs)
        if self._handling or self._handed_over:
            return  # an action had an immediate outcome: the loop below takes it
        self._handling = True
        decided: list[Action] = []
        try:
            while self._inputs:
                actions: list[Action] = []
                while self._inputs:
                    now = Now(time.monotonic(), time.time_ns())
                    actions += self._engine.handle(self._inputs.popleft(), now)
                if self._recovery is not None:
                    self._write(self._recovery, actions, now, received or now.monotonic)
                # a script waits for its request, nobody waits for a line in the log
                for action in sorted(actions, key=_is_told) if len(actions) > 1 else actions:
                    outcome = self._performer.perform(action)
                    if outcome is not None:
                        self._inputs.append(outcome)
                self._metrics.fold()
                decided += actions
        finally:
            self._handling = False
        self._set_alarm()
        self._leases.see(decided)

    def _submit_of_helper(self, inputs: list[Input], received: float) -> None:
        self.submit_all(inputs, received)
        self._following.note(inputs)

    def _write(self, recovery: Recovery, actions: list[Action], now: Now, received: float) -> None:
        """Keep what was decided, before anything is done about it."""
        published = sum(isinstance(each, Publish) for each in actions)
        first = self._engine.numbers.sequence - published
        entries = list_entries(actions, first, now.wall_ns, self._performer.tell_outcome)
        record = self._engine.take_record()
        self._metrics.take(entries, received, time.monotonic())
        if record is not None:
            self._view.gauges.note_record(record)
        recovery.write(self._engine, record, entries)
        while recovery.news:
            self._log.error(recovery.news.pop(0))
            self._view.gauges.on_disk = False
        self._view.tell(entries)

    def _keep_noted(self, noted: Audited) -> None:
        """Keep what the supervisor has noted, unless this worker has said that it keeps no more."""
        if not self._handed_over:
            entries: list[Entry] = [AuditEntry(noted)]
            if self._recovery is not None:
                self._recovery.write(self._engine, None, entries)
            self._view.tell(entries)

    # --- clients --------------------------------------------------------------------------------

    def _refuse(self, problems: list[str]) -> None:
        """Take in that a reload has changed nothing, and why. No problem: another one is under way."""
        if problems and self._recovery is not None:
            generation = self._recovery.tally.generation
            kept = tuple(each[:4096] for each in problems[:_PROBLEMS])
            refused = ReloadEntry(time.time_ns(), generation, kept)
            self._recovery.write(self._engine, None, [refused])
        self._steering.end_reload(problems)

    async def _find_vitals(self) -> Vitals:
        silences = await find_silences(self._helper, self._runners, self._keys, self._nursery)
        engine, recovery = self._engine, self._recovery
        reload = None if recovery is None else recovery.tally.reload
        return Vitals(
            engine.started,
            engine.catching_up,
            silences,
            len(self._keys),
            engine.insight.find_full_lanes(),
            tuple(engine.insight.find_stuck_runs()),
            () if reload is None else reload.problems,
            "" if recovery is None else recovery.fault,
            recovery is not None and recovery.truncated,
            self._view.audit_trouble,
            *self._sandbox,
        )

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
                self._note_peer("helper", "helper")
                if self._helper is not None:
                    self._helper.close()
                self._helper = HelperLink(
                    descriptors[0],
                    descriptors[1],
                    self._submit_of_helper,
                    self._configuration,
                    self._metrics,
                )
                self.submit(HelperConnected(self._lost))
                self._lost = "the helper died"
                self._nursery.start_soon(self._follow_helper, self._helper)
            case BusPeer():
                self._bus.hear(message, descriptors)
            case Listening(kind=kind):
                self._server.add(cast("ListenerKind", kind), descriptors[0])
            case RunnerPeer(runner=number):
                self._take_runner(number, descriptors[0])
            case CourierPeer():
                self._nursery.start_soon(self._courier.follow, descriptors[0])
            case Liveness(number=number):
                self._nursery.start_soon(self._answer_liveness, number)
            case Stop(kept=kept):
                self._stopping = True
                self._view.phase = "stopping"
                kept = kept or (self._recovery is not None and self._recovery.on_disk)
                self.submit(Stopping(kept))
                if self._configuration.routing.policy.on_exit == "remove" and self._helper:
                    self._helper.finish()  # it serves until then
            case HandOver():
                self._handing_over = True
                self._view.phase = "reloading"
                self._steering.end_reload(None)
                self._writes.give_up()
                self._server.close()
                if self._helper is None:
                    self._nursery.start_soon(self._hand_over)
            case ReloadFailed(problems=problems):
                self._metrics.note_reload_failed()
                self._refuse(problems)
            case Settled():
                self._writes.hear(message, descriptors)
            case Audited():
                self._keep_noted(message)
            case AuditTrouble(reason=reason):
                self._view.audit_trouble = reason
            case Configure():
                for descriptor in descriptors:
                    os.close(descriptor)

    async def _answer_liveness(self, number: int) -> None:
        if self._helper is not None and await self._helper.ping(number):
            self._control.send(Alive(number))

    async def _follow_helper(self, helper: HelperLink) -> None:
        await helper.run()
        if helper is not self._helper:
            return
        self._helper = None
        self._note_gone()
        if self._handing_over:
            await self._hand_over()

    async def _hand_over(self) -> None:
        """End, since all that the helper has sent is handled; the next worker goes on from there."""
        self._handed_over = True
        if self._recovery is not None:
            self._recovery.end(self._engine)
        await self._server.closed.wait()
        self._nursery.cancel_scope.cancel()

    def _note_peer(self, role: str, name: str) -> None:
        if name in self._peers:
            self._metrics.note_restart(role)
        self._peers.add(name)

    def _take_runner(self, number: int, descriptor: int) -> None:
        self._note_peer("runner", f"runner-{number}")
        if number in self._runners:
            self._runners[number].close()
            self.submit(RunnerLost(number))
        limit = self._configuration.scripts.output_limit
        submit = self._submit_for_all if self._dry_run else self._submit_of_runner
        tell = self._performer.log_output
        runner = RunnerLink(number, descriptor, limit, submit, tell=tell, log=self._log)
        self._runners[number] = self._performer.runners[number] = runner
        self._nursery.start_soon(self._follow_runner, number, runner)

    def _submit_of_runner(self, input_: Input) -> None:
        if isinstance(input_, RunStarted):
            self._metrics.note_started(input_.run, time.monotonic(), time.time())
        self.submit(input_)

    def _submit_for_all(self, input_: Input) -> None:
        """Take what the only runner of a dry run says, which is no real one, for that of each."""
        for number in self._keys:
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
            self._note_gone()

    def _note_gone(self) -> None:
        self._peer_gone.set()
        self._peer_gone = trio.Event()

    async def _peers_gone(self) -> None:
        """Wait until all that helper and runners have sent is handled."""
        while self._helper is not None or self._runners or self._courier.is_there:
            await self._peer_gone.wait()

    # --- what the engine asks for -------------------------------------------------------------------

    def _request_dump(self, dump: int) -> None:
        if self._helper is not None:
            self._helper.request_dump(dump)

    def _request_routes(self, dump: int, families: tuple[int, ...]) -> None:
        if self._helper is not None:
            self._helper.request_routes(dump, families)

    def _read_wireguard(self, wanted: ReadWireguard) -> None:
        if self._helper is not None:
            self._helper.read_wireguard(wanted)

    def _set_endpoint(self, wanted: SetEndpoint) -> None:
        if self._helper is not None:
            self._helper.set_endpoint(wanted)

    def _request_changes(self, action: ChangeRouting) -> None:
        if self._helper is not None:
            self._helper.request_changes(action)

    def _ask_for_access(self) -> None:
        if not self._dry_run:
            self._nursery.start_soon(self._ask_for_another_worker)

    async def _ask_for_another_worker(self) -> None:
        await self._writes.serving.wait()  # before that it would not be heard
        self._control.send(Refresh())

    def _report_ready(self) -> None:
        watched = ", ".join(self._configuration.network.links) or "all links but lo"
        mode = "dry run" if self._dry_run else "observe mode" if self._observe else "privileged"
        status = f"watching {watched} ({mode})"
        self._log.info(f"netevd is {status}", kind=Kind.SERVING)
        self._view.gauges.note_all()
        self._control.send(Serving(status))
        self._writes.serving.set()
        gc.collect()
        gc.freeze()
        gc.enable()


def _is_told(action: Action) -> bool:
    return isinstance(action, Publish | Outcome | Note)


def _read_sealed(descriptor: int) -> Sealed:
    """Return configuration and secrets from the sealed memory that the reader wrote."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    os.close(descriptor)
    return unseal(content)
