"""
Dispatchers that know of up and down alone: ifupdown's hook directories, ifplugd, netplug.

ifupdown is driven as NetworkManager's bridge to it is on Debian: if-up.d and if-post-down.d, once a family.
"""

from __future__ import annotations

from typing import Final

from netevd.compat.call import Call, Occasion
from netevd.model.address import Address
from netevd.model.event import Event, EventType
from netevd.model.snapshot import OperationalState, Snapshot

_FAMILIES: Final = {4: "inet", 6: "inet6"}


def find_change(event: Event) -> str:
    """
    Return whether a link came up or went down as a whole: "up", "down", "" for neither.

    Up is an address that reaches beyond its own link, as `routable` has it.
    """
    after, before = event.after, event.before
    if after is None:
        return ""
    if event.type is EventType.ROUTABLE:
        return "up"
    was_up = before is not None and before.state is OperationalState.ROUTABLE
    if event.type is EventType.LINK_REMOVED:
        return "down" if after.state is OperationalState.ROUTABLE else ""
    return "down" if was_up and event.type in _STATES and not event.initial else ""


_STATES: Final = frozenset(
    {
        EventType.OFF,
        EventType.DORMANT,
        EventType.DEGRADED_CARRIER,
        EventType.DEGRADED,
        EventType.ENSLAVED,
        EventType.OPERATIONAL_CARRIER,
        EventType.OPERATIONAL_NO_CARRIER,
    }
)
"""Events that tell of an operational state which is less than routable."""


# --- ifupdown --------------------------------------------------------------------------------------


def find_occasions(event: Event) -> tuple[Occasion, ...]:
    """Return what ifupdown's bridge would run for an event."""
    change = find_change(event)
    if not change:
        return ()
    group = "if-up" if change == "up" else "if-post-down"
    families = _list_families(event, change)
    return tuple(Occasion(f"{change} {family}", (group,)) for family in families)


def _list_families(event: Event, change: str) -> list[str]:
    """Return the families of a link that came up, or that it had."""
    present = {each.family for each in _find_told(event, change).addresses if _reaches_far(each)}
    return [word for family, word in _FAMILIES.items() if family in present] or ["inet"]


def _find_told(event: Event, change: str) -> Snapshot:
    """Return the link as it came up, or as it was before it went down."""
    found = event.after if change == "up" or event.before is None else event.before
    assert found is not None
    return found


def _reaches_far(address: Address) -> bool:
    return not address.ip.startswith(("fe80:", "169.254.", "127."))


def make_call(event: Event, action: str) -> Call:
    """Return what a script is called with."""
    change, _, family = action.partition(" ")
    snapshot = _find_told(event, change)
    values = {
        "IFACE": event.name,
        "LOGICAL": event.name,
        "ADDRFAM": family,
        "METHOD": _find_method(snapshot, family),
        "MODE": "start" if change == "up" else "stop",
        "PHASE": "post-up" if change == "up" else "post-down",
        "VERBOSITY": "0",
    }
    return Call((), tuple(values.items()))


def _find_method(snapshot: Snapshot, family: str) -> str:
    """Return who has configured the link: its manager, a DHCP client, or somebody by hand."""
    if snapshot.backend == "NetworkManager":
        return snapshot.backend
    return "dhcp" if snapshot.find_lease(6 if family == "inet6" else 4) else "manual"


# --- ifplugd ---------------------------------------------------------------------------------------


def find_plug_occasions(
    event: Event, delay_up_s: float, delay_down_s: float
) -> tuple[Occasion, ...]:
    """Return what ifplugd would run for an event."""
    if event.type not in {EventType.CARRIER, EventType.NO_CARRIER}:
        return ()
    up = event.type is EventType.CARRIER
    delay_s = 0.0 if is_first(event) else delay_up_s if up else delay_down_s
    groups = ("action", "actions")
    action = "up" if up else "down"
    return (Occasion(action, groups, backward=not up, delay_s=delay_s, first_only=True),)


def is_first(event: Event) -> bool:
    """Tell whether nothing was known of the link before."""
    return event.initial or event.before is None


def make_plug_call(event: Event, action: str) -> Call:
    """Return what ifplugd calls a script with."""
    opposite = "down" if action == "up" else "up"
    previous = "disabled" if is_first(event) else opposite
    values = (("IFPLUGD_PREVIOUS", previous), ("IFPLUGD_CURRENT", action))
    return Call((event.name, action), values)


# --- netplug ---------------------------------------------------------------------------------------


def find_netplug_occasions(event: Event) -> tuple[Occasion, ...]:
    """Return what netplugd would run for an event; a link that is new and off is probed first."""
    if event.type not in {EventType.CARRIER, EventType.NO_CARRIER}:
        return ()
    after: Snapshot | None = event.after
    action = "in" if event.type is EventType.CARRIER else "out"
    probes = is_first(event) and after is not None and not after.link.up
    words = ("probe",) if probes else (action,)
    return tuple(Occasion(word, ("netplug",)) for word in words)


def make_netplug_call(event: Event, action: str) -> Call:
    """Return what netplugd calls its script with."""
    return Call((event.name, action), ())
