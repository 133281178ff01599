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
from contextlib import suppress
from functools import partial
from typing import Final, cast

import trio

from netevd import __version__
from netevd.backends.hostname import open_name
from netevd.config.sealed import Sealed, unseal
from netevd.core.engine import Engine
from netevd.core.policyrouting import GRACE_S, Start
from netevd.http.auth import Access
from netevd.http.peer import Kind as ListenerKind
from netevd.http.server import Means, Server
from netevd.model.actions import Action, Kind
from netevd.model.inputs import CourierConnected, Input, RunnerLost, Stopping
from netevd.model.memory import State
from netevd.report.about import About
from netevd.report.audit import AuditNotes
from netevd.report.gauges import Gauges
from netevd.report.health import Vitals
from netevd.report.journal_entries import connect
from netevd.report.metrics import Metrics
from netevd.report.records import make_log
from netevd.report.view import View
from netevd.worker.before import read_before
from netevd.worker.buslink import BusLink
from netevd.worker.following import Following
from netevd.worker.leaselink import LeaseLink, list_followed
from netevd.worker.ledger import Ledger
from netevd.worker.peers import Peers
from netevd.worker.perform import DryPerformer, Performer
from netevd.worker.ports import PeerGone, Port
from netevd.worker.pump import Pump
from netevd.worker.recovery import Remembered, find_place
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
        configuration = self._configuration = sealed.configuration
        system = configuration.system
        log = self._log = make_log(system.log_level, system.log_format, _JOURNAL)
        self._dry_run, self._observe = configure.dry_run, configure.observe
        self._sandbox = (configure.sandbox, configure.landlock)
        keys = self._keys = tuple(configure.runners)
        metrics = self._metrics = Metrics(configuration.metrics, read_before(configure))
        ledger = self._ledger = Ledger(metrics, log)
        found = None
        if not configure.dry_run:
            memory = Memory(descriptors[1:3])
            found = ledger.read(memory, state_directory, configuration, _PLACE)
        lost = configure.lost
        if found is not None and not found.in_order:
            lost = lost or "the worker died"
        self._bus = BusLink(control.send)
        self._following = Following(configuration, self.submit, self._bus.dial, _NAME)
        self._engine, state = self._make_engine(configure, sealed, found)
        runs = () if state is None else state.runs.runs
        self._vanished = {each.runner for each in runs if each.incarnation}
        self._vanished -= {*configure.runners, *configure.others}
        self._peers = Peers(
            configuration, metrics, log, self.submit,
            submit_of_helper=self._submit_of_helper, submit_of_runner=self._submit_of_runner,
            keys=keys, lost=lost, dry_run=self._dry_run,
        )  # fmt: skip
        self._performer = self._make_performer()
        self.note = AuditNotes(control.send)
        """What only the worker knows, for the audit log; for every part that has something to say."""
        mode = "observe" if self._observe else "privileged"
        about = About(__version__, configure.generation, mode, configure.started)
        gauges = Gauges(self._engine, metrics, about)
        tally = ledger.begin(self._engine, configure, sealed.notices)
        self._view = View(
            self._engine, ledger.journal, about, metrics, gauges,
            tally=tally, configuration=configuration,
        )  # fmt: skip
        ledger.open(self._view, found, self._performer.tell_outcome)
        self._steering = Steering(
            self._engine, self.submit, control, self.note, log, find_vitals=self._find_vitals
        )
        self._writes = Writes(
            control, sealed, configure.confirm_until, self._steering.follow_reload, self.note
        )
        access = Access(configuration.api, sealed.secrets.tokens)
        means = Means(
            access, sealed.secrets, self._view, self._steering, self._writes, self.note, log
        )
        self._server = Server(means)
        self._pump = Pump(
            self._engine, self._performer, log,
            tracing=system.log_level == "trace", keep=ledger.keep, done=self._note_done,
        )  # fmt: skip
        self._leases = LeaseLink(
            self._engine, configuration, self._pump.submit, log,
            started=configure.started, granted=readable, ask_for_access=self._ask_for_access,
        )  # fmt: skip
        self._nursery: trio.Nursery
        self._stopping = False

    def _make_engine(
        self, configure: Configure, sealed: Sealed, found: Remembered | None
    ) -> tuple[Engine, State | None]:
        """Return an engine that goes on from what was remembered, and that; None if it can't."""
        first = 1 if configure.dry_run else time.time_ns() // 1000
        # a reload is meant: what it does not want any more goes at once
        grace_until = configure.started + GRACE_S if configure.generation == 1 else 0.0
        begin = partial(
            Engine,
            sealed.get_whole(),
            first if found is None else found.numbers.sequence,
            first if found is None else found.numbers.run,
            observe=configure.observe,
            keys=self._keys,
            routing=None if found is None else found.routing,
            start=Start(os.urandom(1)[0] / 255, grace_until, configure.generation),
            backends=("nl80211", *self._following.names, *list_followed(self._configuration)),
        )
        state = None if found is None else found.state
        try:
            return begin(state=state, routes_before=None if found is None else found.routes), state
        except Exception as error:  # whatever it is, another worker would find it again
            self._log.error(
                f"what was remembered can't be used ({error!r}): all that is found is told as at a"
                " first start"
            )
            self._ledger.discard()
            return begin(), None

    def _make_performer(self) -> Performer:
        peers = self._peers
        kind = DryPerformer if self._dry_run else Performer
        return kind(
            self._log,
            peers.runners,
            request_dump=peers.request_dump,
            request_routes=peers.request_routes,
            read_wireguard=peers.read_wireguard,
            resolve_endpoint=peers.courier.resolve,
            set_endpoint=peers.set_endpoint,
            request_changes=peers.request_changes,
            report_ready=self._report_ready,
            note_request=self._metrics.note_request,
            deliver=peers.courier.deliver,
            give_advice=self._following.give_advice,
        )

    async def run(self) -> None:
        """Serve until the supervisor closes control."""
        async with trio.open_nursery() as self._nursery:
            self._peers.nursery = self._nursery
            self._nursery.start_soon(self._control.flush)
            self._nursery.start_soon(self._pump.keep_time)
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
                    await self._peers.wait_for_all_to_go()
                    self._ledger.end()
                self._server.close()
                with trio.move_on_after(1):
                    await self._server.closed.wait()
            self._nursery.cancel_scope.cancel()

    # --- engine ---------------------------------------------------------------------------------

    def submit(self, input_: Input) -> None:
        """Hand one input to the engine and perform what comes of it, in order."""
        self._pump.submit([input_])

    def _submit_of_runner(self, input_: Input) -> None:
        # that it is to stop was said before any script ended because of it; trio takes tasks in any order
        with suppress(PeerGone):  # whoever follows control notices
            self._take_control()
        self.submit(input_)

    def _submit_of_helper(self, inputs: list[Input], received: float) -> None:
        self._pump.submit(inputs, received)
        self._following.note(inputs)

    def _note_done(self, decided: list[Action]) -> None:
        self._metrics.fold()
        self._leases.see(decided)

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

    async def _find_vitals(self) -> Vitals:
        engine, ledger = self._engine, self._ledger
        return Vitals(
            engine.started,
            engine.catching_up,
            await self._peers.find_silences(),
            len(self._keys),
            engine.insight.find_full_lanes(),
            tuple(engine.insight.find_stuck_runs()),
            ledger.problems,
            ledger.fault,
            ledger.truncated,
            self._view.audit_trouble,
            *self._sandbox,
        )

    # --- control --------------------------------------------------------------------------------

    async def _follow_control(self) -> None:
        while True:
            try:
                await self._control.wait()
                self._take_control()
            except PeerGone:
                return

    def _take_control(self) -> None:
        """Handle what the supervisor has said so far. Raises: PeerGone."""
        while (received := self._control.receive_with_descriptors()) is not None:
            self._handle_control(*received)

    def _handle_control(self, message: Control, descriptors: list[int]) -> None:
        match message:
            case HelperPeer():
                self._peers.take_helper(*descriptors)
            case RunnerPeer(runner=number):
                self._peers.take_runner(number, descriptors[0], self._performer.log_output)
            case CourierPeer():
                self._peers.take_courier(descriptors[0])
            case BusPeer():
                self._bus.hear(message, descriptors)
            case Listening(kind=kind):
                self._server.add(cast("ListenerKind", kind), descriptors[0])
            case Liveness(number=number):
                self._nursery.start_soon(self._answer_liveness, number)
            case Stop(kept=kept):
                self._stopping = True
                self._view.phase = "stopping"
                self.submit(Stopping(kept or self._ledger.on_disk))
                if self._configuration.routing.policy.on_exit == "remove":
                    self._peers.finish_helper()  # it serves until then
            case HandOver():
                self._view.phase = "reloading"
                self._steering.end_reload(None)
                self._writes.give_up()
                self._server.close()
                self._nursery.start_soon(self._hand_over)
            case ReloadFailed(problems=problems):
                self._metrics.note_reload_failed()
                self._ledger.refuse(problems)
                self._steering.end_reload(problems)
            case Settled():
                self._writes.hear(message, descriptors)
            case Audited():
                self._ledger.note(message)
            case AuditTrouble(reason=reason):
                self._view.audit_trouble = reason
            case Configure():
                for descriptor in descriptors:
                    os.close(descriptor)

    async def _answer_liveness(self, number: int) -> None:
        if await self._peers.answers(number):
            self._control.send(Alive(number))

    async def _hand_over(self) -> None:
        """End once all that the helper has sent is handled; the next worker goes on from there."""
        await self._peers.wait_for_helper_to_go()
        self._pump.closed = self._ledger.closed = True
        self._ledger.end()
        await self._server.closed.wait()
        self._nursery.cancel_scope.cancel()

    # --- another worker ---------------------------------------------------------------------------

    def _ask_for_access(self) -> None:
        if not self._dry_run:
            self._nursery.start_soon(self._ask_for_another_worker)

    async def _ask_for_another_worker(self) -> None:
        await self._writes.serving.wait()  # before that it would not be heard
        self._control.send(Refresh())


def _read_sealed(descriptor: int) -> Sealed:
    """Return configuration and secrets from the sealed memory that the reader wrote."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    os.close(descriptor)
    return unseal(content)
