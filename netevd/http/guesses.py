"""Wrong tokens by address: whoever has sent many of them is not listened to for a while."""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Network, ip_address
from typing import Final

LIMIT: Final = 10
"""Wrong tokens that may come at once."""
PERIOD_S: Final = 6.0
"""Seconds after which one of them is forgotten."""
TABLE_LIMIT: Final = 1024
"""Addresses that are remembered; the one that has guessed longest ago is forgotten first."""


class Guesses:
    """How full each address's bucket is, and when that was."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def find_wait(self, address: str, now: float) -> int:
        """Return after how many seconds a token from there is looked at, 0 for at once."""
        level = self._find_level(_group(address), now)
        return math.ceil((level - LIMIT + 1) * PERIOD_S) if level > LIMIT - 1 else 0

    def note(self, address: str, now: float) -> None:
        """Remember that a wrong token came from there."""
        group = _group(address)
        self._known[group] = (self._find_level(group, now) + 1, now)
        self._known.move_to_end(group)
        if len(self._known) > TABLE_LIMIT:
            self._known.popitem(last=False)

    def _find_level(self, group: str, now: float) -> float:
        level, since = self._known.get(group, (0.0, now))
        return max(0.0, level - (now - since) / PERIOD_S)


def _group(address: str) -> str:
    """Return what counts as one place: of IPv6 the network that one customer has."""
    if ip_address(address).version == 4:
        return address
    return str(IPv6Network((address, 64), strict=False))
