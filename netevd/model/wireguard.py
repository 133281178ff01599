"""WireGuard as its devices tell it: a device, its peers, and what their handshakes mean."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from attrs import frozen

from netevd.model.link import IfIndex

Implementation = Literal["kernel", "userspace"]

PublicKey = str
"""A public key as people know it: 44 characters of base64."""


class PeerState(StrEnum):
    """What a peer's last handshake and traffic say of it."""

    NEVER = "never"
    """There was no handshake since the device was made."""
    CONNECTED = "connected"
    IDLE = "idle"
    """No handshake for a while, and nobody wanted one."""
    DISCONNECTED = "disconnected"
    """No handshake for a while, though one was wanted."""


@frozen(slots=True)
class Peer:
    """One peer as its device tells it. Source: WGPEER_A_*, linux/wireguard.h."""

    public_key: PublicKey
    endpoint: str = ""
    """Address and port, `192.0.2.1:51820` or `[2001:db8::1]:51820`; "" when none is known."""
    allowed_ips: tuple[str, ...] = ()
    """Prefixes in the device's order."""
    handshake_ns: int = 0
    """Wall clock of the last handshake, nanoseconds since 1970; 0 for never."""
    rx_bytes: int = 0
    tx_bytes: int = 0
    keepalive_s: int = 0
    """Seconds between keepalives that are sent to it, 0 for none."""


@frozen(slots=True)
class Device:
    """One WireGuard device as it told itself at one moment."""

    implementation: Implementation
    public_key: PublicKey = ""
    """Its own; "" where it does not say, as userspace does not."""
    listen_port: int = 0
    fwmark: int = 0
    peers: tuple[Peer, ...] = ()
    """In the device's order."""


@frozen(slots=True)
class KnownPeer:
    """What users know of a peer."""

    peer: Peer
    """As its device told it last."""
    state: PeerState
    quiet: int = 0
    """How often in a row it was read without anything having been sent to it."""


@frozen(slots=True)
class KnownDevice:
    """What users know of a device."""

    ifindex: IfIndex
    lane: int
    """Incarnation of its link."""
    device: Device
    """As it told itself last, without peers."""
    peers: tuple[KnownPeer, ...] = ()
    up: bool = False
    """Whether its link is up and has an address."""


@frozen(slots=True)
class WireguardFact:
    """What a WireGuard event is about: a device, and one of its peers if it is a peer's."""

    implementation: Implementation
    public_key: PublicKey
    """Of the device; "" where it does not say."""
    listen_port: int
    fwmark: int
    peers: int
    """How many it has."""
    connected: int
    """How many of them are connected."""
    peer: Peer | None = None
    name: str = ""
    """Name that the configuration has for that peer."""
    state: PeerState | None = None
    previous_state: PeerState | None = None
    """None for a peer that was not known before."""
    previous_endpoint: str = ""
    expected: str = ""
    """always, on-demand or never."""
