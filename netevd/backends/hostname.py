"""
The host's name, as the kernel has it: whoever changes it, nobody need tell.

The kernel wakes whoever polls the file for exceptions. Source: proc_sys_poll() in
fs/proc/proc_sysctl.c, uts_proc_notify() in kernel/utsname_sysctl.c.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final

import trio

from netevd.model.backend import HostReport
from netevd.model.inputs import BackendFound, BackendSaidHost, Input

PATH: Final = "/proc/sys/kernel/hostname"


def open_name() -> int | None:
    """Return a descriptor to read the name by, None where there is none. To be called before confinement."""
    try:
        return os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


class HostName:
    """Tells the host's name, and each other one that it gets."""

    def __init__(self, descriptor: int, submit: Callable[[Input], None]) -> None:
        """descriptor: of `open_name`. submit: takes what is found out."""
        self._descriptor = descriptor
        self._submit = submit

    async def run(self) -> None:
        """Follow the name, for ever."""
        with select.epoll() as poll:
            poll.register(self._descriptor, select.EPOLLPRI)
            self._submit(BackendFound("kernel", "", (), self._read()))
            while True:
                await trio.lowlevel.wait_readable(poll.fileno())
                poll.poll(0)
                self._submit(BackendSaidHost(self._read()))

    def _read(self) -> HostReport:
        name = os.pread(self._descriptor, 256, 0).decode("utf-8", "surrogateescape").strip()
        return HostReport("kernel", hostname="" if name == "(none)" else name)
