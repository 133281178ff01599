"""
The supervisor's loop: start, connect, reap, restart, stop.

It knows processes, sockets and times, and nothing of networks: it holds no end of feed, rpc or
scripts once both sides have theirs, and parses neither configuration nor kernel messages.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from privsep import protocol, rtnetlink, sandbox, spawn
from privsep.channel import Channel, Closed, make_pair
from privsep.log import Log
from privsep.mode import Mode, Refusal
from privsep.notify import notify, watchdog_interval
from privsep.processes import read_children, read_descendants, send_signal

EARLY: Final = 10.0
"""Seconds from start within which a death before `ready` counts as early."""
EARLY_LIMIT: Final = 5
"""Early deaths in a row after which the daemon ends."""
BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds from the n-th death in a row to the new start; the last value stays."""
SETTLED: Final = 30.0
"""Seconds of life after `ready` that end a row of deaths."""
READER_TIME: Final = 20.0
"""Seconds a reader may take."""
STOP_TIME: Final = 7.5
"""Seconds from the order to stop until whoever is left is killed."""


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
        self.started = 0.0
        self.deaths = 0
        self.early = 0
        self.due: float | None = None
        """When to start it again, monotonic seconds; None while it lives or is not wanted."""

    def start(self) -> None:
        """Start the role."""
        self.pid, sock = self._start()
        self.channel = Channel(sock, protocol.REPORT, limit=16384)
        self.started = time.monotonic()
        self.ready = False
        self.due = None

    def send(self, message: protocol.Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Send a message; False when the role is dead, or about to be: its death follows."""
        try:
            if self.channel is not None:
                self.channel.send(message, descriptors)
                return True
        except (Closed, BlockingIOError):
            pass
        return False

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
        self.ready = False
        self.close()


class Supervisor:
    """State of the daemon: its roles, its configuration, whether it stops."""

    def __init__(self, mode: Mode, config: str | None, *, dry_run: bool) -> None:
        """config: path of the configuration file, None for the default one."""
        self.mode = mode
        self._config = config
        self._dry_run = dry_run
        self._log = Log()
        self._wake, self._wake_end = socket.socketpair()
        for end in (self._wake, self._wake_end):
            end.setblocking(False)
        opened = [rtnetlink.open_event_socket(source) for source in rtnetlink.SOURCES]
        self._events = tuple(sock for sock, _ in opened)
        self._forced = all(forced for _, forced in opened)
        self._launch: protocol.Launch | None = None
        self._memory = -1
        self._slates = [spawn.make_slate() for _ in range(2)]
        self._reader: tuple[int, socket.socket, float] | None = None
        self._worker = Role("worker", lambda: spawn.start_worker(mode))
        self._helper = Role("helper", lambda: spawn.start_helper(mode, self._events))
        self._runners: list[Role] = []
        self._served = False
        self._stop_deadline: float | None = None
        self._status = 0
        self._watchdog = watchdog_interval()
        self._next_watchdog = time.monotonic()
        self._signals: set[int] = set()

    # --- life ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the daemon until it is told to stop; return the exit status."""
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(which, lambda number, _: self._signals.add(number))
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        sandbox.become_subreaper()
        if self.mode.notice:
            self._log.write("info", self.mode.notice)
        self._start_reader()
        self._worker.start()
        sandbox.prepare_filter("helper")
        gc.collect()
        gc.freeze()  # forks share what the collector will not touch again
        while self._stop_deadline is None or any(role.pid for role in self._roles()):
            self._step()
        return self._status

    def _roles(self) -> list[Role]:
        return [self._helper, *self._runners, self._worker]

    def _step(self) -> None:
        poll = select.poll()
        handlers: dict[int, Callable[[], None]] = {self._wake.fileno(): self._handle_signals}
        if self._reader is not None:
            handlers[self._reader[1].fileno()] = self._handle_verdict
        for role in self._roles():
            if role.channel is not None:
                handlers[role.channel.fileno()] = partial(self._handle_report, role)
        for descriptor in handlers:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(self._timeout()):
            handlers[descriptor]()
        self._handle_times()

    def _timeout(self) -> int | None:
        """Return milliseconds until something is due, None when nothing is."""
        times = [role.due for role in self._roles()]
        times += [self._reader[2] if self._reader else None, self._stop_deadline]
        times += [self._next_watchdog if self._watchdog else None]
        known = [moment for moment in times if moment is not None]
        return max(0, int((min(known) - time.monotonic()) * 1000) + 1) if known else None

    def _handle_times(self) -> None:
        now = time.monotonic()
        for role in self._roles():
            if role.due is not None and role.due <= now:
                role.start()
        if self._reader is not None and now >= self._reader[2]:
            self._refuse([f"the configuration could not be read within {READER_TIME:.0f} s"])
        if self._stop_deadline is not None and now >= self._stop_deadline:
            for role in self._roles():
                role.kill()
            self._stop_deadline = now + 1
        if self._watchdog is not None and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog / 3
            if self._served:
                self._worker.send(protocol.Liveness(int(now * 1000)))

    def _handle_signals(self) -> None:
        self._wake.recv(4096)
        signals, self._signals = self._signals, set()
        if signal.SIGCHLD in signals:
            self._reap()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            if self._stop_deadline is None:
                self._log.write("info", "netevd stops; scripts that run get up to 5 s to end")
                self._stop(0)
            else:
                self._stop_deadline = time.monotonic()
        if signal.SIGHUP in signals:
            advice = "reload is not there yet: SIGHUP changed nothing; restart netevd instead"
            self._log.write("warn", advice)

    # --- configuration ------------------------------------------------------------------------

    def _start_reader(self) -> None:
        pid, reply, self._memory = spawn.start_reader(self.mode, self._config or "")
        self._reader = (pid, reply, time.monotonic() + READER_TIME)

    def _handle_verdict(self) -> None:
        assert self._reader is not None
        channel: Channel[protocol.Verdict] = Channel(self._reader[1], protocol.VERDICT)
        try:
            verdict, _ = channel.receive()
        except (Closed, protocol.ProtocolViolation) as error:
            verdict = protocol.Rejected([f"the reader of the configuration failed: {error!r}"])
        problems = (
            verdict.problems
            if isinstance(verdict, protocol.Rejected)
            else _find_launch_faults(verdict, self.mode)
        )
        if problems or isinstance(verdict, protocol.Rejected):
            self._refuse(problems)
            return
        channel.close()
        self._reader = None
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(self._memory, fcntl.F_ADD_SEALS, seals)
        self._accept(verdict)

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems:
            os.write(2, f"{problem}\n".encode())
        self._stop(1)

    def _accept(self, launch: protocol.Launch) -> None:
        self._launch = launch
        self._log.level, self._log.form = launch.log_level, launch.log_format
        rtnetlink.filter_routes(self._events[protocol.ROUTES], launch.routes)
        self._helper.start()
        for number in range(0 if self._dry_run else len(launch.runners)):
            start = partial(spawn.start_runner, self.mode, launch, number)
            self._runners.append(Role(f"runner-{number}", start))
            self._runners[-1].start()
        if self._worker.ready:
            self._configure_worker()

    # --- roles --------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for role in self._roles():
                if role.pid == pid:
                    self._handle_death(role, os.waitstatus_to_exitcode(status))

    def _handle_death(self, role: Role, code: int) -> None:
        role.note_death()
        if role in self._runners:
            self._kill_orphans()
        if self._stop_deadline is not None:
            role.due = None
            self._stop_next()
            return
        how = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        if code == spawn.CANT_EXECUTE:
            self._stop(1)
        elif role.early >= EARLY_LIMIT:
            text = f"{role.name} died {EARLY_LIMIT} times in a row at its start; giving up"
            self._log.write("error", text)
            self._stop(1)
        else:
            wait = (role.due or 0) - time.monotonic()
            self._log.write("error", f"{role.name} died ({how}), new start in {wait:.2f} s")

    def _kill_orphans(self) -> None:
        """Kill what a dead runner has left: every child that is no role, until none is left."""
        ours = {role.pid for role in self._roles()}
        while strays := [pid for pid in read_children() if pid not in ours]:
            send_signal(read_descendants(strays), signal.SIGKILL)
            for pid in strays:
                os.waitpid(pid, 0)

    def _handle_report(self, role: Role) -> None:
        if role.channel is None:
            return  # closed by what was handled just before
        try:
            message, _ = role.channel.receive()
        except BlockingIOError:
            return  # the descriptor was another one's when it was polled
        except Closed:
            role.close()
            return
        except protocol.ProtocolViolation as violation:
            self._end_violator(role, str(violation))
            return
        match message:
            case protocol.Ready() if role is not self._worker:
                role.ready = True
                self._connect(role)
            case protocol.Violated(reason=reason) if role is not self._worker:
                self._end_violator(self._worker, f"{reason} (told by {role.name})")
            case protocol.Prepared() if role is self._worker:
                role.ready = True
                if self._launch is not None:
                    self._configure_worker()
            case protocol.Serving(status=status) if role is self._worker:
                notify("READY=1", f"STATUS={status}")
                self._served = True
            case protocol.Alive() if role is self._worker:
                notify("WATCHDOG=1")
            case _:
                self._end_violator(role, f"{type(message).__name__} is not its to say")

    def _end_violator(self, role: Role, reason: str) -> None:
        self._log.write("error", f"{role.name} broke the protocol and is ended: {reason}")
        role.kill()

    def _configure_worker(self) -> None:
        assert self._launch is not None
        keys = list(range(len(self._launch.runners)))
        configure = protocol.Configure(1, self._dry_run, self.mode.observe, self._forced, keys, [])
        self._worker.send(configure, (self._memory, *self._slates))
        for role in (self._helper, *self._runners):
            if role.ready:
                self._connect(role)
        if self._dry_run and self._launch is not None:
            _, scripts = spawn.start_lister(self.mode, self._launch)
            self._worker.send(protocol.RunnerPeer(0), (scripts.fileno(),))
            scripts.close()

    def _connect(self, role: Role) -> None:
        """Give a role and the worker fresh sockets between them; of these we keep none."""
        if not self._worker.ready or self._launch is None:
            return
        pairs = [make_pair() for _ in range(2 if role is self._helper else 1)]
        if role.send(protocol.Peer(), tuple(far.fileno() for _, far in pairs)):
            peer = (
                protocol.HelperPeer()
                if role is self._helper
                else protocol.RunnerPeer(self._runners.index(role))
            )
            self._worker.send(peer, tuple(near.fileno() for near, _ in pairs))
        for near, far in pairs:
            near.close()
            far.close()

    # --- stop -----------------------------------------------------------------------------------

    def _stop(self, status: int) -> None:
        """Begin an orderly stop: runners first, then the worker, then the helper."""
        notify("STOPPING=1", "STATUS=stopping")
        self._status = self._status or status
        self._stop_deadline = self._stop_deadline or time.monotonic() + STOP_TIME
        for role in self._roles():
            role.due = None
        if self._reader is not None:
            send_signal([self._reader[0]], signal.SIGKILL)
            self._reader[1].close()
            self._reader = None
        self._worker.send(protocol.Stop())
        for role in self._runners:
            role.send(protocol.End())
        self._stop_next()

    def _stop_next(self) -> None:
        if any(role.pid for role in self._runners):
            return
        if self._worker.pid:
            self._worker.close()
        else:
            self._helper.send(protocol.End())


def _find_launch_faults(launch: protocol.Launch, mode: Mode) -> list[str]:
    """Return what the supervisor itself refuses in launch data, whoever wrote it."""
    faults = []
    if not launch.runners or len(launch.runners) > 32:
        faults.append(f"{len(launch.runners)} script identities, expected 1 to 32")
    if len(launch.directories) > 8 or len(launch.events) > 256:
        faults.append("more than 8 script directories or 256 event types")
    for number, identity in enumerate(launch.runners):
        faults += [f"{name} is no capability" for name in identity.capabilities
                   if name not in sandbox.CAPABILITIES]  # fmt: skip
        reserved = (
            {mode.helper.uid, mode.worker.uid} if number else {0, mode.helper.uid, mode.worker.uid}
        )
        if not mode.observe and identity.uid in reserved:
            faults.append(
                f"scripts can't run as {identity.user} (uid {identity.uid}): root, unless a rule says so,"
                " and the users of netevd's own roles are not for scripts"
            )
        if (identity.uid == 0 or identity.capabilities) and not (mode.observe or identity.scripts):
            faults.append(f"no rule names the scripts that {identity.user} runs with privilege")
    return faults


def run(mode: Mode, config: str | None, *, dry_run: bool) -> int:
    """Confine the supervisor and run the daemon; return the exit status. Raises: Refusal."""
    sandbox.forbid_new_privileges()
    sandbox.deny_dangerous_calls()
    try:
        supervisor = Supervisor(mode, config, dry_run=dry_run)
    except OSError as error:
        raise Refusal(f"netlink can't be used: {error.strerror}") from None
    return supervisor.run()
