"""
dhclient's enter and exit hooks: one call for each event of a lease, whoever holds the lease.

Which of the old and the new lease a reason tells of: BOUND the new one, RENEW and REBIND both,
EXPIRE and RELEASE the old one. Source: dhclient-script(8).
"""

from __future__ import annotations

from typing import Final

from netevd.compat.call import Call, Occasion
from netevd.compat.lease import describe_lease
from netevd.model.backend import Lease
from netevd.model.event import Event, EventType

_BOTH: Final = frozenset({"RENEW", "REBIND"})
_OVER: Final = frozenset({"EXPIRE", "RELEASE"})


def find_occasions(event: Event) -> tuple[Occasion, ...]:
    """Return what dhclient would run its hooks for."""
    if event.type is not EventType.LEASE or event.after is None:
        return ()
    number = "6" if event.family == 6 else ""
    return (Occasion(event.reason.upper() + number, ("chain",)),)


def make_call(event: Event, action: str) -> Call:
    """Return what the hooks are called with."""
    reason = action.removesuffix("6")
    old = None if event.before is None else event.before.find_lease(event.family)
    values = {"reason": action, "interface": event.name}
    if reason in _OVER:
        values |= _prefix("old", event.lease)
    else:
        values |= _prefix("new", event.lease)
        values |= _prefix("old", old if reason in _BOTH else None)
    return Call((), tuple(values.items()))


def _prefix(word: str, lease: Lease | None) -> dict[str, str]:
    values = {} if lease is None else describe_lease(lease)
    return {f"{word}_{name}": value for name, value in values.items()}
