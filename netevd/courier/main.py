"""
The courier's loop: takes the worker's requests, has each posted, tells what came of it.

A result is kept until the worker asks for something else: a worker that follows a dead one asks
again for what was under way, and gets it without another attempt.
"""

from __future__ import annotations

import os

import trio
from attrs import define, field

from netevd.config.targets import Targets, read_targets
from netevd.courier.post import Poster
from netevd.courier.resolve import look_up
from netevd.worker.errand import ERRAND, Deliver, Delivered, Errand, Resolve, Resolved
from netevd.worker.ports import PeerGone, Port
from privsep.protocol import LEAD, Drain, End, Lead, Peer, ProtocolViolation, Ready, Violated

LAST_TIME_S = 3.0
"""How long attempts that are under way may take once the daemon stops."""

BACKLOG = 64
"""Answers that may wait for a worker beyond what its socket holds."""


def main(arguments: list[str]) -> int:
    """
    Run the courier; return the status.

    arguments: the descriptors of the lead socket and of the sealed memory that lists the targets.
    """
    lead: Port[Lead] = Port(int(arguments[0]), LEAD, descriptors=1)
    memory = int(arguments[1])
    targets = read_targets(os.pread(memory, os.fstat(memory).st_size, 0))
    os.close(memory)
    trio.run(_Courier(lead, targets).run)
    return 0


@define(slots=True, eq=False)
class _Attempt:
    """The latest attempt of one target."""

    wanted: Deliver
    worker: Port[Errand]
    """The one that has asked for it."""
    result: Delivered | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def is_same(self, wanted: Deliver) -> bool:
        """Tell whether a worker asks for what is being done, or was done, already."""
        mine = self.wanted
        return (mine.sequence, mine.attempt) == (wanted.sequence, wanted.attempt)


class _Courier:
    """One courier: its targets, its worker of now, one attempt for each destination."""

    def __init__(self, lead: Port[Lead], targets: Targets) -> None:
        self._lead = lead
        self._destinations = targets.destinations
        self._hosts = targets.hosts
        self._looking: dict[int, Port[Errand]] = {}
        """Hosts that are looked up, with who is to hear of it."""
        self._poster = Poster()
        self._attempts: dict[int, _Attempt] = {}
        """By the target's number."""
        self._worker: Port[Errand] | None = None
        self._scope = trio.CancelScope()
        """Of the worker of now."""
        self._ended = trio.Condition()
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Serve until the supervisor says that it is over, or is gone itself."""
        async with trio.open_nursery() as self._nursery:
            self._lead.send(Ready())
            try:
                await self._follow_lead()
            except PeerGone:
                pass
            self._nursery.cancel_scope.cancel()

    async def _follow_lead(self) -> None:
        while True:
            await self._lead.wait()
            received = self._lead.receive_with_descriptors()
            if received is None:
                continue
            message, descriptors = received
            match message:
                case Peer():
                    self._scope.cancel()
                    self._scope = trio.CancelScope()
                    worker: Port[Errand] = Port(descriptors[0], ERRAND)
                    self._worker = worker
                    self._nursery.start_soon(self._follow_worker, worker, self._scope)
                case End():
                    with trio.move_on_after(LAST_TIME_S):
                        await self._finish()
                    return
                case Drain():
                    return

    async def _finish(self) -> None:
        """Wait for the end of all attempts; the worker asks for no more."""
        async with self._ended:
            while any(each.result is None for each in self._attempts.values()):
                await self._ended.wait()

    async def _follow_worker(self, worker: Port[Errand], scope: trio.CancelScope) -> None:
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(worker.flush)
                    while True:
                        await worker.wait()
                        wanted = worker.receive()
                        if isinstance(wanted, Resolve):
                            self._look_up(wanted.host, worker)
                        elif wanted is not None:
                            self._take(wanted, worker)
        except* PeerGone:
            pass
        except* ProtocolViolation as violation:
            self._lead.send(Violated(str(violation.exceptions[0])[:500]))
        finally:
            if self._worker is worker:
                self._worker = None
            worker.close()

    def _look_up(self, host: int, worker: Port[Errand]) -> None:
        """Begin to look a host up, if that is not under way. Raises: ProtocolViolation."""
        if host >= len(self._hosts):
            raise ProtocolViolation(f"there is no host {host}")
        if self._looking.get(host) is worker or worker.backlog > BACKLOG:
            raise ProtocolViolation(
                f"host {host} is being looked up, or nobody reads what is found"
            )
        if host not in self._looking:
            self._nursery.start_soon(self._resolve, host)
        self._looking[host] = worker

    async def _resolve(self, host: int) -> None:
        addresses, reason = await look_up(*self._hosts[host])
        worker = self._looking.pop(host)
        if worker is self._worker:
            worker.send(Resolved(host, addresses, reason))

    def _take(self, wanted: Deliver, worker: Port[Errand]) -> None:
        """Begin an attempt, or tell once more what came of it. Raises: ProtocolViolation."""
        if wanted.target >= len(self._destinations):
            raise ProtocolViolation(f"there is no target {wanted.target}")
        if worker.backlog > BACKLOG:
            raise ProtocolViolation("it does not read the answers that it asks for")
        last = self._attempts.get(wanted.target)
        if last is not None and last.is_same(wanted):
            if last.worker is worker:
                raise ProtocolViolation(f"target {wanted.target} was asked for that already")
            last.worker = worker
            if last.result is not None:
                worker.send(last.result)
            return
        if last is not None and last.result is None:
            if last.worker is worker:
                raise ProtocolViolation(f"target {wanted.target} has an attempt under way")
            last.scope.cancel()  # of a worker that has not remembered it
        attempt = self._attempts[wanted.target] = _Attempt(wanted, worker)
        self._nursery.start_soon(self._post, attempt)

    async def _post(self, attempt: _Attempt) -> None:
        destination = self._destinations[attempt.wanted.target]
        with attempt.scope:
            try:
                attempt.result = await self._poster.post(destination, attempt.wanted)
            except Exception as error:  # whatever a server has brought about, others are to be told
                wanted, reason = attempt.wanted, f"{type(error).__name__} in the courier"
                attempt.result = Delivered(
                    wanted.target, wanted.sequence, wanted.attempt, "again", 0, reason, 0.0, 0.0
                )
            if attempt.worker is self._worker:
                attempt.worker.send(attempt.result)
        async with self._ended:
            self._ended.notify_all()
