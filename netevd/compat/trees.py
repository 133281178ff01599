"""
All conventions by the name of their tree: what each would run for an event, and how it calls it.

A tree's name comes from the closed set of `netevd.config.hooktrees`.
"""

from __future__ import annotations

from netevd.compat import dhclient, ifupdown, networkd, networkmanager
from netevd.compat.call import Call, Occasion
from netevd.config.hooktrees import list_enabled
from netevd.config.schema import Compat
from netevd.model.event import Event


def needs_whole_scale(compat: Compat) -> bool:
    """Tell whether a tree wants to know when a link enters the operational states that fire nothing else."""
    enabled = list_enabled(compat)
    return any(name in enabled for name in ("networkd-dispatcher", "networkmanager", "ifupdown"))


def find_occasions(
    tree: str, event: Event, compat: Compat, *, networkmanager_is_there: bool = False
) -> tuple[Occasion, ...]:
    """Return what a tree would run for an event, in its order. networkmanager_is_there: so its states count."""
    match tree:
        case "networkd-dispatcher":
            assumes = compat.networkd_dispatcher.assume_configured
            return networkd.find_occasions(event, assume_configured=assumes)
        case "networkmanager":
            return networkmanager.find_occasions(event, is_there=networkmanager_is_there)
        case "dhclient-hooks":
            return dhclient.find_occasions(event)
        case "ifupdown":
            return ifupdown.find_occasions(event)
        case "ifplugd":
            delays = compat.ifplugd.delay_up, compat.ifplugd.delay_down
            return ifupdown.find_plug_occasions(event, *delays)
        case "netplug":
            return ifupdown.find_netplug_occasions(event)
        case _:
            return ()


def make_call(tree: str, event: Event, action: str, compat: Compat) -> Call:
    """Return what a script of a tree is called with. action: of an occasion of this event."""
    match tree:
        case "networkd-dispatcher":
            assumes = compat.networkd_dispatcher.assume_configured
            return networkd.make_call(event, action, assume_configured=assumes)
        case "networkmanager":
            return networkmanager.make_call(event, action)
        case "dhclient-hooks":
            return dhclient.make_call(event, action)
        case "ifupdown":
            return ifupdown.make_call(event, action)
        case "ifplugd":
            return ifupdown.make_plug_call(event, action)
        case "netplug":
            return ifupdown.make_netplug_call(event, action)
        case _:
            raise ValueError(f"there is no convention {tree!r}")
