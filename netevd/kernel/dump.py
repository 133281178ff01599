"""
One look at the kernel's links, addresses and routes, for commands that need no daemon.

Belongs here: an own, unprivileged socket, a dump of each, the end. The daemon never uses this: its
socket is the helper's.
"""

from __future__ import annotations

import os
import socket
import struct
from socket import AF_INET, AF_INET6
from typing import Final

from netevd.kernel.decode import decode, decode_routes
from netevd.model.inputs import Input, RoutesDumped

_RTM_GETLINK: Final = 18
_RTM_GETADDR: Final = 22
_RTM_GETROUTE: Final = 26
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_REQUEST: Final = 0x1
_NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
_SOL_NETLINK: Final = 270
_NETLINK_GET_STRICT_CHK: Final = 12
"""Source: linux/rtnetlink.h, linux/netlink.h, linux/socket.h."""

_RECEIVE_SIZE: Final = 65536
"""Bytes; the kernel makes dump datagrams of 32 KiB at most. Source: netlink_dump()."""

_ATTEMPTS: Final = 10
"""A dump that something changed in between is repeated this often."""

_TIMEOUT_S: Final = 5.0

_REQUESTS: Final = (
    (_RTM_GETLINK, bytes(16)),
    (_RTM_GETADDR, bytes(8)),
    (_RTM_GETROUTE, bytes((AF_INET, *bytes(11)))),
    (_RTM_GETROUTE, bytes((AF_INET6, *bytes(11)))),
)
"""Message type and body (ifinfomsg, ifaddrmsg, rtmsg) of each dump."""

_RULES: Final = (34, bytes(12))
"""RTM_GETRULE with a fib_rule_hdr of both families."""

_HEADER: Final = struct.Struct("=IHHII")


class DumpError(Exception):
    """The kernel did not tell its links, addresses and routes."""


def snapshot_links(*, rules: bool = False) -> list[Input]:
    """
    Return all links, addresses and routes of this network namespace, as parts of dump 1.

    rules: policy rules too.

    Needs no privilege. Blocks for as long as the kernel takes, at most 5 s for each answer.
    Raises: DumpError.
    """
    requests = (*_REQUESTS, _RULES) if rules else _REQUESTS
    try:
        with socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC,
            socket.NETLINK_ROUTE,
        ) as kernel:
            kernel.settimeout(_TIMEOUT_S)
            # strict checking (Linux 4.20) refuses a request that an older reading would ignore
            kernel.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
            kernel.bind((0, 0))
            for attempt in range(_ATTEMPTS):
                parts = [
                    _dump(kernel, kind, body, attempt * len(requests) + place)
                    for place, (kind, body) in enumerate(requests, 1)
                ]
                if None not in parts:
                    return [given for part in parts if part for given in part]
    except OSError as error:
        raise DumpError(f"reading links from the kernel failed: {error}") from error
    raise DumpError(f"links changed during each of {_ATTEMPTS} readings; try again")


def _dump(kernel: socket.socket, kind: int, body: bytes, sequence: int) -> list[Input] | None:
    """Return one dump as inputs, None if it was interrupted. Raises: OSError, DumpError."""
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    kernel.sendto(_HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body, (0, 0))
    inputs: list[Input] = []
    routes = kind == _RTM_GETROUTE
    interrupted = False
    while True:
        datagram, _, message_flags, sender = kernel.recvmsg(_RECEIVE_SIZE)
        if sender[0] != 0:
            continue  # only the kernel has port 0; anybody may write to our socket
        if message_flags & socket.MSG_TRUNC:
            raise DumpError(f"netlink datagram of more than {_RECEIVE_SIZE} bytes")
        start, last = 0, False
        while start + 16 <= len(datagram):
            length, found, header_flags, _, _ = _HEADER.unpack_from(datagram, start)
            interrupted = interrupted or bool(header_flags & _NLM_F_DUMP_INTR)
            if found in (_NLMSG_ERROR, _NLMSG_DONE):
                last = True
                _raise_error(datagram[start + 16 : start + length])
            start += max(16, (length + 3) & ~3)
        inputs += [RoutesDumped(decode_routes(datagram), 1)] if routes else decode(datagram, 1)
        if last:
            return None if interrupted else inputs


def _raise_error(body: bytes) -> None:
    """Raise the error number that ends a dump, if it is one. Raises: OSError."""
    number = struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if number < 0:
        raise OSError(-number, os.strerror(-number))
