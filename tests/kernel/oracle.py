"""The second opinion on rtnetlink messages: what pyroute2 reads in them, as our values."""

from __future__ import annotations

from typing import Any

from pyroute2.netlink.rtnl.marshal import MarshalRtnl  # type: ignore[import-untyped]

from netevd.model.address import FOREVER, Address
from netevd.model.inputs import AddressGone, AddressSeen, Input, LinkGone, LinkSeen
from netevd.model.link import IfIndex, Link

_AF_INET, _AF_INET6 = 2, 10


def decode_slowly(datagram: bytes) -> list[Input]:
    """Return the inputs of a datagram by way of pyroute2."""
    found: list[Input] = []
    for message in MarshalRtnl().parse(datagram):
        kind = message["event"]
        if kind in ("RTM_NEWLINK", "RTM_DELLINK") and message["family"] == 0:
            if kind == "RTM_DELLINK":
                found.append(LinkGone(IfIndex(message["index"])))
            elif message.get_attr("IFLA_IFNAME") is not None:
                found.append(LinkSeen(_make_link(message)))
        elif kind in ("RTM_NEWADDR", "RTM_DELADDR") and message["family"] in (_AF_INET, _AF_INET6):
            address = _make_address(message)
            found.append(AddressSeen(address) if kind == "RTM_NEWADDR" else AddressGone(address))
    return found


def _make_link(message: Any) -> Link:
    get = message.get_attr
    properties = get("IFLA_PROP_LIST")
    altnames = properties.get_attrs("IFLA_ALT_IFNAME") if properties is not None else []
    return Link(
        IfIndex(message["index"]),
        _keep(get("IFLA_IFNAME")),
        message["flags"],
        # pyroute2 gives the word of linux/if.h
        ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP").index(
            get("IFLA_OPERSTATE")
        ),
        get("IFLA_MTU"),
        get("IFLA_ADDRESS") or "",
        get("IFLA_PERM_ADDRESS") or "",
        message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        IfIndex(get("IFLA_MASTER") or 0),
        tuple(altnames),
        IfIndex(get("IFLA_LINK") or 0),
        get("IFLA_LINK_NETNSID"),
    )


def _make_address(message: Any) -> Address:
    get = message.get_attr
    local, remote = get("IFA_LOCAL"), get("IFA_ADDRESS")
    lifetimes = get("IFA_CACHEINFO") or {}
    return Address(
        IfIndex(message["index"]),
        4 if message["family"] == _AF_INET else 6,
        local or remote,
        message["prefixlen"],
        message["scope"],
        get("IFA_FLAGS"),
        remote if local and remote != local else "",
        _keep(get("IFA_LABEL") or ""),
        lifetimes.get("ifa_preferred", FOREVER),
        lifetimes.get("ifa_valid", FOREVER),
    )


def _keep(text: str | bytes) -> str:
    """Return a name that pyroute2 leaves as bytes where they are not UTF-8."""
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
