"""
What a worker gets of a configuration: its settings, and beside them what it names and does not hold.

Certificate, key, authorities and tokens are in no answer that shows a configuration, since they are no
part of one. Values only, as `schema`.
"""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.schema import Configuration, Token


@frozen(slots=True)
class Secrets:
    """What the files that a configuration names hold, PEM as it is."""

    certificate: bytes = b""
    """With the intermediate ones; b"" without TLS."""
    key: bytes = field(default=b"", repr=False)
    client_ca: bytes = b""
    """b"": certificates of clients mean nothing."""
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    """Those of the configuration and of the file."""


@frozen(slots=True)
class Sealed:
    """All that a worker gets from the reader, by way of the supervisor that does not look at it."""

    configuration: Configuration
    secrets: Secrets
