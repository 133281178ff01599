"""
Start one role: fork, let go of everything that is not its own, take its identity, become it.

Helper and runners stay forks of the supervisor (small, ready in a millisecond); worker and reader
are executed anew, so that their address layout says nothing about ours.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from privsep import domain, sandbox
from privsep.channel import Channel, Closed, make_pair
from privsep.helper import Helper, Sockets
from privsep.launch import Identity, Launch
from privsep.mode import Mode
from privsep.protocol import BUS, BUS_PATH, SCRIPTS_REQUEST, BusSocket, Incarnation, ScriptsRequest
from privsep.runner import Runner
from privsep.scripts import Table, trusted_owners
from privsep.signatures import Verifier
from privsep.versions import Versions

CANT_EXECUTE: Final = 126
"""Exit status of a role that could not become what it shall be; trying again would not help."""

_KEPT_VARIABLES: Final = ("LANG", "LC_ALL", "TZ", "TERM", "NO_COLOR", "FORCE_COLOR")


def fork(name: str, body: Callable[[], None], *, keep: tuple[int, ...]) -> int:
    """Return the pid of a child that runs `body` with only these descriptors, then ends."""
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()  # whoever shares root's terminal could type into it: TIOCSTI in ioctl_tty(2)
        _set_signals()
        _close_all_but(keep)
        sandbox.name_process(f"netevd-{name}")
        body()
        status = 0
    except Exception:  # the composition root of each role: say it, then end
        os.write(2, f"netevd {name}: {traceback.format_exc()}".encode())
    finally:
        os._exit(status)


def _set_signals() -> None:
    """Leave Ctrl-C and the signals of a service manager to the supervisor; execve keeps this."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(which, signal.SIG_IGN)


def _close_all_but(keep: tuple[int, ...]) -> None:
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _begin(
    name: str, body: Callable[[socket.socket], None], *keep: int
) -> tuple[int, socket.socket]:
    """Return pid and socket of a fork that lives as `body` does with the other end of the socket."""
    ours, its = make_pair()
    pid = fork(name, lambda: body(its), keep=(its.fileno(), *keep))
    its.close()
    return pid, ours


def start_helper(mode: Mode, events: Sockets, launch: Launch) -> tuple[int, socket.socket]:
    """Return pid and lead socket of a new helper: it reads these sockets and writes as it may."""

    def body(lead: socket.socket) -> None:
        keep = 0 if mode.observe else 1 << sandbox.CAPABILITIES["CAP_NET_ADMIN"]
        helper = Helper(lead, events, launch)
        sandbox.become(mode.helper, change_user=not mode.observe, keep=keep)
        domain.enter("helper")
        sandbox.forbid_dumps()
        sandbox.confine("helper", sandbox.choose(launch.sandbox))
        helper.run()

    return _begin("helper", body, *(sock.fileno() for sock in events))


def _become_scripts(
    mode: Mode, launch: Launch, number: int, versions: Versions, *, lists: bool = False
) -> Table:
    """Become what the scripts of this identity shall be; return the table of those it may start."""
    identity, owners = launch.runners[number], trusted_owners(observe=mode.observe)
    accepted, signed = versions.find(identity.uid), launch.signers is not None
    verifier = Verifier(launch, number, accepted) if signed else None
    forest = [tree for tree in launch.trees if lists or tree.runner == number]
    roots = [] if number and not identity.scripts else launch.directories  # it has trees alone
    table = Table(roots, launch.events, owners, identity.scripts, forest=forest, verifier=verifier)
    keep = sum(1 << sandbox.CAPABILITIES[name] for name in set(identity.capabilities))
    sandbox.limit_resources(identity.limits)
    sandbox.become(identity, change_user=not mode.observe, keep=keep, inherit=True)
    domain.enter("runner")
    sandbox.forbid_dumps()
    return table


def start_runner(
    mode: Mode, launch: Launch, number: int, versions: Versions,
    *, single: tuple[str, str] | None = None, lists: bool = False,
) -> tuple[int, socket.socket]:  # fmt: skip
    """
    Return pid and lead socket of a new runner of the launch data's identity `number`.

    single: event type and path of one file that is the whole table, for `netevd test script`.
    lists: its table has the trees of other identities too, for `netevd list hooks`.
    """
    identity = launch.runners[number]
    special = identity.uid != launch.runners[0].uid or bool(identity.capabilities)
    words = f"{identity.user} with {', '.join(identity.capabilities) or 'no capability'}"
    audited = None if launch.audit is None else words * special

    def body(lead: socket.socket) -> None:
        table = _become_scripts(mode, launch, number, versions, lists=lists)
        Runner(lead, table, single, audited).run()

    return _begin("runner", body)


def start_lister(mode: Mode, launch: Launch, versions: Versions) -> tuple[int, socket.socket]:
    """Return pid and scripts socket of a process that tells the script table and runs nothing."""

    def body(scripts: socket.socket) -> None:
        table = _become_scripts(mode, launch, 0, versions, lists=True)
        table.scan()
        scripts.setblocking(True)
        channel: Channel[ScriptsRequest] = Channel(scripts, SCRIPTS_REQUEST)
        for message in (*table.parts(), Incarnation(os.urandom(8).hex())):
            channel.send(message)
        try:
            while True:
                channel.receive()  # it asks in vain: nothing is ever run from here
        except Closed:
            return

    return _begin("lister", body)


SLATE_SIZE: Final = 128 << 20
_SLATE_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_SEAL_EXEC: Final = 0x20
"""F_SEAL_EXEC, which the kernel adds where vm.memfd_noexec is 1 or 2. Source: linux/fcntl.h."""


def make_slate() -> int:
    """Return a memfd in which workers keep what outlives them: it can't change its size."""
    slate = os.memfd_create("netevd-slate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(slate, SLATE_SIZE)
    fcntl.fcntl(slate, fcntl.F_ADD_SEALS, _SLATE_SEALS)
    return slate


def find_slate_fault(kept: int) -> str:
    """Return why this descriptor is no slate, "" if it is one. What it says is the worker's to check."""
    try:
        seals = fcntl.fcntl(kept, fcntl.F_GET_SEALS)
    except OSError:
        return "it is no memory"
    size = os.fstat(kept).st_size
    if seals & ~_SEAL_EXEC != _SLATE_SEALS or size != SLATE_SIZE:
        expected = f"{SLATE_SIZE} and {_SLATE_SEALS}"
        return f"it has {size} octets and the seals {seals}, expected {expected}"
    return ""


def start_worker(
    mode: Mode, state: str, readable: list[str], how: str
) -> tuple[int, socket.socket]:
    """
    Return pid and control socket of a new worker.

    state: its directory, "" for none. readable: other directories that it may read. how: its sandbox.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return _begin_program(mode, mode.worker, ("worker", how), [state, *readable], kept)


def start_courier(mode: Mode, targets: int, how: str) -> tuple[int, socket.socket]:
    """Return pid and lead socket of a new courier. targets: the sealed memory that lists them. how: its sandbox."""
    # the worker's user with another group: it can't read the configuration, nor can one trace the other
    gid = mode.helper.gid
    identity = Identity(mode.worker.user, mode.worker.uid, gid, [gid])
    return _begin_program(mode, identity, ("courier", how), [], {}, targets)


def start_dialer(mode: Mode) -> tuple[int, socket.socket]:
    """
    Return pid of a new process and what it answers on: it connects to the system bus as the worker's user.

    It does nothing more, and ends when its answers have no reader any more: NetworkManager tells
    nothing of profiles to whoever has come by a process that is gone.

    The bus takes a connection for its maker's, by uid, for as long as it lives: so the supervisor,
    which is root, must not make it, and the worker's filter has no connect.
    """

    def body(end: socket.socket) -> None:
        sandbox.become(mode.worker, change_user=not mode.observe)
        domain.enter("dialer")
        sandbox.forbid_dumps()
        signal.alarm(5)
        answers: Channel[BusSocket] = Channel(end, BUS)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bus:
            try:
                bus.connect(BUS_PATH)
            except OSError as error:
                answers.send(BusSocket(error.errno or errno.EIO))
            else:
                answers.send(BusSocket(), (bus.fileno(),))
        signal.alarm(0)
        end.setblocking(True)
        end.recv(1)

    return _begin("dialer", body)


class Memory(NamedTuple):
    """Two memfds that a reader fills; sealed once it has answered."""

    configuration: int
    targets: int
    """Those of webhooks, with their headers: for the courier alone."""

    def posts_like(self, other: Memory) -> bool:
        """Tell whether the targets of both are the same."""
        mine, its = (os.pread(each.targets, 1 << 24, 0) for each in (self, other))
        return mine == its


def start_reader(
    mode: Mode, path: str, kind: str = "file", given: bytes = b""
) -> tuple[int, socket.socket, Memory]:
    """
    Return pid, reply socket and the memory for what it has to say.

    kind: what to read instead of the file: the given text, or the given patch of the file.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    memory = Memory(*(os.memfd_create(f"netevd-{name}", flags) for name in Memory._fields))
    os.pwrite(memory.configuration, given, 0)
    words, environment = ["observe" if mode.observe else "privileged", path, kind], {**os.environ}
    sandboxed = ("reader", "enforce")  # it reads what would say that it be less confined
    pid, reply = _begin_program(mode, mode.reader, sandboxed, words, environment, *memory)
    return pid, reply, memory


def _begin_program(
    mode: Mode, identity: Identity, sandboxed: tuple[str, str], arguments: list[str],
    environment: dict[str, str], *keep: int,
) -> tuple[int, socket.socket]:  # fmt: skip
    """
    Return pid and socket of Python anew with this role's program: after arguments come descriptors.

    sandboxed: role, and `security.sandbox` for it.
    """

    def body(end: socket.socket) -> None:
        os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
        sandbox.become(identity, change_user=not mode.observe)
        descriptors = (end.fileno(), *keep)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        role, how = sandboxed[0], sandbox.choose(sandboxed[1])
        words = ["-I", "-m", "privsep", "confined", role, how, *arguments, *map(str, descriptors)]
        try:
            os.execve(sys.executable, [sys.executable, *words], environment)
        except OSError as error:
            fault = f"user {identity.user} can't execute {sys.executable}: {error.strerror}"
            advice = "netevd must be installed where every user can read it"
            os.write(2, f"netevd: {fault}; {advice}\n".encode())
            os._exit(CANT_EXECUTE)

    return _begin(sandboxed[0], body, *keep)
