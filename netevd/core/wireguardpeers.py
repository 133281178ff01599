"""
The life of WireGuard peers: what their handshakes and counters mean, compared with what users know.

Pure. There is no message when a peer comes or goes: a device is read again and again, and the
difference is what happened. With traffic there is a handshake every 120 s, keys are refused after
180 s, and an idle peer makes none; so an old handshake alone does not say that a peer is gone.
Source: WireGuard: Next Generation Kernel Network Tunnel, section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from netevd.config.kinds import Expectation
from netevd.model.event import EventType
from netevd.model.wireguard import Device, KnownPeer, Peer, PeerState, PublicKey

QUIET: Final = 2
"""Readings without anything sent after which nobody wants a peer any more."""

FUTURE_NS: Final = 2 * 10**9
"""A handshake that is later than now by more than this is no handshake: a clock was set."""

_TYPES: Final = {
    PeerState.CONNECTED: EventType.WG_PEER_CONNECTED,
    PeerState.IDLE: EventType.WG_PEER_IDLE,
    PeerState.DISCONNECTED: EventType.WG_PEER_DISCONNECTED,
}


class PeerChange(NamedTuple):
    """What happened to one peer."""

    type: EventType
    before: KnownPeer | None
    after: KnownPeer | None
    """None: it is not the device's any more."""


class Reading(NamedTuple):
    """What a device says, and when."""

    device: Device
    wall_ns: int
    """Nanoseconds since 1970."""
    stale_s: float
    """Age of a handshake from which on it says nothing, seconds."""
    rebased: bool = False
    """The clock was set since the last reading: ages say nothing, so nothing is told of states."""


def compare(
    known: Mapping[PublicKey, KnownPeer],
    reading: Reading,
    expect: Callable[[Peer], Expectation],
) -> tuple[dict[PublicKey, KnownPeer], list[PeerChange]]:
    """Return what is known after a reading, and what of it is news: peers that went, then the others."""
    after = {
        peer.public_key: judge(known.get(peer.public_key), peer, reading, expect(peer))
        for peer in reading.device.peers
    }
    changes = [
        PeerChange(EventType.WG_PEER_REMOVED, before, None)
        for key, before in known.items()
        if key not in after
    ]
    for key, now in after.items():
        changes += _compare_peer(known.get(key), now, reading)
    return after, changes


def _compare_peer(before: KnownPeer | None, now: KnownPeer, reading: Reading) -> list[PeerChange]:
    if before is None:
        changes = [PeerChange(EventType.WG_PEER_ADDED, None, now)]
        if now.state is PeerState.CONNECTED:
            changes.append(PeerChange(EventType.WG_PEER_CONNECTED, None, now))
        return changes
    changes = []
    if now.peer.endpoint and now.peer.endpoint != before.peer.endpoint:
        changes.append(PeerChange(EventType.WG_PEER_ENDPOINT_CHANGED, before, now))
    if now.state is not before.state and now.state in _TYPES and not reading.rebased:
        changes.append(PeerChange(_TYPES[now.state], before, now))
    return changes


def judge(
    before: KnownPeer | None, peer: Peer, reading: Reading, expected: Expectation
) -> KnownPeer:
    """Return what is to be said of a peer as it was read now."""
    sent = before is not None and peer.tx_bytes > before.peer.tx_bytes
    heard = before is not None and peer.rx_bytes > before.peer.rx_bytes
    quiet = 0 if sent or before is None else before.quiet + 1
    if not peer.handshake_ns:
        return KnownPeer(peer, PeerState.NEVER, quiet)
    age_ns = reading.wall_ns - peer.handshake_ns
    was = None if before is None else before.state
    if age_ns < -FUTURE_NS:
        return KnownPeer(peer, was or PeerState.CONNECTED, quiet)
    if age_ns < reading.stale_s * 1e9:
        return KnownPeer(peer, PeerState.CONNECTED, quiet)
    if expected == "always":
        return KnownPeer(peer, PeerState.DISCONNECTED, quiet)
    if expected == "never":
        return KnownPeer(peer, PeerState.IDLE, quiet)
    if sent and not heard:
        return KnownPeer(peer, PeerState.DISCONNECTED, quiet)
    if was is PeerState.DISCONNECTED and quiet < QUIET:
        return KnownPeer(peer, PeerState.DISCONNECTED, quiet)
    return KnownPeer(peer, PeerState.IDLE, quiet)


MANY: Final = 500
"""Peers of one device above which it is read less often."""

MANY_S: Final = 15.0
"""Seconds between readings of a device with many peers, at least."""

SLOWER: Final = 4
"""A device that nobody uses is read so many times less often."""


def find_wait(
    known: Mapping[PublicKey, KnownPeer], reading: Reading, interval_s: float, *, still: bool
) -> float:
    """
    Return seconds until a device is to be read again.

    still: nothing was sent or received since the reading before. A handshake that goes stale
    earlier than that is looked at when it does.
    """
    used = any(each.state is PeerState.CONNECTED for each in known.values())
    wait = interval_s if used or not still else interval_s * SLOWER
    if len(known) > MANY:
        wait = max(wait, MANY_S)
    for each in known.values():
        if each.state is PeerState.CONNECTED:
            left = reading.stale_s - (reading.wall_ns - each.peer.handshake_ns) / 1e9
            if 0 < left < wait:
                wait = max(left, 0.1)
    return wait
