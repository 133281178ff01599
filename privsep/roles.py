"""
The roles there are: one child each, and a generation for each accepted configuration.

Belongs here: how one is started, counted and replaced by its like. What its death or its words mean
to the daemon is the supervisor's.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from privsep import protocol
from privsep.channel import Channel
from privsep.launch import Launch
from privsep.processes import send_signal
from privsep.spawn import Memory

EARLY: Final = 10.0
"""Seconds from start within which a death before `ready` counts as early."""
BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds from the n-th death in a row to the new start; the last value stays."""
SETTLED: Final = 30.0
"""Seconds of life after `ready` that end a row of deaths."""


class Role:
    """One child that is to live: how to start it, how to talk to it, how it fares."""

    def __init__(self, name: str, start: Callable[[], tuple[int, socket.socket]]) -> None:
        """start: returns pid and our end of the role's lead or control socket."""
        self.name = name
        self._start = start
        self.pid = 0
        self.channel: Channel[protocol.Report] | None = None
        """None while it is not there, and when it has closed its end."""
        self.ready = False
        self.configured = False
        """Of a worker: whether it has its configuration."""
        self.started = 0.0
        self.deaths = 0
        self.early = 0
        self.due: float | None = None
        """When to start it again, monotonic seconds; None while it lives or is not wanted."""

    @property
    def kind(self) -> str:
        """Its name without the key that a runner has in it."""
        return self.name.partition("-")[0]

    @property
    def key(self) -> int:
        """What a runner is called on control."""
        return int(self.name.partition("-")[2])

    def start(self) -> None:
        """Start the role."""
        self.pid, sock = self._start()
        self.channel = Channel(sock, protocol.REPORT, limit=protocol.PACKET_LIMIT)
        self.started = time.monotonic()
        self.ready = self.configured = False
        self.due = None

    def send(self, message: protocol.Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Send a message; False when the role is dead, or about to be: its death follows."""
        return self.channel is not None and self.channel.offer(message, descriptors)

    def close(self) -> None:
        """Close our end, which the role takes as the end of the supervisor."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def kill(self) -> None:
        """Kill the role if it lives; its death is noted when it is reaped."""
        if self.pid:
            send_signal([self.pid], signal.SIGKILL)

    def note_death(self) -> None:
        """Count a death and set the time of the next start."""
        now = time.monotonic()
        lived = now - self.started
        self.early = 0 if self.ready or lived >= EARLY else self.early + 1
        self.deaths = 1 if self.ready and lived >= SETTLED else self.deaths + 1
        self.due = now + BACKOFF[min(self.deaths, len(BACKOFF)) - 1]
        self.pid = 0
        self.ready = self.configured = False
        self.close()


class Generation:
    """The roles of one accepted configuration. Runners may be those of the generation before."""

    def __init__(
        self, number: int, launch: Launch, memory: Memory, worker: Role, helper: Role
    ) -> None:
        """memory: sealed memfds, of the configuration and of the targets of webhooks."""
        self.number = number
        self.launch = launch
        self.memory = memory
        self.worker = worker
        self.helper = helper
        self.runners: list[Role] = []
        """In the order of the launch data."""
        self.couriers: list[Role] = []
        """One if anything is to be posted. It may be that of the generation before."""

    def roles(self) -> list[Role]:
        """Return every role, the worker last."""
        return [self.helper, *self.runners, *self.couriers, self.worker]

    def close(self, other: Generation) -> None:
        """Give back what memory another generation does not have too."""
        for each in {*self.memory} - {*other.memory}:
            os.close(each)
