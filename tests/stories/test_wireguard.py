"""WireGuard devices and their peers: what is read when, and what of it is told."""

from __future__ import annotations

import pytest

from netevd.config.kinds import Duration, PeerName, PublicKey
from netevd.config.schema import Debounce, Wireguard, WireguardPeer
from netevd.core.engine import Engine
from netevd.model.inputs import HelperConnected, Now, WireguardRead
from netevd.model.wireguard import Device, Peer
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, START_NS, Play, Playbook, gone, has, lost, seen, show

KEY = "a" * 42 + "E="
OTHER = "b" * 42 + "E="
SECOND = 10**9


def peer(key: str = KEY, *, age: float | None = None, at: float = 0.0, rx: int = 0, tx: int = 0,
         endpoint: str = "192.0.2.1:51820", keepalive: int = 0) -> Peer:  # fmt: skip
    """Return a peer whose handshake was `age` seconds before `at` seconds after the beginning."""
    handshake = 0 if age is None else START_NS + round((at - age) * SECOND)
    return Peer(key, endpoint, ("10.0.0.0/8",), handshake, rx, tx, keepalive)


def told(number: int, *peers: Peer) -> WireguardRead:
    return WireguardRead(number, Device("kernel", "", 51820, 0, peers))


def failed(number: int, reason: str = "No such device") -> WireguardRead:
    return WireguardRead(number, None, reason)


NAMED = Wireguard(peers=(WireguardPeer(PublicKey(KEY), PeerName("laptop")),))


def begin(play: Play, settings: Wireguard | None = None, *peers: Peer) -> Playbook:
    """Return a story of a device wg0 that is up, has an address, and was read once."""
    story = play(configure(wireguard=settings))
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), has("10.0.0.1/24", 2, dump=1))
    return story.fill(0, told(1, *peers))


def test_what_is_found_at_the_start_is_no_event(play: Play) -> None:
    """The first reading says how things are; nothing has happened."""
    story = play(configure(wireguard=NAMED))
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), has("10.0.0.1/24", 2, dump=1))
    assert show(story.actions).splitlines()[-1] == "read 1: wg0 by kernel"

    story >> told(1, peer(age=10)) << NOTHING


def test_peers_come_and_go(play: Play) -> None:
    """A peer that is configured is told, and that it is connected once it has made a handshake."""
    story = begin(play, NAMED, peer())

    story >> 5 << "read 2: wg0 by kernel"
    story >> told(2, peer(), peer(OTHER)) << f"3 wg0 wg-peer-added {OTHER}"
    story >> 20 << "read 3: wg0 by kernel"
    (
        story
        >> told(3, peer(age=1, at=25, rx=92, tx=148))
        << f"4 wg0 wg-peer-removed {OTHER}\n5 wg0 wg-peer-connected laptop"
    )
    story >> 5 << "read 4: wg0 by kernel"
    story >> told(4, peer(age=6, at=30, rx=92, tx=148)) << NOTHING


def test_an_unused_peer_is_idle_and_not_disconnected(play: Play) -> None:
    """An old handshake alone says nothing: nobody has sent anything that wanted another one."""
    story = begin(play, NAMED, peer(age=203, rx=1000, tx=1000))

    story >> 5 << "read 2: wg0 by kernel"
    story >> told(2, peer(age=208, at=5, rx=1000, tx=1000)) << NOTHING
    # it is looked at when it gets too old, not when the interval is over
    story >> 2.5 << "read 3: wg0 by kernel"
    story >> told(3, peer(age=210.5, at=7.5, rx=1000, tx=1000)) << "3 wg0 wg-peer-idle laptop"
    story >> 19 << NOTHING
    story >> 1 << "read 4: wg0 by kernel"


def test_a_peer_that_does_not_answer_is_disconnected(play: Play) -> None:
    """Something was sent to it, nothing came back, and its keys are too old."""
    story = begin(play, NAMED, peer(age=205, rx=1000, tx=1000))

    story >> 5 << "read 2: wg0 by kernel"
    story >> told(2, peer(age=211, at=6, rx=1000, tx=1148)) << "3 wg0 wg-peer-disconnected laptop"
    story >> 5 << "read 3: wg0 by kernel"
    story >> told(3, peer(age=0, at=10, rx=1092, tx=1296)) << "4 wg0 wg-peer-connected laptop"


def test_a_peer_that_is_expected_always_needs_no_traffic(play: Play) -> None:
    """With keepalives, or expect: always, an old handshake is enough; with expect: never it never is."""
    story = begin(play, NAMED, peer(age=205, keepalive=25))
    story >> 5 << "read 2: wg0 by kernel"
    story >> told(2, peer(age=211, at=6, keepalive=25)) << "3 wg0 wg-peer-disconnected laptop"

    never = Wireguard(peers=(WireguardPeer(PublicKey(KEY), PeerName("laptop"), "never"),))
    story = begin(play, never, peer(age=205, rx=1, tx=1))
    story >> 5 << "read 2: wg0 by kernel"
    story >> told(2, peer(age=211, at=6, rx=1, tx=149)) << "3 wg0 wg-peer-idle laptop"


def test_a_peer_that_nobody_calls_any_more_is_idle(play: Play) -> None:
    """Disconnected until nothing was sent to it twice in a row."""
    story = begin(play, NAMED, peer(age=205, rx=1, tx=1))
    story.fill(5)
    story >> told(2, peer(age=211, at=6, rx=1, tx=149)) << "3 wg0 wg-peer-disconnected laptop"
    story.fill(5)
    story >> told(3, peer(age=216, at=11, rx=1, tx=149)) << NOTHING
    story.fill(20)
    story >> told(4, peer(age=236, at=31, rx=1, tx=149)) << "4 wg0 wg-peer-idle laptop"


def test_a_peer_roams(play: Play) -> None:
    """Another endpoint is told with the one before; an endpoint that is forgotten is not."""
    story = begin(play, NAMED, peer(age=10))
    story.fill(5)
    (
        story
        >> told(2, peer(age=15, at=5, endpoint="198.51.100.7:1"))
        << "3 wg0 wg-peer-endpoint-changed laptop"
    )
    fact = story.events[-1].wireguard
    assert fact is not None
    assert fact.previous_endpoint == "192.0.2.1:51820"
    story.fill(5)
    story >> told(3, peer(age=20, at=10, endpoint="")) << NOTHING


def test_a_device_is_up_with_an_address(play: Play) -> None:
    """wg-up and wg-down follow the address and the administrator; links' own events are told before."""
    story = begin(play, NAMED)

    story.fill(lost("10.0.0.1/24", 2))
    assert names(story)[-2:] == ["address-removed", "wg-down"]
    story.fill(has("10.0.0.1/24", 2))
    assert names(story)[-3:] == ["address-usable", "routable", "wg-up"]
    story.fill(gone(2))
    assert names(story)[-3:] == ["wg-down", "address-removed", "link-removed"]


def names(story: Playbook) -> list[str]:
    return [each.type.value for each in story.events]


def test_a_device_made_again_is_one_down_and_one_up(play: Play) -> None:
    """Peers of a new device under the same name are found, not told one by one."""
    story = begin(play, NAMED, peer(age=10), peer(OTHER, age=10))

    story.fill(gone(2), seen("wg0", 3, kind="wireguard"), has("10.0.0.1/24", 3))
    (read,) = [each for each in story.actions if show([each]).startswith("read")] or [None]
    story.fill(told(2, peer(), peer(OTHER)))

    assert [each for each in names(story) if each.startswith("wg")] == ["wg-down"]
    assert read is None
    story.fill(5)
    story.fill(told(3, peer(), peer(OTHER)))
    assert [each for each in names(story) if each.startswith("wg")] == ["wg-down"]


def test_a_clock_that_was_set_tells_nothing_of_peers(play: Play) -> None:
    """After a sleep, or when the clock is set, ages are wrong until there are new handshakes."""
    story = begin(play, NAMED, peer(age=10))
    story.fill(5)
    slept = 3600.0
    now = Now(story.time, START_NS + round((story.time - 1000.0 + slept) * 1e9))
    actions = story.engine.handle(told(2, peer(age=15, at=5)), now)

    assert show(actions) == NOTHING


def test_a_handshake_of_the_future_keeps_the_state(play: Play) -> None:
    story = begin(play, NAMED, peer(age=10))
    story.fill(5)

    story >> told(2, peer(age=-3600, at=5)) << NOTHING


def test_a_tun_link_is_asked_a_few_times_and_then_left_alone(play: Play) -> None:
    """Most of them are no devices; one that is set up again is asked again."""
    story = play(configure())
    story.begin(seen("tun0", 2, kind="tun", dump=1))
    for number in (1, 2, 3, 4):
        story.fill(failed(number, "Connection refused"), 5)
    assert story.engine.deadline() is None

    story.fill(seen("tun0", 2, kind="tun", up=False), seen("tun0", 2, kind="tun"))
    assert show(story.actions).splitlines()[-1] == "read 5: tun0 by userspace"


def test_a_device_that_can_not_be_read_is_said_once(play: Play) -> None:
    """It is asked less and less often, and again as before once it answers."""
    story = begin(play, NAMED, peer(age=10))

    story >> 5 << "read 2: wg0 by kernel"
    (
        story
        >> failed(2, "Operation not permitted")
        << ("warn: The WireGuard device could not be read: Operation not permitted; still trying")
    )
    story >> 10 << "read 3: wg0 by kernel"
    story >> failed(3, "Operation not permitted") << NOTHING
    story >> 20 << "read 4: wg0 by kernel"
    story >> told(4, peer(age=45, at=35)) << NOTHING


def test_a_device_that_does_not_answer_holds_up_no_other(play: Play) -> None:
    """One is read at a time; the next one's turn comes after five seconds."""
    story = play(configure())
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), seen("wg1", 3, kind="wireguard", dump=1))
    story._unread = ""

    (
        story
        >> 5
        << (
            "warn: The WireGuard device could not be read: it did not answer within 5 s; still trying"
            "\nread 2: wg1 by kernel"
        )
    )
    story >> told(1, peer()) << NOTHING


def test_a_new_helper_is_asked_again(play: Play) -> None:
    """What was asked of a helper that died will never be answered."""
    story = begin(play, NAMED, peer(age=10))
    story >> 5 << "read 2: wg0 by kernel"

    story.fill(HelperConnected("the helper died"))
    assert "read 3: wg0 by kernel" in show(story.actions)


def test_other_interfaces_are_left_alone(play: Play) -> None:
    """wireguard.interfaces and enabled decide."""
    from netevd.config.kinds import Patterns

    for settings in (Wireguard(enabled=False), Wireguard(interfaces=Patterns(("wg1",)))):
        story = play(configure(wireguard=settings))
        story.begin(seen("wg0", 2, kind="wireguard", dump=1))
        assert story.engine.deadline() is None


def test_what_users_know_outlives_the_worker(play: Play) -> None:
    """The next engine tells what changed while nobody looked, once."""
    story = begin(play, NAMED, peer(age=10), peer(OTHER, age=10))
    state = story.engine.get_state()
    assert state is not None
    assert [len(each.peers) for each in state.wireguard] == [2]

    engine = Engine(configure(wireguard=NAMED), 1, state=state)
    now = Now(story.time + 1, START_NS + SECOND)
    actions = engine.handle(HelperConnected(), now)
    assert "read 1: wg0 by kernel" in show(actions)
    actions = engine.handle(told(1, peer(age=11, at=1, endpoint="198.51.100.7:1")), now)
    assert show(actions) == f"3 wg0 wg-peer-removed {OTHER}\n4 wg0 wg-peer-endpoint-changed laptop"


def test_debounce_knows_a_peer_s_connection(play: Play) -> None:
    """A peer that was gone for a moment runs nothing; its endpoint is another fact."""
    settings = configure(
        wireguard=NAMED, debounce=Debounce(enabled=True, window=Duration(60.0))
    )  # fmt: skip
    story = play(settings)
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), has("10.0.0.1/24", 2, dump=1))
    story.with_scripts("/etc/netevd/wg-peer-disconnected.d/1", "/etc/netevd/wg-peer-connected.d/1")
    story.fill(told(1, peer(age=205, rx=1, tx=1)), 5)
    story.fill(told(2, peer(age=211, at=6, rx=1, tx=149)), 5)
    story.fill(told(3, peer(age=0, at=11, rx=93, tx=297)), 60)
    ran = [line for line in show(story.actions).splitlines() if line[0] in "su"]

    assert ran == ["unchanged 3 4"]


@pytest.mark.parametrize("emit_json", [True, False])
def test_variables_of_a_peer(play: Play, emit_json: bool) -> None:
    """A script gets everything that is known of the peer, and nothing that is not."""
    story = play(configure(wireguard=NAMED, emit_json=emit_json))
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), has("10.0.0.1/24", 2, dump=1))
    story.with_scripts("/etc/netevd/wg-peer-connected.d/1")
    story.fill(0, told(1, peer()), 5)
    number = 2
    story.fill(told(number, peer(age=1, at=5, rx=92, tx=148)))
    values = story.get_values()
    ours = {name: value for name, value in values.items() if name.startswith("NETEVD_WG_")}

    assert ours == {
        "NETEVD_WG_INTERFACE": "wg0", "NETEVD_WG_IMPL": "kernel", "NETEVD_WG_LISTEN_PORT": "51820",
        "NETEVD_WG_FWMARK": "0", "NETEVD_WG_PEERS_TOTAL": "1", "NETEVD_WG_PEERS_CONNECTED": "1",
        "NETEVD_WG_PEER": KEY, "NETEVD_WG_PEER_NAME": "laptop",
        "NETEVD_WG_PEER_ENDPOINT": "192.0.2.1:51820",
        "NETEVD_WG_PEER_PREV_ENDPOINT": "192.0.2.1:51820",
        "NETEVD_WG_PEER_ALLOWED_IPS": "10.0.0.0/8", "NETEVD_WG_PEER_LAST_HANDSHAKE": "1700000004",
        "NETEVD_WG_PEER_RX_BYTES": "92", "NETEVD_WG_PEER_TX_BYTES": "148",
        "NETEVD_WG_PEER_STATE": "connected", "NETEVD_WG_PEER_PREV_STATE": "never",
        "NETEVD_WG_PEER_EXPECT": "on-demand",
    }  # fmt: skip
