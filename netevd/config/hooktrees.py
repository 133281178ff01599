"""
Trees of other dispatchers as a configuration has them: which are enabled, where each stands, its custom.

How a tree's scripts are called is netevd.compat's; which of its files may be run, the runner's.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from netevd.config.kinds import AbsolutePath, Duration, MutexName
from netevd.config.schema import Compat, HookTree, Rule

NO_WAIT: Final = "-no-wait"
"""End of the groups of what is started beside everything else. Source: privsep/trees.py."""


ROOT_LIMIT: Final = 8
"""Roots of one tree at most. Source: privsep/launch.py."""


@frozen(slots=True)
class Custom:
    """What a dispatcher does where the configuration says nothing else."""

    roots: tuple[str, ...]
    serial: bool = False
    """Whether one script runs at a time, of all links together."""
    timeout_s: float | None = None
    """How long a script may run; None: as long as those of netevd."""


CUSTOMS: Final = {
    "networkd-dispatcher": Custom(
        ("/etc/networkd-dispatcher", "/usr/lib/networkd-dispatcher"), serial=True
    ),
    "networkmanager": Custom(
        ("/etc/NetworkManager/dispatcher.d", "/usr/lib/NetworkManager/dispatcher.d"),
        serial=True,
        timeout_s=600.0,
    ),
    "dhclient-hooks": Custom(("/etc/dhcp",)),
    "ifupdown": Custom(("/etc/network",)),
    "ifplugd": Custom(("/etc/ifplugd",)),
    "netplug": Custom(("/etc/netplug",)),
}
"""By the word that a tree is called by; its key in the configuration has _ for -."""


def get_tree(compat: Compat, name: str) -> HookTree:
    """Return the settings of a tree."""
    found = getattr(compat, name.replace("-", "_"))
    assert isinstance(found, HookTree)
    return found


def list_enabled(compat: Compat) -> tuple[str, ...]:
    """Return the trees that are looked at, in the order in which their scripts run for an event."""
    return tuple(name for name in CUSTOMS if get_tree(compat, name).enabled)


def list_roots(compat: Compat, name: str) -> tuple[str, ...]:
    """Return where a tree stands."""
    roots = get_tree(compat, name).roots
    return CUSTOMS[name].roots if roots is None else roots


def find_tree(compat: Compat, path: str) -> str:
    """Return the enabled tree that a path stands in, "" for none."""
    for name in list_enabled(compat):
        if any(path.startswith(f"{root.rstrip('/')}/") for root in list_roots(compat, name)):
            return name
    return ""


def make_rule(compat: Compat, name: str, group: str, path: str) -> Rule:
    """Return what is different for a script of a tree, as a rule would say it."""
    custom, timeout = CUSTOMS[name], get_tree(compat, name).timeout
    if timeout is None and custom.timeout_s is not None:
        timeout = Duration(custom.timeout_s)
    waits = custom.serial and not group.endswith(NO_WAIT)
    mutex = MutexName(f"all of {name}") if waits else None  # a configuration's mutex has no blank
    return Rule(AbsolutePath(path), timeout=timeout, mutex=mutex)
