"""
What a worker gets of a configuration: its settings, and beside them what it names and does not hold.

Certificate, key, authorities and tokens are in no answer that shows a configuration, since they are no
part of one. Values only, as `schema`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from attrs import evolve, field, frozen

from netevd.config.schema import Configuration, Token, WireguardPeer


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
class Origins:
    """The files that a configuration was written in."""

    path: str = ""
    """The main file, "" where there is none."""
    text: bytes = b""
    """What stands in the main file."""
    included: tuple[str, ...] = ()
    """Other files, in the order in which they were read."""
    tag: str = ""
    """Another one for each content of all the files: what HTTP calls an entity tag."""


@frozen(slots=True)
class Sealed:
    """All that a worker gets from the reader, by way of the supervisor that does not look at it."""

    configuration: Configuration
    secrets: Secrets
    origins: Origins = field(factory=Origins)
    notices: tuple[str, ...] = ()
    """What is to be said of it once, `file:line:column: text` each."""
    peers: tuple[WireguardPeer, ...] = ()
    """WireGuard peers of the configuration, with what the files of `wireguard.names_from` add."""

    def get_whole(self) -> Configuration:
        """Return the configuration as the engine wants it: with what files add to it."""
        settings = evolve(self.configuration.wireguard, peers=self.peers)
        return evolve(self.configuration, wireguard=settings)


def seal(
    configuration: Configuration,
    secrets: Secrets,
    files: Iterable[tuple[str, bytes]],
    notices: Iterable[str] = (),
    peers: Iterable[WireguardPeer] | None = None,
) -> bytes:
    """Return the octets that are handed over. files: path and content, the main file first."""
    whole = sha256()
    known = [(path.encode("utf-8", "backslashreplace"), content) for path, content in files]
    for part in (part for file in known for part in file):
        whole.update(f"{len(part)}:".encode() + part)
    path, text = known[0] if known else (b"", b"")
    included = tuple(each.decode() for each, _ in known[1:])
    origins = Origins(path.decode(), text, included, whole.hexdigest()[:32])
    whole_peers = configuration.wireguard.peers if peers is None else tuple(peers)
    sealed = Sealed(configuration, secrets, origins, tuple(notices), whole_peers)
    return msgspec.msgpack.encode(sealed)


def unseal(content: bytes) -> Sealed:
    """Return what was handed over."""
    return msgspec.msgpack.decode(content, type=Sealed)
