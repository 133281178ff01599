"""
Talk with the service manager: tell it what the daemon does, have it keep descriptors, take those it
hands over. Sources: sd_notify(3), sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from array import array
from typing import Final

from privsep.protocol import escape

FIRST: Final = 3
"""Number of the first descriptor that is handed over."""


def notify(*assignments: str, descriptors: tuple[int, ...] = ()) -> None:
    """Send assignments such as READY=1, a line each; without $NOTIFY_SOCKET nobody wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
            text = "\n".join(map(escape, assignments)).encode()
            sock.sendmsg([text], rights if descriptors else [], 0, address)
        except OSError:
            return  # whoever started us has gone; the next systemctl status will tell


def watchdog_interval() -> float | None:
    """Return after how many seconds without WATCHDOG=1 systemd restarts us, None for never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None


def take_descriptors() -> list[tuple[str, int]]:
    """Return name and number of each descriptor that was handed over to this process."""
    words = [os.environ.pop(f"LISTEN_{word}", "") for word in ("PID", "FDS", "FDNAMES")]
    if words[0] != str(os.getpid()) or not words[1].isdigit():
        return []
    names = words[2].split(":")
    found = []
    for place in range(int(words[1])):
        os.set_inheritable(FIRST + place, False)
        found.append((names[place] if place < len(names) else "", FIRST + place))
    return found
