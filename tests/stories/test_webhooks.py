"""Webhooks: what is posted when, in which order, how often, and what outlives the worker."""

from __future__ import annotations

from attrs import evolve

from netevd.config.kinds import Duration, Times
from netevd.config.schema import Damping, Debounce
from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.actions import Deliver, EndDelivery
from netevd.model.inputs import (
    CourierConnected,
    CourierLost,
    DeliveryAnswered,
    Now,
    Stopping,
)
from netevd.model.memory import State
from tests.stories.configurations import configure, filters, webhook
from tests.stories.playbook import NOTHING, START_NS, Play, Playbook, seen, show

A, B = "https://a.example/x/secret", "https://b.example/"
CARRIER = "/etc/netevd/carrier.d/a"


def posting(*urls: str, retries: int = 2, **settings: object) -> object:
    """Return a configuration that posts every carrier and no-carrier to these."""
    hooks = tuple(webhook(url, retries=Times(retries)) for url in urls)
    wanted = {
        "match": {"event_type": ("carrier", "no-carrier")},
        "action": "execute",
        "webhooks": hooks,
    }
    return configure(filters=filters(wanted), **settings)


def begin(play: Play, *urls: str, connected: bool = True, **settings: object) -> Playbook:
    """Return a story of one link with carrier that is not announced to webhooks."""
    story = play(posting(*(urls or (A,)), initial=False, **settings))
    story.begin(seen("eth0", 2, dump=1))
    return story.fill(CourierConnected()) if connected else story


def answer(
    sequence: int,
    result: str = "ok",
    *,
    number: int = 0,
    attempt: int = 1,
    status: int = 0,
    reason: str = "",
    wish: float = 0.0,
    jitter: float = 1.0,
) -> DeliveryAnswered:
    """Return what the courier says."""
    status = status or {"ok": 200, "again": 503, "failed": 404, "refused": 0}[result]
    reason = reason or ("" if result == "ok" else f"status {status}")
    return DeliveryAnswered(number, sequence, attempt, result, status, reason, 0.25, wish, jitter)  # type: ignore[arg-type]


DOWN, UP = seen("eth0", 2, carrier=False), seen("eth0", 2)
NAME = "Webhook 1 (https://a.example/...)"


def test_an_event_is_posted_and_its_end_is_told(play: Play) -> None:
    """The path of the address, which may be a secret, is not told."""
    story = begin(play)

    story >> DOWN << f"2 eth0 no-carrier\npost 2 to {A}, attempt 1"
    (post,) = [each for each in story.actions if isinstance(each, Deliver)]
    assert post.body.startswith('{"event":{"sequence":2,"type":"no-carrier"')
    story >> answer(2) << f"end post 2 to {A}: ok\ninfo: {NAME} has taken event 2 (status 200)"
    story >> 86400 << NOTHING


def test_scripts_run_too_unless_there_are_to_be_none(play: Play) -> None:
    """A filter's webhooks come besides its scripts; an empty list of scripts leaves these out."""
    story = begin(play).with_scripts(CARRIER).fill(DOWN, answer(2))
    story >> UP << f"3 eth0 carrier\nstart 1: {CARRIER} for 3\npost 3 to {A}, attempt 1"

    alone = play(configure(filters=filters({
        "action": "execute", "scripts": (), "webhooks": (webhook(A),),
        "match": {"event_type": ("carrier",)},
    }), initial=False))  # fmt: skip
    alone.begin(seen("eth0", 2, dump=1)).with_scripts(CARRIER)
    alone.fill(CourierConnected(), DOWN)
    alone >> UP << f"3 eth0 carrier\npost 3 to {A}, attempt 1"


def test_events_of_the_start_are_posted_unless_these_run_nothing(play: Play) -> None:
    """scripts.initial holds for webhooks as for scripts."""
    story = play(posting(A))
    story.begin(seen("eth0", 2, dump=1))
    story >> CourierConnected() << f"post 1 to {A}, attempt 1"

    begin(play, connected=False) >> CourierConnected() << NOTHING


def test_one_webhook_gets_one_event_at_a_time_in_order(play: Play) -> None:
    """The second is posted once the first is over; another webhook does not wait for that."""
    story = begin(play, A, B).fill(DOWN)

    story >> UP << "3 eth0 carrier"
    (
        story
        >> answer(2, number=1)
        << f"""
        end post 2 to {B}: ok
        info: Webhook 2 (https://b.example/) has taken event 2 (status 200)
        post 3 to {B}, attempt 1
        """
    )
    story >> 100 << NOTHING
    (
        story
        >> answer(2)
        << f"""
        end post 2 to {A}: ok
        info: {NAME} has taken event 2 (status 200)
        post 3 to {A}, attempt 1
        """
    )


def test_what_was_not_taken_is_posted_again_with_doubled_waits(play: Play) -> None:
    """After 1 s, 2 s and so on; the last attempt's end is the delivery's, and the next event goes on."""
    story = begin(play, retries=2).fill(DOWN, UP)

    (
        story
        >> answer(2, "again")
        << f"""
        end post 2 to {A}: failed, not final
        info: {NAME} has not taken event 2: status 503; it is tried again in 1.0 s
        """
    )
    story >> 0.9 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 2"
    story.fill(answer(2, "again", attempt=2))
    story >> 1.9 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 3"
    (
        story
        >> answer(2, "again", attempt=3)
        << f"""
        end post 2 to {A}: failed
        warn: {NAME} was not told of event 2: status 503
        post 3 to {A}, attempt 1
        """
    )


def test_waits_are_shortened_at_random_by_a_half_at_most(play: Play) -> None:
    """Many machines that were refused at once do not come again at once."""
    story = begin(play).fill(DOWN, answer(2, "again", jitter=0.0))

    story >> 0.4 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 2"


def test_a_wish_to_be_left_alone_is_heeded_within_bounds(play: Play) -> None:
    """Retry-After makes a wait longer, up to 15 minutes, and never shorter."""
    story = begin(play, retries=5).fill(DOWN, answer(2, "again", wish=30.0))
    story >> 29.9 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 2"

    story.fill(answer(2, "again", attempt=2, wish=1e9))
    story >> 899.9 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 3"

    story.fill(answer(2, "again", attempt=3, wish=0.001))
    story >> 3.9 << NOTHING
    story >> 0.1 << f"post 2 to {A}, attempt 4"


def test_a_refusal_is_not_tried_again(play: Play) -> None:
    """A status that will not change, and an address that is refused, end the delivery."""
    for result in ("failed", "refused"):
        story = begin(play).fill(DOWN)
        (
            story
            >> answer(2, result, status=404, reason="because")
            << f"""
            end post 2 to {A}: {result}
            warn: {NAME} was not told of event 2: because
            """
        )
        story >> 3600 << NOTHING


def test_answers_to_what_was_not_asked_are_none(play: Play) -> None:
    """Another event, attempt or webhook, and one that is over already, change nothing."""
    story = begin(play).fill(DOWN)

    for strange in (answer(3), answer(2, attempt=2), answer(2, number=1), answer(2, number=99)):
        story >> strange << NOTHING
    story.fill(answer(2))
    story >> answer(2) << NOTHING


def test_a_full_queue_drops_the_oldest_that_is_not_under_way(play: Play) -> None:
    """Whoever was away wants to know what is so now. It is recorded each time and said once."""
    story = begin(play).fill(DOWN)
    for _ in range(499):
        story.fill(UP, DOWN)
    story >> UP << "1001 eth0 carrier"  # 2 is under way, 999 wait: that makes 1000

    (
        story
        >> DOWN
        << f"""
        1002 eth0 no-carrier
        end post 3 to {A}: dropped
        warn: {NAME} is not told of event 3: 1000 later events were waiting; so are others until fewer wait
        """
    )
    story >> UP << f"1003 eth0 carrier\nend post 4 to {A}: dropped"
    story.fill(answer(2))
    assert f"post 5 to {A}, attempt 1" in show(story.actions)


def test_without_a_courier_events_wait(play: Play) -> None:
    """Whenever one connects, they are posted."""
    story = begin(play, connected=False)

    story >> DOWN << "2 eth0 no-carrier"
    story >> CourierConnected() << f"post 2 to {A}, attempt 1"


def test_a_dead_courier_costs_an_attempt(play: Play) -> None:
    """Whether what was under way has arrived is not known: it is posted again, and not for ever."""
    story = begin(play, retries=1).fill(DOWN)

    (
        story
        >> CourierLost()
        << f"""
        end post 2 to {A}: lost, not final
        info: {NAME} has not taken event 2: the process that posts died; it is tried again in 1.0 s
        """
    )
    story >> 5 << NOTHING
    story >> CourierConnected() << f"post 2 to {A}, attempt 2"
    (
        story
        >> CourierLost()
        << f"""
        end post 2 to {A}: lost
        warn: {NAME} was not told of event 2: the process that posts died
        """
    )


def test_debounce_decides_about_webhooks_as_about_scripts(play: Play) -> None:
    """The last event of a window is posted, with the verdict of the last; nothing if all is as before."""
    debounce = Debounce(enabled=True, window=Duration(5.0))
    story = begin(play, debounce=debounce)
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), seen("eth0", 2, carrier=False))

    story >> 5 << f"coalesced 2 3 into 4\npost 4 to {A}, attempt 1"
    story.fill(answer(4), UP, DOWN)
    story >> 5 << "unchanged 5 6"


def test_damping_holds_webhooks_back_as_scripts(play: Play) -> None:
    """What is suppressed is not posted; the latest is, once it has been quiet."""
    story = begin(play, damping=Damping(enabled=True, suppress=1500, reuse=1000))
    story.fill(DOWN, answer(2))

    story.fill(UP)
    assert not [each for each in story.actions if isinstance(each, Deliver)]
    story.fill(3600)
    assert f"post 3 to {A}, attempt 1" in show(story.actions)


# --- what outlives the worker ------------------------------------------------------------------


def go_on(story: Playbook, *urls: str) -> tuple[Engine, Now]:
    """Return an engine that goes on from what a story's engine remembers, and the time."""
    state = story.engine.get_state()
    now = Now(story.time, START_NS)
    return Engine(posting(*urls, initial=False), 1, state=state), now  # type: ignore[arg-type]


def test_another_worker_goes_on_with_what_is_open(play: Play) -> None:
    """What was under way is asked for once more under the same attempt, what waits comes after it."""
    story = begin(play).fill(DOWN, answer(2, "again"), 1.0, UP)
    engine, now = go_on(story, A)

    assert show(engine.handle(CourierConnected(), now)) == f"post 2 to {A}, attempt 2"
    told = show(engine.handle(answer(2, attempt=2), now))
    assert told.endswith(f"post 3 to {A}, attempt 1")


def test_what_rests_goes_on_resting(play: Play) -> None:
    """The time of the next attempt outlives the worker."""
    story = begin(play).fill(DOWN, answer(2, "again"))
    engine, now = go_on(story, A)

    assert show(engine.handle(CourierConnected(), now)) == ""
    assert engine.deadline() == now.monotonic + 1.0


def test_records_tell_what_the_state_tells(play: Play) -> None:
    """What each input has changed, folded, is what is remembered at the end."""
    story = begin(play, A, B)
    engine = story.engine
    engine.take_record()
    state = engine.get_state()
    steps = (DOWN, UP, answer(2, "again"), answer(2, number=1), CourierLost(), CourierConnected())
    for step in steps:
        story.fill(step)
        record = engine.take_record()
        assert record is not None or isinstance(step, CourierConnected)
        if record is not None:
            state = fold(state, [evolve(record)])

    assert isinstance(state, State)
    assert state.deliveries
    assert set(state.deliveries) == set(engine.get_state().deliveries)
    assert state.events == engine.get_state().events


def test_what_was_open_for_a_webhook_that_is_gone_is_lost(play: Play) -> None:
    """It is recorded, said, and forgotten."""
    story = begin(play).fill(DOWN, UP)
    engine, now = go_on(story, B)

    actions = engine.handle(CourierConnected(), now)
    ends = [each for each in actions if isinstance(each, EndDelivery)]
    assert [(each.event.sequence, each.result, each.final) for each in ends] == [
        (2, "lost", True),
        (3, "lost", True),
    ]
    assert "Webhook https://a.example/... is not told of event 2: the configuration" in show(
        actions
    )
    assert engine.take_record().deliveries.ended
    assert engine.get_state().deliveries == ()


def test_a_stop_posts_nothing_more_and_hears_what_is_under_way(play: Play) -> None:
    """What is open is counted; a courier that ends then costs no attempt."""
    story = begin(play, A, B).fill(DOWN, UP)

    (
        story
        >> Stopping(kept=True)
        << "info: netevd stops while 0 scripts, 0 debounce windows and 4 deliveries to webhooks wait:"
        " the next netevd goes on with them"
    )
    (story >> answer(2) << f"end post 2 to {A}: ok\ninfo: {NAME} has taken event 2 (status 200)")
    story >> CourierLost() << NOTHING
    stages = [(each.target.url, each.sequence, each.stage, each.attempt)
              for each in story.engine.insight.get_open_deliveries()]  # fmt: skip
    assert stages == [(A, 3, "waiting", 1), (B, 2, "posting", 1), (B, 3, "waiting", 1)]
