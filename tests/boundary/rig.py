"""A runner or helper as a real process, and the test in the place of supervisor and worker."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from privsep import rtnetlink, spawn
from privsep.channel import Channel, make_pair
from privsep.launch import AuditFile, Identity, Launch, RouteFilter, Tree, WritePolicy
from privsep.log import Log
from privsep.mode import Mode
from privsep.processes import read_descendants, send_signal
from privsep.protocol import (
    FEED,
    REPLY,
    REPORT,
    SCRIPTS_REPLY,
    Entries,
    Entry,
    FeedMessage,
    Finished,
    Peer,
    Ready,
    Refused,
    Reply,
    Report,
    Rescan,
    Run,
    ScriptsReply,
    Started,
)
from privsep.versions import Versions

M = TypeVar("M")
DEADLINE = float(os.environ.get("NETEVD_TEST_DEADLINE_S", "20"))
"""Seconds after which something that must come is missing; never a measure of speed."""

NOBODY = Identity("nobody", 65534, 65534, [65534])
CALLER = Identity("caller", os.getuid(), os.getgid(), [])


def script_identity() -> Identity:
    """Return an unprivileged identity where the caller can take one, else the caller's."""
    return NOBODY if os.geteuid() == 0 else CALLER


def mode() -> Mode:
    """Return privileged mode with nobody in every role for root, else observe mode."""
    identity = script_identity()
    return Mode(os.geteuid() != 0, identity, identity, identity, "")


def wait_for(condition: Callable[[], M | None], what: str, seconds: float = DEADLINE) -> M:
    """Return the first true value of a condition that must come true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        select.select([], [], [], 0.01)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s")


def receive(channel: Channel[M]) -> tuple[M, list[int]]:
    """Return the next message, waiting for it."""
    assert select.select([channel], [], [], DEADLINE)[0], "no message"
    return channel.receive()


ROUTES = RouteFilter([254], default_routes=True, protocols=[])
"""Which routes a helper hears of unless a test says otherwise."""


class RunnerRig:
    """A runner process; the test is its supervisor and its worker."""

    def __init__(
        self, roots: list[str], events: list[str], *, signers: list[str] | None = None,
        versions: dict[str, int] | None = None, others: dict[str, str] | None = None,
        trees: list[Tree] | None = None, number: int = 0,
    ) -> None:  # fmt: skip
        """
        signers: whose signatures scripts need, then there is an audit log too. versions: of manifests
        that were believed before. others: scripts that rules give to other users, by path.
        trees: of other dispatchers. number: of the identity that is its, 1 being the same without a rule.
        """
        identities = [script_identity()] * (number + 1)
        for path, user in (others or {}).items():
            entry = pwd.getpwnam(user)
            identities.append(Identity(user, entry.pw_uid, entry.pw_gid, [], scripts=[path]))
        launch = Launch(
            identities, roots, events, "info", "text", 30.0, 65536, ROUTES, signers=signers,
            audit=None if signers is None else AuditFile("/nowhere/audit", 4096, 0), trees=trees or [],
        )  # fmt: skip
        known = Versions("", frozenset(), Log("error"))
        for root, version in (versions or {}).items():
            known.note(script_identity().uid, root, version)
        self.pid, lead = spawn.start_runner(mode(), launch, number, known)
        self.lead: Channel[Report] = Channel(lead, REPORT)
        self.early: list[Report] = []
        """What it told before it was ready."""
        while not isinstance(message := receive(self.lead)[0], Ready):
            self.early.append(message)
        self.scripts: Channel[ScriptsReply] | None = None
        self.pipes: dict[int, list[int]] = {}
        self.connect()

    def connect(self) -> None:
        """Take the place of a new worker."""
        self._let_go()
        near, far = make_pair()
        self.lead.send(Peer(), (far.fileno(),))
        far.close()
        self.scripts = Channel(near, SCRIPTS_REPLY, descriptors=2)

    def _let_go(self) -> None:
        if self.scripts is not None:
            self.scripts.close()
        for pair in self.pipes.values():
            for descriptor in pair:
                os.close(descriptor)
        self.pipes = {}

    def expect(self, kind: type[M]) -> M:
        """Return the next message, which must be of this kind."""
        message, descriptors = receive(self.scripts)
        while isinstance(message, Entries) and kind is not Entries:  # told without being asked
            message, descriptors = receive(self.scripts)
        assert isinstance(message, kind), message
        if descriptors:
            self.pipes[message.id] = descriptors  # type: ignore[attr-defined]
        return message

    def entries(self) -> list[Entry]:
        """Return the script table."""
        self.scripts.send(Rescan())
        found: list[Entry] = []
        while True:
            part = self.expect(Entries)
            found += part.entries
            if not part.more:
                return found

    def entry(self, name: str) -> Entry:
        """Return the entry of this file name."""
        return next(entry for entry in self.entries() if entry.name == name)

    def start(self, id_: int, name: str, values: list[tuple[str, str]] | None = None) -> Started:
        """Start a script that must be accepted."""
        self.scripts.send(Run(id_, self.entry(name).id, values or [("STATE", "routable")]))
        return self.expect(Started)

    def refuse(self, id_: int, entry: int, values: list[tuple[str, str]] | None = None) -> str:
        """Ask for a run that must be refused; return the reason."""
        self.scripts.send(Run(id_, entry, values or []))
        return self.expect(Refused).reason

    def finish(self) -> Finished:
        """Return the end of the run that ends next."""
        return self.expect(Finished)

    def output(self, id_: int, stream: int = 0) -> str:
        """Return what a run has written to its stdout (0) or stderr (1) by now."""
        descriptor = self.pipes[id_][stream]
        os.set_blocking(descriptor, False)
        pieces = []
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(descriptor, 65536):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def close(self) -> None:
        """Kill the runner and what it started, and reap."""
        send_signal(read_descendants([self.pid]), signal.SIGKILL)
        self._let_go()
        self.lead.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class HelperRig:
    """A helper process; the test is its supervisor and its worker."""

    def __init__(self, policy: WritePolicy = WritePolicy()) -> None:
        self.feed: Channel[FeedMessage] | None = None
        self.rpc: Channel[Reply] | None = None
        launch = Launch([], [], [], "info", "text", 30.0, 65536, ROUTES, writes=policy)
        self.events = tuple(rtnetlink.open_event_socket(source)[0] for source in (0, 1))
        self.pid, lead = spawn.start_helper(mode(), self.events, launch)
        self.lead: Channel[Report] = Channel(lead, REPORT)
        assert isinstance(receive(self.lead)[0], Ready)
        self.connect()

    def connect(self) -> None:
        """Take the place of a new worker."""
        self._let_go()
        feed, far_feed = make_pair()
        rpc, far_rpc = make_pair()
        self.lead.send(Peer(), (far_feed.fileno(), far_rpc.fileno()))
        far_feed.close()
        far_rpc.close()
        self.feed = Channel(feed, FEED)
        self.rpc = Channel(rpc, REPLY)

    def _let_go(self) -> None:
        for end in (self.feed, self.rpc):
            if end is not None:
                end.close()

    def ask(self, request: object) -> Reply:
        """Send one request and return its reply."""
        self.rpc.send(request)  # type: ignore[arg-type]
        return receive(self.rpc)[0]

    def close(self) -> None:
        """Kill the helper and reap it."""
        self._let_go()
        self.lead.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        for sock in self.events:
            sock.close()


@contextlib.contextmanager
def closing(rig: RunnerRig | HelperRig) -> Iterator[RunnerRig | HelperRig]:
    """End a rig whatever happens."""
    try:
        yield rig
    finally:
        rig.close()


def write_script(directory: Path, name: str, text: str, mode_bits: int = 0o755) -> Path:
    """Write a script whatever the umask."""
    path = directory / name
    path.write_text(text)
    path.chmod(mode_bits)
    return path
