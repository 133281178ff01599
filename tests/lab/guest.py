"""
A guest with Debian's own kernel, for what this machine's kernel lacks: WireGuard, vlan, bond, vrf, AppArmor, SELinux.

Emulated by qemu without KVM, so everything in it takes ten times as long. The image is made once and
kept; the guest writes nothing into it. What it runs is on a second drive, what it says comes back as a
tar over a virtio port.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.lab.rootfs import CACHE, MADE, find_sources, make_rootfs

TOP: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "procps", "python3", "nftables",
    "busybox-static", "wireguard-tools", "apparmor", "util-linux", "selinux-policy-default",
    "policycoreutils", "selinux-utils", "openssh-client",
)  # fmt: skip
DRIVERS: Final = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "crc16",
    "mbcache",
    "jbd2",
    "ext4",
)
"""What the initrd needs to reach the root image, as far as the kernel has it as modules."""
KERNEL: Final = os.environ.get("NETEVD_LAB_KERNEL", "bookworm")
"""Release of Debian whose kernel the guests have; all else in them is of bookworm."""
ENVIRONMENT: Final = Path(sys.prefix)
INSTALLED: Final = Path("/opt/netevd/env")
"""Where the environment is in the guest: the place that the policies know."""
UNUSED: Final = (
    "ruff", "shellcheck", "mypy", "mypyc", "*__mypyc*.so", "schemathesis", "jsonschema_rs", "graphql", "grimp",
    "importlinter",
)  # fmt: skip
"""Of the environment, what no guest needs."""

_INIT: Final = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs d /dev; $B mount -t proc p /proc; $B mount -t sysfs s /sys
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk crc32c_generic crc16 mbcache jbd2 ext4; do [ ! -e /m/$m.ko ] || $B insmod /m/$m.ko; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 200 ]; do $B usleep 50000; i=$((i+1)); done
$B mount -t ext4 -o rw,noatime /dev/vda /r || { echo no root; $B poweroff -f; }
$B mount -o move /dev /r/dev; $B umount /proc; $B umount /sys
exec $B switch_root /r /sbin/init
"""
_RUNNER: Final = """#!/bin/sh
mkdir -p /run/lab/in /run/lab/out; modprobe virtio_console; rc=97
mount -o ro /dev/vdb /run/lab/in && { cd /run/lab/in; sh ./job.sh >/run/lab/out/log 2>&1; rc=$?; }
echo $rc >/run/lab/out/rc
i=0; while [ ! -e /dev/virtio-ports/lab.out ] && [ $i -lt 200 ]; do sleep .1; i=$((i+1)); done
tar -C /run/lab/out -cf - . > /dev/virtio-ports/lab.out; sync
"""
_UNIT: Final = """[Unit]
After=basic.target dbus.service
Wants=dbus.service
[Service]
Type=oneshot
StandardOutput=journal+console
ExecStart=/bin/sh /usr/local/sbin/lab-run
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=900
"""


class Machine(NamedTuple):
    """What a guest is made of."""

    kernel: str
    """Debian's package that depends on it."""
    packages: tuple[str, ...]
    size: str
    """Of the root image, as mke2fs(8) takes it."""


PLAIN: Final = Machine("linux-image-cloud-amd64", PACKAGES, "1600M")
WIRELESS: Final = Machine(
    "linux-image-amd64",
    ("systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "procps", "python3", "busybox-static",
     "util-linux", "hostapd", "wpasupplicant", "iw"),
    "2600M",
)  # fmt: skip
"""Its kernel has radios that are simulated: mac80211_hwsim."""


class Outcome(NamedTuple):
    """What a job has done."""

    status: int
    log: str
    files: dict[str, bytes]
    """What it has left in /run/lab/out."""

    def expect_success(
        self, record_property: Callable[[str, object], None], control: str = ""
    ) -> None:
        """Show what the tests in the guest said, note on what they ran and how many, and fail if one has failed."""
        print(self.log)
        record_property("on", f"Linux {self.files['kernel'].decode().strip()}{control}")
        if passed := re.search(r"(\d+) passed", self.log):
            record_property("checks", int(passed[1]))
        assert self.status == 0, self.log


def make_image(machine: Machine = PLAIN) -> Path:
    """Return the directory of kernel, initrd and root image. Takes about a minute once."""
    recipe = repr((KERNEL, machine, DRIVERS, _INIT, _RUNNER, _UNIT))
    place = CACHE / f"guest-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that want it at once share one
        if not place.exists():
            new = CACHE / f"{place.name}.new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            began = time.monotonic()
            _build(new, machine)
            new.rename(place)
            MADE.append(f"image of guests {time.monotonic() - began:.0f} s")
    return place


def _build(place: Path, machine: Machine) -> None:
    root = place / "root"
    rootfs = make_rootfs("bookworm", machine.packages)
    subprocess.run(["cp", "-a", str(rootfs), str(root)], check=True)
    modules = _fetch_kernel(place, machine.kernel)
    shutil.copytree(modules, root / "usr/lib/modules" / modules.name, symlinks=True)
    subprocess.run(["chroot", str(root), "depmod", modules.name], check=True)
    shutil.copy(place / f"kernel/boot/vmlinuz-{modules.name}", place / "vmlinuz")
    initrd = place / "initrd"
    for name in ("bin", "dev", "proc", "sys", "m", "r"):
        (initrd / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", initrd / "bin")
    for driver in DRIVERS:
        for found in modules.rglob(f"{driver}.ko*"):  # none, where it is part of the kernel
            content = found.read_bytes()
            content = lzma.decompress(content) if found.suffix == ".xz" else content
            (initrd / "m" / f"{driver}.ko").write_bytes(content)
    (initrd / "init").write_text(_INIT)
    (initrd / "init").chmod(0o755)
    subprocess.run(
        ["sh", "-c", "find . | cpio -o -H newc 2>/dev/null | gzip -1 > ../initrd.gz"],
        cwd=initrd,
        check=True,
    )
    (root / "usr/local/sbin/lab-run").write_text(_RUNNER)
    (root / "etc/systemd/system/lab-run.service").write_text(_UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "lab-run.service").symlink_to("../lab-run.service")
    if (root / CONTEXTS[1:]).exists():
        _label(root)
    _make_file_system(root, place / "root.img", machine.size)
    for name in ("root", "kernel", "initrd"):
        shutil.rmtree(place / name)


def _fetch_kernel(place: Path, meta: str) -> Path:
    """Unpack the kernel into a directory there; return that of its modules. Which version it is the release says."""
    sources, options = find_sources(KERNEL), list[str]()
    if sources[0].startswith("deb "):  # another release than this machine's has lists of its own
        apt = place / "apt"
        (apt / "lists").mkdir(parents=True)
        (apt / "sources.list").write_text("\n".join(sources) + "\n")
        for name, value in (("Etc::SourceList", apt / "sources.list"), ("Etc::SourceParts", "/dev/null"),
                            ("State::Lists", apt / "lists"), ("Cache", apt)):  # fmt: skip
            options += ["-o", f"Dir::{name}={value}"]
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
    depends = subprocess.run(
        ["apt-cache", *options, "depends", meta], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    command = ["apt-get", *options, "-o", "APT::Sandbox::User=root", "-q", "download", package]
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
    (archive,) = place.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(archive), str(place / "kernel")], check=True)
    archive.unlink()
    shutil.rmtree(place / "apt", ignore_errors=True)
    (modules,) = (
        each for path in ("lib", "usr/lib") for each in place.glob(f"kernel/{path}/modules/*")
    )
    return modules


CONTEXTS: Final = "/etc/selinux/default/contexts/files/file_contexts"


def find_rootfs() -> Path:
    """Return the tree that the image was made of."""
    return make_rootfs("bookworm", PACKAGES)


def label_given(given: Path, contexts: Path) -> None:
    """Give every file of this directory the context that it has where it is in the guest."""
    mount = 'mount --bind "$2" "$1/mnt"; mount -t proc proc "$1/proc"; exec chroot "$1" setfiles -F -r /mnt "$3" /mnt'
    inside = f"/mnt/{contexts.relative_to(given)}"
    subprocess.run(
        ["unshare", "--mount", "sh", "-ec", mount, "sh", str(find_rootfs()), str(given), inside],
        check=True,
    )


def _label(root: Path) -> None:
    """Give every file of the tree its context of SELinux; in the guest that takes minutes."""
    passed = ("-e", "/proc", "-e", "/sys", "-e", "/dev", "-e", "/run")
    mount = 'mount -t proc proc "$1/proc"; exec chroot "$@"'
    command = ["unshare", "--mount", "sh", "-ec", mount, "sh", str(root)]
    subprocess.run([*command, "setfiles", "-F", *passed, CONTEXTS, "/"], check=True)


def _make_file_system(tree: Path, image: Path, size: str) -> None:
    command = [
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-d",
        str(tree),
        str(image),
        size,
    ]
    subprocess.run(command, check=True)


def _copy_environment(place: Path) -> None:
    """Copy this environment as if it had been made where it is in the guest."""
    place.parent.mkdir(parents=True)
    shutil.copytree(ENVIRONMENT, place, symlinks=True, ignore=shutil.ignore_patterns(*UNUSED))
    # what no process here has written yet, each in the guest would compile anew: that takes seconds there
    packages = [next(place.glob(f"lib/*/site-packages/{name}")) for name in ("netevd", "privsep")]
    command = [
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "-s",
        str(place.parents[2]),
        "-p",
        "/",
        *map(str, packages),
    ]
    subprocess.run(command, check=True)
    program = place / "bin/netevd"
    program.write_text(program.read_text().replace(str(ENVIRONMENT), str(INSTALLED)))


_JOB: Final = """set -e
uname -r > /run/lab/out/kernel
mkdir -p {installed}
mount --bind .{installed} {installed}
export PATH={installed}/bin:$PATH PYTHONDONTWRITEBYTECODE=1 NETEVD_TEST_DEADLINE_S=120
# what is installed of pytest's plugins takes seconds to import, and none is used
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
{job}
"""


def call_pytest(*files: str) -> str:
    """Return the command that runs files of tests/lab in the guest."""
    paths = " ".join(f"tests/lab/{each}" for each in files)
    options = "-v -p no:cacheprovider -c pyproject.toml --rootdir=. --tb=short --durations=12"
    run = f"echo 0 > /run/lab/result; python -u -m pytest {options} {paths} || echo $? > /run/lab/result"
    # through a port of its own too: where the guest does not come to its end, one sees how far it came
    return f"cd /run/lab/in\n{{ {run}; }} 2>&1 | tee /dev/virtio-ports/lab.log\nexit $(cat /run/lab/result)"


def run(
    job: str,
    *arguments: str,
    machine: Machine = PLAIN,
    seconds: int = 900,
    prepare: Callable[[Path], None] = lambda given: None,
) -> Outcome:
    """
    Run a shell script as root in a new guest, and return what came of it.

    It stands in a directory with this project; netevd is installed as `make install` does it.
    arguments: for the kernel's command line. machine: what it is made of. prepare: adds to the directory that the guest gets.
    """
    image = make_image(machine)
    with tempfile.TemporaryDirectory(prefix="netevd-guest-") as directory:
        work = Path(directory)
        given = work / "given"
        given.mkdir()
        for name in ("tests", "packaging", "apparmor", "selinux", "pyproject.toml"):
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, given / name, symlinks=True)
            elif (TOP / name).exists():
                shutil.copy(TOP / name, given)
        _copy_environment(given / str(INSTALLED)[1:])
        (given / "job.sh").write_text(_JOB.format(installed=INSTALLED, job=job))
        prepare(given)
        _make_file_system(given, work / "given.img", "1200M")
        said = _boot(image, work, arguments, seconds)
        return _read(work / "told.tar", said)


def _boot(image: Path, work: Path, arguments: tuple[str, ...], seconds: int) -> str:
    line = "console=ttyS0 panic=-1 quiet loglevel=3 systemd.show_status=0 audit=1 audit_backlog_limit=8192"
    line += " mitigations=off"  # which cost an emulated machine much, and protect nobody there
    command = [
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "2048",
    ]
    command += [
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        f"file:{work}/console",
        "-monitor",
        "none",
    ]
    command += ["-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.gz")]
    command += ["-append", " ".join((line, *arguments))]
    command += ["-drive", f"file={image}/root.img,format=raw,if=virtio,snapshot=on"]
    command += ["-drive", f"file={work}/given.img,format=raw,if=virtio,readonly=on"]
    command += ["-device", "virtio-serial-pci", "-chardev", f"file,id=o,path={work}/told.tar"]
    command += ["-device", "virtserialport,chardev=o,name=lab.out", "-device", "virtio-rng-pci"]
    command += ["-chardev", f"file,id=l,path={work}/progress"]
    command += ["-device", "virtserialport,chardev=l,name=lab.log"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        said = f"it did not end within {seconds} s"
    else:
        said = done.stdout + done.stderr
    words = [(work / name).read_text(errors="replace") for name in ("console", "progress")]
    return "\n".join((*words, said))


def _read(told: Path, said: str) -> Outcome:
    content = told.read_bytes() if told.exists() else b""
    if not content:
        raise AssertionError(f"the guest has told nothing; its console:\n{said[-4000:]}")
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            read = archive.extractfile(member)
            if read is not None:
                files[member.name.removeprefix("./")] = read.read()
    return Outcome(int(files.pop("rc")), files.pop("log").decode(errors="replace"), files)
