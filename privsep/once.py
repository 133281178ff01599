"""
Have a runner do one thing for the command line, without helper and worker.

The same reader, runner, identity and sandbox as the daemon's. Whoever calls keeps one end of the
scripts channel and converses with the runner itself, as the worker does; what is told here, as JSON
lines on standard output, is only whom it speaks to, or why to nobody. The end of standard input
ends the runner, and what it runs with TERM and then KILL.
"""

from __future__ import annotations

import os
import select
import signal
from functools import partial

import msgspec

from privsep import protocol, sandbox, spawn
from privsep.channel import Channel, Closed
from privsep.launch import Rejected
from privsep.log import Log
from privsep.mode import Mode, find_state_directory
from privsep.reading import Reading
from privsep.scripts import trusted_owners
from privsep.versions import Versions


def _tell(kind: str, **fields: object) -> None:
    os.write(1, msgspec.json.encode({"kind": kind, **fields}) + b"\n")


def lend_runner(mode: Mode, config: str, scripts: int, single: tuple[str, str] | None) -> int:
    """
    Start a runner for the other end of a scripts socket and end it when told; return the status.

    scripts: descriptor of its end, taken over. single: event type and path of the one script that
    is wanted; the runner is that of its identity then, else that of scripts without a rule.
    """
    sandbox.forbid_new_privileges()
    sandbox.deny_dangerous_calls()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reading = Reading(mode, config)
    select.select([reading], [], [])
    launch = reading.receive()
    reading.end()
    reading.forget()
    if isinstance(launch, Rejected):
        _tell("problems", problems=launch.problems)
        return 1
    path = single[1] if single else ""
    numbers = [n for n, each in enumerate(launch.runners) if path in each.scripts] or [0]
    identity = launch.runners[numbers[0]]
    owners = trusted_owners(observe=mode.observe)
    versions = Versions(find_state_directory(None, mode), owners, Log())
    start = partial(spawn.start_runner, single=single, lists=not single)
    pid, lead_socket = start(mode, launch, numbers[0], versions)
    lead_socket.setblocking(True)
    lead: Channel[protocol.Report] = Channel(lead_socket, protocol.REPORT)
    try:
        lead.receive()
        lead.send(protocol.Peer(), (scripts,))
        os.close(scripts)
        _tell("identity", user=identity.user, uid=identity.uid, observe=mode.observe,
              script_timeout=launch.script_timeout, output_limit=launch.output_limit)  # fmt: skip
        while os.read(0, 4096):
            pass
        lead.send(protocol.End())
    except (Closed, BrokenPipeError):
        pass  # the runner has died, or nobody listens any more: either is the end
    lead.close()
    os.waitpid(pid, 0)
    return 0
