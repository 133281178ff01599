"""What is counted, under which labels, and what of it the next worker goes on with."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_modern
from prometheus_client.parser import text_string_to_metric_families as read_text

from netevd.config.kinds import Patterns, SeriesLimit
from netevd.config.schema import MetricsSettings
from netevd.core.engine import Engine
from netevd.model.actions import Outcome
from netevd.model.event import Event, EventType
from netevd.model.history import RunOutcome
from netevd.model.inputs import DumpEnded, HelperConnected, LinkGone, LinkSeen, Now
from netevd.model.link import IfIndex
from netevd.model.snapshot import Snapshot
from netevd.model.verdict import Verdict
from netevd.report import families
from netevd.report.about import About
from netevd.report.exposition import Exposition
from netevd.report.families import FAMILIES, OTHER, Family
from netevd.report.gauges import Gauges
from netevd.report.journal import PACKING, Entry, EventEntry, OutcomeEntry, RunEntry
from netevd.report.metrics import GRACE_S, Before, Metrics
from netevd.report.packing import Unreadable
from netevd.report.sums import go_on, sum_up
from tests.stories.configurations import configure
from tests.stories.playbook import link

BEFORE = Before(100.0, 1.7e9, 3, {"helper": 2, "worker": 1}, 4, reload_ok=False, loaded=1.8e9)
ABOUT = About("0.1", 3, "observe", 100.0, 0)


def make(before: Before = BEFORE, **settings: Any) -> Metrics:
    """Return metrics that have counted nothing."""
    return Metrics(MetricsSettings(**settings), before)


def event(name: str = "eth0", kind: str = "carrier", sequence: int = 7, **more: Any) -> EventEntry:
    """Return an entry of an event."""
    after = Snapshot(link(name, 2), (), "carrier", "", ())
    return EventEntry(Event(sequence, EventType(kind), 10**18, after, None, 1, **more))


def run(script: str = "/x/10-say", result: str = "ok", **more: Any) -> RunEntry:
    """Return an entry of a run's end."""
    status = {"ok": 0, "failed": 3, "timeout": -15}.get(result)
    outcome = RunOutcome(
        1, 7, "carrier", "eth0", script, result, "", status, 0.2, 0.0, 0, 1, True, 10**18
    )  # fmt: skip
    return RunEntry(evolve(outcome, **more))


def count(metrics: Metrics, *entries: Entry) -> Metrics:
    """Count entries as if each had come by a packet of its own."""
    for each in entries:
        metrics.take([each], 5.0, 5.002)
        metrics.fold()
    return metrics


def tell(metrics: Metrics, family: Family) -> dict[tuple[str, ...], list[float]]:
    """Return the cells of a family, without those that are 0."""
    return {key: cell for key, cell in metrics.series[family.name].cells.items() if any(cell)}


def test_an_event_is_counted_with_its_verdict_and_the_time_it_took() -> None:
    """Ignored ones too: metrics show every event."""
    metrics = count(make(), event(), event(), EventEntry(event().event, Verdict("ignore", 1)))

    assert tell(metrics, families.EVENTS) == {("carrier", "eth0", "kernel"): [3]}
    assert tell(metrics, families.VERDICTS) == {("execute",): [2], ("ignore",): [1]}
    (cell,) = tell(metrics, families.EVENT_DURATION).values()
    assert cell[families.EVENT_DURATION.bounds.index(0.0025)] == 3
    assert cell[-1] == pytest.approx(0.006)


def test_a_run_is_counted_by_result_and_its_script_by_file_name() -> None:
    """A script is a file name, an attempt that is followed by another is no end of a run."""
    failed = run(result="failed", final=False, leftovers=2)
    metrics = count(make(), failed, run("/usr/lib/x/10-say"), run(result="refused"))

    assert tell(metrics, families.RUNS) == {("ok",): [1], ("refused",): [1]}
    assert tell(metrics, families.RETRIES) == {(): [1]}
    assert tell(metrics, families.LEFTOVERS) == {(): [2]}
    assert tell(metrics, families.SCRIPT_FAILURES) == {("10-say",): [1]}
    (cell,) = tell(metrics, families.SCRIPT_DURATION).values()
    assert (sum(cell[:-1]), cell[-1]) == (2, pytest.approx(0.4))


def test_events_that_were_held_back_are_counted_one_by_one() -> None:
    """An outcome is about several events."""
    metrics = count(make(), OutcomeEntry(Outcome((1, 2, 3), "coalesced", 4, "why")))

    assert tell(metrics, families.DEBOUNCED) == {("coalesced",): [3]}


def test_what_policy_routing_tells_is_counted_by_its_result() -> None:
    """Events of the host whose type says it."""
    failed = Event(1, EventType.ROUTING_FAILED, 0, None, None, 0)
    metrics = count(make(), EventEntry(failed), EventEntry(failed))

    assert tell(metrics, families.RECONCILES) == {("failed",): [2]}
    assert tell(metrics, families.EVENTS) == {("routing-failed", "", "kernel"): [2]}


def test_the_way_to_a_script_is_measured_for_first_attempts_without_debounce() -> None:
    """From the packet to the runner's word; what waited on purpose is left out."""
    metrics = make()
    for entry in (event(sequence=1), event(sequence=2)):
        metrics.take([entry], 5.0, 5.1)
    metrics.note_request(1, event(sequence=1).event)
    metrics.note_started(1, 5.004, 1e9)
    metrics.note_request(2, event(sequence=2, coalesced=2).event)
    metrics.note_request(3, event(sequence=99).event)  # of the worker before
    for number in (1, 2, 3):
        metrics.note_started(number, 6.0, 1e9)
    count(metrics, run(run=4, result="failed", final=False))
    metrics.note_request(4, event(sequence=1).event)
    metrics.note_started(4, 7.0, 1e9)

    series = metrics.series[families.EVENT_TO_SCRIPT.name]
    assert sum(series.cells[()][:-1]) == 1
    assert [each.sequence for each in series.exemplars[()].values()] == [1]


def test_what_has_no_place_is_counted_together_and_that_is_counted() -> None:
    """The sum stays right, the number of series stays bounded."""
    metrics = make(max_series=SeriesLimit(100))
    count(metrics, *(event(f"veth{number}") for number in range(80)))
    count(metrics, *(run(f"/x/{number}") for number in range(5)))

    events = tell(metrics, families.EVENTS)
    assert len(events) == 51
    assert events["carrier", OTHER, "kernel"] == [30]
    dropped = tell(metrics, families.SERIES_DROPPED)
    assert dropped == {("events",): [30], ("scripts",): [3]}
    durations = tell(metrics, families.SCRIPT_DURATION)
    assert {labels: sum(cell[:-1]) for labels, cell in durations.items()} == {
        ("0",): 1,
        ("1",): 1,
        (OTHER,): 3,
    }


def test_interfaces_that_are_not_wanted_have_no_series_of_their_own() -> None:
    """Globs as in network.links; an event of the host has an empty label."""
    metrics = make(interfaces=Patterns(("*", "!veth*")))
    host = EventEntry(Event(1, EventType.ROUTES, 0, None, None, 0))
    count(metrics, event("veth1"), event("eth0"), host)

    assert {labels[1] for labels in tell(metrics, families.EVENTS)} == {OTHER, "eth0", ""}


def test_series_of_a_vanished_interface_go_when_they_were_seen_or_are_in_the_way() -> None:
    """Five minutes, or less when others need the place."""
    metrics = make(max_series=SeriesLimit(100))
    count(metrics, event("eth0"), event("eth1"), event("eth0", "link-removed"))
    gone_at = 1e9
    assert metrics.find_due() == gone_at + GRACE_S

    metrics.forget_vanished(gone_at + GRACE_S - 1)
    assert len(tell(metrics, families.EVENTS)) == 3
    metrics.forget_vanished(gone_at + GRACE_S)
    assert {labels[1] for labels in tell(metrics, families.EVENTS)} == {"eth1"}
    assert metrics.find_due() == float("inf")

    for number in range(5000):
        name = f"veth{number}"
        count(metrics, event(name, "link-added"), event(name, "link-removed"))
    assert len(tell(metrics, families.EVENTS)) <= 50
    assert not tell(metrics, families.SERIES_DROPPED)


def test_an_interface_that_comes_back_goes_on() -> None:
    """Its series are not taken away behind its back."""
    metrics = count(make(), event(), event(kind="link-removed"), event(kind="link-added"))

    metrics.forget_vanished(2e9)
    assert len(tell(metrics, families.EVENTS)) == 3


def test_a_worker_that_ends_in_order_hands_everything_over() -> None:
    """All cells are the same; restarts and reloads are the supervisor's word in any case."""
    before = count(make(), event(), run())
    before.note_overrun(0)
    before.note_answer("dump", denied=False)
    before.note_restart("helper")
    after = make(evolve(BEFORE, restarts={"helper": 3, "worker": 1}))

    go_on(after, sum_up(before), (), in_order=True)

    for family in families.COUNTED:
        assert tell(after, family) == tell(before, family), family.name
    assert tell(after, families.RESTARTS) == {("helper",): [3], ("worker",): [1]}
    assert tell(after, families.RELOADS) == {("success",): [2], ("failed",): [4]}


def test_after_a_death_what_was_measured_begins_at_0_and_what_was_written_goes_on() -> None:
    """Prometheus would take a smaller number for a new beginning with that number."""
    before = count(make(), event(), run())
    before.note_overrun(1)
    sums = sum_up(before)
    later = (event("eth1"), run(result="failed"))
    after = make(evolve(BEFORE, restarts={"worker": 2}))

    go_on(after, sums, [PACKING.pack(each) for each in later], in_order=True)

    count(before, *later)
    for family in families.COUNTED:
        if family.journaled:
            assert tell(after, family) == tell(before, family), family.name
    assert not tell(after, families.OVERRUNS)
    assert not tell(after, families.EVENT_DURATION)


def test_another_daemon_begins_anew_and_nonsense_is_refused() -> None:
    """Sums are of one life of the daemon; bytes that are none are said to be none."""
    sums = sum_up(count(make(), event()))
    other = make(evolve(BEFORE, started=200.0))

    go_on(other, sums, [PACKING.pack(event())], in_order=True)
    assert not tell(other, families.EVENTS)
    with pytest.raises(Unreadable):
        go_on(other, sums[:-1], (), in_order=True)


_ENTRIES = st.lists(
    st.one_of(
        st.builds(event, st.sampled_from(["eth0", "eth1"]), st.sampled_from(["off", "routes"])),
        st.builds(run, st.sampled_from(["/x/a", "/y/b"]), st.sampled_from(["ok", "failed"])),
    ),
    max_size=12,
)


@given(_ENTRIES, st.integers(0, 12))
def test_wherever_a_worker_dies_nothing_is_lost_or_counted_twice(
    entries: list[Entry], place: int
) -> None:
    """Sums at any moment and the entries since make the same numbers as one life."""
    whole = count(make(), *entries)
    first = count(make(), *entries[:place])
    second = make()
    go_on(second, sum_up(first), [PACKING.pack(each) for each in entries[place:]], in_order=False)

    for family in families.COUNTED:
        if family.journaled:
            expected = tell(whole, family)
            assert tell(second, family) == {key: pytest.approx(expected[key]) for key in expected}


# --- what is told ---------------------------------------------------------------------------------

HOSTILE = 'a"b\\c\x1b\udcff'


def make_engine(*names: str) -> Engine:
    """Return an engine that knows these links."""
    engine = Engine(configure(), 1)
    for given_ in (
        HelperConnected(),
        *(LinkSeen(link(name, 2 + place), 1) for place, name in enumerate(names)),
        DumpEnded(1, consistent=True),
    ):
        engine.handle(given_, Now(1.0, 1))
    return engine


def test_both_formats_are_readable_and_say_the_same() -> None:
    """By the library's own strict readers, with a name that is no text."""
    metrics = count(make(), event(HOSTILE), run(f"/x/{HOSTILE}"))
    Gauges(make_engine(HOSTILE), metrics, ABOUT).refresh(1e9)
    exposition = Exposition(metrics.series)
    text, modern = (exposition.write(modern=each).decode() for each in (False, True))

    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in read_text(text)
        for sample in metric.samples
    }
    samples = [sample for metric in read_modern(modern) for sample in metric.samples]
    assert found == {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    labels = {s.labels["interface"] for s in samples if "interface" in s.labels}
    assert labels == {'a"b\\c\\x1b\\xff'}
    named = {s.exemplar.labels["sequence"] for s in samples if s.exemplar}
    assert named == {"7"}
    missing = {each.name for each in FAMILIES} - {name.removesuffix("_bucket") for name, _ in found}
    missing = {each for each in missing if not each.startswith("netevd_wireguard_")}
    asked = {"netevd_helper_requests_total", "netevd_health_check"}
    assert missing == asked | {"netevd_http_requests_total", "netevd_http_connections"}


def test_only_what_has_changed_is_written_anew() -> None:
    """Bytes of all other metrics are the very same."""
    metrics = count(make(), event())
    gauges = Gauges(make_engine("eth0"), metrics, ABOUT)
    exposition = Exposition(metrics.series)
    gauges.refresh(1e9)
    exposition.write(modern=False)
    before = {name: series.version for name, series in metrics.series.items()}

    count(metrics, event())
    gauges.refresh(1e9)
    changed = {name for name, series in metrics.series.items() if series.version != before[name]}
    assert changed == {
        "netevd_events_total",
        "netevd_event_duration_seconds",
        "netevd_filter_verdicts_total",
    }
    assert b'interface="eth0",type="carrier"} 2.0' in exposition.write(modern=False)


def test_gauges_follow_the_engine_and_are_capped() -> None:
    """Links that are gone have no series; beyond the share they are counted as left out, once."""
    engine = make_engine(*(f"eth{number}" for number in range(20)))
    metrics = make(max_series=SeriesLimit(100))
    gauges = Gauges(engine, metrics, ABOUT)
    for _ in range(2):
        gauges.note_all()
        gauges.refresh(1e9)

    assert tell(metrics, families.INTERFACES) == {("carrier",): [20]}
    assert len(tell(metrics, families.INTERFACE_STATE)) == 12
    assert tell(metrics, families.SERIES_DROPPED) == {("links",): [8]}
    assert tell(metrics, families.RELOAD_TIME) == {(): [1.8e9]}
    assert not tell(metrics, families.RELOAD_OK)

    for number in range(19):
        engine.handle(LinkGone(IfIndex(2 + number)), Now(2.0, 2))
    record = engine.take_record()
    assert record is not None
    gauges.note_record(record)
    gauges.refresh(1e9)
    assert list(tell(metrics, families.INTERFACE)) == [("eth19", "21", "veth")]
