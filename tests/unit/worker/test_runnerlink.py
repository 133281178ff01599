"""The worker's end of a scripts channel, the other end being the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from netevd.model.inputs import (
    Hook,
    HooksListed,
    Input,
    RunFinished,
    RunnerConnected,
    RunRefused,
    RunStarted,
)
from netevd.report.records import make_log
from netevd.worker.runnerlink import RunnerLink
from privsep.channel import Channel
from privsep.protocol import (
    SCRIPTS_REQUEST,
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
    ScriptsRequest,
    Started,
)


class Peer:
    """A link as number 3, the inputs it makes, and its runner's end, which the test holds."""

    def __init__(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.inputs: list[Input] = []
        self.output: list[tuple[int, str, str]] = []
        self.far: Channel[ScriptsRequest] = Channel(far, SCRIPTS_REQUEST)
        self.link = RunnerLink(
            3, near.detach(), 65536, self.inputs.append,
            tell=lambda *told: self.output.append(told), log=make_log("info", "text"),
        )  # fmt: skip

    def tell(self, message: Message, *, pipes: bool = False, printed: bytes = b"") -> None:
        """Say something as the runner, with the two pipes of a run if asked for."""
        if not pipes:
            self.far.send(message)
            return
        read_end, write_end = os.pipe()
        os.write(write_end, printed)
        self.far.send(message, (read_end, read_end))
        os.close(read_end)
        os.close(write_end)


def converse(act: Callable[[Peer], Awaitable[None]]) -> Peer:
    """Let a link and a test speak until the test hangs up; return what came of it."""

    async def main() -> Peer:
        peer = Peer()
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.link.run)
                await act(peer)
                peer.far.close()
        return peer

    return trio.run(main)


def test_a_link_asks_for_runs_and_scripts_and_says_whose_they_are() -> None:
    """What a runner says of itself becomes inputs with its number."""
    asked: list[object] = []

    async def act(peer: Peer) -> None:
        await trio.lowlevel.wait_readable(peer.far.fileno())
        asked.extend(peer.far.receive()[0] for _ in range(2))
        entry = Entry(1, "carrier", "a", "/a", True, "")
        peer.tell(Entries([entry], more=True))
        peer.tell(Entries([entry], more=False))
        peer.tell(Incarnation("01234567"))

    peer = converse(act)

    assert asked == [Running(), Rescan()]
    hook = Hook(1, "carrier", "a", "/a", runnable=True, reason="")
    assert peer.inputs == [HooksListed((hook, hook), 3), RunnerConnected(3, "01234567")]


def test_a_run_that_was_asked_for_is_followed_to_its_end() -> None:
    """Start, output and end of a run are told, also when it is asked for once more."""

    async def act(peer: Peer) -> None:
        for status in (7, 0):
            peer.link.send(Run(5, 1, []))
            peer.tell(Started(5, 99), pipes=True, printed=b"hello\n")
            peer.tell(Finished(5, status, 1.0, 0.5, 0))
            while RunFinished(5, status, 1.0, 0.5, 0) not in peer.inputs:
                await trio.lowlevel.checkpoint()

    peer = converse(act)

    assert peer.inputs == [
        RunStarted(5), RunFinished(5, 7, 1.0, 0.5, 0),
        RunStarted(5), RunFinished(5, 0, 1.0, 0.5, 0),
    ]  # fmt: skip
    assert peer.output == [(5, "out", "hello")] * 2


def test_a_runner_has_nothing_to_say_of_the_runs_of_others() -> None:
    """A runner can't start, end, refuse or speak for a run that it was not asked for."""
    free = len(os.listdir("/proc/self/fd"))

    async def act(peer: Peer) -> None:
        peer.link.send(Run(5, 1, []))
        for message in (Finished(6, 0, 1.0, 0.5, 0), Refused(6, "no")):
            peer.tell(message)
        peer.tell(Started(6, 99), pipes=True, printed=b"forged\n")
        peer.tell(Refused(5, "why not"))
        peer.tell(Finished(5, 0, 1.0, 0.5, 0))
        peer.tell(Incarnation("01234567"))

    peer = converse(act)

    assert peer.inputs == [RunRefused(5, "why not"), RunnerConnected(3, "01234567")]
    assert peer.output == []
    assert len(os.listdir("/proc/self/fd")) == free, "descriptors of a forged start are closed"


def test_a_run_of_the_worker_before_is_ended_by_the_link_itself() -> None:
    """A run that only the runner knows is followed, forgotten, and no input."""
    forgotten: list[object] = []

    async def act(peer: Peer) -> None:
        peer.tell(Known(8, None), pipes=True, printed=b"late\n")
        peer.tell(Finished(8, 0, 1.0, 0.5, 0))
        while Forget(8) not in forgotten:
            await trio.lowlevel.wait_readable(peer.far.fileno())
            forgotten.append(peer.far.receive()[0])

    peer = converse(act)

    assert peer.inputs == []
    assert peer.output == [(8, "out", "late")]


def test_a_run_that_ends_before_the_runner_is_asked_is_told_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At a reload a script may end between the new channel and the question which runs there are."""
    ended = Finished(8, 0, 1.0, 0.5, 0)
    forgotten: list[object] = []

    async def act(peer: Peer) -> None:
        peer.tell(ended)
        peer.tell(Known(8, ended), pipes=True)
        peer.tell(Incarnation("01234567"))
        while Forget(8) not in forgotten:
            await trio.lowlevel.wait_readable(peer.far.fileno())
            forgotten.append(peer.far.receive()[0])

    peer = converse(act)

    assert peer.inputs == [RunnerConnected(3, "01234567", frozenset({8}))]
    assert "not its own" not in capfd.readouterr().err
