"""Debounce: of several events of one fact the last one runs its scripts, once it has waited."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import evolve

from netevd.config.kinds import Duration, EventLimit
from netevd.config.schema import Debounce, Override
from netevd.core.debounce import LIMIT
from netevd.core.debounce import Debounce as Windows
from netevd.core.engine import Engine
from netevd.model.actions import Outcome
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    HooksListed,
    RouteGone,
    RoutesDumped,
    RoutesDumpEnded,
    RouteSeen,
    RunnerConnected,
    Stopping,
)
from netevd.model.memory import Numbers, State
from netevd.model.waiting import Waiting
from netevd.report.packing import Packing
from tests.stories.configurations import configure, filters
from tests.stories.playbook import (
    NOTHING,
    Play,
    Playbook,
    finished,
    gone,
    has,
    hooks,
    lost,
    route,
    seen,
)
from tests.stories.routing import LAN
from tests.stories.routing import begin as begin_routes

TYPES = ("carrier", "no-carrier", "address-added", "address-removed", "address-usable", "routable",
         "link-changed", "link-added", "link-removed", "routes")  # fmt: skip


def script(kind: str) -> str:
    """Return the only script of an event type."""
    return f"/etc/netevd/{kind}.d/a"


def debounce(*overrides: Override, **settings: Any) -> Debounce:
    """Return a window of 5 s and 4 events."""
    found = Debounce(True, Duration(5.0), EventLimit(4), overrides=overrides)
    return evolve(found, **settings)


def begin(play: Play, *overrides: Override, **more: Any) -> Playbook:
    """Return a story of eth0 and eth1, both with carrier and without addresses."""
    story = play(configure(debounce=debounce(*overrides), initial=False, **more))
    story.begin(seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    return story.with_scripts(*map(script, TYPES))


def outcomes(story: Playbook) -> list[str]:
    """Return the reasons of the last input's outcomes."""
    return [each.reason for each in story.actions if isinstance(each, Outcome)]


def test_the_last_event_of_a_window_runs(play: Play) -> None:
    """It has the link before the first, how many there were, and runs when the window closes."""
    story = begin(play)
    story >> seen("eth0", 2, mtu=1400) << "3 eth0 link-changed"
    story >> 2 << NOTHING
    story >> seen("eth0", 2, mtu=1300) << "4 eth0 link-changed"
    story >> 2.9 << NOTHING

    story >> 0.1 << f"coalesced 3 into 4\nstart 1: {script('link-changed')} for 4"
    assert outcomes(story) == ["coalesced into event 4, the last of 2 events within 5 s"]
    told = msgspec.json.decode(story.get_values()["JSON"])
    assert told["event"]["coalesced"] == 2
    assert (told["before"]["mtu"], told["interface"]["mtu"]) == (1500, 1300)


def test_one_event_waits_and_runs(play: Play) -> None:
    """A window of one event says nothing but its start."""
    story = begin(play)
    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"

    story >> 5 << f"start 1: {script('no-carrier')} for 3"
    assert msgspec.json.decode(story.get_values()["JSON"])["event"]["coalesced"] == 1
    assert story.engine.deadline() is not None, "the start has its own deadline"


def test_nothing_runs_when_the_fact_is_back_where_it_was(play: Play) -> None:
    """Every event was published, and what became of it is said."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False), 1, seen("eth0", 2))

    story >> 4 << "unchanged 3 4"
    assert outcomes(story) == [
        "2 events within 5 s left carrier state of eth0 as it was: nothing runs"
    ]


def test_without_net_effect_the_last_event_runs(play: Play) -> None:
    """Even where nothing has changed in the end."""
    story = begin(play, Override(net_effect=False))
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2))

    story >> 5 << f"coalesced 3 into 4\nstart 1: {script('carrier')} for 4"


def test_max_events_close_a_window_at_once(play: Play) -> None:
    """The next event opens a new one."""
    story = begin(play)
    story.fill(seen("eth0", 2, mtu=1), seen("eth0", 2, mtu=2), seen("eth0", 2, mtu=3))
    (
        story
        >> seen("eth0", 2, mtu=4)
        << f"""
        6 eth0 link-changed
        coalesced 3 4 5 into 6
        start 1: {script("link-changed")} for 6
        """
    )
    story.fill(1, seen("eth0", 2, mtu=5), finished(1))

    story >> 4.9 << NOTHING
    story >> 0.1 << f"start 2: {script('link-changed')} for 7"


def test_facts_and_links_have_windows_of_their_own(play: Play) -> None:
    """An address, its usability, another address, another link: none joins the other."""
    story = begin(play)
    story.fill(has("10.0.0.1/24", 2), 1, has("10.0.0.2/24", 2), 1, has("10.0.0.1/24", 3))

    story >> 3 << f"start 1: {script('address-added')} for 3"
    assert len(story.engine.insight.get_waiting().windows) == 5


def test_an_address_that_goes_again_has_no_net_effect(play: Play) -> None:
    """Its presence and the link's state are back; its usability was told once, so that runs."""
    story = begin(play)
    story.fill(has("10.0.0.1/24", 2), lost("10.0.0.1/24", 2))

    (
        story
        >> 5
        << f"""
        unchanged 3 6
        start 1: {script("address-usable")} for 4
        """
    )


def test_a_removed_address_that_comes_back_has_no_net_effect(play: Play) -> None:
    """It was there before, and is there after."""
    story = begin(play)
    story.fill(has("10.0.0.1/24", 2), 5, finished(1), finished(2), finished(3))
    story.fill(lost("10.0.0.1/24", 2), has("10.0.0.1/24", 2))

    story >> 4.9 << NOTHING
    story >> 0.1 << f"unchanged 6 7\nstart 4: {script('address-usable')} for 8"


def test_routes_are_told_apart_by_table_destination_and_metric(play: Play) -> None:
    """A route that is replaced and set back has no net effect; another route has its own window."""
    story = begin_routes(play, route(LAN, "10.9.9.1@2"))
    story.engine = Engine(evolve(story.configuration, debounce=debounce()), 1)
    story.fill(RunnerConnected(), HooksListed(hooks(script("routes"))))
    story.fill(HelperConnected(), seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    story.fill(DumpEnded(1, consistent=True), RoutesDumped((route(LAN, "10.9.9.1@2"),), 1))
    story.fill(RoutesDumpEnded(1, consistent=True))
    first, second = route(LAN, "10.9.9.1@2"), route(LAN, "10.9.9.2@2")
    story.fill(6, finished(1), finished(2))

    story.fill(RouteGone(first), RouteSeen(second), RouteGone(second), RouteSeen(first))
    assert [each.result for each in story.actions if isinstance(each, Outcome)] == ["unchanged"]
    story.fill(RouteGone(first), RouteSeen(second), RouteSeen(route(LAN, "@3", metric=7)))
    story >> 5
    assert [each.result for each in story.actions if isinstance(each, Outcome)] == ["coalesced"]
    assert len([line for line in story._unread.splitlines() if line.startswith("start")]) == 2
    story << story._unread


def test_hold_down_is_asymmetric(play: Play) -> None:
    """up: 0s, down: 5s: a short loss runs nothing, a long one runs late, a return runs at once."""
    override = Override(event_type=("carrier", "no-carrier"), up=0.0, down=5.0)  # type: ignore[arg-type]
    story = begin(play, override)
    story.fill(seen("eth0", 2, carrier=False), 3)
    story >> seen("eth0", 2) << "4 eth0 carrier\nunchanged 3 4"
    story >> seen("eth0", 2, carrier=False) << "5 eth0 no-carrier"
    story >> 5 << f"start 1: {script('no-carrier')} for 5"
    story.fill(finished(1))

    story >> seen("eth0", 2) << f"6 eth0 carrier\nstart 2: {script('carrier')} for 6"


def test_a_shorter_wait_closes_a_window_earlier_and_never_later(play: Play) -> None:
    """An event that joins brings its own wait."""
    override = Override(event_type=("carrier", "no-carrier"), up=2.0, down=10.0, net_effect=False)  # type: ignore[arg-type]
    story = begin(play, override)
    story.fill(seen("eth0", 2, carrier=False), 1, seen("eth0", 2), 1)
    story.fill(seen("eth0", 2, carrier=False))

    story >> 0.9 << NOTHING
    story >> 0.1 << f"coalesced 3 4 into 5\nstart 1: {script('no-carrier')} for 5"


def test_the_first_override_that_matches_holds(play: Play) -> None:
    """By interface and type; 0s means that these events do not wait."""
    story = begin(
        play,
        Override("eth1", ("link-*",), 0.0),  # type: ignore[arg-type]
        Override("eth*", window=1.0),  # type: ignore[arg-type]
    )
    (
        story
        >> seen("eth1", 3, mtu=9)
        << f"3 eth1 link-changed\nstart 1: {script('link-changed')} for 3"
    )
    story >> seen("eth0", 2, mtu=9) << "4 eth0 link-changed"
    story >> 1 << f"start 2: {script('link-changed')} for 4"


def test_each_event_is_filtered_by_itself(play: Play) -> None:
    """An ignored one neither opens nor joins; the last one's verdict decides what runs."""
    story = begin(
        play,
        filters=filters(
            {"match": {"condition": "mtu == 1"}, "action": "ignore"},
            {"match": {"condition": "mtu == 2"}, "action": "log"},
            {
                "match": {"condition": "mtu == 3"},
                "action": "execute",
                "scripts": (script("carrier"),),
            },
        ),
    )
    story.fill(seen("eth0", 2, mtu=1), 3, seen("eth0", 2, mtu=4), 3, seen("eth0", 2, mtu=3), 1)
    story.fill(seen("eth0", 2, mtu=2), seen("eth0", 2, mtu=1))

    story >> 1 << f"coalesced 4 into 5\nstart 1: {script('carrier')} for 5"


def test_an_event_after_the_end_of_a_window_does_not_join_it(play: Play) -> None:
    """Even when it is handled before the tick."""
    story = begin(play)
    story.fill(seen("eth0", 2, mtu=1))
    story.time += 5

    (
        story
        >> seen("eth0", 2, mtu=2)
        << f"""
        4 eth0 link-changed
        start 1: {script("link-changed")} for 3
        """
    )


def test_a_link_that_is_made_anew_is_another_one(play: Play) -> None:
    """What waits for the link that is gone runs before what the new one waits for."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False), gone(2), seen("eth0", 7))

    story >> 5
    started = [line for line in story._unread.splitlines() if line.startswith("start")]
    assert started == [f"start 1: {script('no-carrier')} for 3"]
    story << story._unread
    story.fill(finished(1))
    assert story.actions
    story >> finished(2)
    assert f"start 3: {script('link-added')} for 5" in story._unread
    story << story._unread


def test_windows_survive_their_engine(play: Play) -> None:
    """A later engine that gets them closes them as they were to close, also with other settings."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False), 1, seen("eth1", 3, mtu=9))
    waiting = story.engine.insight.get_waiting()
    packing = Packing[Waiting](Waiting)
    assert packing.unpack(packing.pack(waiting)) == waiting

    later = play(configure(debounce=debounce(window=Duration(60.0))))
    later.time = story.time
    state = State(Numbers(5, 1, 2), waiting=waiting)
    later.engine = Engine(later.configuration, 1, state=state)
    later.fill(RunnerConnected(), HooksListed(hooks(*map(script, TYPES))))
    later >> 4 << f"start 1: {script('no-carrier')} for 3"
    later >> 1 << f"start 2: {script('link-changed')} for 4"


def test_windows_close_at_once_where_nothing_waits_any_more(play: Play) -> None:
    """An engine without debounce runs what waited before anything newer."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False), 1, seen("eth1", 3, mtu=9))
    later = play()
    later.time = story.time
    state = State(Numbers(5, 1, 2), waiting=story.engine.insight.get_waiting())
    later.engine = Engine(configure(), 1, state=state)
    later.fill(RunnerConnected())

    (
        later
        >> HooksListed(hooks(*map(script, TYPES)))
        << f"""
        start 1: {script("no-carrier")} for 3
        start 2: {script("link-changed")} for 4
        """
    )


def test_initial_events_that_run_nothing_open_no_window(play: Play) -> None:
    """With scripts.initial false they don't coalesce with what comes later."""
    story = begin(play)

    assert story.engine.insight.get_waiting() == Waiting()


def test_stopping_leaves_what_waits_to_the_next_daemon(play: Play) -> None:
    """It is said how much is waiting; a window that closes meanwhile starts nothing."""
    story = begin(play)
    story.fill(seen("eth0", 2, carrier=False))

    (
        story
        >> Stopping(kept=True)
        << (
            "info: netevd stops while 0 scripts and 1 debounce windows wait:"
            " the next netevd goes on with them"
        )
    )
    assert len(story.engine.insight.get_waiting().windows) == 1
    story >> 10 << NOTHING
    assert story.engine.insight.get_waiting() == Waiting()
    assert [each.sequence for each in story.engine.insight.get_open_runs()] == [
        story.events[-1].sequence
    ]


def test_a_full_house_closes_the_oldest_window(play: Play) -> None:
    """There is a limit to what waits, and the order is kept."""
    story = begin(play)
    story.fill(seen("eth0", 2, mtu=1))
    event = story.events[-1]
    windows = Windows(debounce())
    for lane in range(LIMIT):
        assert windows.admit(evolve(event, sequence=lane + 1, lane=lane), None, 1.0) == []

    (closed,) = windows.admit(evolve(event, sequence=LIMIT + 1, lane=LIMIT), None, 2.0) or []
    assert closed.window.last.sequence == 1
    assert len(windows) == LIMIT
    assert windows.deadline() == 6.0
