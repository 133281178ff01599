"""DHCP clients of this machine: whether what they are granted is where netevd reads it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

from netevd.cli.checks.case import Case, Finding
from netevd.cli.checks.processes import Process, list_processes
from netevd.config.load import Loaded
from netevd.config.schema import Configuration

HOOKS: Final = (
    "/usr/lib/dhcpcd/dhcpcd-hooks", "/lib/dhcpcd/dhcpcd-hooks", "/usr/libexec/dhcpcd-hooks",
    "/libexec/dhcpcd-hooks",
)  # fmt: skip
"""Where dhcpcd has its hooks, by distribution."""
HOOK: Final = "90-netevd"
_READS: Final = frozenset(("auto", "dhclient"))


def check_clients(case: Case) -> Iterator[Finding]:
    """Look for clients whose leases netevd does not hear of."""
    configuration = (
        case.loaded.configuration if isinstance(case.loaded, Loaded) else Configuration()
    )
    if not _READS.intersection(configuration.system.backend):
        return
    patterns = configuration.backends.dhclient.patterns
    for process in list_processes():
        if process.program == "dhclient":
            yield from judge_dhclient(process, patterns)
        elif process.name == "dhcpcd":  # it writes its state where its arguments were
            yield from judge_dhcpcd(process, HOOKS)
            return  # it is several processes


def judge_dhclient(process: Process, patterns: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with where a dhclient keeps its leases, if it was told where."""
    words = process.arguments
    file = next((after for word, after in pairwise(words) if word == "-lf"), "")
    directory, name = os.path.split(file)
    known = [os.path.split(each) for each in patterns]
    if not file or any(directory == each and fnmatchcase(name, glob) for each, glob in known):
        return
    yield Finding(
        "warning", "leases", str(process),
        f"keeps its leases in {file}, where netevd does not read them; name that file in"
        " backends.dhclient.lease_files, beside those that are to be read too",
    )  # fmt: skip


def judge_dhcpcd(process: Process, directories: Sequence[str]) -> Iterator[Finding]:
    """Yield whether a dhcpcd has the hook that tells netevd of its leases."""
    there = [each for each in directories if os.path.isdir(each)]
    if any(os.path.exists(f"{each}/{HOOK}") for each in there):
        yield Finding("ok", "leases", str(process), "tells netevd of its leases by its hook")
        return
    place = there[0] if there else directories[0]
    yield Finding(
        "note", "leases", str(process),
        f"tells nobody of its leases; netevd's hook for it, {HOOK} in packaging/dhcpcd, does",
        f"sudo install -m 644 packaging/dhcpcd/{HOOK} {shlex.quote(place)}/",
    )  # fmt: skip
