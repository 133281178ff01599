"""The worker's side of the scripts channel of one runner: reports in, requests and output out."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio
from structlog.typing import FilteringBoundLogger

from netevd.model.inputs import (
    Hook,
    HooksListed,
    Input,
    RunFinished,
    RunnerConnected,
    RunRefused,
    RunStarted,
)
from netevd.worker.output import OutputReader
from netevd.worker.ports import PeerGone, Port
from netevd.worker.pulse import Question
from privsep.protocol import (
    SCRIPTS_REPLY,
    Entries,
    Entry,
    Finished,
    Forget,
    Incarnation,
    Known,
    Message,
    Refused,
    Rescan,
    Run,
    Running,
    ScriptsReply,
    Started,
)

_BATCH = 32


class RunnerLink:
    """One runner, from its first packet until it is gone."""

    def __init__(
        self,
        number: int,
        descriptor: int,
        output_limit: int,
        submit: Callable[[Input], None],
        *,
        tell: Callable[[int, str, str], None],
        log: FilteringBoundLogger,
    ) -> None:
        """number: the runner's; tell: called with run, stream and line of a script's output."""
        self._number = number
        self._port: Port[ScriptsReply] = Port(descriptor, SCRIPTS_REPLY, descriptors=2)
        self._output = OutputReader(output_limit, tell)
        self._submit = submit
        self._log = log
        self._entries: list[Entry] = []
        self._requested: set[int] = set()
        """Runs that this runner was asked for; of any other it has nothing to say."""
        self._inherited: set[int] = set()
        """Runs that an earlier worker began and that nobody has taken over: they end as they would
        have, and are forgotten."""
        self._ended: list[Finished] = []
        """Ends of runs of an earlier worker, until it is known whose they are."""
        self._introduced = False
        """Whether it has told which runs it has."""
        self._scope = trio.CancelScope()
        self._listed = trio.Event()
        """Set, and replaced, when it has listed its scripts, and when it is gone."""
        self.pulse = Question(self._relist)
        """Whether it answers: it is asked for its scripts, which changes nothing."""

    def send(self, message: Message) -> None:
        """Send a request, now or later."""
        if isinstance(message, Run):
            self._requested.add(message.id)
        self._port.send(message)

    def adopt(self, run: int) -> None:
        """Take in that a run of an earlier worker is this one's now."""
        self._inherited.discard(run)
        self._requested.add(run)

    async def _relist(self) -> None:
        listed = self._listed
        self._port.send(Rescan())
        await listed.wait()

    def close(self) -> None:
        """Let go of this runner; `run` ends."""
        self._scope.cancel()

    async def run(self) -> None:
        """Follow the runner until it is gone."""
        self._port.send(Running())
        self._port.send(Rescan())
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._port.flush)
                    nursery.start_soon(self._output.read)
                    await self._follow()
                    nursery.cancel_scope.cancel()
        finally:
            self._port.close()
            self._output.close()
            self._listed.set()

    async def _follow(self) -> None:
        while True:
            try:
                await self._port.wait()
                for _ in range(_BATCH):
                    received = self._port.receive_with_descriptors()
                    if received is None:
                        break
                    self._handle(received[0], received[1])
            except PeerGone:
                return

    def _handle(self, message: ScriptsReply, descriptors: list[int]) -> None:
        match message:
            case Finished(id=run) if not self._introduced and not self._may_tell(run):
                pass  # it ended before the runner was asked for its runs; of these it will be one
            case Started(id=run) | Refused(id=run) | Finished(id=run) if not self._may_tell(run):
                self._log.error(f"runner {self._number} told of a run that is not its own", run=run)
                for descriptor in descriptors:
                    os.close(descriptor)
            case Started(id=run):
                self._output.add(run, descriptors[0], descriptors[1])
                self._submit(RunStarted(run))
            case Refused(id=run, reason=reason):
                self._requested.discard(run)
                self._submit(RunRefused(run, reason))
            case Finished():
                self._finish(message)
            case Known(id=run, ended=ended):
                self._inherited.add(run)
                self._output.add(run, descriptors[0], descriptors[1])
                if ended is not None:
                    self._ended.append(ended)
            case Incarnation(incarnation=incarnation):
                self._introduced = True
                self._submit(RunnerConnected(self._number, incarnation, frozenset(self._inherited)))
                for late in self._ended:
                    self._finish(late)
                self._ended.clear()
            case Entries(entries=entries, more=more):
                self._entries += entries
                if not more:
                    hooks = tuple(_to_hook(entry) for entry in self._entries)
                    self._entries = []
                    self._submit(HooksListed(hooks, self._number))
                    self._listed.set()
                    self._listed = trio.Event()

    def _may_tell(self, run: int) -> bool:
        return run in self._requested or run in self._inherited

    def _finish(self, ended: Finished) -> None:
        self._requested.discard(ended.id)
        captured = self._output.finish(ended.id)
        if captured.dropped:
            self._log.warning(
                f"output beyond {captured.taken} bytes was dropped ({captured.dropped} bytes)",
                run=ended.id,
            )
        if ended.id in self._inherited:
            self._inherited.discard(ended.id)
            self._log.info(
                f"a script of the worker before this one ended with status {ended.status}",
                run=ended.id,
            )
            self._port.send(Forget(ended.id))
            return
        self._submit(
            RunFinished(ended.id, ended.status, ended.duration, ended.cpu, ended.leftovers)
        )


def _to_hook(entry: Entry) -> Hook:
    return Hook(
        entry.id, entry.event, entry.name, entry.path, entry.runnable, entry.reason, entry.tree
    )
