"""
Who else routes into a WireGuard device, by what the kernel knows of it. Pure.

Two that write routes of one device disagree sooner or later, and who removes its own on the way out
may take the other's along. So netevd leaves alone what somebody else routes, unless told otherwise.
Sources: wg-quick(8), systemd.netdev(5), nm-settings(5), and the tables and rules of Tailscale and
NetBird as their programs make them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Final

from netevd.model.link import Link
from netevd.model.route import ANYWHERE, Route, show_protocol, show_table
from netevd.model.rule import Rule

_KERNEL, _BOOT, _STATIC = 2, 3, 4
"""RTPROT_*: made with an address, by ip(8) without another word, by network managers."""
_TAILSCALE_TABLE: Final = 52
_NETBIRD_TABLE: Final = 0x1BD0
_TAILSCALE = re.compile(r"tailscale[0-9]*\Z")
_NETBIRD = re.compile(r"wt[0-9]+\Z")
_FORCE: Final = "wireguard.routes.force: true has netevd write its own all the same"


def find_owner(
    link: Link, mark: int, prefixes: Container[str], routes: Sequence[Route], rules: Iterable[Rule]
) -> str:
    """
    Return in words who routes into a device and how to make it stop, "" for nobody.

    mark: the device's own. prefixes: what its peers take. routes: those over the device that are not
    netevd's. rules: all that there are.
    """
    tables = {route.table for route in routes}
    if _TAILSCALE_TABLE in tables or _TAILSCALE.match(link.name):
        return _say("Tailscale", f"table {_TAILSCALE_TABLE} or its name", "leave it to Tailscale")
    if _NETBIRD_TABLE in tables or _NETBIRD.match(link.name):
        return _say("NetBird", f"table {_NETBIRD_TABLE} or its name", "leave it to NetBird")
    defaults = {(each.family, each.table) for each in routes if each.destination in ANYWHERE}
    for rule in rules:
        marked = rule.invert and rule.mask and rule.mark == mark
        if marked and (rule.family, rule.table) in defaults:
            how = f"rule {rule.priority}: not fwmark {rule.mark:#x} lookup {show_table(rule.table)}"
            who = "systemd-networkd or NetworkManager" if rule.protocol == _STATIC else "wg-quick"
            return _say(who, how, _ADVICE.get(rule.protocol, _ADVICE[_BOOT]))
    for route in routes:
        if route.protocol != _KERNEL and route.destination in prefixes:
            who = _NAMES.get(route.protocol, "a routing daemon")
            how = f"{route.destination} proto {show_protocol(route.protocol)}"
            how += f" table {show_table(route.table)}"
            return _say(who, how, _ADVICE.get(route.protocol, "have it leave that prefix out"))
    return ""


_NAMES: Final = {
    _BOOT: "wg-quick, or somebody by hand,",
    _STATIC: "systemd-networkd or NetworkManager",
}
_ADVICE: Final = {
    _BOOT: "write 'Table = off' into the [Interface] section of its file",
    _STATIC: "write RouteTable=off into the [WireGuard] section of its .netdev, or have"
    " NetworkManager do without wireguard.peer-routes",
}


def _say(who: str, how: str, advice: str) -> str:
    return f"{who} routes into it already ({how}); {advice}, or {_FORCE}"
