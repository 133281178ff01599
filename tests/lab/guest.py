"""
A guest with Debian's own kernel, for what this machine's kernel lacks: WireGuard, vlan, bond, vrf, AppArmor, SELinux.

Emulated by qemu without KVM, so everything in it takes ten times as long. The image is made once and
kept; the guest writes nothing into it. What it runs is on a second drive, what it says comes back as a
tar over a virtio port.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.lab.rootfs import CACHE, make_rootfs

TOP: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "procps", "python3", "nftables",
    "busybox-static", "wireguard-tools", "apparmor", "util-linux", "selinux-policy-default",
    "policycoreutils", "selinux-utils",
)  # fmt: skip
DRIVERS: Final = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
)
ENVIRONMENT: Final = Path(sys.prefix)
INSTALLED: Final = Path("/opt/netevd/env")
"""Where the environment is in the guest: the place that the policies know."""
UNUSED: Final = ("ruff", "shellcheck", "mypy", "mypyc", "*__mypyc*.so")
"""Of the environment, what no guest needs."""

_INIT: Final = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs d /dev; $B mount -t proc p /proc; $B mount -t sysfs s /sys
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do $B insmod /m/$m.ko; done
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


class Outcome(NamedTuple):
    """What a job has done."""

    status: int
    log: str
    files: dict[str, bytes]
    """What it has left in /run/lab/out."""


def make_image() -> Path:
    """Return the directory of kernel, initrd and root image. Takes about a minute once."""
    recipe = repr((PACKAGES, DRIVERS, _INIT, _RUNNER, _UNIT))
    place = CACHE / f"guest-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if place.exists():
        return place
    new = Path(tempfile.mkdtemp(prefix="guest-", dir=_cache()))
    try:
        _build(new)
        new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return place


def _cache() -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


def _build(place: Path) -> None:
    root = place / "root"
    subprocess.run(["cp", "-a", str(find_rootfs()), str(root)], check=True)
    depends = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    subprocess.run(
        ["apt-get", "-q", "download", package], cwd=place, check=True, stdout=subprocess.DEVNULL
    )
    (archive,) = place.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(archive), str(place / "kernel")], check=True)
    (modules,) = (place / "kernel/lib/modules").iterdir()
    shutil.copytree(modules, root / "usr/lib/modules" / modules.name, symlinks=True)
    subprocess.run(["chroot", str(root), "depmod", modules.name], check=True)
    shutil.copy(place / f"kernel/boot/vmlinuz-{modules.name}", place / "vmlinuz")
    initrd = place / "initrd"
    for name in ("bin", "dev", "proc", "sys", "m", "r"):
        (initrd / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", initrd / "bin")
    for driver in DRIVERS:
        (found,) = modules.rglob(f"{driver}.ko")
        shutil.copy(found, initrd / "m")
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
    _label(root)
    _make_file_system(root, place / "root.img", "1600M")
    for name in ("root", "kernel", "initrd"):
        shutil.rmtree(place / name)
    archive.unlink()


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
    command = place / "bin/netevd"
    command.write_text(command.read_text().replace(str(ENVIRONMENT), str(INSTALLED)))


_JOB: Final = """set -e
mkdir -p {installed}
mount --bind .{installed} {installed}
export PATH={installed}/bin:$PATH PYTHONDONTWRITEBYTECODE=1 NETEVD_TEST_DEADLINE_S=120
{job}
"""


def run(
    job: str,
    *arguments: str,
    seconds: int = 900,
    prepare: Callable[[Path], None] = lambda given: None,
) -> Outcome:
    """
    Run a shell script as root in a new guest, and return what came of it.

    It stands in a directory with this project; netevd is installed as `make install` does it.
    arguments: for the kernel's command line. prepare: adds to the directory that the guest gets.
    """
    image = make_image()
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
        "stdio",
        "-monitor",
        "none",
    ]
    command += ["-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.gz")]
    command += ["-append", " ".join((line, *arguments))]
    command += ["-drive", f"file={image}/root.img,format=raw,if=virtio,snapshot=on"]
    command += ["-drive", f"file={work}/given.img,format=raw,if=virtio,readonly=on"]
    command += ["-device", "virtio-serial-pci", "-chardev", f"file,id=o,path={work}/told.tar"]
    command += ["-device", "virtserialport,chardev=o,name=lab.out", "-device", "virtio-rng-pci"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=seconds, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


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
