"""
Where the kernel drops what comes in by a link that it would not answer by: rp_filter, as it is set.

Read only, by the reader and by doctor; nothing here changes a sysctl. Source: ip-sysctl(7) of the kernel's
documentation, rp_filter and src_valid_mark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from netevd.config.schema import Configuration

DIRECTORY: Final = "/proc/sys/net/ipv4/conf"
_STRICT: Final = "1"
_LIMIT: Final = 20
"""Links that are told at most."""


def find_strict(configuration: Configuration, directory: str = DIRECTORY) -> list[str]:
    """Return the links of policy routing on which the filter is strict; what can't be read is left out."""
    policy = configuration.routing.policy
    if not policy.enabled or "ipv4" not in policy.families:
        return []
    everywhere = _read(directory, "all", "rp_filter")
    found = []
    for name in _list_links(directory):
        value = max(everywhere, _read(directory, name, "rp_filter"))
        if value == _STRICT and _is_named(name, policy.interfaces):
            found.append(name)
    return sorted(found)[:_LIMIT]


def write_setting(link: str) -> str:
    """Return what sysctl(8) calls the setting of a link: dots of a name, as VLANs have, are / there."""
    return f"net.ipv4.conf.{link.replace('.', '/')}.rp_filter"


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether the last pattern that fits lets a link in."""
    hits = [each for each in patterns if fnmatchcase(name, each.removeprefix("!"))]
    return bool(hits) and not hits[-1].startswith("!")


def _list_links(directory: str) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return
    yield from (each for each in names if each not in {"all", "default", "lo"})


def _read(directory: str, name: str, setting: str) -> str:
    try:
        with open(os.path.join(directory, name, setting), encoding="ascii") as file:
            return file.read(8).strip()
    except (OSError, UnicodeDecodeError):
        return ""
