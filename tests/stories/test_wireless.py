"""Which network a wireless link is in: what of it is told, and who is believed."""

from __future__ import annotations

import json

from attrs import evolve

from netevd.config.schema import Debounce
from netevd.model.backend import LinkReport
from netevd.model.inputs import BackendFound, BackendLost, BackendSaid, DumpEnded, HelperConnected
from netevd.model.link import IfIndex
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, Playbook, gone, seen

RADIO = "nl80211"
WLAN = IfIndex(2)
NETWORKD = "systemd-networkd"


def told(ssid: str = "", bssid: str = "") -> BackendFound:
    """Return what the kernel says of wlan0."""
    return BackendFound(RADIO, "", (LinkReport(RADIO, WLAN, ssid=ssid, bssid=bssid),))


HOME = told("home", "02:00:00:00:01:00")
NONE = told()


def begin(play: Play, found: BackendFound = NONE, debounce: Debounce | None = None) -> Playbook:
    """Return a story of wlan0 that was in this network at the start."""
    story = play(configure(debounce=debounce), backends=(RADIO, NETWORKD))
    return story.fill(found, BackendLost(NETWORKD, "no")).begin(seen("wlan0", 2, dump=1))


def test_start_waits_for_it_and_tells_no_news(play: Play) -> None:
    """What a link is in at the start is known to its first events, and no event."""
    story = play(backends=(RADIO,)).with_scripts("/etc/netevd/carrier.d/a")
    story >> HelperConnected() << "dump 1"
    story >> seen("wlan0", 2, dump=1) << NOTHING
    story >> DumpEnded(1, consistent=True) << NOTHING
    (
        story
        >> HOME
        << """
        1 wlan0 carrier initial
        ready
        """
    )
    assert story.events[0].after is not None
    assert (story.events[0].after.ssid, story.events[0].backend) == ("home", "kernel")


def test_entering_roaming_changing_leaving(play: Play) -> None:
    """Each is one event; what repeats itself is none."""
    story = begin(play)

    story >> HOME << "2 wlan0 ssid-changed home"
    story >> HOME << NOTHING
    story >> told("home", "02:00:00:00:02:00") << "3 wlan0 roamed 02:00:00:00:02:00"
    story >> told("office", "02:00:00:00:03:00") << "4 wlan0 ssid-changed office"
    story >> NONE << "5 wlan0 ssid-changed none"
    story >> gone(2) << "6 wlan0 link-removed"


def test_the_kernel_is_believed(play: Play) -> None:
    """A manager that says another name makes no event, and is not shown; without the kernel's word it counts."""
    story = begin(play, HOME)
    managed = LinkReport(NETWORKD, WLAN, manages=True, setup_state="configured", ssid="hom")

    story.fill(BackendFound(NETWORKD, "252", (managed,)))
    story >> BackendSaid(evolve(managed, ssid="other")) << NOTHING
    story >> told("home", "02:00:00:00:02:00") << "3 wlan0 roamed 02:00:00:00:02:00"
    assert story.events[-1].backend == NETWORKD

    alone = play(backends=(NETWORKD,)).fill(BackendFound(NETWORKD, "252", (managed,)))
    alone.begin(seen("wlan0", 2, dump=1))
    alone >> BackendSaid(evolve(managed, ssid="other")) << "3 wlan0 ssid-changed other"


def test_variables_and_json(play: Play) -> None:
    """A name is percent-encoded whatever it is, and absent for none; JSON shows octets that are no text."""
    story = begin(play, HOME).with_scripts("/etc/netevd/ssid-changed.d/a")

    story.fill(told("a b\udcff\n~'$(x)", "02:00:00:00:03:00"))
    values = story.get_values()
    assert values["NETEVD_SSID"] == "a%20b%FF%0A%7E%27%24%28x%29"
    assert values["NETEVD_BSSID"] == "02:00:00:00:03:00"
    shape = json.loads(values["JSON"])
    assert shape["interface"]["ssid"] == "a b\\xff\\x0a~'$(x)"
    assert (shape["before"]["ssid"], shape["before"]["bssid"]) == ("home", "02:00:00:00:01:00")


def test_a_window_over_two_networks(play: Play) -> None:
    """Of a network that is entered again within a window nothing runs."""
    story = begin(play, HOME, Debounce(enabled=True)).with_scripts(
        "/etc/netevd/ssid-changed.d/a", "/etc/netevd/roamed.d/a"
    )

    story.fill(NONE)
    story >> HOME << "3 wlan0 ssid-changed home"
    story >> 6 << "unchanged 2 3"
    story.fill(told("home", "02:00:00:00:02:00"), HOME)
    story >> 6 << "unchanged 4 5"


def test_what_was_told_outlives_the_worker(play: Play) -> None:
    """Another worker tells what is different, and nothing else."""
    story = begin(play, HOME)
    state = story.engine.get_state()

    same = play(state=state, backends=(RADIO,)).begin(seen("wlan0", 2, dump=1))
    same >> HOME << NOTHING
    other = play(state=state, backends=(RADIO,)).begin(seen("wlan0", 2, dump=1))
    other >> told("office", "02:00:00:00:03:00") << "2 wlan0 ssid-changed office"
