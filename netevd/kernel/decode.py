"""
The only rtnetlink decoder: bytes of the kernel in, inputs of the core out.

Pure: no sockets, no state. Belongs here: how a datagram falls into messages, and which decoder reads
which. Does not belong here: the layout of messages (link_messages, route_messages), what a change
means (core.observe), acknowledgements and the end of dumps (the helper).
Source: netlink(7), rtnetlink(7), linux/rtnetlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from netevd.kernel import link_messages, route_messages
from netevd.kernel.attributes import DecodeError
from netevd.model.inputs import Input
from netevd.model.neighbour import Namespace, Neighbour
from netevd.model.route import Route

_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""

_DECODERS: Final[dict[int, Callable[[bytes, int, int, int, int], Input | None]]] = {
    link_messages.RTM_NEWLINK: link_messages.decode_link,
    link_messages.RTM_DELLINK: link_messages.decode_link_gone,
    link_messages.RTM_NEWADDR: link_messages.decode_address_seen,
    link_messages.RTM_DELADDR: link_messages.decode_address_gone,
    route_messages.RTM_NEWROUTE: route_messages.decode_route_seen,
    route_messages.RTM_DELROUTE: route_messages.decode_route_gone,
    route_messages.RTM_NEWRULE: route_messages.decode_rule_seen,
    route_messages.RTM_DELRULE: route_messages.decode_rule_gone,
    route_messages.RTM_NEWNEXTHOP: route_messages.decode_nexthop_changed,
    route_messages.RTM_DELNEXTHOP: route_messages.decode_nexthop_changed,
}
"""Message type to its decoder, which takes datagram, first and last offset, flags, dump number."""


def decode(datagram: bytes, dump: int = 0) -> list[Input]:
    """
    Return what one datagram says, in its order; messages of no concern to us are left out.

    `datagram` is what one recv returned: any number of whole messages. `dump` is the number of the
    dump it belongs to, 0 for events. Raises: DecodeError.
    """
    inputs: list[Input] = []
    for start, limit, kind, flags in _walk(datagram):
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            found = decoder(datagram, start, limit, flags, dump)
            if found is not None:
                inputs.append(found)
    return inputs


def decode_routes(datagram: bytes) -> tuple[Route, ...]:
    """Return the routes of one datagram of a route dump. Raises: DecodeError."""
    read = route_messages.decode_route
    found = [
        read(datagram, start, limit)
        for start, limit, kind, _ in _walk(datagram)
        if kind == route_messages.RTM_NEWROUTE
    ]
    return tuple(route for route in found if route is not None)


def decode_neighbours(datagram: bytes) -> list[tuple[bool, Neighbour]]:
    """
    Return the ARP and NDP entries of one datagram, each with whether it is there or gone.

    For recordings: the core keeps no neighbours. Raises: DecodeError.
    """
    kinds = (link_messages.RTM_NEWNEIGH, link_messages.RTM_DELNEIGH)
    found: list[tuple[bool, Neighbour]] = []
    for start, limit, kind, _ in _walk(datagram):
        if kind in kinds:
            neighbour = link_messages.decode_neighbour(datagram, start, limit)
            if neighbour is not None:
                found.append((kind == kinds[0], neighbour))
    return found


def decode_namespaces(datagram: bytes) -> list[tuple[bool, Namespace]]:
    """
    Return the namespace numbers of one datagram, each with whether it is given or taken back.

    For recordings: the core keeps no namespaces. Raises: DecodeError.
    """
    kinds = (link_messages.RTM_NEWNSID, link_messages.RTM_DELNSID)
    return [
        (kind == kinds[0], link_messages.decode_namespace(datagram, start, limit))
        for start, limit, kind, _ in _walk(datagram)
        if kind in kinds
    ]


def _walk(datagram: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield begin, end, type and flags of each message. Raises: DecodeError."""
    start, end = 0, len(datagram)
    unpack = _HEADER.unpack_from
    while start < end:
        if end - start < 16:
            raise DecodeError(f"{end - start} bytes left, a message header needs 16", start)
        length, kind, flags, _, _ = unpack(datagram, start)
        limit = start + length
        if length < 16 or limit > end:
            raise DecodeError(f"message of {length} bytes, {end - start} are there", start)
        yield start, limit, kind, flags
        start = (limit + 3) & ~3
