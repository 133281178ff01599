"""Endpoints with a name: whose is looked up, when, and what becomes of the answer."""

from __future__ import annotations

from netevd.config.kinds import HostPort, Interval, PublicKey
from netevd.config.schema import Wireguard, WireguardPeer, WireguardRoutes
from netevd.model.inputs import EndpointResolved, RoutesDumpEnded
from netevd.model.wireguard import Peer
from tests.stories.configurations import configure
from tests.stories.playbook import Play, Playbook, gone, has, seen, show
from tests.stories.test_wireguard import KEY, failed, peer, told

NAME = "vpn.example:51820"


def begin(play: Play, *, interval: float = 30.0, expect: str | None = None) -> Playbook:
    """Return a story of wg0 whose peer has a name, and was read once while it answered."""
    settings = Wireguard(
        peers=(WireguardPeer(PublicKey(KEY), None, expect, HostPort(NAME)),),
        routes=WireguardRoutes(mode="manage"),
        endpoint_reresolve=Interval(interval),
    )
    story = play(configure(wireguard=settings))
    story.begin(seen("wg0", 2, kind="wireguard", dump=1), seen("eth0", 3, dump=1),
                has("10.0.0.1/24", 2, dump=1))  # fmt: skip
    return story.fill(
        RoutesDumpEnded(1, consistent=True), 0, told(1, peer(age=205, rx=1000, tx=1000))
    )


def silence(story: Playbook) -> Playbook:
    """Have the peer not answer any more."""
    return story.fill(5, told(2, _silent(6)))


def _silent(at: float) -> Peer:
    """Return the peer as it is read then: what is sent to it grows, what is heard does not."""
    return peer(age=205 + at, at=at, rx=1000, tx=1000 + round(148 * at))


def asked(story: Playbook) -> list[str]:
    """Return what the last input has had asked of courier and helper about endpoints."""
    return [
        line for line in show(story.actions).splitlines() if line.startswith(("resolve", "set"))
    ]


def wait(story: Playbook, seconds: int) -> list[str]:
    """Pass time in which the device answers; return what was asked about endpoints meanwhile."""
    found = []
    for _ in range(seconds):
        story.fill(1)
        found += asked(story)
        reads = [line for line in show(story.actions).splitlines() if line.startswith("read")]
        for line in reads:
            story.fill(told(int(line.split()[1].rstrip(":")), _silent(story.time - 1000.0)))
            found += asked(story)
    return found


def test_a_peer_that_answers_is_not_looked_up(play: Play) -> None:
    story = begin(play)
    for _ in range(3):
        story.fill(60)
        assert asked(story) == []


def test_a_peer_that_does_not_answer_is_looked_up_after_the_interval(play: Play) -> None:
    """Its device is told the new address, and read again; an old address is no news."""
    story = silence(begin(play))
    assert asked(story) == []
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.1",)))
    assert asked(story) == []
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.9", "2001:db8::9")))
    (line,) = asked(story)
    assert line.endswith(f": wg0 {KEY} to 192.0.2.9 port 51820")
    story.fill(told(int(line.split()[1].rstrip(":"))))
    assert "is 192.0.2.9:51820 now" in show(story.actions)
    assert "read" in show(story.actions)


def test_of_several_addresses_the_next_one_is_taken(play: Play) -> None:
    """The one that the device has does not answer: after the last the first comes again."""
    for addresses, chosen in [
        (("192.0.2.1", "192.0.2.2"), "192.0.2.2"), (("2001:db8::1", "192.0.2.1"), "2001:db8::1"),
        (("192.0.2.7", "192.0.2.8"), "192.0.2.7"),
    ]:  # fmt: skip
        story = silence(begin(play))
        assert wait(story, 30) == ["resolve 0"]
        story.fill(EndpointResolved(0, addresses))
        assert [line.split(" to ")[1] for line in asked(story)] == [f"{chosen} port 51820"]


def test_a_network_that_changed_has_it_looked_up_sooner(play: Play) -> None:
    """An address of another link is a change, one of the tunnel itself is none; and not at every message."""
    story = silence(begin(play))
    story.fill(1, has("10.0.0.2/24", 2), 5)
    assert asked(story) == []
    story.fill(has("192.168.1.5/24", 3))
    assert asked(story) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.1",)), has("192.168.1.6/24", 3))
    assert asked(story) == []
    story.fill(5)
    assert asked(story) == ["resolve 0"]


def test_whom_nobody_expects_is_left_alone(play: Play) -> None:
    story = silence(begin(play, expect="never")).fill(60)
    assert asked(story) == []


def test_what_can_not_be_found_or_set_is_said_once(play: Play) -> None:
    """And tried again; an answer that nobody waits for any more changes nothing."""
    story = silence(begin(play))
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, (), "vpn.example has no address"))
    assert "could not be looked up: vpn.example has no address" in show(story.actions)
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, (), "vpn.example has no address"))
    assert "could not be looked up" not in show(story.actions)
    story.fill(EndpointResolved(0, ("192.0.2.9",)), EndpointResolved(9, ("192.0.2.9",)))
    assert asked(story) == []
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.9",)))
    (line,) = asked(story)
    number = int(line.split()[1].rstrip(":"))
    story.fill(failed(number, "Operation not permitted"))
    assert "could not be set to 192.0.2.9:51820: Operation not permitted" in show(story.actions)
    assert wait(story, 30) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.9",)))
    (line,) = asked(story)
    story.fill(failed(int(line.split()[1].rstrip(":")), "Operation not permitted"))
    assert "could not be set" not in show(story.actions)


def test_a_device_that_does_not_answer_is_not_told_anything(play: Play) -> None:
    """Each attempt would take the time of all other devices."""
    story = silence(begin(play)).fill(30)
    assert asked(story) == ["resolve 0"]
    story.fill(EndpointResolved(0, ("192.0.2.9",)), 5)
    assert asked(story) == []


def test_a_courier_that_dies_costs_one_look_up(play: Play) -> None:
    """No answer comes: after a while it is asked for again."""
    story = silence(begin(play, interval=1.0)).fill(1)
    assert asked(story) == ["resolve 0"]
    story.fill(10)
    assert asked(story) == []
    story.fill(5)
    assert asked(story) == ["resolve 0"]


def test_a_peer_that_is_gone_is_forgotten(play: Play) -> None:
    """What was looked up for it leads nowhere."""
    story = silence(begin(play)).fill(30)
    assert asked(story) == ["resolve 0"]
    story.fill(gone(2), EndpointResolved(0, ("192.0.2.9",)))
    assert asked(story) == []
