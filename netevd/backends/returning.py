"""
A manager that has been restarted: until it is done with starting, what it said before stands for what it says.

It takes up its devices anew, from the first state on, and asks its servers for leases that links have kept. None
of that has happened to a link. Once it says that its start is over, whatever is different is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from netevd.model.backend import HostReport, LinkReport
from netevd.model.link import IfIndex

PATIENCE_S: Final = 60.0
"""Seconds after which a start is not waited for any more; a DHCP client is given up after 45 s."""


class Returning:
    """What was said before a manager was lost, as long as that stands."""

    def __init__(self) -> None:
        self._links: dict[IfIndex, LinkReport] = {}
        self._host: HostReport | None = None
        self.due = math.inf
        """When its start is not waited for any more, seconds of a monotonic clock."""

    def keep(self, links: Iterable[LinkReport], host: HostReport | None) -> None:
        """Take what it has said last, when it is lost."""
        self._links = {each.ifindex: each for each in links} or self._links
        self._host = host or self._host
        self.due = math.inf

    def begin(self, now: float, *, is_starting: bool) -> None:
        """Take in that it is back. is_starting: by its own word; if not, nothing stands for it."""
        self.due = now + PATIENCE_S if is_starting and self._links else math.inf
        if self.due is math.inf:
            self.end()

    def is_over(self, now: float, *, is_starting: bool) -> bool:
        """Tell whether what stood for what it says is to end now."""
        return self.due < math.inf and (not is_starting or now >= self.due)

    def end(self) -> None:
        """Have nothing stand for what it says."""
        self._links, self._host, self.due = {}, None, math.inf

    def choose(self, report: LinkReport) -> LinkReport:
        """Return what is told of a link: of one that was as far as this before, what is told now."""
        before = self._links.get(report.ifindex)
        if before is None or before.device_state == report.device_state:
            return report
        return before

    def choose_host(self, report: HostReport) -> HostReport:
        """Return what is told of the host."""
        return report if self._host is None else self._host
