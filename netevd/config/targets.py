"""
What the courier is told by the reader: where to post, with which headers. Nobody else gets it.

Values only, packed into memory that the supervisor seals and does not read.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from netevd.config.schema import Configuration
from netevd.config.webhooks import list_webhooks


class Destination(msgspec.Struct, frozen=True, array_like=True):
    """One webhook. Its place in the list is its number, as that of a host."""

    url: str
    headers: list[tuple[str, str]]
    timeout_s: float
    allow_local: bool
    """Whether it may be at an address of this machine or of a link."""


class Targets(msgspec.Struct, frozen=True, array_like=True):
    """All that the courier may reach, or look up."""

    destinations: list[Destination]
    hosts: list[tuple[str, int]]
    """Host names and ports of the endpoints of WireGuard peers."""


def pack_targets(
    configuration: Configuration, headers: Mapping[str, list[tuple[str, str]]]
) -> bytes:
    """Return all of it as bytes, b"" where there is nothing. headers: of each file, by its path."""
    hosts = []
    for peer in configuration.wireguard.followed:
        host, _, port = (peer.endpoint or "").rpartition(":")
        hosts.append((host, int(port)))
    targets = Targets(list_targets(configuration, headers), hosts)
    return msgspec.msgpack.encode(targets) if targets.destinations or hosts else b""


def list_targets(
    configuration: Configuration, headers: Mapping[str, list[tuple[str, str]]]
) -> list[Destination]:
    """Return all webhooks in the order of their numbers. headers: of each file, by its path."""
    settings = configuration.webhooks
    return [
        Destination(
            each.url,
            headers.get(each.headers_file, []) if each.headers_file else [],
            settings.timeout,
            settings.allow_local,
        )
        for each in list_webhooks(configuration)
    ]


def read_targets(packed: bytes) -> Targets:
    """Return what `pack_targets` has packed. Raises: msgspec.MsgspecError."""
    return msgspec.msgpack.decode(packed, type=Targets)
