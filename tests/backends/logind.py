"""Sleep of a system by its real logind, on a machine that must not sleep."""

from __future__ import annotations

from tests.lab.system import System

_MANAGER = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_BED = """
mount -t tmpfs tmpfs /sys/power
echo freeze mem > /sys/power/state
echo s2idle > /sys/power/mem_sleep
"""


def lay_bed(system: System) -> None:
    """Put files in the place of those by which the kernel is put to sleep: what is written there is over at once."""
    system.run("sh", "-ec", _BED)


def sleep(system: System) -> None:
    """Have logind put the system to sleep, and return when it was written that it shall."""
    system.run("busctl", "call", *_MANAGER, "Suspend", "b", "false")
