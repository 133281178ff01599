"""The events carrier and no-carrier."""

from netevd.model.link import IFF_LOWER_UP, IFF_RUNNING
from tests.stories.playbook import DORMANT, LOWER_LAYER_DOWN, NOTHING, UNKNOWN, Play, seen


def test_a_cable_is_pulled_and_plugged(play: Play) -> None:
    """IFF_LOWER_UP alone makes carrier and no-carrier; nothing else is said of it."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
    story >> seen("eth0", 2) << "3 eth0 carrier"


def test_a_repeated_message_is_no_event(play: Play) -> None:
    """The kernel may say the same twice; users hear it once."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> seen("eth0", 2) << NOTHING
    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
    story >> seen("eth0", 2, carrier=False) << NOTHING


def test_set_down_with_a_cable_in(play: Play) -> None:
    """`ip link set eth0 down` is link-changed, no-carrier, off, in this order."""
    story = play().begin(seen("eth0", 2, dump=1))

    story >> seen("eth0", 2, up=False) << "2 eth0 link-changed\n3 eth0 no-carrier\n4 eth0 off"


def test_set_up_in_two_messages(play: Play) -> None:
    """The kernel raises IFF_LOWER_UP before the operstate: one carrier event, at the first."""
    story = play().begin(seen("eth0", 2, up=False, dump=1))

    first = seen("eth0", 2, carrier=False, operstate=LOWER_LAYER_DOWN, flags=IFF_LOWER_UP)
    story >> first << "3 eth0 link-changed\n4 eth0 carrier"
    story >> seen("eth0", 2) << NOTHING


def test_operstate_alone_fires_no_carrier_event(play: Play) -> None:
    """The values carrier and no-carrier of the operational scale fire nothing."""
    story = play().begin(seen("eth0", 2, dump=1))
    running = IFF_LOWER_UP | IFF_RUNNING

    story >> seen("eth0", 2, operstate=LOWER_LAYER_DOWN, flags=running) << NOTHING
    assert story.engine.insight.get_snapshots()[0].state == "no-carrier"
    story >> seen("eth0", 2) << NOTHING
    assert story.engine.insight.get_snapshots()[0].state == "carrier"


def test_a_driver_without_operstate(play: Play) -> None:
    """With operstate unknown the flags decide the operational state."""
    story = play().begin(seen("tun0", 2, operstate=UNKNOWN, dump=1))

    assert story.engine.insight.get_snapshots()[0].state == "carrier"
    (
        story
        >> seen("tun0", 2, up=False, operstate=DORMANT)
        << ("2 tun0 link-changed\n3 tun0 no-carrier\n4 tun0 dormant")
    )
