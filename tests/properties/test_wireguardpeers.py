"""Whatever devices say, what is told of peers adds up to what is so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netevd.core.wireguardpeers import Reading, compare
from netevd.model.event import EventType
from netevd.model.wireguard import Device, KnownPeer, Peer, PeerState

HOUR_NS = 3600 * 10**9
_STATES = {
    EventType.WG_PEER_CONNECTED: PeerState.CONNECTED,
    EventType.WG_PEER_IDLE: PeerState.IDLE,
    EventType.WG_PEER_DISCONNECTED: PeerState.DISCONNECTED,
}

peers = st.builds(
    Peer,
    st.sampled_from("abc"),
    st.sampled_from(("", "192.0.2.1:1", "192.0.2.2:2")),
    handshake_ns=st.sampled_from((0, HOUR_NS - 1, HOUR_NS - 300 * 10**9, 2 * HOUR_NS)),
    rx_bytes=st.integers(0, 2),
    tx_bytes=st.integers(0, 2),
    keepalive_s=st.sampled_from((0, 25)),
)
devices = st.lists(peers, max_size=3, unique_by=lambda each: each.public_key).map(
    lambda found: Device("kernel", peers=tuple(found))
)


@given(st.lists(devices, min_size=1, max_size=8))
def test_what_is_told_adds_up(readings: list[Device]) -> None:
    """Peers added less those removed are those that are there; the last state told is the state."""
    known: dict[str, KnownPeer] = {}
    there: set[str] = set()
    states: dict[str, PeerState] = {}
    for device in readings:
        reading = Reading(device, HOUR_NS, 210.0)
        known, changes = compare(
            known, reading, lambda each: "always" if each.keepalive_s else "on-demand"
        )
        for change in changes:
            told = change.after or change.before
            assert told is not None
            key = told.peer.public_key
            if change.type is EventType.WG_PEER_ADDED:
                assert key not in there
                there.add(key)
                states[key] = told.state
            elif change.type is EventType.WG_PEER_REMOVED:
                there.remove(key)
            elif change.type in _STATES:
                assert change.before is None or change.before.state is not _STATES[change.type]
                states[key] = _STATES[change.type]
        assert there == set(known) == {each.public_key for each in device.peers}
        for key, each in known.items():
            if each.state is not PeerState.NEVER:
                assert states[key] is each.state

    _, again = compare(known, Reading(readings[-1], HOUR_NS, 210.0), lambda _: "never")
    assert not [
        each for each in again if each.type in {EventType.WG_PEER_ADDED, EventType.WG_PEER_REMOVED}
    ]
