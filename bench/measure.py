"""The measurements. Each starts the subjects anew, makes events and returns rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import proc
from subjects import Broken, Daemon, Floor, Stamp, Subject
from table import Row

PAUSE_S: Final = 0.015
"""From a script's begin to the next event: long enough for its end to be recorded everywhere."""
SETTLE_S: Final = 1.0
"""Until whatever follows a start or a burst is over."""
LOST_S: Final = 5.0
"""A script that has not begun after this time never will."""
FLAP_LINKS: Final = 8
FLAPS: Final = 40
FLAP_S: Final = 0.030
CREATED: Final = 1000


class Plan(NamedTuple):
    """How long and with what to measure."""

    rounds: int
    samples: int
    """Addresses added, and removed, in each round and for each subject."""
    starts: int
    idle_s: float
    netevd: list[str]
    """Command line of netevd."""
    build: Path
    """Directory of the compiled programs."""
    work: Path
    """A new directory, every measurement makes its own below it."""


@contextmanager
def _subjects(plan: Plan, name: str, links: str) -> Iterator[tuple[Floor, Daemon]]:
    work = plan.work / name
    work.mkdir()
    with ExitStack() as stack:
        floor = Floor(work, plan.build / "floor")
        stack.callback(floor.close)
        daemon = Daemon(work, plan.netevd, links)
        stack.callback(daemon.close)
        yield floor, daemon


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- one event at a time ---------------------------------------------------------------------------


def _wait_for(subject: Subject, event: str) -> Stamp:
    end = time.monotonic() + LOST_S
    while (left := end - time.monotonic()) > 0:
        for stamp in subject.stamps.read(left):
            if stamp.event == event:
                return stamp
    raise Broken(f"{subject.name} ran no script for {event} in {LOST_S:.0f} s; {subject.hint()}")


def _cycle(subject: Subject) -> float:
    """Add and remove an address; return seconds from adding it to the script's begin."""
    began = time.monotonic()
    subject.near.add_address(101, "event0", 1)
    latency = _wait_for(subject, "address-added").at_s - began
    time.sleep(PAUSE_S)
    subject.near.remove_address(101, "event0", 1)
    _wait_for(subject, "address-removed")
    time.sleep(PAUSE_S)
    return latency


def _start_with_link(subject: Subject) -> None:
    subject.add_links(["event0"])
    subject.start()
    time.sleep(SETTLE_S)
    subject.stamps.collect(0.01)


def _latency(plan: Plan, name: str, stamp: Path | None, *, targets: bool) -> list[Row]:
    with _subjects(plan, name, "event*") as pair:
        latencies: dict[str, list[list[float]]] = {}
        for subject in pair:
            subject.put_scripts(["address-added", "address-removed"], stamp)
            _start_with_link(subject)
            for _ in range(5):
                _cycle(subject)
            latencies[subject.name] = []
        time.sleep(SETTLE_S)
        before = [subject.cpu_s() for subject in pair]
        for _ in range(plan.rounds):
            for subject in pair:
                latencies[subject.name].append([])
            for _ in range(plan.samples):
                for subject in pair:
                    latencies[subject.name][-1].append(_cycle(subject))
        time.sleep(SETTLE_S)
        spent = [
            (subject.cpu_s() - earlier) / (2 * plan.rounds * plan.samples)
            for subject, earlier in zip(pair, before, strict=True)
        ]

    def best(subject: Subject, share: float) -> float:
        return 1000 * min(_percentile(times, share) for times in latencies[subject.name])

    floor, daemon = pair
    p50, p90 = ((best(daemon, share), best(floor, share)) for share in (0.5, 0.9))
    return [
        Row(f"{name} p50", "ms", *p50, 1.4 if targets else None, "ratio"),
        Row(f"{name} p90", "ms", *p90),
        Row(
            f"{name} CPU an event",
            "ms",
            *(spent[1] * 1000, spent[0] * 1000),
            *(2.5 if targets else None, "ratio"),
        ),
    ]


def latency_sh(plan: Plan) -> list[Row]:
    """Address added -> first line of a shell script, and what an event costs with its script."""
    return _latency(plan, "latency-sh", None, targets=True)


def latency_static(plan: Plan) -> list[Row]:
    """Address added -> first instruction of a static program, and what an event costs."""
    return _latency(plan, "latency-static", plan.build / "stamp", targets=False)


# --- bursts ----------------------------------------------------------------------------------------


class _Burst(NamedTuple):
    stamps: list[Stamp]
    ended_s: float
    """When the last change had been made, monotonic seconds."""
    cpu_s: float

    @property
    def last_s(self) -> float:
        """Seconds from the last change to the last run; 0 where that came first."""
        return max(0.0, max((stamp.at_s for stamp in self.stamps), default=0.0) - self.ended_s)


def _burst(subject: Subject, expected: int, make: Callable[[], list[Stamp]]) -> _Burst:
    """Make events, then collect stamps until all are there and no more come."""
    time.sleep(SETTLE_S)
    subject.stamps.collect(0.01)
    before = subject.cpu_s()
    stamps = make()
    ended = time.monotonic()
    while len(stamps) < expected and (more := subject.stamps.read(LOST_S)):
        stamps += more
    stamps += subject.stamps.collect(SETTLE_S)
    return _Burst(stamps, ended, subject.cpu_s() - before)


def _flap(subject: Subject, names: list[str]) -> list[Stamp]:
    stamps: list[Stamp] = []
    due = time.monotonic()
    for turn in range(2 * FLAPS):
        for number in range(len(names)):
            subject.far.set_up(201 + number, up=bool(turn % 2))
        due += FLAP_S
        stamps += subject.stamps.collect(due - time.monotonic())
    return stamps


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
    with _subjects(plan, "flap", "flap*") as pair:
        for subject in pair:
            subject.put_scripts(["carrier", "no-carrier"], plan.build / "stamp")
            subject.add_links(names)
            time.sleep(SETTLE_S)
            subject.start()
            found.append(_burst(subject, expected, lambda s=subject: _flap(s, names)))  # type: ignore[misc]
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


def _create(subject: Subject) -> list[Stamp]:
    lines = [
        f"link add name made{number} type veth peer name p{number} netns {subject.far.path}\n"
        for number in range(CREATED)
    ]
    subject.near.ip("-batch", "-", lines="".join(lines))
    return []


def _count_links(stamps: list[Stamp]) -> int:
    return len({stamp.link for stamp in stamps})


def links(plan: Plan) -> list[Row]:
    """1,000 links created at once: how many are told by link-added, and when the last is."""
    found = []
    with _subjects(plan, "links", "made*") as pair:
        for subject in pair:
            subject.put_scripts(["link-added"], plan.build / "stamp")
            subject.start()
            found.append(_burst(subject, CREATED, lambda s=subject: _create(s)))  # type: ignore[misc]
            subject.stop()
    floor, daemon = found
    told = _count_links(daemon.stamps), _count_links(floor.stamps)
    return [
        Row("links told of 1000", "", *told, CREATED, "exact"),
        Row("links last told after the end", "s", daemon.last_s, floor.last_s, 3.0, "value"),
        Row("links CPU", "s", daemon.cpu_s, floor.cpu_s),
    ]


# --- at rest ---------------------------------------------------------------------------------------


def ready(plan: Plan) -> list[Row]:
    """Start -> READY=1; the floor: start -> subscribed."""
    with _subjects(plan, "ready", "event*") as pair:
        best = []
        for subject in pair:
            subject.add_links(["event0"])
            times = []
            for _ in range(plan.starts):
                times.append(subject.start())
                subject.stop()
            best.append(min(times))
    return [Row("start to ready", "s", best[1], best[0], 0.8, "value")]


def rest(plan: Plan) -> list[Row]:
    """Memory by role after some events, then wake-ups while nothing happens."""
    limits = {"supervisor": ("PSS", 9.0), "helper": ("private", 2.0), "runner": ("private", 2.0)}
    rows = []
    with _subjects(plan, "rest", "event*") as pair:
        for subject in pair:
            subject.put_scripts(["address-added", "address-removed"], plan.build / "stamp")
            _start_with_link(subject)
            for _ in range(10):
                _cycle(subject)
        floor, daemon = pair
        time.sleep(2 * SETTLE_S)
        (floor_pid,) = floor.roles().values()
        least = proc.read_memory(floor_pid)
        roles = daemon.roles()
        amounts = {role: proc.read_memory(pid) for role, pid in roles.items()}
        for role, memory in amounts.items():
            what, limit = limits.get(role.partition("-")[0], ("", None))
            for kind, amount in (("PSS", memory.proportional), ("private", memory.private)):
                rows.append(
                    Row(f"memory {role} {kind}", "MB", amount, None,
                        limit if kind == what else None, "value")
                )  # fmt: skip
        whole = sum(memory.proportional for memory in amounts.values())
        rows.append(Row("memory all PSS", "MB", whole, least.proportional, 60.0, "value"))
        before = {pid: proc.read_switches(pid) for pid in (floor_pid, *roles.values())}
        time.sleep(plan.idle_s)
        woken = {pid: proc.read_switches(pid) - count for pid, count in before.items()}
    for role, pid in roles.items():
        rows.append(Row(f"idle wake-ups {role}", "", woken[pid]))
    total = sum(woken[pid] for pid in roles.values())
    name = f"idle wake-ups in {plan.idle_s:.0f} s"
    rows.append(Row(name, "", total, woken[floor_pid], 0, "exact"))
    return rows


MEASUREMENTS: Final[dict[str, Callable[[Plan], list[Row]]]] = {
    "latency-sh": latency_sh,
    "latency-static": latency_static,
    "flap": flap,
    "links": links,
    "ready": ready,
    "rest": rest,
}
