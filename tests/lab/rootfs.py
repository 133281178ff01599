"""A Debian tree to start systems from: built once, kept by the hash of what it is made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("NETEVD_LAB", "/var/cache/netevd-lab"))

MADE: Final[list[str]] = []
"""What this process had to make, and how long that took; whoever tells it takes it away."""

PACKAGES: Final = (
    "systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "network-manager", "polkitd",
    "isc-dhcp-client", "dhcpcd5", "dnsmasq-base", "iproute2", "procps", "python3",
)  # fmt: skip


def make_rootfs(suite: str, packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return the tree of a Debian release, read-only for whoever uses it. Takes half a minute once."""
    key = hashlib.sha256(f"{suite} {' '.join(packages)}".encode()).hexdigest()[:12]
    place = CACHE / f"{suite}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that want it at once share one
        if not place.exists():
            began = time.monotonic()
            _build(suite, packages, place)
            MADE.append(f"{suite} tree {time.monotonic() - began:.0f} s")
    return place


def _build(suite: str, packages: tuple[str, ...], place: Path) -> None:
    new = CACHE / f"{place.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    command += ["--aptopt=APT::Install-Recommends false", suite, str(new)]
    command += find_sources(suite)
    subprocess.run(command, check=True)
    new.rename(place)


def find_sources(suite: str) -> list[str]:
    """Return where packages of a release come from: this machine's own sources, or their mirror for another one."""
    deb822 = Path("/etc/apt/sources.list.d/debian.sources")
    place = deb822 if deb822.exists() else Path("/etc/apt/sources.list")
    text = place.read_text()
    if re.search(rf"\b{suite}\b", text):
        return [str(place)]
    found = re.search(r"https?://\S+/debian(?=\s|$)", text)
    assert found is not None, f"{place} names no mirror of Debian"
    return [f"deb {found.group()} {suite} main"]
