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

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,14}\Z")
_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")
_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)
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
    return value == "" or _each(is_address)(value)


def _each(check: Callable[[str], object]) -> Callable[[str], bool]:
    return lambda value: all(check(word) for word in value.split(" "))


def _is_json(value: str) -> bool:
    if not (value.startswith("{") and value.endswith("}")):
        return False
    return (value.isascii() and value.isprintable()) or not UNPRINTABLE.search(value)


_TYPES: Final[list[tuple[str, Callable[[str], object], str]]] = [
    ("an interface name", is_ifname, "LINK NETEVD_WG_INTERFACE"),
    ("a number", _NUMBER.match,
        ("LINKINDEX NETEVD_SEQUENCE NETEVD_COALESCED NETEVD_INITIAL NETEVD_TABLE NETEVD_METRIC"
        " NETEVD_WG_LISTEN_PORT NETEVD_WG_FWMARK NETEVD_WG_PEERS_TOTAL NETEVD_WG_PEERS_CONNECTED"
        " NETEVD_WG_PEER_LAST_HANDSHAKE NETEVD_WG_PEER_RX_BYTES NETEVD_WG_PEER_TX_BYTES")),
    ("a word", re.compile(r"[a-z][a-z0-9-]{0,63}\Z").match,
        ("STATE EVENT NETEVD_EVENT NETEVD_PREVIOUS_STATE NETEVD_WG_IMPL NETEVD_WG_PEER_STATE"
        " NETEVD_WG_PEER_PREV_STATE NETEVD_WG_PEER_EXPECT NETEVD_REASON")),
    ("a backend's name", re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z").match, "BACKEND"),
    ("addresses separated by blanks", _is_addresses, "ADDRESSES DHCP_GATEWAY DHCP_DNS"),
    ("a host name", _NAME.match, "DHCP_HOSTNAME"),
    ("domain names separated by blanks", _each(_NAME.match), "DHCP_DOMAIN"),
    ("a lease", re.compile(r"[A-Za-z0-9_.:/ %=,+~-]{1,4096}\Z").match, "DHCP_LEASE"),
    ("one line of JSON", _is_json, "JSON"),
    ("an RFC 3339 time", _TIME.match, "NETEVD_TIME"),
    ("an address", is_address,
        ("NETEVD_ADDRESS NETEVD_GATEWAY NETEVD_GATEWAY4 NETEVD_GATEWAY6 DHCP_ADDRESS"
        " DHCP_SUBNET_MASK")),
    ("a word", re.compile(r"ipv[46]\Z").match, "NETEVD_FAMILY"),
    ("a word", re.compile(r"[a-z0-9]{1,64}\Z").match, "NETEVD_PROTOCOL"),
    ("an address with prefix length", _is_prefix, "NETEVD_DESTINATION"),
    ("prefixes separated by blanks", _each(_is_prefix), "NETEVD_WG_PEER_ALLOWED_IPS"),
    ("a public key", re.compile(r"[A-Za-z0-9+/]{43}=\Z").match, "NETEVD_WG_PUBLIC_KEY NETEVD_WG_PEER"),
    ("a name", re.compile(r"[A-Za-z0-9%._-]{1,192}\Z").match, "NETEVD_WG_PEER_NAME NETEVD_SSID"),
    ("a link-layer address", re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z").match, "NETEVD_BSSID"),
    ("an address with port", _ENDPOINT.match, "NETEVD_WG_PEER_ENDPOINT NETEVD_WG_PEER_PREV_ENDPOINT"),
]  # fmt: skip
"""What a value is to be, what tells whether it is, and the variables of that type."""
VARIABLES: Final = {
    name: (wanted, check) for wanted, check, names in _TYPES for name in names.split()
}
"""Variables a worker may set, with the type each value must have. The runner adds PATH,
NETEVD_SCRIPT_PATH and NETEVD_RUN itself."""


_HOP: Final = r"[0-9A-Fa-f:.]{2,45}"
_TREES: Final[list[tuple[str, Callable[[str], object], str]]] = [
    ("an interface name", is_ifname, "IFACE|LOGICAL|interface|(DEVICE|DEVICE_IP|VPN_IP)_IFACE"),
    ("a number", _NUMBER.match, "VERBOSITY|pid|(VPN_)?IP[46]_NUM_(ADDRESSES|ROUTES)|CONNECTION_EXTERNAL"),
    ("a word", re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z").match,
        ("STATE|AdministrativeState|OperationalState|NM_DISPATCHER_ACTION|CONNECTIVITY_STATE"
        "|ADDRFAM|METHOD|MODE|PHASE|IFPLUGD_(PREVIOUS|CURRENT)|reason")),
    ("an address or nothing", lambda value: not value or is_address(value), "ADDR|(VPN_)?IP[46]_GATEWAY"),
    ("addresses separated by blanks", _is_addresses,
        "IP6?_ADDRS|(VPN_)?IP[46]_NAMESERVERS|(VPN_)?IP4_WINS_SERVERS"),
    ("an address with prefix length and gateway", re.compile(rf"{_HOP}/\d{{1,3}} {_HOP}\Z").match,
        "(VPN_)?IP[46]_ADDRESS_[0-9]{1,5}"),
    ("a prefix with next hop and metric", re.compile(rf"{_HOP}/\d{{1,3}} {_HOP} \d{{1,10}}\Z").match,
        "(VPN_)?IP[46]_ROUTE_[0-9]{1,5}"),
    ("one line of JSON", _is_json, "json"),
    ("one line of text", lambda value: not UNPRINTABLE.search(value),
        ("ESSID|CONNECTION_(UUID|ID|DBUS_PATH|FILENAME|USER_[A-Z0-9_]{1,128})|DHCP[46]_[A-Z0-9_]{1,128}"
        "|(VPN_)?(IP[46]_DOMAINS|PROXY_PAC_(URL|SCRIPT))|(new|old|cur|alias|requested)_[a-z0-9_]{1,64}")),
]  # fmt: skip
"""The same for variables of other dispatchers' scripts, of all conventions together: patterns of names."""


def _find_type(name: str, *, of_tree: bool) -> tuple[str, Callable[[str], object]] | None:
    if not of_tree:
        return VARIABLES.get(name)
    found = ((wanted, check) for wanted, check, names in _TREES if re.fullmatch(names, name))
    return next(found, None)


def find_bad_value(values: list[tuple[str, str]], *, of_tree: bool = False) -> str | None:
    """
    Return why these variables can't be handed to a script, or None when they can.

    of_tree: the script is of another dispatcher's tree.
    """
    seen: set[str] = set()
    size = 0
    for name, value in values:
        kind = _find_type(name, of_tree=of_tree)
        if kind is None:
            whose = "other dispatchers" if of_tree else "netevd"
            return f"{escape(name)} is not a variable of {whose}"
        if name in seen:
            return f"{name} is given twice"
        seen.add(name)
        wanted, check = kind
        if not check(value):
            return f"{name} is not {wanted}: {escape(value[:200])!r}"
        size += len(name) + len(value.encode()) + 2
    if size > ENVIRONMENT_LIMIT:
        return f"the variables have {size} bytes, more than {ENVIRONMENT_LIMIT}"
    return None
