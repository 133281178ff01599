"""
What the service manager keeps over a restart of the whole unit: event sockets and slates, by name.

It keeps them if its unit says FileDescriptorStoreMax, and hands them to the next daemon, which reads
on where this one has stopped. Source: systemd.service(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from privsep.log import Log
from privsep.notify import notify

_PREFIX: Final = "netevd-"


class Store:
    """The descriptors that an earlier daemon has left, and those that this one leaves."""

    def __init__(self, given: list[tuple[str, int]], log: Log) -> None:
        """given: name and number of what was handed over; it is taken over."""
        self._log = log
        self._given: dict[str, int] = {}
        for name, number in given:
            if not name.startswith(_PREFIX) or name in self._given:
                os.close(number)
            else:
                self._given[name] = number
        self.works = bool(self._given) or os.environ.get("FDSTORE", "0") != "0"
        """Whether it is known that what is left here is kept. Source: $FDSTORE in systemd.exec(5)."""

    def take(self, name: str, find_fault: Callable[[int], str]) -> int | None:
        """Return what was kept under this name, if it is what it has to be."""
        kept = self._given.pop(f"{_PREFIX}{name}", None)
        if kept is None:
            return None
        fault = find_fault(kept)
        if not fault:
            return kept
        self._log.write("warn", f"{name} of before the restart is not used, since {fault}")
        os.close(kept)
        notify("FDSTOREREMOVE=1", f"FDNAME={_PREFIX}{name}")
        return None

    def leave(self, name: str, number: int) -> None:
        """Have this descriptor kept for the next daemon."""
        # polled, an event socket that has met an overrun would be thrown away for its error
        notify("FDSTORE=1", f"FDNAME={_PREFIX}{name}", "FDPOLL=0", descriptors=(number,))
