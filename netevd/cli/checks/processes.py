"""Processes as /proc shows them to this caller, and files read without waiting."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

SIZE_LIMIT: Final = 256 * 1024
"""Bytes read of a file at most."""
_INTERPRETER: Final = re.compile(r"(?:python|perl|sh|bash|dash)[\d.]*\Z")


def read_file(path: str) -> bytes:
    """Return the first bytes of a regular file, b"" for anything else; never waits (FIFO)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_LIMIT)
    except OSError:  # of a process that has ended since
        return b""
    finally:
        os.close(descriptor)


class Process(NamedTuple):
    """One process."""

    pid: int
    name: str
    """At most 15 bytes, as ps shows it."""
    arguments: tuple[str, ...]
    """Never empty."""

    def __str__(self) -> str:
        """Return name and pid, for people."""
        return f"{self.name} (pid {self.pid})"

    @property
    def program(self) -> str:
        """Return the name of the program, of a script and not of its interpreter."""
        first, *others = map(os.path.basename, self.arguments)
        words = [word for word in others if not word.startswith("-")]
        return words[0] if words and _INTERPRETER.match(first) else first

    @property
    def is_netevd(self) -> bool:
        """Tell whether this is a process of this netevd."""
        return self.arguments[1:4] == ("-I", "-m", "privsep")

    @property
    def stop(self) -> str:
        """Return the command that ends it and, if systemd started it, keeps it from coming again."""
        unit = read_file(f"/proc/{self.pid}/cgroup").decode(errors="replace").strip()
        unit = unit.rpartition("\n")[2].rpartition("/")[2]
        return (
            f"systemctl disable --now {unit}" if unit.endswith(".service") else f"kill {self.pid}"
        )


def read_process(pid: int) -> Process | None:
    """Return a process, None when it is gone, a kernel's thread or not to be seen."""
    name = read_file(f"/proc/{pid}/comm").decode(errors="backslashreplace").rstrip("\n")
    line = read_file(f"/proc/{pid}/cmdline").decode(errors="backslashreplace").rstrip("\0")
    return Process(pid, name, tuple(line.split("\0"))) if line else None


def list_processes(*, known: bool = False) -> Iterator[Process]:
    """
    Yield all processes but those known to live in another network namespace.

    known: only those that are known to live in this one.
    """
    own = _read_namespace("self")
    for word in filter(str.isdigit, os.listdir("/proc")):
        if _read_namespace(word) in {own, own if known else ""} and (
            process := read_process(int(word))
        ):
            yield process


def _read_namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""  # gone, or not to be known by this caller


def find_owner(inode: int) -> Process | None:
    """Return a process that has a socket, as far as this caller may see it."""
    wanted = f"socket:[{inode}]"
    for word in filter(str.isdigit, os.listdir("/proc")):
        directory = f"/proc/{word}/fd"
        try:
            if any(os.readlink(f"{directory}/{each}") == wanted for each in os.listdir(directory)):
                return read_process(int(word))
        except OSError:
            continue
    return None
