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
    """One webhook. Its place in the list is its number."""

    url: str
    headers: list[tuple[str, str]]
    timeout_s: float
    allow_local: bool
    """Whether it may be at an address of this machine or of a link."""


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


def read_targets(packed: bytes) -> list[Destination]:
    """Return what `list_targets` has returned, of its bytes. Raises: msgspec.MsgspecError."""
    return msgspec.msgpack.decode(packed, type=list[Destination])
