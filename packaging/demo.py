"""
Show the daemon at work: two network namespaces joined by two cables that are pulled and plugged in.

Runs as root or, in a user namespace, as anybody; touches no link of the machine and leaves nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import quickstart
from pyroute2 import IPRoute

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CABLES = {"eth0": 101, "eth1": 102}
"""Links and their ifindexes: with equal ones at both ends the kernel may hold a change back."""

START_S = 15
"""Seconds for the daemon to be ready; it takes less than one."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    root = os.geteuid() == 0
    enter_namespaces()
    directory = Path(tempfile.mkdtemp(prefix="netevd-demo-", dir="/tmp"))
    other_end, to_other_end = start_other_end()
    daemon = None
    try:
        make_cables(other_end)
        os.chmod(directory, 0o755)
        quickstart.copy(directory)
        daemon = start_daemon(directory)
        play(lambda order: os.write(to_other_end, order.encode() + b"\n"))
    except KeyboardInterrupt:
        say("stopped by you")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
        os.close(to_other_end)
        os.waitpid(other_end, 0)
        shutil.rmtree(directory, ignore_errors=True)
    say("that was it: the namespaces and their links are gone. This machine's own links: make run")
    if root:
        print("netevd itself stays in /opt/netevd for that; make uninstall removes it")
    return 0 if daemon is not None and daemon.returncode == 0 else 1


def say(text: str) -> None:
    """Tell what is being done."""
    print(f"\n### {text}", flush=True)


def unshare(flags: int) -> None:
    """Enter new namespaces. Raises: OSError."""
    if _libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter_namespaces() -> None:
    """Enter a network namespace of our own, through a user namespace when not root."""
    if os.geteuid() == 0:
        unshare(CLONE_NEWNET)
        return
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        # as oneself and not as root: the capabilities last until execve(2), so that this process
        # makes the links and the daemon starts without any, as `make run` would
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        with IPRoute() as kernel:
            kernel.link("set", index=1, state="up")
    except OSError as error:
        sys.exit(
            f"netevd: this system gives ordinary users no network namespace ({error.strerror}):\n"
            "netevd: Ubuntu 24.04 forbids it by AppArmor, others do in a chroot or container.\n"
            "netevd: try instead: sudo make demo"
        )


def start_other_end() -> tuple[int, int]:
    """Return a process in a second namespace, and a pipe for orders such as `down peth0`."""
    orders, send = os.pipe()
    ready, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(orders)
        os.close(told)
        if os.read(ready, 1) != b"r":
            sys.exit("netevd: the second namespace could not be made")
        return pid, send
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(send)
    unshare(CLONE_NEWNET)
    os.write(told, b"r")
    with IPRoute() as kernel, os.fdopen(orders) as lines:
        for line in lines:
            state, name = line.split()
            kernel.link("set", index=kernel.link_lookup(ifname=name)[0], state=state)
    os._exit(0)


def make_cables(other_end: int) -> None:
    """Join the two namespaces by veth pairs, our end down."""
    with IPRoute() as kernel:
        kernel.link("set", index=1, state="up")
        for name, index in CABLES.items():
            kernel.link("add", ifname=name, index=index, kind="veth",
                        peer={"ifname": f"p{name}", "net_ns_pid": other_end})  # fmt: skip


def start_daemon(directory: Path) -> subprocess.Popen[bytes]:
    """Start the daemon and return once it says that it is ready (sd_notify(3))."""
    say("starting netevd in a namespace with two links, eth0 and eth1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(directory / "notify"))
        notified.settimeout(0.2)
        daemon = subprocess.Popen(
            [str(Path(sys.executable).parent / "netevd"), "run", "--config",
             str(directory / quickstart.SETTINGS), "--runtime-dir", str(directory / "run"),
             "--state-dir", str(directory / "state")],
            env={**os.environ, "NOTIFY_SOCKET": str(directory / "notify")},
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_ready(notified, daemon)
        except BaseException:
            daemon.terminate()
            daemon.wait()
            raise
    return daemon


def wait_ready(notified: socket.socket, daemon: subprocess.Popen[bytes]) -> None:
    """Return when the daemon has said that it is ready. Raises: SystemExit, when it ends instead."""
    give_up = time.monotonic() + START_S
    while daemon.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notified.recv(4096):
                return
    sys.exit("netevd: the daemon did not start; its words are above")


def play(other_end: Callable[[str], object]) -> None:
    """Do to the links what happens to links, slowly enough to read along."""
    with IPRoute() as kernel:

        def switch_all(state: str) -> None:
            for index in CABLES.values():
                kernel.link("set", index=index, state=state)

        def flap(name: str) -> None:
            for state in ("up", "down", "up"):
                other_end(f"{state} {name}")
                time.sleep(0.4)

        steps: list[tuple[str, Callable[[], object]]] = [
            ("both links are switched on, nothing is plugged in yet",
             lambda: switch_all("up")),
            ("a cable is plugged into eth0", lambda: other_end("up peth0")),
            ("eth0 gets an address",
             lambda: kernel.addr("add", index=CABLES["eth0"], address="192.0.2.10", prefixlen=24)),
            ("eth1 is plugged in, pulled and plugged in again",
             lambda: flap("peth1")),
            ("the cable of eth0 is pulled", lambda: other_end("down peth0")),
            ("and plugged in again", lambda: other_end("up peth0")),
            ("eth0 loses its address",
             lambda: kernel.addr("del", index=CABLES["eth0"], address="192.0.2.10", prefixlen=24)),
            ("eth1 is removed", lambda: kernel.link("del", index=CABLES["eth1"])),
        ]  # fmt: skip
        for text, step in steps:
            say(text)
            step()
            time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
