"""Many events at once: whether all are told, in order, and when the last one is."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import proc
from plan import LOST_S, SETTLE_S, Plan, make_subjects
from subjects import Daemon, Stamp, Subject
from table import Row

FLAP_LINKS: Final = 8
FLAPS: Final = 40
FLAP_S: Final = 0.030
CREATED: Final = 1000
MANY: Final = 10_000


class _Burst(NamedTuple):
    stamps: list[Stamp]
    ended_s: float
    """When the last change had been made, monotonic seconds."""
    cpu_s: float

    @property
    def last_s(self) -> float:
        """Seconds from the last change to the last run; 0 where that came first."""
        return max(0.0, max((stamp.at_s for stamp in self.stamps), default=0.0) - self.ended_s)


def _burst(subject: Subject, expected: int, make: Callable[[list[Stamp]], float]) -> _Burst:
    """
    Make events, then collect stamps until all are there and no more come.

    make: takes the list that stamps go into, returns when the last change had been made.
    """
    time.sleep(SETTLE_S)
    subject.stamps.collect(0.01)
    before = subject.cpu_s()
    stamps: list[Stamp] = []
    ended = make(stamps)
    while len(stamps) < expected and (more := subject.stamps.read(LOST_S)):
        stamps += more
    stamps += subject.stamps.collect(SETTLE_S)
    return _Burst(stamps, ended, subject.cpu_s() - before)


def _flap(subject: Subject, names: list[str], stamps: list[Stamp]) -> float:
    due = time.monotonic()
    for turn in range(2 * FLAPS):
        stamps += subject.stamps.collect(due - time.monotonic())
        for number in range(len(names)):
            subject.far.set_up(201 + number, up=bool(turn % 2))
        due += FLAP_S
    return time.monotonic()


def _count_disordered(stamps: list[Stamp], names: list[str]) -> int:
    """Return how many runs are not what the next run of their link had to be."""
    wrong = 0
    for name in names:
        events = [stamp.event for stamp in stamps if stamp.link == name]
        wanted = ["no-carrier", "carrier"] * FLAPS
        wrong += sum(was != want for was, want in zip(events, wanted, strict=False))
        wrong += abs(len(events) - len(wanted))
    return wrong


def flap(plan: Plan) -> list[Row]:
    """8 links lose and regain carrier 40 times within 2.4 s: runs, their order, the last one."""
    names = [f"flap{number}" for number in range(FLAP_LINKS)]
    expected = 2 * FLAPS * FLAP_LINKS
    found = []
    with make_subjects(plan, "flap", "flap*") as pair:
        for subject in pair:
            subject.put_scripts(["carrier", "no-carrier"], plan.build / "stamp")
            subject.add_links(names)
            time.sleep(SETTLE_S)
            subject.start()
            found.append(_burst(subject, expected, partial(_flap, subject, names)))
            subject.stop()
    floor, daemon = found
    counts = len(daemon.stamps), len(floor.stamps)
    disordered = _count_disordered(daemon.stamps, names), _count_disordered(floor.stamps, names)
    cpu = 1000 * daemon.cpu_s / expected, 1000 * floor.cpu_s / expected
    return [
        Row("flap runs", "", *counts, expected, "exact"),
        Row("flap runs out of order", "", *disordered, 0, "exact"),
        Row("flap last run after the end", "s", daemon.last_s, floor.last_s, 1.0, "value"),
        Row("flap CPU an event", "ms", *cpu),
    ]


def _create(subject: Subject, _: list[Stamp]) -> float:
    lines = [
        f"link add name made{number} type veth peer name p{number} netns {subject.far.path}\n"
        for number in range(CREATED)
    ]
    subject.near.ip("-batch", "-", lines="".join(lines))
    return time.monotonic()


def _count_links(stamps: list[Stamp]) -> int:
    return len({stamp.link for stamp in stamps})


def links(plan: Plan) -> list[Row]:
    """1,000 links created at once: how many are told by link-added, and when the last is."""
    found = []
    with make_subjects(plan, "links", "made*") as pair:
        for subject in pair:
            subject.put_scripts(["link-added"], plan.build / "stamp")
            subject.start()
            found.append(_burst(subject, CREATED, partial(_create, subject)))
            subject.stop()
    floor, daemon = found
    told = _count_links(daemon.stamps), _count_links(floor.stamps)
    return [
        Row("links told of 1000", "", *told, CREATED, "exact"),
        Row("links last told after the end", "s", daemon.last_s, floor.last_s, 3.0, "value"),
        Row("links CPU", "s", daemon.cpu_s, floor.cpu_s),
    ]


def many_links(plan: Plan) -> list[Row]:
    """Start with 10,000 links, by how much longer and larger than with none."""
    with make_subjects(plan, "many", "*") as (_, daemon):
        without = [_start(daemon) for _ in range(plan.rounds)]
        pairs = range(MANY // 2)
        lines = "\n".join(f"link add name many{n} type veth peer name peer{n}" for n in pairs)
        daemon.near.ip("-batch", "-", lines=lines)
        whole = [_start(daemon) for _ in range(plan.rounds)]
    took = min(each[0] for each in whole) - min(each[0] for each in without)
    held = min(each[1] for each in whole) - min(each[1] for each in without)
    return [
        Row("start with 10,000 links, less that without", "s", took),
        Row("memory worker, 10,000 links", "MB", held, None, 40.0, "value"),
    ]


def _start(daemon: Daemon) -> tuple[float, float]:
    """Return seconds until ready and the worker's private memory in MiB."""
    seconds = daemon.start()
    time.sleep(SETTLE_S)
    memory = proc.read_memory(daemon.roles()["worker"]).private
    daemon.stop()
    return seconds, memory
