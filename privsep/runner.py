"""
The runner's loop: start scripts, keep their pipes, end all they have started, report once.

The runner is what its scripts shall be, so that nothing between a request and execve needs
privilege. It decides nothing: which script, when and for how long is the worker's to say; whether a
file may be run at all is `scripts`'.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import time
from collections import deque
from typing import Final

from msgspec import structs

from privsep import processes, protocol, sandbox
from privsep.audit import Reporter
from privsep.channel import Channel, Closed
from privsep.inotify import Watch
from privsep.scripts import Table
from privsep.signatures import Untrusted
from privsep.trees import CONVENTIONS
from privsep.variables import find_bad_value

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUN_LIMIT: Final = 224
"""Runs that are live or not yet forgotten. Each has four descriptors of the 1,024 that a process has
by default; `scripts.concurrency` ends at 200."""
GRACE: Final = 5.0
"""Seconds between TERM and KILL when the daemon stops."""
FAREWELL: Final = 2.0
"""Seconds for a worker to read what is left: one that goes on talking must not keep a runner for ever."""
_MARKER: Final = b"NETEVD_RUN"
_SEALED: Final = 3
"""Descriptor of a sealed copy in the script's process: its interpreter opens it by /proc."""
_DEFAULTED: Final = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class _Life:
    """One run from its start until it is forgotten."""

    def __init__(
        self, request: protocol.Run, pid: int, pipes: tuple[int, int], ends: tuple[int, int]
    ) -> None:
        self.id, self.detach, self.pid = request.id, request.detach, pid
        self.pipes = pipes
        self.ends = ends
        """Our copies of the write ends: while they are open no end of file wakes the worker, which
        hears of the end by `finished` anyway."""
        self.started = time.monotonic()
        self.started_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.exited: protocol.Finished | None = None
        """The end of the first process; leftovers may still live."""
        self.ended: protocol.Finished | None = None
        self.killed: set[int] = set()


class Runner:
    """State of one runner: its script table, its runs, the worker it serves."""

    def __init__(
        self, lead: socket.socket, table: Table, single: tuple[str, str] | None, audited: str | None
    ) -> None:
        """
        Identity and sandbox are taken already.

        single: event type and path of one file that is the whole table. audited: None when there is no
        audit log; else what is special about this identity, "" for nothing: then refusals are noted only.
        """
        self._lead: Channel[protocol.Lead] = Channel(lead, protocol.LEAD, limit=4096, descriptors=1)
        self._audited = audited
        self._reporter = Reporter(self._lead)
        self._table = table
        self._single = single
        self._wake, self._wake_end = socket.socketpair()
        """Readable when a signal (SIGCHLD) has come."""
        for end in (self._wake, self._wake_end):
            end.setblocking(False)
        self._worker: Channel[protocol.ScriptsRequest] | None = None
        self._outbox: deque[tuple[protocol.Message, tuple[int, ...]]] = deque()
        self._watch = Watch()
        self._runs: dict[int, _Life] = {}
        self._detached: set[_Life] = set()
        """Detached runs that have ended, of which processes may still live."""
        self._incarnation = os.urandom(8).hex()
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._stop_at: float | None = None
        self._draining = False
        self._poller = select.poll()
        self._polled: object = None
        self._spare: list[int] = []
        """Pipes for the next run, made after the last one, when nobody waits."""
        self._kill_at = 0.0

    def run(self) -> None:
        """Serve until the lead channel ends and no script lives any more."""
        self._prepare()
        self._scan()
        self._lead.send(protocol.Ready())
        while not self._is_done():
            ready = self._poll()
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._reap()
            if self._watch.fileno() in ready:
                self._watch.drain()
                if self._scan():
                    self._send_entries()
            if self._lead.fileno() in ready:
                self._handle_lead()
            elif self._worker is not None and self._worker.fileno() in ready:
                self._serve()
            if self._stop_at is not None:
                self._press()
        self._say_farewell()

    def _prepare(self) -> None:
        """Be what a script shall find, and ignore the signals one may: scripts of the same user could send them."""
        os.chdir("/")
        os.umask(0o022)
        for which in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
            with contextlib.suppress(OSError):  # signals of the C library itself
                signal.signal(which, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        sandbox.become_subreaper()

    def _is_done(self) -> bool:
        if self._stop_at is not None:
            return not processes.read_children()
        return self._draining and not self._runs and not processes.read_children()

    def _say_farewell(self) -> None:
        """
        Send what is left, and let the worker read it.

        A socket closed with unread requests resets, and the peer loses what it had not read yet.
        """
        self._flush()
        if self._worker is None:
            return
        self._worker.sock.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(self._worker.fileno(), select.POLLIN)
        until = time.monotonic() + FAREWELL
        try:
            while poll.poll(1000) and time.monotonic() < until:
                self._worker.receive()
        except (Closed, BlockingIOError, protocol.ProtocolViolation):
            return

    def _poll(self) -> set[int]:
        wanted = (self._stop_at is None, self._worker, bool(self._outbox))
        if wanted != self._polled:  # most rounds are like the one before
            self._polled, self._poller = wanted, select.poll()
            for descriptor in (self._wake.fileno(), self._watch.fileno()):
                if descriptor >= 0:
                    self._poller.register(descriptor, select.POLLIN)
            if self._stop_at is None:
                self._poller.register(self._lead.fileno(), select.POLLIN)
            if self._worker is not None:
                events = select.POLLOUT if self._outbox else select.POLLIN
                self._poller.register(self._worker.fileno(), events)
        timeout = None if self._stop_at is None else 100
        return {descriptor for descriptor, _ in self._poller.poll(timeout)}

    # --- the worker ---------------------------------------------------------------------------

    def _handle_lead(self) -> None:
        try:
            message, descriptors = self._lead.receive()
        except Closed:
            message, descriptors = protocol.End(), []
        match message:
            case protocol.Peer():
                if len(descriptors) != 1:
                    raise protocol.ProtocolViolation("peer without its socket")
                self._lose_worker()
                sock = socket.socket(fileno=descriptors[0])
                sock.setblocking(False)
                self._worker = Channel(sock, protocol.SCRIPTS_REQUEST)
            case protocol.Drain():
                self._draining = True
            case protocol.End():
                self._stop_at = time.monotonic()
                self._kill_at = self._stop_at + GRACE
                _signal_all(signal.SIGTERM)

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None
        self._outbox.clear()

    def _serve(self) -> None:
        assert self._worker is not None
        try:
            if self._outbox:
                self._flush()
                return
            request, _ = self._worker.receive()
            self._handle(request)
        except Closed:
            self._lose_worker()
        except BlockingIOError:
            pass
        except protocol.ProtocolViolation as violation:
            self._end_worker(str(violation))

    def _end_worker(self, reason: str) -> None:
        self._lose_worker()
        self._lead.send(protocol.Violated(reason[:1000]))

    def _send(self, message: protocol.Message, descriptors: tuple[int, ...] = ()) -> None:
        if self._worker is not None:
            self._outbox.append((message, descriptors))
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox and self._worker is not None:
                self._worker.send(*self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            pass
        except Closed:
            self._lose_worker()
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:  # too many that were sent wait to be received
                raise
            self._end_worker("it does not take the pipes that it asks for")

    def _handle(self, request: protocol.ScriptsRequest) -> None:
        match request:
            case protocol.Run():
                self._start(request)
            case protocol.Signal(id=id_, which=which):
                self._signal(id_, signal.SIGTERM if which == "TERM" else signal.SIGKILL)
            case protocol.Forget(id=id_):
                self._forget(id_)
            case protocol.Running():
                for life in list(self._runs.values()):
                    self._send(protocol.Known(life.id, life.ended), life.pipes)
                self._send(protocol.Incarnation(self._incarnation))
            case protocol.Rescan():
                self._scan()
                self._send_entries()

    # --- the script table -----------------------------------------------------------------------

    def _scan(self) -> bool:
        if self._single is not None:
            return self._table.take_single(*self._single)
        self._watch.add(self._table.directories())
        changed = self._table.scan()
        self._report_signatures()
        return changed

    def _report_signatures(self) -> None:
        """Tell which manifests are newly believed, and which files newly are not what was signed."""
        accepted = self._table.verifier.accepted if self._table.verifier else []
        while accepted:
            root, version, signer = accepted.pop()
            self._lead.send(protocol.Accepted(root, version))
            self._report("accepted", f"{root}: version {version}, signed by {signer}", "manifest")
        for path, reason in self._table.take_unknown():
            self._report("refused", f"{path}: {reason}", "script")

    def _send_entries(self) -> None:
        for part in self._table.parts():
            self._send(part)

    # --- one run --------------------------------------------------------------------------------

    def _start(self, request: protocol.Run) -> None:
        if request.id in self._runs:
            raise protocol.ProtocolViolation(f"run {request.id} exists already")
        kind, path, fault = self._table.find_fault(request.entry)
        fault = fault or find_bad_value(request.values, of_tree=bool(kind)) or ""
        if self._stop_at is not None:
            fault = "the daemon is stopping"
        elif len(self._runs) >= RUN_LIMIT:
            fault = f"{RUN_LIMIT} runs are live or not recorded yet"
        if not fault:
            try:
                life = self._spawn(request, kind, path)
            except Untrusted as untrusted:
                fault = str(untrusted)
            except (OSError, ValueError) as error:
                fault = _explain(path, error)
            else:
                self._report("started", f"run {life.id}: {path}")
                self._send(protocol.Started(life.id, life.pid), life.pipes)
                self._prepare_pipes()
                return
        self._report("refused", f"run {request.id}: {path}: {fault}")
        self._send(protocol.Refused(request.id, fault[:4096]))

    def _report(self, outcome: str, detail: str, what: str = "run") -> None:
        """Report what was done or refused, unless nobody keeps it or it is an ordinary script's run."""
        ordinary = outcome in {"started", "ended"}
        if self._audited or (self._audited is not None and not ordinary):
            self._reporter.tell(what, outcome, self._audited, detail)

    def _spawn(self, request: protocol.Run, kind: str, path: str) -> _Life:
        arguments = self._table.build_arguments(request.entry, request.words)
        environment = {name.encode(): value.encode() for name, value in request.values}
        environment[b"PATH"] = PATH.encode()
        if not kind:
            environment[b"NETEVD_SCRIPT_PATH"] = os.fsencode(path)
        if CONVENTIONS[kind].marked:
            environment[_MARKER] = f"{self._incarnation}.{request.id}".encode()
        self._spare = self._spare or _open_pipes()
        out, out_end, err, err_end = self._spare
        ends = [(self._null, 0), (out_end, 1), (err_end, 2)]
        verifier = self._table.verifier
        if verifier is not None:
            ends.append((verifier.seal(path), _SEALED))
            arguments[0] = f"/proc/self/fd/{_SEALED}"
        try:
            pid = os.posix_spawn(
                arguments[0], arguments, environment, setsid=True, setsigmask=(), setsigdef=_DEFAULTED,
                file_actions=[(os.POSIX_SPAWN_DUP2, *each) for each in ends],
            )  # fmt: skip
        finally:
            for sealed, _ in ends[3:]:
                os.close(sealed)
        self._spare = []
        life = _Life(request, pid, (out, err), (out_end, err_end))
        self._runs[request.id] = life
        return life

    def _prepare_pipes(self) -> None:
        try:
            self._spare = self._spare or _open_pipes()
        except OSError:
            return  # out of descriptors now; the next run will tell if it still is

    def _forget(self, id_: int) -> None:
        life = self._runs.get(id_)
        if life is None or life.ended is None:
            raise protocol.ProtocolViolation(f"run {id_} is not one that has ended")
        for descriptor in life.pipes:
            os.close(descriptor)
        del self._runs[id_]

    def _signal(self, id_: int, which: int) -> None:
        life = self._runs.get(id_)
        if life is None or life.ended is not None:
            return  # it ended while the request was on its way
        members = [] if life.exited else [life.pid]
        members += [pid for pid, owners in self._orphans() if life in owners]
        processes.send_signal(processes.read_descendants(members), which)

    # --- ends -----------------------------------------------------------------------------------

    def _reap(self) -> None:
        by_pid = {life.pid: life for life in self._runs.values() if life.exited is None}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            life = by_pid.pop(pid, None)
            if life is not None:
                code, cpu = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
                lived = time.monotonic() - life.started
                life.exited = protocol.Finished(life.id, code, lived, cpu, 0)
        self._finish()

    def _finish(self) -> None:
        """Report every run of which nothing lives any more; kill what outlived its run."""
        open_runs = [life for life in self._runs.values() if life.exited and not life.ended]
        if not open_runs:
            return
        held: set[int] = set()
        orphans = self._orphans()
        self._detached &= {life for _, owners in orphans for life in owners}
        for pid, owners in orphans:
            if any(life.detach for life in owners):
                continue
            if owners and all(life.exited for life in owners):
                doomed = processes.read_descendants([pid])
                processes.send_signal(doomed, signal.SIGKILL)
                for life in owners:
                    life.killed.update(doomed)
            held.update(life.id for life in owners)
        for life in open_runs:
            if life.id not in held and life.exited:
                life.ended = structs.replace(life.exited, leftovers=len(life.killed))
                self._send(life.ended)
                self._report("ended", f"run {life.id}: status {life.ended.status}")
                for descriptor in life.ends:
                    os.close(descriptor)
                if life.detach:
                    self._detached.add(life)

    def _orphans(self) -> list[tuple[int, list[_Life]]]:
        """Return the processes that were re-parented here, each with the runs it belongs to."""
        firsts = {life.pid for life in self._runs.values() if not life.exited}
        strangers = [pid for pid in processes.read_children() if pid not in firsts]
        return [(pid, self._find_owners(pid)) for pid in strangers]

    def _find_owners(self, pid: int) -> list[_Life]:
        live = [life for life in self._runs.values() if not life.ended]
        known = [*live, *self._detached]
        member = processes.read_membership(pid)
        if member is None:
            return []
        for life in known:
            if life.pid in {member.group, member.session}:
                return [life]
        marker = processes.read_marker(pid, _MARKER)
        for life in known:
            if marker == f"{self._incarnation}.{life.id}".encode():
                return [life]
        # no sign of its own: it may be of any run that is older (proc(5) counts in ticks)
        older = [life for life in live if life.started_boot <= member.started + 0.02]
        return [life for life in older if not life.detach]

    def _press(self) -> None:
        """Kill what did not heed TERM, GRACE seconds after it."""
        if time.monotonic() >= self._kill_at:
            _signal_all(signal.SIGKILL)


def _signal_all(which: int) -> None:
    """Signal everything that was started here and lives."""
    processes.send_signal(processes.read_descendants(processes.read_children()), which)


def _open_pipes() -> list[int]:
    """Return read and write end of a pipe for stdout, then of one for stderr."""
    out = os.pipe()
    try:
        return [*out, *os.pipe()]
    except OSError:
        for descriptor in out:
            os.close(descriptor)
        raise


def _explain(path: str, error: OSError | ValueError) -> str:
    """Return why a script that passed all checks could not be executed."""
    if isinstance(error, ValueError):  # also of a NUL byte in a variable
        return str(error)
    interpreter = ""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as script:
            first = script.read(256).split(b"\n", 1)[0]
        if first.startswith(b"#!"):
            interpreter = protocol.escape(os.fsdecode(first[2:].strip()))
    except OSError:
        pass
    words = {errno.ENOENT: "is not there", errno.EACCES: "may not be executed"}
    if interpreter and error.errno in words:
        return f"its interpreter {interpreter!r} (first line) {words[error.errno]}"
    if error.errno == errno.ENOEXEC:  # no fall-back to a shell, as the kernel has none
        return "it is no program and has no interpreter line; its first line must be like #!/bin/sh"
    return f"it can't be executed: {error.strerror}"
