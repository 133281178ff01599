"""
Do one thing as the daemon would, and end: list the scripts, or run one of them.

The same reader, runner, identity and sandbox as the daemon's, without helper and worker. Answers
are JSON lines on standard output; the CLI makes words of them.
"""

from __future__ import annotations

import os
import select
import signal
import time

import msgspec

from privsep import protocol, sandbox, spawn
from privsep.channel import Channel, Closed, make_pair
from privsep.mode import Mode

GRACE = 5.0
"""Seconds between TERM and KILL, as in the daemon."""


def _tell(kind: str, **fields: object) -> None:
    os.write(1, msgspec.json.encode({"kind": kind, **fields}) + b"\n")


def _wait(
    channel: Channel[protocol.ScriptsReply], pipes: dict[int, str], deadline: float
) -> list[int]:
    poll = select.poll()
    for descriptor in (channel.fileno(), *pipes):
        poll.register(descriptor, select.POLLIN)
    timeout = max(0.0, min(deadline - time.monotonic(), 3600.0))
    return [descriptor for descriptor, _ in poll.poll(int(timeout * 1000) + 1)]


def _read_configuration(mode: Mode, path: str) -> protocol.Launch | None:
    pid, reply, memory = spawn.start_reader(mode, path)
    os.close(memory)
    reply.setblocking(True)
    channel: Channel[protocol.Verdict] = Channel(reply, protocol.VERDICT)
    try:
        verdict, _ = channel.receive()
    except Closed:
        verdict = protocol.Rejected(["the reader of the configuration ended without an answer"])
    os.waitpid(pid, 0)
    if isinstance(verdict, protocol.Rejected):
        _tell("problems", problems=verdict.problems)
        return None
    return verdict


class _Session:
    """One runner of our own and its scripts channel."""

    def __init__(self, mode: Mode, launch: protocol.Launch, single: tuple[str, str] | None) -> None:
        self.pid, lead = spawn.start_runner(mode, launch, 0, single=single)
        self.lead: Channel[protocol.Report] = Channel(lead, protocol.REPORT)
        lead.setblocking(True)
        self.lead.receive()
        near, far = make_pair()
        self.lead.send(protocol.Peer(), (far.fileno(),))
        far.close()
        near.setblocking(True)
        self.scripts: Channel[protocol.ScriptsReply] = Channel(
            near, protocol.SCRIPTS_REPLY, descriptors=2
        )

    def list_entries(self) -> list[protocol.Entry]:
        """Return the script table."""
        self.scripts.send(protocol.Rescan())
        entries: list[protocol.Entry] = []
        while True:
            message, _ = self.scripts.receive()
            if isinstance(message, protocol.Entries):
                entries += message.entries
                if not message.more:
                    return entries

    def end(self) -> None:
        """End the runner and wait for it."""
        self.lead.send(protocol.End())
        self.scripts.close()
        os.waitpid(self.pid, 0)


def list_scripts(mode: Mode, config: str) -> int:
    """Tell every script file with its verdict; return the exit status."""
    launch = _prepare(mode, config)
    if launch is None:
        return 1
    session = _Session(mode, launch, None)
    for entry in session.list_entries():
        _tell("entry", event=entry.event, name=entry.name, path=entry.path,
              runnable=entry.runnable, reason=entry.reason)  # fmt: skip
    session.end()
    return 0


def run_script(mode: Mode, config: str, event: str, path: str, values: bytes) -> int:
    """Run one script with these variables (msgpack pairs) and tell all of it; return the status."""
    launch = _prepare(mode, config)
    if launch is None:
        return 1
    session = _Session(mode, launch, (event, path))
    entry = session.list_entries()[0]
    variables = msgspec.msgpack.decode(values, type=list[tuple[str, str]])
    if not entry.runnable:
        _tell("refused", reason=entry.reason)
        session.end()
        return 1
    session.scripts.send(protocol.Run(1, entry.id, variables))
    status = _follow(session.scripts, launch)
    session.end()
    return status


def _prepare(mode: Mode, config: str) -> protocol.Launch | None:
    sandbox.forbid_new_privileges()
    sandbox.deny_dangerous_calls()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    launch = _read_configuration(mode, config)
    if launch is not None:
        _tell("identity", user=launch.runners[0].user, uid=launch.runners[0].uid,
              observe=mode.observe)  # fmt: skip
    return launch


def _follow(channel: Channel[protocol.ScriptsReply], launch: protocol.Launch) -> int:
    """Tell output and end of the run; signal it as the daemon would."""
    deadline = time.monotonic() + launch.script_timeout
    pipes: dict[int, str] = {}
    left = launch.output_limit
    signals = ["TERM", "KILL"]
    while True:
        ready = _wait(channel, pipes, deadline)
        for descriptor in [ready_one for ready_one in ready if ready_one in pipes]:
            left = _pass_on(descriptor, pipes, left)
        if channel.fileno() in ready:
            message, descriptors = channel.receive()
            match message:
                case protocol.Started(pid=pid):
                    pipes = {descriptors[0]: "out", descriptors[1]: "err"}
                    _tell("started", pid=pid)
                case protocol.Refused(reason=reason):
                    _tell("refused", reason=reason)
                    return 1
                case protocol.Finished():
                    while pipes:
                        left = _pass_on(next(iter(pipes)), pipes, left)
                    _tell("finished", status=message.status, duration=message.duration,
                          cpu=message.cpu, leftovers=message.leftovers,
                          timeout=len(signals) < 2)  # fmt: skip
                    return 0
        elif time.monotonic() >= deadline and signals:
            channel.send(protocol.Signal(1, signals.pop(0)))
            deadline = time.monotonic() + GRACE if signals else float("inf")


def _pass_on(descriptor: int, pipes: dict[int, str], left: int) -> int:
    """Tell one piece of output; return how many bytes may still be told."""
    piece = os.read(descriptor, 16384)
    if not piece:
        os.close(descriptor)
        del pipes[descriptor]
    elif left > 0:
        _tell(
            "output",
            stream=pipes[descriptor],
            text=piece[:left].decode("utf-8", "backslashreplace"),
        )
    return max(0, left - len(piece))
