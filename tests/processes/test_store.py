"""A restart of the whole unit: what the service manager keeps, and what it hands to the next daemon."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from privsep.spawn import SLATE_SIZE, make_slate
from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, NotifySocket, await_carrier, children, ip, pull

NAMES = ["netevd-links", "netevd-routes", "netevd-slate-0", "netevd-slate-1"]

_HAND_OVER = """
import os, sys
given = [int(word) for word in sys.argv[1].split(",")]
high = [os.dup2(each, 200 + place) for place, each in enumerate(given)]
for place, each in enumerate(high):
    os.dup2(each, 3 + place)
os.closerange(3 + len(given), 1000)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the program of its later arguments, with descriptors where systemd has them."""


class Manager(NotifySocket):
    """A service manager that keeps descriptors, as sd_notify(3) and sd_listen_fds(3) tell."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, int] = {}
        self.unpolled: set[str] = set()

    def listen(self) -> None:
        """Take what the daemon has sent."""
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                content, descriptors, _, _ = socket.recv_fds(self._sock, 4096, 8)
                said = dict(line.partition("=")[::2] for line in content.decode().split("\n"))
                if "FDSTOREREMOVE" in said:
                    os.close(self.kept.pop(said["FDNAME"]))
                for each in descriptors:
                    self.keep(said["FDNAME"], each)
                if descriptors and said.get("FDPOLL") == "0":
                    self.unpolled.add(said["FDNAME"])

    def keep(self, name: str, descriptor: int) -> None:
        """Keep a descriptor in the place of the one of this name."""
        if name in self.kept:
            os.close(self.kept[name])
        self.kept[name] = descriptor

    def start(self, daemon: Daemon, *, ready: bool = True) -> None:
        """Start the daemon with all that is kept."""
        environment = {"NOTIFY_SOCKET": self.path}
        prefix: tuple[str, ...] = ()
        if self.kept:
            environment |= {
                "LISTEN_FDS": str(len(self.kept)),
                "LISTEN_FDNAMES": ":".join(self.kept),
            }
            numbers = ",".join(str(each) for each in self.kept.values())
            prefix = (sys.executable, "-c", _HAND_OVER, numbers)
        descriptors = tuple(self.kept.values())
        daemon.start(environment=environment, prefix=prefix, descriptors=descriptors, ready=ready)
        self.listen()

    def close(self) -> None:
        """Let go of everything."""
        for each in self.kept.values():
            os.close(each)
        super().close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Return a manager that keeps nothing yet."""
    made = Manager()
    yield made
    made.close()


def _begin(daemon: Daemon, manager: Manager) -> None:
    daemon.script("carrier", RECORD)
    daemon.script("no-carrier", RECORD)
    ip(
        "link add name eth0 index 101 type veth peer name p0",
        "link set eth0 up",
        "link set p0 up",
    )
    await_carrier("eth0", up=True)
    manager.start(daemon)
    wait_for(lambda: len(daemon.record()) >= 1 or None, "the initial run")
    daemon.wait_event("eth0", "carrier")


def _restart(daemon: Daemon, manager: Manager) -> list[str]:
    """Start the daemon once more; return the messages of its log from then on."""
    before = len(daemon.log)
    manager.start(daemon, ready=False)
    daemon.expect(lambda entry: "netevd is watching" in entry["message"], after=before)
    manager.listen()
    return [entry["message"] for entry in daemon.log[before:]]


def test_a_restart_of_the_unit_loses_not_even_what_came_and_went(
    make_daemon: Callable[..., Daemon], manager: Manager
) -> None:
    """While no process of netevd is there a cable is pulled and put back: both are told, once."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: eth0}\n")
    _begin(daemon, manager)
    assert sorted(manager.kept) == NAMES
    assert manager.unpolled == set(NAMES)
    last = daemon.announced()[-1]["sequence"]

    assert daemon.stop() == 0
    pull("p0", "eth0")
    ip("link set p0 up")
    said = _restart(daemon, manager)

    wait_for(lambda: len(daemon.record()) >= 3 or None, "both runs")
    assert [words[2] for words in daemon.record()] == ["carrier", "no-carrier", "carrier"]
    told = [each["sequence"] for each in daemon.announced()]
    assert told == list(range(told[0], told[0] + len(told)))
    assert told[-1] > last
    assert not [text for text in said if "been lost" in text or "not used" in text]


def test_what_waits_at_a_stop_is_the_next_daemons(
    make_daemon: Callable[..., Daemon], manager: Manager
) -> None:
    """Queued runs and open windows go on, also where the state directory was lost meanwhile."""
    debounce = (
        "debounce: {enabled: true, window: 1h, overrides: [{event_type: address-added},"
        ' {event_type: "*", window: 0s}]}'
    )
    daemon = make_daemon(
        f"system: {{log_format: json}}\nnetwork: {{links: eth0}}\n{debounce}\n", initial=False
    )
    daemon.script("carrier", "#!/bin/sh\necho >> DIRECTORY/begun\nexec sleep 1000\n")
    daemon.script("no-carrier", RECORD)
    ip(
        "link add name eth0 index 101 type veth peer name p0",
        "link set eth0 addrgenmode none",
        "link set eth0 up",
    )
    manager.start(daemon)
    ip("link set p0 up")
    begun = daemon.scripts / "data" / "begun"
    wait_for(lambda: begun.exists() or None, "a script that holds the lane")
    ip("link set p0 down", "addr add 10.1.1.1/24 dev eth0")
    daemon.wait_event("eth0", "address-added")

    assert daemon.stop() == 0
    waiting = "netevd stops while 1 scripts and 1 debounce windows wait: the next netevd goes on"
    assert [entry for entry in daemon.log if waiting in entry["message"]], "".join(daemon.raw)
    shutil.rmtree(daemon.root / "state")
    _restart(daemon, manager)
    wait_for(lambda: len(daemon.record()) >= 1 or None, "the run that waited")
    assert daemon.stop() == 0

    assert [words[2] for words in daemon.record()] == ["no-carrier"]
    waiting = "netevd stops while 0 scripts and 1 debounce windows wait: the next netevd goes on"
    assert [entry for entry in daemon.log if waiting in entry["message"]], "".join(daemon.raw)


def test_a_stop_is_heard_of_before_the_ends_of_scripts(
    make_daemon: Callable[..., Daemon], manager: Manager
) -> None:
    """A worker that finds both at once starts nothing more: what waited is begun by the next daemon."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: eth0}\n", initial=False)
    daemon.script("carrier", "#!/bin/sh\necho >> DIRECTORY/begun\nexec sleep 1000\n")
    daemon.script("no-carrier", RECORD)
    ip("link add name eth0 type veth peer name p0", "link set eth0 addrgenmode none up")
    begun = daemon.scripts / "data" / "begun"
    for number in range(1, 5):
        if number == 1:
            manager.start(daemon)
        else:
            _restart(daemon, manager)
        wait_for(lambda: len(daemon.record()) >= number - 1 or None, "the run that waited")
        ip("link set p0 up")
        wait_for(lambda: begun.exists() or None, "a script that holds the lane")
        ip("link set p0 down")
        daemon.wait_event("eth0", "no-carrier")
        worker, runner = daemon.role("worker"), daemon.role("runner")
        os.kill(worker, signal.SIGSTOP)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: not children(runner) or None, "the end of the script")
        os.kill(worker, signal.SIGCONT)
        assert daemon.wait() == 0
        begun.unlink()

        assert not any("is lost" in each["message"] for each in daemon.log), "".join(daemon.raw)
    _restart(daemon, manager)
    wait_for(lambda: len(daemon.record()) >= 4 or None, "the last run that waited")


def test_a_kill_of_the_supervisor_is_a_loss_that_is_told(
    make_daemon: Callable[..., Daemon], manager: Manager
) -> None:
    """What the helper had read and nobody handled is gone: the next daemon says so and reads all."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: eth0}\n")
    _begin(daemon, manager)

    os.kill(daemon.pid, signal.SIGKILL)
    assert daemon.process is not None
    daemon.process.wait()
    ip("link set p0 down")
    said = _restart(daemon, manager)

    wait_for(lambda: len(daemon.record()) >= 2 or None, "the run")
    assert [words[2] for words in daemon.record()] == ["carrier", "no-carrier"]
    assert [text for text in said if "may have been lost" in text]


def _open_elsewhere() -> int:
    """Return an event socket of another network namespace."""
    made: list[socket.socket] = []

    def run() -> None:
        os_unshare_net()
        made.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return made[0].detach()


def os_unshare_net() -> None:
    """Give this thread a network namespace of its own. Python has a name for it from 3.12 on."""
    import ctypes

    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_memory_of_before_is_known_again_whatever_vm_memfd_noexec_is(level: int) -> None:
    """From 1 on the kernel seals all memory against execution: it is the memory that was left nevertheless."""
    program = (
        f"open('/proc/sys/vm/memfd_noexec', 'w').write('{level}')\n"
        "from privsep import spawn\n"
        "print(repr(spawn.find_slate_fault(spawn.make_slate())))\n"
    )
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program]
    if os.geteuid() != 0 or not os.path.exists("/proc/sys/vm/memfd_noexec"):
        pytest.skip("needs root and a kernel that has the setting for each pid namespace")

    shown = subprocess.run(words, capture_output=True, text=True, check=True)

    assert shown.stdout == "''\n"


def _write_foreign_slate() -> int:
    slate = make_slate()
    os.pwrite(slate, b"netevd-9" + bytes(24), 0)
    return slate


def _make_small_memory() -> int:
    memory = os.memfd_create("small", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    return memory


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("netevd-links", _open_elsewhere, "links of before the restart is not used, since it is of another network namespace"),
        ("netevd-routes", lambda: os.open("/dev/null", os.O_RDWR), "routes of before the restart is not used, since it can't be checked"),
        ("netevd-routes", lambda: socket.socket().detach(), "it is no event socket"),
        ("netevd-slate-0", _make_small_memory, f"expected {SLATE_SIZE} and"),
        ("netevd-slate-0", lambda: socket.socket().detach(), "it is no memory"),
        ("netevd-slate-1", _write_foreign_slate, "it has the format netevd-9, not netevd-2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_discarded_and_said(
    make_daemon: Callable[..., Daemon],
    manager: Manager,
    name: str,
    make: Callable[[], int],
    said: str,
) -> None:
    """The daemon starts, reads all anew, tells what changed, and leaves a good one for the next."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: eth0}\n")
    _begin(daemon, manager)
    assert daemon.stop() == 0
    ip("link set p0 down")
    manager.keep(name, make())

    found = _restart(daemon, manager)

    assert [text for text in found if said in text], found
    wait_for(lambda: "no-carrier" in [words[2] for words in daemon.record()] or None, "the run")
    assert daemon.stop() == 0
    again = _restart(daemon, manager)
    assert not [text for text in again if "not used" in text or "can't be read" in text]


def test_strange_descriptors_are_closed(
    make_daemon: Callable[..., Daemon], manager: Manager
) -> None:
    """What has another name is nobody's: the roles don't have it."""
    daemon = make_daemon()
    _begin(daemon, manager)
    assert daemon.stop() == 0
    read, write = os.pipe()
    manager.keep("stranger", write)

    _restart(daemon, manager)

    os.close(manager.kept.pop("stranger"))
    os.set_blocking(read, False)
    assert os.read(read, 1) == b"", "somebody still has the other end"
    os.close(read)


def test_other_pids_descriptors_are_left_alone(daemon: Daemon) -> None:
    """LISTEN_PID of another process means that they are not ours."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "netevd-links"}

    daemon.start(environment=environment)

    assert daemon.stop() == 0
    assert not [entry for entry in daemon.log if "not used" in entry["message"]]
