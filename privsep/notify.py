"""Tell systemd what the daemon does: READY, STATUS, STOPPING, WATCHDOG. Source: sd_notify(3)."""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> None:
    """Send assignments such as READY=1; without $NOTIFY_SOCKET nobody wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return  # whoever started us has gone; the next systemctl status will tell


def watchdog_interval() -> float | None:
    """Return after how many seconds without WATCHDOG=1 systemd restarts us, None for never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None
