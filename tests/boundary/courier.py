"""A courier as a real process, and the test in the place of supervisor, reader and worker."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Any

import msgspec

from netevd.config.targets import Destination, Targets
from netevd.worker import errand
from netevd.worker.errand import Deliver, Delivered
from privsep import spawn
from privsep.channel import Channel, Closed, make_pair
from privsep.protocol import REPORT, Message, Peer, Ready, Report, Violated
from tests.boundary.rig import DEADLINE, mode, receive


def destination(url: str, *, timeout_s: float = 10.0, allow_local: bool = True) -> Destination:
    """Return a target with a header that is a secret."""
    return Destination(url, [("Authorization", "Bearer secret")], timeout_s, allow_local)


def order(target: int = 0, sequence: int = 1, attempt: int = 1, **more: Any) -> Deliver:
    """Return what a worker asks for."""
    values = {"event": "carrier", "time_ns": 5, "body": b"{}", **more}
    return Deliver(target, sequence, attempt, **values)


class CourierRig:
    """A courier process; the test is its supervisor and its worker."""

    def __init__(self, *destinations: Destination, hosts: tuple[tuple[str, int], ...] = ()) -> None:
        memory = os.memfd_create("targets", os.MFD_CLOEXEC)
        os.pwrite(memory, msgspec.msgpack.encode(Targets(list(destinations), list(hosts))), 0)
        self.pid, lead = spawn.start_courier(mode(), memory, "enforce")
        os.close(memory)
        self.lead: Channel[Report] = Channel(lead, REPORT)
        assert isinstance(receive(self.lead)[0], Ready)
        self.worker: Channel[errand.Report] | None = None
        self.connect()

    def connect(self) -> None:
        """Take the place of a new worker."""
        if self.worker is not None:
            self.worker.close()
        near, far = make_pair()
        self.lead.send(Peer(), (far.fileno(),))
        far.close()
        self.worker = Channel(near, errand.REPORT)

    def send(self, message: Message) -> None:
        """Send what a worker may send, or may not."""
        self.worker.send(message)

    def hear(self) -> Delivered:
        """Return what comes of an attempt."""
        return receive(self.worker)[0]

    def ask(self, wanted: Deliver) -> Delivered:
        """Have an attempt made; return what came of it."""
        self.send(wanted)
        return self.hear()

    def expect_violation(self) -> str:
        """Return why the courier has complained of the worker, whose socket it has closed."""
        message, _ = receive(self.lead)
        assert isinstance(message, Violated), message
        assert select.select([self.worker], [], [], DEADLINE)[0]
        with contextlib.suppress(Closed):
            while True:
                self.worker.receive()
        return message.reason

    def lives(self) -> bool:
        """Tell whether it has not ended."""
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def close(self) -> None:
        """End it."""
        self.worker.close()
        self.lead.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
