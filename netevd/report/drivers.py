"""
Which kernel driver a link of hardware has, as sysfs says it.

The worker's sandbox lets it read links below /sys but no file there. sysfs shows the links of the
namespace in which it was mounted, which need not be ours: that is found out while files can be read.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from netevd.model.shape import printable

_ROOT: Final = "/sys/class/net"


def is_ours(root: str = _ROOT) -> bool:
    """Tell whether sysfs shows the links of this network namespace."""
    try:
        hardware = [each for each in os.listdir(root) if os.path.lexists(f"{root}/{each}/device")]
        shown = {(_read_index(f"{root}/{name}/ifindex"), name) for name in hardware}
    except (OSError, ValueError):
        return False
    return shown <= set(socket.if_nameindex())


def _read_index(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


_OURS: Final = is_ours()
"""Found out at import, before the sandbox forbids it."""


def find_driver(name: str, root: str = _ROOT, *, ours: bool = _OURS) -> str | None:
    """Return the name of a link's driver, None where there is none or it can't be known."""
    if not ours:
        return None
    try:
        target = os.readlink(f"{root}/{name}/device/driver")
    except (OSError, ValueError):
        return None
    return printable(os.path.basename(target)) or None
