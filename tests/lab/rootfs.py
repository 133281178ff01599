"""A Debian tree to start systems from: built once, kept by the hash of what it is made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("NETEVD_LAB", "/var/cache/netevd-lab"))

PACKAGES: Final = (
    "systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "network-manager", "polkitd",
    "isc-dhcp-client", "dhcpcd5", "dnsmasq-base", "iproute2", "procps", "python3",
)  # fmt: skip


def make_rootfs(suite: str, packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return the tree of a Debian release, read-only for whoever uses it. Takes half a minute once."""
    key = hashlib.sha256(f"{suite} {' '.join(packages)}".encode()).hexdigest()[:12]
    place = CACHE / f"{suite}-{key}"
    if place.exists():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    new = CACHE / f"{place.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    command += ["--aptopt=APT::Install-Recommends false", suite, str(new)]
    command += [str(sources if sources.exists() else "/etc/apt/sources.list")]
    subprocess.run(command, check=True)
    new.rename(place)
    return place
