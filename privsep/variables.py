"""
The variables that a worker may hand to a script, and the type that each value must have.

Pure. A value that is not of its variable's type never reaches a script: the run is refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Final

from privsep.protocol import IFNAME_LIMIT, UNPRINTABLE, escape

ENVIRONMENT_LIMIT: Final = 96 * 1024
"""Bytes of all variables of one run at most, names and separators included."""

_WORD = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_BACKEND = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,14}\Z")
_LABEL = re.compile(r"[a-z0-9]{1,64}\Z")
_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\Z")
_PEER_NAME = re.compile(r"[A-Za-z0-9%._-]{1,192}\Z")
_ENDPOINT = re.compile(
    r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?\]):\d{1,5}\Z"
)


def is_ifname(value: str) -> bool:
    """
    Tell whether this can be handed to a script as an interface name.

    The kernel refuses an empty name, ".", "..", "/", ":" and white space; beyond that we refuse
    control characters and bytes that are not UTF-8. Source: dev_valid_name() in net/core/dev.c.
    """
    if _PLAIN_NAME.match(value):
        return True  # nearly every name there is
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return False
    if not 1 <= size <= IFNAME_LIMIT or value in {".", ".."}:
        return False
    return not (UNPRINTABLE.search(value) or any(c in "/:" or c.isspace() for c in value))


def is_address(value: str) -> bool:
    """Tell whether this is an IPv4 or IPv6 address without prefix length or zone."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, value)
        except (OSError, UnicodeEncodeError, ValueError):
            continue
        return True
    return False


def _is_prefix(value: str) -> bool:
    address, _, length = value.partition("/")
    return is_address(address) and bool(_NUMBER.match(length)) and int(length) <= 128


def _is_addresses(value: str) -> bool:
    return value == "" or all(is_address(word) for word in value.split(" "))


def _is_prefixes(value: str) -> bool:
    return all(_is_prefix(word) for word in value.split(" "))


def _is_json(value: str) -> bool:
    if not (value.startswith("{") and value.endswith("}")):
        return False
    return (value.isascii() and value.isprintable()) or not UNPRINTABLE.search(value)


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.match(value) is not None


VARIABLES: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    "LINK": ("an interface name", is_ifname),
    "LINKINDEX": ("a number", _matches(_NUMBER)),
    "STATE": ("a word", _matches(_WORD)),
    "BACKEND": ("a backend's name", _matches(_BACKEND)),
    "ADDRESSES": ("addresses separated by blanks", _is_addresses),
    "EVENT": ("a word", _matches(_WORD)),
    "JSON": ("one line of JSON", _is_json),
    "NETEVD_SEQUENCE": ("a number", _matches(_NUMBER)),
    "NETEVD_EVENT": ("a word", _matches(_WORD)),
    "NETEVD_TIME": ("an RFC 3339 time", _matches(_TIME)),
    "NETEVD_COALESCED": ("a number", _matches(_NUMBER)),
    "NETEVD_INITIAL": ("a number", _matches(_NUMBER)),
    "NETEVD_PREVIOUS_STATE": ("a word", _matches(_WORD)),
    "NETEVD_ADDRESS": ("an address", is_address),
    "NETEVD_FAMILY": ("a word", lambda value: value in {"ipv4", "ipv6"}),
    "NETEVD_GATEWAY4": ("an address", is_address),
    "NETEVD_GATEWAY6": ("an address", is_address),
    "NETEVD_GATEWAY": ("an address", is_address),
    "NETEVD_DESTINATION": ("an address with prefix length", _is_prefix),
    "NETEVD_TABLE": ("a number", _matches(_NUMBER)),
    "NETEVD_METRIC": ("a number", _matches(_NUMBER)),
    "NETEVD_PROTOCOL": ("a word", _matches(_LABEL)),
    "NETEVD_WG_INTERFACE": ("an interface name", is_ifname),
    "NETEVD_WG_IMPL": ("a word", _matches(_WORD)),
    "NETEVD_WG_PUBLIC_KEY": ("a public key", _matches(_KEY)),
    "NETEVD_WG_PEER": ("a public key", _matches(_KEY)),
    "NETEVD_WG_PEER_NAME": ("a name", _matches(_PEER_NAME)),
    "NETEVD_WG_PEER_ENDPOINT": ("an address with port", _matches(_ENDPOINT)),
    "NETEVD_WG_PEER_PREV_ENDPOINT": ("an address with port", _matches(_ENDPOINT)),
    "NETEVD_WG_PEER_ALLOWED_IPS": ("prefixes separated by blanks", _is_prefixes),
    "NETEVD_WG_PEER_STATE": ("a word", _matches(_WORD)),
    "NETEVD_WG_PEER_PREV_STATE": ("a word", _matches(_WORD)),
    "NETEVD_WG_PEER_EXPECT": ("a word", _matches(_WORD)),
    **dict.fromkeys(
        (
            f"NETEVD_WG_{word}"
            for word in (
                "LISTEN_PORT",
                "FWMARK",
                "PEERS_TOTAL",
                "PEERS_CONNECTED",
                "PEER_LAST_HANDSHAKE",
                "PEER_RX_BYTES",
                "PEER_TX_BYTES",
            )
        ),
        ("a number", _matches(_NUMBER)),
    ),
}
"""Variables a worker may set, with the type each value must have. The runner adds PATH,
NETEVD_SCRIPT_PATH and NETEVD_RUN itself."""


def find_bad_value(values: list[tuple[str, str]]) -> str | None:
    """Return why these variables can't be handed to a script, or None when they can."""
    seen: set[str] = set()
    size = 0
    for name, value in values:
        if name not in VARIABLES:
            return f"{escape(name)} is not a variable of netevd"
        if name in seen:
            return f"{name} is given twice"
        seen.add(name)
        wanted, check = VARIABLES[name]
        if not check(value):
            return f"{name} is not {wanted}: {escape(value[:200])!r}"
        size += len(name) + len(value.encode()) + 2
    if size > ENVIRONMENT_LIMIT:
        return f"the variables have {size} bytes, more than {ENVIRONMENT_LIMIT}"
    return None
