"""What changed, in a few words for people."""

from __future__ import annotations

from netevd.model.event import Event, EventType
from netevd.model.shape import describe_route
from netevd.model.snapshot import Snapshot


def describe(event: Event) -> str:
    """Return in a few words what changed."""
    before, after = event.before, event.after
    if event.route is not None:
        words = describe_route(event.route, lambda ifindex: _name_link(after, ifindex))
        return f"{'del' if event.gone else 'new'} {words}"
    if after is None:
        return event.type.value
    if event.type is EventType.CARRIER:
        return "has carrier" if event.initial else "got carrier"
    if event.type is EventType.NO_CARRIER:
        return "has no carrier" if event.initial or before is None else "lost carrier"
    if event.address is not None:
        return f"{event.address.ip}/{event.address.prefix}"
    if event.type is EventType.GATEWAY_CHANGED:
        old = None if before is None else before.gateway4 if event.family == 4 else before.gateway6
        new = after.gateway4 if event.family == 4 else after.gateway6
        return f"IPv{event.family} gateway {new or 'none'} (was {old or 'none'})"
    if event.type is EventType.LINK_ADDED:
        return f"ifindex {after.link.ifindex}" + (f", {after.link.kind}" if after.link.kind else "")
    if before is None or event.initial:
        return f"is {after.state.value}"
    if event.type is EventType.LINK_RENAMED:
        return f"was {before.link.name}"
    if event.type is EventType.LINK_CHANGED:
        pairs = [
            ("up" if after.link.up else "down", "up" if before.link.up else "down"),
            (f"mtu {after.link.mtu}", f"{before.link.mtu}"),
            (f"MAC {after.link.mac}", before.link.mac),
            (f"master {after.master_name or 'none'}", before.master_name or "none"),
        ]
        return ", ".join(f"{now}" if now in {"up", "down"} else f"{now} (was {was})"
                         for now, was in pairs if not now.endswith(was))  # fmt: skip
    if event.type is EventType.LINK_REMOVED:
        return f"was {before.state.value}"
    return f"{before.state.value} -> {after.state.value}"


def _name_link(snapshot: Snapshot | None, ifindex: int) -> str:
    """Return the name of a link where it is the event's own, else its number as ip(8) writes it."""
    if snapshot is not None and snapshot.link.ifindex == ifindex:
        return snapshot.link.name
    return f"if{ifindex}"
