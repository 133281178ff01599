"""
The roles there are: one child each, a generation for each accepted configuration, and the roster of
those that serve, those that a reload brings and those that end.

Belongs here: how a role is started, counted and replaced by its like, the hand-over from one
generation to the next, and the sockets between worker and others. What a role's death or its words
mean to the daemon is the supervisor's.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from privsep import protocol, spawn
from privsep.channel import Channel, make_pair
from privsep.launch import READABLE, Launch, find_common
from privsep.mode import Mode
from privsep.processes import send_signal
from privsep.spawn import Memory
from privsep.versions import Versions

EARLY: Final = 10.0
"""Seconds from start within which a death before `ready` counts as early."""
BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds from the n-th death in a row to the new start; the last value stays."""
SETTLED: Final = 30.0
"""Seconds of life after `ready` that end a row of deaths."""
START_TIME: Final = 20.0
"""Seconds that the roles of another generation have to become ready."""
SAYINGS: Final = 4096.0
RATE: Final = 20.0
"""What a worker may tell the supervisor at once, and how much of that again in a second: some of it goes
on to the service manager, which has others to serve."""
HAND_OVER_TIME: Final = 5.0
"""Seconds that a worker and a helper which are replaced have to work off what they got."""


class Role:
    """One child that is to live: how to start it, how to talk to it, how it fares."""

    def __init__(self, name: str, start: Callable[[], tuple[int, socket.socket]]) -> None:
        """start: returns pid and our end of the role's lead or control socket."""
        self.name = name
        self.uid = -1
        """Of a runner: that of its identity."""
        self._start = start
        self.pid = 0
        self.channel: Channel[protocol.Report] | None = None
        """None while it is not there, and when it has closed its end."""
        self.ready = False
        self.configured = False
        """Of a worker: whether it has its configuration."""
        self.started = self._heard = self._room = 0.0
        self.deaths = self.early = 0
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
        self.started = self._heard = time.monotonic()
        self._room = SAYINGS
        self.ready = self.configured = False
        self.due = None

    def may_speak(self) -> bool:
        """Tell whether one more message is not too many; each counts."""
        since, self._heard = self._heard, time.monotonic()
        self._room = min(SAYINGS, self._room + RATE * (self._heard - since)) - 1
        return self._room >= 0

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
        self.number, self.launch, self.memory = number, launch, memory
        self.worker, self.helper = worker, helper
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


class Roster:
    """Every role of the daemon but the reader."""

    def __init__(
        self, mode: Mode, state: str, events: tuple[socket.socket, ...], versions: Versions,
        *, dry_run: bool,
    ) -> None:  # fmt: skip
        """
        state: directory of the worker's. events: the event sockets. versions: of manifests. dry_run:
        nothing is started.
        """
        self._mode, self._state, self._events = mode, state, events
        self._versions, self._dry_run = versions, dry_run
        self._keys = 0
        self.first_worker = self._make_worker(READABLE, "enforce")
        self.now: Generation | None = None
        self.coming: Generation | None = None
        """The one that a reload brings, until it takes over."""
        self.ending: list[Role] = []
        """Roles of earlier generations, and of one that failed: they are not started again."""
        self.handing: list[Role] = []
        """Worker and helper that have to end before the generation that comes takes over."""
        self.due: float | None = None
        """When what a reload waits for has taken too long, monotonic seconds."""

    def all(self) -> list[Role]:
        """Return every role, living or to be started."""
        found = [*self.ending, *self.handing]
        for generation in (self.now, self.coming):
            found += [] if generation is None else generation.roles()
        found += [] if self.now else [self.first_worker]
        return list(dict.fromkeys(found))

    def living(self) -> list[Role]:
        """Return those that are there."""
        return [role for role in self.all() if role.pid]

    def of_now(self) -> list[Role]:
        """Return the roles of the generation that serves."""
        return self.now.roles() if self.now else []

    def get_worker(self) -> Role:
        """Return the worker that serves, or that will."""
        return self.first_worker if self.now is None else self.now.worker

    def tell(self, message: protocol.Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Tell the worker, if it hears and remembers."""
        worker = self.get_worker()
        return worker.configured and not self.handing and worker.send(message, descriptors)

    def connect(self, role: Role) -> None:
        """Give a role and the worker fresh sockets between them; of these we keep none."""
        now = self.now
        if now is None or not now.worker.configured or self.handing:
            return
        old = [each for each in self.ending if each.kind == "runner"]
        if role is now.worker or role not in (*now.roles(), *old):
            return
        peers = {"helper": protocol.HelperPeer(), "courier": protocol.CourierPeer()}
        peer = peers.get(role.kind) or protocol.RunnerPeer(role.key)
        pairs = [make_pair() for _ in range(2 if role is now.helper else 1)]
        if role.send(protocol.Peer(), tuple(far.fileno() for _, far in pairs)):
            now.worker.send(peer, tuple(near.fileno() for near, _ in pairs))
        for near, far in pairs:
            near.close()
            far.close()

    # --- generations ---------------------------------------------------------------------------

    def bring(self, launch: Launch, memory: Memory) -> None:
        """Start what a configuration needs and is not there; the first generation serves at once."""
        now = self.now
        worker = self.first_worker
        if now is not None or launch.sandbox != "enforce":
            worker = self._make_worker(launch.readable, launch.sandbox)
        helper = Role("helper", lambda: spawn.start_helper(self._mode, self._events, launch))
        number = 1 if now is None else now.number + 1
        same = now is not None and now.launch.sandbox == launch.sandbox
        kept = now if now is not None and same and now.memory.posts_like(memory) else None
        if kept is not None:
            os.close(memory.targets)
            memory = Memory(memory.configuration, kept.memory.targets)
        coming = Generation(number, launch, memory, worker, helper)
        helper.start()
        places = range(0 if self._dry_run else len(launch.runners))
        find, make = self._find_runner, self._make_runner
        coming.runners = [find(launch, each) or make(launch, each) for each in places]
        if launch.posts and not self._dry_run:
            start = partial(spawn.start_courier, self._mode, memory.targets, launch.sandbox)
            coming.couriers = kept.couriers if kept else [Role("courier", start)]
            if not kept:
                coming.couriers[0].start()
        if now is None:
            self.now = coming
            if worker is not self.first_worker:
                self.ending.append(self.first_worker)
                self.first_worker.kill()
                worker.start()
            return
        worker.start()
        self.coming = coming
        self.due = time.monotonic() + START_TIME

    def abandon(self) -> None:
        """Give the generation up that was to come."""
        coming, self.coming, self.due = self.coming, None, None
        kept = self.of_now()
        for role in coming.roles() if coming else []:
            if role not in kept:
                role.due = None
                role.kill()
                self.ending.append(role)
        if coming and self.now:
            coming.close(self.now)

    def is_coming_ready(self) -> bool:
        """Tell whether each new role of the generation to come is ready."""
        coming = self.coming.roles() if self.coming else []
        return all(role.ready for role in coming if role not in self.of_now())

    def hand_over(self) -> list[Role]:
        """Have worker and helper end in good order; return those that could not."""
        assert self.now is not None
        self.handing = [self.now.worker, self.now.helper]
        self.due = time.monotonic() + HAND_OVER_TIME
        lost = [role for role in self.handing if not (role.pid and role.ready)]
        for role in self.handing:
            is_worker = role is self.now.worker
            if role in lost:
                role.kill()
            else:
                role.send(protocol.HandOver() if is_worker else protocol.End())
            role.due = None
        return lost

    def press(self) -> None:
        """Kill those that did not hand over in time; once more a second later, if need be."""
        self.due = time.monotonic() + 1
        for role in self.handing:
            role.kill()

    def take_over(self) -> bool:
        """Let the generation that comes serve, once those that hand over have ended; tell whether."""
        now, coming = self.now, self.coming
        assert now is not None and coming is not None
        if any(role.pid for role in self.handing) or not coming.worker.ready:
            return False
        kept = [*coming.roles(), now.worker, now.helper]
        self.ending += [role for role in now.roles() if role not in kept]
        for role in self.ending:
            role.send(protocol.Drain())
            role.due = None
        now.close(coming)
        self.handing = []
        self.now, self.coming, self.due = coming, None, None
        return True

    def _make_worker(self, readable: list[str], how: str) -> Role:
        return Role("worker", partial(spawn.start_worker, self._mode, self._state, readable, how))

    def _find_runner(self, launch: Launch, place: int) -> Role | None:
        """Return the runner of now that is as this one has to be, None if there is none."""
        now = self.now
        same = now is not None and find_common(launch) == find_common(now.launch)
        known = zip(now.launch.runners, now.runners, strict=False) if now and same else ()
        return next((role for each, role in known if each == launch.runners[place]), None)

    def _make_runner(self, launch: Launch, place: int) -> Role:
        name = f"runner-{self._keys}"
        self._keys += 1
        start = partial(spawn.start_runner, self._mode, launch, place, self._versions)
        runner = Role(name, start)
        runner.uid = launch.runners[place].uid
        runner.start()
        return runner
