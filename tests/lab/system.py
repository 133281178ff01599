"""systemd as PID 1 in namespaces of its own: a machine that starts in two seconds."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.boundary.rig import wait_for

_BOOT: Final = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
[ -z "$3" ] || echo "$3" > proc/sys/vm/memfd_noexec
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind /proc/sys/net proc/sys/net
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for each in null zero full random urandom tty; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
[ ! -e /dev/net/tun ] || { mkdir dev/net; touch dev/net/tun; mount --bind /dev/net/tun dev/net/tun; }
shift 3
mkdir -p run/dbus run/systemd/netif
mount --bind "$1/dbus" run/dbus
mount --bind "$1/netif" run/systemd/netif
shift
for each in "$@"; do mkdir -p ".$each"; mount --bind -o ro "$each" ".$each"; done
mount --make-rshared .
hostname lab
exec chroot . env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal-or-kmsg
"""
"""systemd needs its own cgroup, /dev and /run, and a /sys that it can't write (then it waits for no udev).
What a unit's own namespace is mounted into has to be shared with it, as a container manager does it: credentials.
Sysctls that are no network namespace's own are this machine's, and not for it to set."""


class System:
    """One running system. Its files are an overlay: nothing that it does stays."""

    def __init__(self, rootfs: Path) -> None:
        self.work = Path(tempfile.mkdtemp(prefix="netevd-lab-"))
        for name in ("upper", "work", "root", "run/dbus", "run/netif"):
            (self.work / name).mkdir(parents=True)
        self.work.chmod(0o711)
        self.files = self.work / "upper"
        """What is put here before the start stands in the system's /."""
        self._rootfs = rootfs
        self._cgroup = _find_cgroups() / self.work.name
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self, *shown: str, memfd_noexec: str = "") -> None:
        """
        Boot. shown: directories of this machine that are there read-only, at the same path. memfd_noexec: the
        sysctl of that name, which each pid namespace has for itself, "" for as it is.
        """
        self._cgroup.mkdir()
        command = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net", "--fork"]
        command += ["--kill-child", "--propagation", "private", "sh", "-c", _BOOT, "boot"]
        command += [str(self._rootfs), str(self.work), memfd_noexec, str(self.work / "run"), *shown]
        procs = self._cgroup / "cgroup.procs"
        with (self.work / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self.pid = wait_for(self._find_first, "PID 1 of the system")
        try:
            wait_for(lambda: self.is_running() or None, "a system that is running")
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{(self.work / 'console').read_text()[-4000:]}"
            ) from None

    def _find_first(self) -> int | None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for word in children.read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{word}/comm").read_text().strip() == "systemd":
                    return int(word)
        return None

    def is_running(self) -> bool:
        """Tell whether everything that starts with the system has started."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        result = subprocess.run(self._enter(command), capture_output=True, text=True, check=False)
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Begin a command inside."""
        return subprocess.Popen(self._enter(command), text=True)

    def _enter(self, command: tuple[str, ...]) -> list[str]:
        words = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C"]
        words += ["chroot", f"/proc/{self.pid}/root", "env", "-i", "HOME=/root"]
        return [*words, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command]

    @property
    def beside(self) -> tuple[str, ...]:
        """
        What a command of this machine begins with to run beside the system: in its network, and on its bus.

        Among its processes, too: dbus 1.16 wants to see who connects. It ends when what was begun is ended.
        """
        steps = " && ".join([
            "mount -t proc proc /proc",
            "mount -t tmpfs -o mode=755 tmpfs /run",
            "mkdir -p /run/dbus /run/systemd/netif",
            f"mount --bind {self.work}/run/dbus /run/dbus",
            f"mount --bind {self.work}/run/netif /run/systemd/netif",
            'exec setpriv --pdeathsig TERM "$@"',
        ])  # fmt: skip
        enter = ("nsenter", "-t", str(self.pid), "--net", "--uts", "--pid")
        return (*enter, "unshare", "--mount", "--propagation", "private", "sh", "-c", steps, "sh")

    def ip(self, *words: str) -> None:
        """Run ip(8) of this machine in the system's network."""
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "ip", *words], check=True)

    def stop(self) -> None:
        """End it, however it is, and remove what it has left."""
        if self._process is not None:
            if self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)  # PID 1 takes its whole namespace with it
            self._process.kill()
            self._process.wait()
        for each in sorted(self._cgroup.rglob("*"), reverse=True):
            if each.is_dir():
                _remove_cgroup(each)
        if self._cgroup.exists():
            _remove_cgroup(self._cgroup)
        shutil.rmtree(self.work, ignore_errors=True)


def _find_cgroups() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("no cgroup2 is mounted: systemd can't run here")


def _remove_cgroup(path: Path) -> None:
    """Remove one, as soon as the processes that were killed in it are gone."""
    end = time.monotonic() + 10
    while True:
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


ENVIRONMENT: Final = Path(sys.prefix)
"""Where the netevd under test is installed."""
