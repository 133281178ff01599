"""What /proc says of a process: children, processor time, memory, wake-ups. Source: proc(5)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

_TICKS_S = 1 / os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Memory of one process in MiB."""

    proportional: float
    """PSS: private pages and the process's share of the others."""
    private: float
    """Pages that no other process maps."""


def read_children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def read_descendants(pid: int) -> list[int]:
    """Return all that live below a process."""
    try:
        children = read_children(pid)
    except FileNotFoundError:
        return []
    return children + [found for child in children for found in read_descendants(child)]


def kill(pid: int) -> None:
    """End a process that may have ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def read_name(pid: int) -> str:
    """Return the name that a process has given itself."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def read_cpu_s(pid: int) -> float:
    """Return seconds of processor time of a process and of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * _TICKS_S


def read_memory(pid: int) -> Memory:
    """Return the memory of a process."""
    amounts = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split()[:2]
        amounts[name] = int(amount) / 1024
    return Memory(amounts["Pss:"], amounts["Private_Clean:"] + amounts["Private_Dirty:"])


def read_switches(pid: int) -> int:
    """Return how often the threads of a process were switched to and fro."""
    return sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if "ctxt_switches" in line
    )
