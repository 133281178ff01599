"""
The supervisor's loop: start, connect, reap, restart, stop.

It knows processes, sockets and times, and nothing of networks: it holds no end of feed, rpc or
scripts once both sides have theirs, and parses neither configuration nor kernel messages.
"""

from __future__ import annotations

import contextlib
import errno
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
from privsep.audit import THE_WORKER, WEAK, AuditLog
from privsep.channel import Closed
from privsep.configfile import DEFAULT, Trial
from privsep.launch import Launch, Rejected
from privsep.listeners import Listeners
from privsep.log import Log, tell
from privsep.mode import Mode
from privsep.notify import notify, watchdog_interval
from privsep.processes import read_children, read_descendants, send_signal
from privsep.reading import TIME, Reading
from privsep.roles import START_TIME, Generation, Role, Roster
from privsep.scripts import trusted_owners
from privsep.store import Store
from privsep.versions import Versions
from privsep.wireguard import connect_userspace

EARLY_LIMIT: Final = 5
"""Early deaths in a row after which the daemon ends."""
DIAL_PAUSE: Final = 0.5
"""Seconds from one connection to the system bus to the next."""
DIALERS: Final = 3
"""Connections to the system bus at once, each with the process that made it."""
STOP_TIME: Final = 7.5
"""Seconds from the order to stop until whoever is left is killed."""


class Supervisor:
    """State of the daemon: its roles, its configuration, whether it stops."""

    def __init__(
        self, mode: Mode, config: str | None, listeners: Listeners | None, state: str,
        given: list[tuple[str, int]],
    ) -> None:  # fmt: skip
        """
        config: path of the file, None for the default one. listeners: None in a dry run. state:
        directory of the worker's, "" for none. given: descriptors that the service manager has handed over.
        """
        self.mode = mode
        self._config = config or ""
        self._listeners = listeners
        self._dry_run = listeners is None
        self._log = Log()
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
        self._reading: Reading | None = None
        owners = trusted_owners(observe=mode.observe)
        self._versions = Versions(state, owners, self._log)
        self._roster = Roster(mode, state, self._events, self._versions, dry_run=self._dry_run)
        group = -1 if mode.observe else mode.worker.groups[0]
        self._audit = AuditLog(self._log, owners, group, self._roster.tell)
        self._trial = Trial(config or DEFAULT, owners, self._log, self._note)
        self._dial_due = 0.0
        """When the worker may ask for the bus again, monotonic seconds."""
        self._dialers = set[int]()
        self._orphaned = False
        """Whether something that a dead runner has left may still live."""
        self._reload_again = self._reload_by = ""
        """Who wants one more reload, "" for nobody, and who wanted the latest."""
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
        if sandbox.find_landlock() < 1:
            self._log.write("warn", "this kernel has no Landlock: files are closed by users alone")
        if unknown := ", ".join(sandbox.find_unknown_calls()):
            self._log.write("info", f"system calls not known to libseccomp are left out: {unknown}")
        if not self._dry_run:
            self._settle(keep=False)
        self._reading = Reading(self.mode, self._config)
        self._roster.first_worker.start()
        sandbox.build_filter("helper", sandbox.choose("enforce"))  # so that no fork has to
        gc.collect()
        gc.freeze()  # forks share what the collector will not touch again
        while self._stop_deadline is None or self._orphaned or self._roster.living():
            self._step()
        if self._versions.due is not None:
            self._versions.keep()
        self._note("daemon", "ended", f"exit status {self._status}")
        return self._status

    def _note(self, what: str, outcome: str, detail: str, by: str = "") -> None:
        """Note in the audit log what the supervisor itself has done or seen."""
        detail = protocol.escape(detail)[:512]
        self._audit.add("supervisor", protocol.Audit(what, outcome, by, detail))

    def _step(self) -> None:
        poll = select.poll()
        handlers: dict[int, Callable[[], None]] = {self._wake.fileno(): self._handle_signals}
        if self._reading is not None:
            handlers[self._reading.fileno()] = self._handle_verdict
        for role in self._roster.all():
            if role.channel is not None:
                handlers[role.channel.fileno()] = partial(self._handle_report, role)
        for descriptor in handlers:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(self._timeout()):
            handlers[descriptor]()
        self._handle_times()

    def _timeout(self) -> int | None:
        """Return milliseconds until something is due, None when nothing is."""
        reading, listeners = self._reading, self._listeners
        times = [role.due for role in self._roster.all()]
        times += [self._roster.due, self._trial.until, self._audit.due, self._versions.due]
        times += [reading.until if reading else None, listeners.due if listeners else None]
        times += [self._next_watchdog if self._watchdog else None, self._stop_deadline]
        known = [moment for moment in times if moment is not None]
        return max(0, int((min(known) - time.monotonic()) * 1000) + 1) if known else None

    def _handle_times(self) -> None:
        now = time.monotonic()
        for role in self._roster.all():
            if role.due is not None and role.due <= now:
                role.start()
        if self._listeners and self._listeners.due is not None and self._listeners.due <= now:
            self._serve(self._listeners.open_missing(self._log))
        if self._reading is not None and now >= self._reading.until:
            self._refuse([f"the configuration could not be read within {TIME:.0f} s"])
        if self._stop_deadline is not None and now >= self._stop_deadline:
            for role in self._roster.all():
                role.kill()
            self._stop_deadline = now + 1
        if self._roster.due is not None and now >= self._roster.due:
            if self._roster.handing:
                self._roster.press()
            else:
                self._abandon(f"its roles were not ready within {START_TIME:.0f} s")
        if self._trial.until is not None and now >= self._trial.until:
            self._settle(keep=False)
        if self._audit.due is not None and now >= self._audit.due:
            self._audit.flush()
        if self._versions.due is not None and now >= self._versions.due:
            self._versions.keep()
        if self._watchdog is not None and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog / 3
            if self._served:
                self._roster.get_worker().send(protocol.Liveness(int(now * 1000)))

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

    def _handle_verdict(self) -> None:
        reading = self._reading
        assert reading is not None
        verdict = reading.receive()
        if isinstance(verdict, Rejected):
            self._refuse(verdict.problems)
            return
        self._reading = None
        reading.end()
        if self._trial.candidate is None or self._store(verdict, reading):
            self._roster.bring(verdict, reading.memory)
            if self._roster.coming is None:
                self._take_over()

    def _drop_reading(self) -> None:
        if self._reading is not None:
            self._reading.end()
            self._reading.forget()
            self._reading = None

    def _refuse(self, problems: list[str]) -> None:
        """Take in that a configuration is bad: at a start it is the end, at a reload nothing is."""
        self._drop_reading()
        if self._roster.now is None:
            for problem in problems:
                tell(f"{problem}\n".encode())
            self._stop(1)
        elif self._trial.candidate is not None:
            self._answer("invalid", problems)
        else:
            for problem in problems:
                self._log.write("error", f"reload: {problem}")
            self._end_reload(problems)

    # --- configuration over the API -----------------------------------------------------------

    def _take_candidate(self, role: Role, candidate: protocol.Candidate) -> None:
        """Have a configuration checked that a worker has sent: nothing in it is to be trusted."""
        now, trial = self._roster.now, self._trial
        if not (now and role is now.worker and now.launch.digest) or trial.is_of(role):
            self._end_violator(role, "it may not send a configuration now")
        elif trial.candidate or trial.until or not self._is_idle():
            role.send(protocol.Settled("busy", []))
        elif self._stop_deadline is None and not self._dry_run:
            trial.begin(role, candidate)
            kind = "patch" if candidate.patch else "text"
            self._reading = Reading(self.mode, self._config, kind, candidate.content)

    def _store(self, launch: Launch, reading: Reading) -> bool:
        """Write what the reader is content with; tell whether it is to be put in force."""
        assert self._roster.now is not None
        outcome, words = self._trial.store(launch, reading.memory, self._roster.now)
        if outcome == "written":
            return True
        self._answer(outcome, [words], (reading.memory.configuration,))
        reading.forget()
        return False

    def _answer(self, outcome: str, problems: list[str], memory: tuple[int, ...] = ()) -> None:
        self._trial.answer(self._roster.get_worker(), outcome, problems, memory)
        self._reload_once_more()

    def _settle(self, *, keep: bool) -> tuple[str, str]:
        """Keep what is on trial in the file, or bring back and put in force what was before it."""
        outcome, words = self._trial.settle(keep=keep)
        if outcome == "rolled-back" and self._roster.now is not None:
            self._reload("the end of a trial")
        return outcome, words

    # --- reload -------------------------------------------------------------------------------

    def _reload(self, by: str) -> None:
        """Read the configuration again, or once more after the reload that is under way."""
        if self._stop_deadline is not None:
            return
        if self._dry_run:
            self._log.write("warn", "a dry run is not reloaded: start it again")
        elif not self._is_idle():
            self._reload_again = by if by != THE_WORKER else self._reload_again or by
        else:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._log.write("info", "netevd reads its configuration again")
            self._reload_by = by
            self._note("reload", "begun", "", by)
            self._reading = Reading(self.mode, self._config)

    def _is_idle(self) -> bool:
        """Tell whether the worker serves and no other configuration is on its way."""
        return self._reading is None and self._roster.coming is None and self._served

    def _end_reload(self, problems: list[str]) -> None:
        """Say that the reload changed nothing, and why."""
        text = "the configuration of before stays in force, nothing was changed"
        self._log.write("error", f"reload failed: {text}")
        self._note("reload", "refused", "; ".join(problems), self._reload_by)
        self._failed, self._reload_ok = self._failed + 1, False
        if self._trial.candidate is not None:
            self._trial.settle(keep=False)
            self._answer("invalid", problems)
        elif self._roster.now is not None:
            self._roster.now.worker.send(protocol.ReloadFailed(problems))
        notify("READY=1")
        self._reload_once_more()

    def _reload_once_more(self) -> None:
        by, self._reload_again = self._reload_again, ""
        if by:
            self._reload(by)

    def _abandon(self, reason: str) -> None:
        """Give the generation up that was to come."""
        self._roster.abandon()
        self._log.write("error", f"reload: {reason}")
        self._end_reload([reason])

    def _advance(self) -> None:
        """Let the generation that comes take over as soon as it can."""
        roster = self._roster
        if roster.coming is None or self._stop_deadline is not None:
            return
        if not roster.handing:
            if not roster.is_coming_ready():
                return
            if (candidate := self._trial.candidate) is not None:
                self._trial.until = time.monotonic() + candidate.confirm
                if not candidate.confirm:
                    self._settle(keep=True)
                self._answer("fine", [])
            for role in roster.hand_over():
                self._note_loss(role)
        if roster.take_over():
            self._take_over()

    def _note_loss(self, role: Role) -> None:
        self._lost = self._lost or f"{role.name} died while it was to be replaced"

    def _take_over(self) -> None:
        """Put the launch data of now in force and give the worker its means."""
        now = self._roster.now
        assert now is not None
        launch = now.launch
        self._served = False
        self._reload_ok, self._loaded = True, time.time()
        self._log.level, self._log.form = launch.log_level, launch.log_format
        self._audit.configure(None if self._dry_run else launch.audit)
        self._note("configuration", "in-force", f"generation {now.number} of {os.getpid()}")
        if launch.sandbox != "enforce":
            words = "system calls that roles do not need pass, and files are closed by users alone"
            self._log.write("warn", f"security.sandbox is {launch.sandbox}: {words}")
        rtnetlink.attach(self._events[protocol.ROUTES], rtnetlink.encode_filter(launch.routes))
        if self._listeners is not None:
            self._listeners.want(launch.listeners, self._log)
        if now.worker.ready:
            self._configure_worker(now)

    # --- roles --------------------------------------------------------------------------------

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._dialers.discard(found[0])
                for role in self._roster.all():
                    if role.pid == found[0]:
                        self._handle_death(role, os.waitstatus_to_exitcode(found[1]))
        if self._orphaned:
            self._kill_orphans()  # what those have left that were killed

    def _handle_death(self, role: Role, code: int) -> None:
        role.note_death()
        if role.kind == "runner":
            self._kill_orphans()
        if self._stop_deadline is not None:
            role.due = None
            if role.name == "helper" and code != 0:
                self._roster.get_worker().kill()  # it must not say that it has handled all there was
            self._stop_next()
            return
        if role in self._roster.handing or role in self._roster.ending:
            role.due = None
            if role in self._roster.ending:
                self._roster.ending.remove(role)
            elif code != 0:
                self._note_loss(role)
            self._advance()
            return
        how = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        self._note("role", "died", f"{role.name}: {how}")
        roster = self._roster
        if code == spawn.CANT_EXECUTE and roster.now in {None, roster.coming}:
            self._stop(1)
        elif roster.coming and not roster.handing and role not in roster.of_now():
            self._abandon(f"the new {role.name} died at its start ({how})")
        elif role.early >= EARLY_LIMIT:
            text = f"{role.name} died {EARLY_LIMIT} times in a row at its start; giving up"
            self._log.write("error", text)
            self._stop(1)
        else:
            self._restarts[role.kind] = self._restarts.get(role.kind, 0) + 1
            wait = (role.due or 0) - time.monotonic()
            self._log.write("error", f"{role.name} died ({how}), new start in {wait:.2f} s")

    def _kill_orphans(self) -> None:
        """Kill what a dead runner has left: every child that is no role. It is reaped as it ends."""
        ours = {role.pid for role in self._roster.all()} | self._dialers
        ours |= {self._reading.pid} if self._reading else set()
        strays = [pid for pid in read_children() if pid not in ours]
        self._orphaned = bool(strays)
        send_signal(read_descendants(strays), signal.SIGKILL)

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
        is_worker, now = role.name == "worker", self._roster.now
        noted = isinstance(message, protocol.Audit)  # bounded there: strangers cause some of these
        if is_worker and not noted and not role.may_speak():
            self._end_violator(role, "it says too much")
            return
        match message:
            case protocol.Ready() if not is_worker:
                role.ready = True
                self._advance()
                self._roster.connect(role)
            case protocol.Violated(reason=reason) if not is_worker and now:
                self._end_violator(now.worker, f"{reason} (told by {role.name})")
                if role.name in WEAK:  # its word alone ends no worker twice
                    role.kill()
            case protocol.Accepted(root=root, version=version) if role.kind == "runner" and now:
                if root in now.launch.directories:  # else it is of a configuration of before
                    self._versions.note(role.uid, root, version)
            case protocol.WantWireguard(name=name) if role.name == "helper" and now:
                _send_wireguard(role, name, now.launch.wireguard)
            case protocol.Prepared() if is_worker:
                role.ready = True
                self._advance()
                now = self._roster.now  # it may be another one since
                if now is not None and role is now.worker and not role.configured:
                    self._configure_worker(now)
            case protocol.Serving(status=status) if is_worker:
                if role in self._roster.of_now():
                    notify("READY=1", f"STATUS={status}")
                    self._served = True
                    self._reload_once_more()
            case protocol.Alive() if is_worker:
                notify("WATCHDOG=1")
            case protocol.Reload() if is_worker:
                self._reload(THE_WORKER)
            case protocol.Refresh() if is_worker:
                if now and role is now.worker and self._is_idle():
                    self._roster.bring(now.launch, spawn.Memory(*map(os.dup, now.memory)))
            case protocol.WantBus() if is_worker and role in self._roster.of_now():
                self._dial(role)
            case protocol.Audit():
                self._audit.add(role.name, message)
            case protocol.Candidate() if is_worker:
                self._take_candidate(role, message)
            case protocol.Decide(keep=keep) if is_worker and role in self._roster.of_now():
                outcome, words = "nothing", self._trial.say("")
                if self._trial.until is not None:
                    outcome, words = self._settle(keep=keep)
                role.send(protocol.Settled(outcome, [words]))
            case _:
                self._end_violator(role, f"{type(message).__name__} is not its to say")

    def _dial(self, worker: Role) -> None:
        """Have a connection to the system bus made for the worker, unless one was just now."""
        wait = time.monotonic() < self._dial_due or len(self._dialers) >= DIALERS
        if wait or self._stop_deadline is not None:
            worker.send(protocol.BusPeer(errno.EAGAIN))
            return
        self._dial_due = time.monotonic() + DIAL_PAUSE
        pid, answers = spawn.start_dialer(self.mode)
        self._dialers.add(pid)
        with answers:
            worker.send(protocol.BusPeer(), (answers.fileno(),))

    def _end_violator(self, role: Role, reason: str) -> None:
        self._log.write("error", f"{role.name} broke the protocol and is ended: {reason}")
        self._note("role", "ended", f"{role.name} broke the protocol: {reason}")
        role.kill()

    def _configure_worker(self, now: Generation) -> None:
        ending = self._roster.ending
        now.worker.configured = True
        keys = [role.key for role in now.runners] or list(range(len(now.launch.runners)))
        others = [role.key for role in ending if role.kind == "runner"]
        configure = protocol.Configure(
            now.number, self._dry_run, self.mode.observe, self._forced, keys, others,
            self._started, self._lost, self._restarts, self._failed, self._reload_ok, self._loaded,
            self._trial.until or 0.0, now.launch.sandbox, max(0, sandbox.find_landlock()),
        )  # fmt: skip
        self._lost = ""
        now.worker.send(configure, (now.memory.configuration, *self._slates))
        now.worker.send(protocol.AuditTrouble(self._audit.trouble))
        self._audit.flush()
        self._serve(self._listeners.all() if self._listeners else [])
        for role in (*now.roles(), *ending):
            if role.ready:
                self._roster.connect(role)
        if self._dry_run:
            _, scripts = spawn.start_lister(self.mode, now.launch, self._versions)
            now.worker.send(protocol.RunnerPeer(0), (scripts.fileno(),))
            scripts.close()

    def _serve(self, opened: list[tuple[str, socket.socket]]) -> None:
        """Have the worker serve these too, if it has its configuration; else it gets all with that."""
        for kind, sock in opened:
            self._roster.tell(protocol.Listening(kind), (sock.fileno(),))

    # --- stop -----------------------------------------------------------------------------------

    def _stop(self, status: int) -> None:
        """Begin an orderly stop: the worker ends last, when it has heard what the others had to say."""
        notify("STOPPING=1", "STATUS=stopping")
        self._note("daemon", "stopping", f"exit status {status}")
        self._status = self._status or status
        self._stop_deadline = self._stop_deadline or time.monotonic() + STOP_TIME
        self._drop_reading()
        # before any script ends because of it: what waits behind that is the next daemon's
        self._roster.get_worker().send(protocol.Stop(self._kept))
        for role in self._roster.all():
            role.due = None
            if role.name != "worker" and (role in self._roster.of_now() or role.name != "helper"):
                role.send(protocol.End(lingers=True))
            elif role is not self._roster.get_worker():
                role.kill()
        self._stop_next()

    def _stop_next(self) -> None:
        worker = self._roster.get_worker()
        if not {*self._roster.living()} - {worker}:
            worker.close()


def _send_wireguard(helper: Role, name: str, patterns: list[str]) -> None:
    """Connect the helper to a WireGuard device that is not the kernel's."""
    try:
        with connect_userspace(name, patterns) as connection:
            helper.send(protocol.WireguardSocket(0), (connection.fileno(),))
    except OSError as error:
        helper.send(protocol.WireguardSocket(error.errno or errno.EIO))
