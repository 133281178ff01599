"""
The supervisor's loop: start, connect, reap, restart, stop.

It knows processes, sockets and times, and nothing of networks: it holds no end of feed, rpc or
scripts once both sides have theirs, and parses neither configuration nor kernel messages.
"""

from __future__ import annotations

import errno
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

import msgspec

from privsep import protocol, rtnetlink, sandbox, spawn
from privsep.audit import AuditLog
from privsep.channel import Channel, Closed, make_pair
from privsep.configfile import DEFAULT, ConfigurationFile
from privsep.listeners import Listeners
from privsep.log import Log
from privsep.mode import Mode, Refusal
from privsep.notify import notify, watchdog_interval
from privsep.processes import read_children, read_descendants, send_signal
from privsep.scripts import trusted_owners
from privsep.spawn import Memory
from privsep.store import Store
from privsep.wireguard import connect_userspace

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
HAND_OVER_TIME: Final = 5.0
"""Seconds that a worker and a helper which are replaced have to work off what they got."""
RETRY: Final = 5.0
"""Seconds until the content of before, which could not be brought back, is tried again."""
STOP_TIME: Final = 7.5
"""Seconds from the order to stop until whoever is left is killed."""
_MAY_DIFFER: Final = (
    "log_level log_format script_timeout output_limit routes digest content".split()
)
"""What of the launch data a configuration may change that came through a worker."""


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
        self, number: int, launch: protocol.Launch, memory: Memory, worker: Role, helper: Role
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


class Supervisor:
    """State of the daemon: its roles, its configuration, whether it stops."""

    def __init__(
        self,
        mode: Mode,
        config: str | None,
        listeners: Listeners | None,
        state: str,
        given: list[tuple[str, int]],
    ) -> None:
        """
        config: path of the file, None for the default one. listeners: None in a dry run. state:
        directory of the worker's, "" for none. given: descriptors that the service manager has handed over.
        """
        self.mode = mode
        self._config = config or ""
        self._listeners = listeners
        self._state = state
        self._dry_run = listeners is None
        self._log = Log()
        owners, group = (
            trusted_owners(observe=mode.observe),
            -1 if mode.observe else mode.worker.groups[0],
        )
        self._audit = AuditLog(self._log, owners, group, self._tell)
        self._file = ConfigurationFile(config or DEFAULT, owners)
        self._candidate: tuple[int, protocol.Candidate] | None = None
        """Pid of the worker that has sent it, until another generation takes over with it."""
        self._confirm_until: float | None = None
        """Until when what was written has to be confirmed, monotonic seconds."""
        self._wake, self._wake_end = socket.socketpair()
        for end in (self._wake, self._wake_end):
            end.setblocking(False)
        self._lost = ""
        """Why the next worker has to expect that kernel messages were lost."""
        self._restarts: dict[str, int] = {}
        """How often each role was started again; all runners are one."""
        self._failed, self._reload_ok, self._loaded = 0, True, 0.0
        """Reloads that failed, whether the latest did not, and when the last good one was, since 1970."""
        self._open(Store([] if self._dry_run else given, self._log))
        self._memory = Memory(-1, -1)
        self._reader: tuple[int, socket.socket, float] | None = None
        self._now: Generation | None = None
        self._coming: Generation | None = None
        """The one that a reload brings, until it takes over."""
        self._coming_until = 0.0
        self._first_worker = self._make_worker()
        self._ending: list[Role] = []
        """Roles of earlier generations, and of one that failed: they are not started again."""
        self._handing: list[Role] = []
        """Worker and helper that have to end before the generation that comes takes over."""
        self._handed_until = 0.0
        self._reload_again = False
        self._keys = 0
        self._served = False
        self._stop_deadline: float | None = None
        self._status = 0
        self._watchdog = watchdog_interval()
        self._next_watchdog = time.monotonic()
        self._signals: set[int] = set()
        self._started = time.monotonic()

    def _open(self, store: Store) -> None:
        """Make what outlives every other role, or take what a daemon before this one has left."""
        names = ["links", "routes"]
        kept = [store.take(name, rtnetlink.find_fault) for name in names]
        opened = map(rtnetlink.open_event_socket, rtnetlink.SOURCES, kept)
        self._events, forced = zip(*opened, strict=True)
        self._forced = all(forced)
        slates = [store.take(f"slate-{number}", spawn.find_slate_fault) for number in range(2)]
        if any(slates) and not all(kept):
            self._lost = "the event sockets of before the restart were not there"
        self._slates = [spawn.make_slate() if each is None else each for each in slates]
        self._kept = store.works
        if not self._dry_run:
            for name, sock in zip(names, self._events, strict=True):
                store.leave(name, sock.fileno())
            for number, slate in enumerate(self._slates):
                store.leave(f"slate-{number}", slate)

    # --- life ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the daemon until it is told to stop; return the exit status."""
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(which, lambda number, _: self._signals.add(number))
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        sandbox.become_subreaper()
        if self.mode.notice:
            self._log.write("info", self.mode.notice)
        if not self._dry_run:
            self._settle(keep=False)
        self._start_reader()
        self._first_worker.start()
        sandbox.prepare_filter("helper")
        gc.collect()
        gc.freeze()  # forks share what the collector will not touch again
        while self._stop_deadline is None or any(role.pid for role in self._roles()):
            self._step()
        self._note("daemon", "ended", f"exit status {self._status}")
        return self._status

    def _note(self, what: str, outcome: str, detail: str, by: str = "") -> None:
        """Note in the audit log what the supervisor itself has done or seen."""
        detail = protocol.escape(detail)[:512]
        self._audit.add("supervisor", protocol.Audit(what, outcome, by, detail))

    def _tell(self, message: protocol.Message) -> bool:
        """Tell the worker, if it hears and remembers."""
        worker = self._get_worker()
        return worker.configured and not self._handing and worker.send(message)

    def _make_worker(self) -> Role:
        return Role("worker", lambda: spawn.start_worker(self.mode, self._state))

    def _roles(self) -> list[Role]:
        found = [*self._ending, *self._handing]
        for generation in (self._now, self._coming):
            found += [] if generation is None else generation.roles()
        found += [] if self._now else [self._first_worker]
        return list(dict.fromkeys(found))

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
        times += [self._confirm_until]
        times += [self._next_watchdog if self._watchdog else None]
        times += [self._handed_until if self._handing else None, self._audit.due]
        times += [self._coming_until if self._coming and not self._handing else None]
        times += [self._listeners.due if self._listeners else None]
        known = [moment for moment in times if moment is not None]
        return max(0, int((min(known) - time.monotonic()) * 1000) + 1) if known else None

    def _handle_times(self) -> None:
        now = time.monotonic()
        for role in self._roles():
            if role.due is not None and role.due <= now:
                role.start()
        if self._listeners and self._listeners.due is not None and self._listeners.due <= now:
            self._serve(self._listeners.open_missing(self._log))
        if self._reader is not None and now >= self._reader[2]:
            self._refuse([f"the configuration could not be read within {READER_TIME:.0f} s"])
        if self._stop_deadline is not None and now >= self._stop_deadline:
            for role in self._roles():
                role.kill()
            self._stop_deadline = now + 1
        if self._handing and now >= self._handed_until:
            for role in self._handing:
                role.kill()
            self._handed_until = now + 1
        elif self._coming and not self._handing and now >= self._coming_until:
            self._abandon(f"its roles were not ready within {READER_TIME:.0f} s")
        if self._confirm_until is not None and now >= self._confirm_until:
            self._settle(keep=False)
        if self._audit.due is not None and now >= self._audit.due:
            self._audit.flush()
        if self._watchdog is not None and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog / 3
            if self._served and self._now is not None:
                self._now.worker.send(protocol.Liveness(int(now * 1000)))

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
            self._reload("SIGHUP")

    # --- configuration ------------------------------------------------------------------------

    def _start_reader(self, kind: str = "file", given: bytes = b"") -> None:
        pid, reply, self._memory = spawn.start_reader(self.mode, self._config, kind, given)
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
        self._drop_reader()
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        for each in self._memory:
            fcntl.fcntl(each, fcntl.F_ADD_SEALS, seals)
        if self._candidate is None or self._store(verdict, dry_run=self._candidate[1].dry_run):
            self._accept(verdict)

    def _drop_reader(self) -> None:
        """End the reader, if it has not ended, and close our end of what it says."""
        if self._reader is not None:
            if self._reader[0] in read_children():
                send_signal([self._reader[0]], signal.SIGKILL)
            self._reader[1].close()
            self._reader = None

    def _refuse(self, problems: list[str]) -> None:
        """Take in that a configuration is bad: at a start it is the end, at a reload nothing is."""
        self._drop_reader()
        for each in self._memory:
            os.close(each)
        if self._now is None:
            for problem in problems:
                os.write(2, f"{problem}\n".encode())
            self._stop(1)
        elif self._candidate is not None:
            self._answer("invalid", problems)
        else:
            for problem in problems:
                self._log.write("error", f"reload: {problem}")
            self._end_reload(problems)

    # --- configuration over the API -----------------------------------------------------------

    def _take_candidate(self, role: Role, candidate: protocol.Candidate) -> None:
        """Have a configuration checked that a worker has sent: nothing in it is to be trusted."""
        now, held = self._now, self._candidate
        if not (now and role is now.worker and now.launch.digest) or (held and held[0] == role.pid):
            self._end_violator(role, "it may not send a configuration now")
        elif held or self._reader or self._coming or self._confirm_until or not self._served:
            role.send(protocol.Settled("busy", []))
        elif self._stop_deadline is None and not self._dry_run:
            self._candidate = role.pid, candidate
            self._start_reader("patch" if candidate.patch else "text", candidate.content)

    def _store(self, launch: protocol.Launch, *, dry_run: bool) -> bool:
        """Write what the reader is content with; tell whether it is to be put in force."""
        assert self._now is not None
        now, outcome, words = self._now.launch, "changed", "does not fit what is in force"
        same = {name: getattr(now, name) for name in _MAY_DIFFER}
        posts = self._memory.posts_like(self._now.memory)
        if posts and msgspec.structs.replace(launch, **same) == now:
            outcome, words = "fine", ""
            if not dry_run:
                outcome, words = self._file.replace(launch.content, now.digest)
                self._log.write("warn", f"{self._file.path} {words}")
                self._note("configuration", outcome, words, "the worker")
        if outcome == "written":
            return True
        self._answer(outcome, [f"{self._file.path} {words}"], (self._memory.configuration,))
        for each in self._memory:
            os.close(each)
        return False

    def _answer(self, outcome: str, problems: list[str], memory: tuple[int, ...] = ()) -> None:
        """Tell the worker what became of its candidate, if it still lives."""
        if self._candidate and self._now and self._candidate[0] == self._now.worker.pid:
            self._now.worker.send(protocol.Settled(outcome, problems), memory)
        self._candidate = None
        self._reload_once_more()

    def _settle(self, *, keep: bool) -> tuple[str, str]:
        """Keep what is on trial in the file, or bring back and put in force what was before it."""
        self._confirm_until = None
        outcome, words = self._file.settle(keep=keep)
        if words:
            self._log.write("warn", f"{self._file.path} {words}")
            self._note("configuration", outcome, words)
        if outcome == "unwritable":
            self._confirm_until = time.monotonic() + RETRY
        if outcome == "rolled-back" and self._now is not None:
            self._reload("the end of a trial")
        return outcome, words

    # --- reload -------------------------------------------------------------------------------

    def _reload(self, by: str) -> None:
        """Read the configuration again, or once more after the reload that is under way."""
        if self._stop_deadline is not None:
            return
        if self._dry_run:
            self._log.write("warn", "a dry run is not reloaded: start it again")
        elif self._reader is not None or self._coming is not None or not self._served:
            self._reload_again = True
        else:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._log.write("info", "netevd reads its configuration again")
            self._note("reload", "begun", "", by)
            self._start_reader()

    def _end_reload(self, problems: list[str]) -> None:
        """Say that the reload changed nothing, and why."""
        text = "the configuration of before stays in force, nothing was changed"
        self._log.write("error", f"reload failed: {text}")
        self._note("reload", "refused", "; ".join(problems))
        self._failed, self._reload_ok = self._failed + 1, False
        if self._candidate is not None:
            self._file.settle(keep=False)
            self._answer("invalid", problems)
        elif self._now is not None:
            self._now.worker.send(protocol.ReloadFailed(problems))
        notify("READY=1")
        self._reload_once_more()

    def _reload_once_more(self) -> None:
        if self._reload_again:
            self._reload_again = False
            self._reload("who asked during the reload before")

    def _accept(self, launch: protocol.Launch) -> None:
        now = self._now
        worker = self._first_worker if now is None else self._make_worker()
        helper = Role("helper", lambda: spawn.start_helper(self.mode, self._events, launch))
        number = 1 if now is None else now.number + 1
        kept = now if now is not None and now.memory.posts_like(self._memory) else None
        if kept is not None:
            os.close(self._memory.targets)
            self._memory = Memory(self._memory.configuration, kept.memory.targets)
        coming = Generation(number, launch, self._memory, worker, helper)
        helper.start()
        for place in range(0 if self._dry_run else len(launch.runners)):
            coming.runners.append(
                self._find_runner(launch, place) or self._make_runner(launch, place)
            )
        if launch.posts and not self._dry_run:
            start = partial(spawn.start_courier, self.mode, self._memory.targets)
            coming.couriers = kept.couriers if kept else [Role("courier", start)]
            for role in coming.couriers if not kept else ():
                role.start()
        if now is None:
            self._now = coming
            self._take_over()
            return
        worker.start()
        self._coming = coming
        self._coming_until = time.monotonic() + READER_TIME

    def _find_runner(self, launch: protocol.Launch, place: int) -> Role | None:
        """Return the runner of now that is as this one has to be, None if there is none."""
        now = self._now
        if now is None or _find_places(launch) != _find_places(now.launch):
            return None
        known = [*now.launch.runners]
        wanted = launch.runners[place]
        return now.runners[known.index(wanted)] if wanted in known else None

    def _make_runner(self, launch: protocol.Launch, place: int) -> Role:
        name = f"runner-{self._keys}"
        self._keys += 1
        runner = Role(name, partial(spawn.start_runner, self.mode, launch, place))
        runner.start()
        return runner

    def _abandon(self, reason: str) -> None:
        """Give the generation up that was to come."""
        coming, self._coming = self._coming, None
        kept = self._now.roles() if self._now else []
        for role in coming.roles() if coming else []:
            if role not in kept:
                role.due = None
                role.kill()
                self._ending.append(role)
        if coming and self._now:
            coming.close(self._now)
        self._log.write("error", f"reload: {reason}")
        self._end_reload([reason])

    def _advance(self) -> None:
        """Let the generation that comes take over as soon as it can."""
        now, coming = self._now, self._coming
        if now is None or coming is None or self._stop_deadline is not None:
            return
        if not self._handing:
            if not all(role.ready for role in coming.roles() if role not in now.roles()):
                return
            if self._candidate is not None:
                self._confirm_until = time.monotonic() + self._candidate[1].confirm
                if not self._candidate[1].confirm:
                    self._settle(keep=True)
                self._answer("fine", [])
            self._handing = [now.worker, now.helper]
            self._handed_until = time.monotonic() + HAND_OVER_TIME
            for role in self._handing:
                if role.pid and role.ready:
                    role.send(protocol.HandOver() if role is now.worker else protocol.End())
                else:
                    self._note_loss(role)
                    role.kill()
                role.due = None
        if any(role.pid for role in self._handing) or not coming.worker.ready:
            return
        kept = [*coming.roles(), now.worker, now.helper]
        self._ending += [role for role in now.roles() if role not in kept]
        for role in self._ending:
            role.send(protocol.Drain())
            role.due = None
        now.close(coming)
        self._handing = []
        self._now, self._coming = coming, None
        self._take_over()

    def _note_loss(self, role: Role) -> None:
        if not self._lost:
            self._lost = f"{role.name} died while it was to be replaced"

    def _take_over(self) -> None:
        """Put the launch data of now in force and give the worker its means."""
        assert self._now is not None
        launch = self._now.launch
        self._served = False
        self._reload_ok, self._loaded = True, time.time()
        self._log.level, self._log.form = launch.log_level, launch.log_format
        self._audit.configure(None if self._dry_run else launch.audit)
        self._note("configuration", "in-force", f"generation {self._now.number} of {os.getpid()}")
        rtnetlink.filter_routes(self._events[protocol.ROUTES], launch.routes)
        if self._listeners is not None:
            self._listeners.want(launch.listeners, self._log)
        if self._now.worker.ready:
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
        if role.name.startswith("runner"):
            self._kill_orphans()
        if self._stop_deadline is not None:
            role.due = None
            if role.name == "helper" and code != 0:
                self._get_worker().kill()  # it must not say that it has handled all there was
            self._stop_next()
            return
        if role in self._handing or role in self._ending:
            role.due = None
            if role in self._ending:
                self._ending.remove(role)
            elif code != 0:
                self._note_loss(role)
            self._advance()
            return
        how = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        self._note("role", "died", f"{role.name}: {how}")
        if code == spawn.CANT_EXECUTE and self._now in {None, self._coming}:
            self._stop(1)
        elif self._coming and not self._handing and role not in self._now_roles():
            self._abandon(f"the new {role.name} died at its start ({how})")
        elif role.early >= EARLY_LIMIT:
            text = f"{role.name} died {EARLY_LIMIT} times in a row at its start; giving up"
            self._log.write("error", text)
            self._stop(1)
        else:
            name = role.name.partition("-")[0]
            self._restarts[name] = self._restarts.get(name, 0) + 1
            wait = (role.due or 0) - time.monotonic()
            self._log.write("error", f"{role.name} died ({how}), new start in {wait:.2f} s")

    def _now_roles(self) -> list[Role]:
        return self._now.roles() if self._now else []

    def _kill_orphans(self) -> None:
        """Kill what a dead runner has left: every child that is no role, until none is left."""
        ours = {role.pid for role in self._roles()} | {self._reader[0] if self._reader else 0}
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
        is_worker = role.name == "worker"
        match message:
            case protocol.Ready() if not is_worker:
                role.ready = True
                self._advance()
                self._connect(role)
            case protocol.Violated(reason=reason) if not is_worker and self._now:
                self._end_violator(self._now.worker, f"{reason} (told by {role.name})")
            case protocol.WantWireguard(name=name) if role.name == "helper" and self._now:
                _send_wireguard(role, name, self._now.launch.wireguard)
            case protocol.Prepared() if is_worker:
                role.ready = True
                self._advance()
                if self._now is not None and role is self._now.worker and not role.configured:
                    self._configure_worker()
            case protocol.Serving(status=status) if is_worker:
                if role in self._now_roles():
                    notify("READY=1", f"STATUS={status}")
                    self._served = True
                    self._reload_once_more()
            case protocol.Alive() if is_worker:
                notify("WATCHDOG=1")
            case protocol.Reload() if is_worker:
                self._reload("the worker")
            case protocol.Audit():
                self._audit.add(role.name, message)
            case protocol.Candidate() if is_worker:
                self._take_candidate(role, message)
            case protocol.Decide(keep=keep) if is_worker and role in self._now_roles():
                waits = self._confirm_until is not None
                outcome, words = self._settle(keep=keep) if waits else ("nothing", "")
                role.send(protocol.Settled(outcome, [f"{self._file.path} {words}"]))
            case _:
                self._end_violator(role, f"{type(message).__name__} is not its to say")

    def _end_violator(self, role: Role, reason: str) -> None:
        self._log.write("error", f"{role.name} broke the protocol and is ended: {reason}")
        self._note("role", "ended", f"{role.name} broke the protocol: {reason}")
        role.kill()

    def _configure_worker(self) -> None:
        now = self._now
        assert now is not None
        now.worker.configured = True
        keys = [_get_key(role) for role in now.runners] or list(range(len(now.launch.runners)))
        others = [_get_key(role) for role in self._ending if role.name.startswith("runner")]
        configure = protocol.Configure(
            now.number, self._dry_run, self.mode.observe, self._forced, keys, others,
            self._started, self._lost, self._restarts, self._failed, self._reload_ok, self._loaded,
            self._confirm_until or 0.0,
        )  # fmt: skip
        self._lost = ""
        now.worker.send(configure, (now.memory.configuration, *self._slates))
        now.worker.send(protocol.AuditTrouble(self._audit.trouble))
        self._audit.flush()
        self._serve(self._listeners.all() if self._listeners else [])
        for role in (*now.roles(), *self._ending):
            if role.ready:
                self._connect(role)
        if self._dry_run:
            _, scripts = spawn.start_lister(self.mode, now.launch)
            now.worker.send(protocol.RunnerPeer(0), (scripts.fileno(),))
            scripts.close()

    def _serve(self, opened: list[tuple[str, socket.socket]]) -> None:
        """Have the worker serve these too, if it has its configuration; else it gets all with that."""
        if self._now is not None and self._now.worker.configured and not self._handing:
            for kind, sock in opened:
                self._now.worker.send(protocol.Listening(kind), (sock.fileno(),))

    def _connect(self, role: Role) -> None:
        """Give a role and the worker fresh sockets between them; of these we keep none."""
        now = self._now
        if now is None or not now.worker.configured or self._handing:
            return
        peer: protocol.Message
        if role is now.helper:
            peer = protocol.HelperPeer()
        elif role in now.couriers:
            peer = protocol.CourierPeer()
        elif role.name.startswith("runner") and role in (*now.runners, *self._ending):
            peer = protocol.RunnerPeer(_get_key(role))
        else:
            return
        pairs = [make_pair() for _ in range(2 if role is now.helper else 1)]
        if role.send(protocol.Peer(), tuple(far.fileno() for _, far in pairs)):
            now.worker.send(peer, tuple(near.fileno() for near, _ in pairs))
        for near, far in pairs:
            near.close()
            far.close()

    # --- stop -----------------------------------------------------------------------------------

    def _stop(self, status: int) -> None:
        """Begin an orderly stop: the worker ends last, when it has heard what the others had to say."""
        notify("STOPPING=1", "STATUS=stopping")
        self._note("daemon", "stopping", f"exit status {status}")
        self._status = self._status or status
        self._stop_deadline = self._stop_deadline or time.monotonic() + STOP_TIME
        self._drop_reader()
        for role in self._roles():
            role.due = None
            if role.name != "worker" and (role in self._now_roles() or role.name != "helper"):
                role.send(protocol.End(lingers=True))
            elif role not in self._now_roles() and (self._now or role is not self._first_worker):
                role.kill()
        self._get_worker().send(protocol.Stop(self._kept))
        self._stop_next()

    def _get_worker(self) -> Role:
        return self._first_worker if self._now is None else self._now.worker

    def _stop_next(self) -> None:
        worker = self._get_worker()
        if not any(role.pid for role in self._roles() if role is not worker):
            worker.close()


def _send_wireguard(helper: Role, name: str, patterns: list[str]) -> None:
    """Connect the helper to a WireGuard device that is not the kernel's."""
    try:
        with connect_userspace(name, patterns) as connection:
            helper.send(protocol.WireguardSocket(0), (connection.fileno(),))
    except OSError as error:
        helper.send(protocol.WireguardSocket(error.errno or errno.EIO))


def _get_key(runner: Role) -> int:
    """Return what a runner is called on control."""
    return int(runner.name.partition("-")[2])


def _find_places(launch: protocol.Launch) -> tuple[list[str], list[str], bool]:
    """Return what all runners of a configuration have in common."""
    return launch.directories, launch.events, launch.audit is None


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


def run(
    mode: Mode,
    config: str | None,
    listeners: Listeners | None,
    state: str,
    given: list[tuple[str, int]],
) -> int:
    """Confine the supervisor and run the daemon; return the exit status. Raises: Refusal."""
    sandbox.forbid_new_privileges()
    sandbox.deny_dangerous_calls()
    try:
        supervisor = Supervisor(mode, config, listeners, state, given)
    except OSError as error:
        raise Refusal(f"netlink can't be used: {error.strerror}") from None
    return supervisor.run()
