"""One event at a time: how long until its script begins, and what it costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from plan import LOST_S, SETTLE_S, Plan, make_subjects
from subjects import Broken, Stamp, Subject
from table import Row

PAUSE_S: Final = 0.015
"""From a script's begin to the next event: long enough for its end to be recorded everywhere."""


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _wait_for(subject: Subject, event: str) -> Stamp:
    end = time.monotonic() + LOST_S
    while (left := end - time.monotonic()) > 0:
        for stamp in subject.stamps.read(left):
            if stamp.event == event:
                return stamp
    raise Broken(f"{subject.name} ran no script for {event} in {LOST_S:.0f} s; {subject.hint()}")


def run_cycle(subject: Subject) -> float:
    """Add and remove an address; return seconds from adding it to the script's begin."""
    began = time.monotonic()
    subject.near.add_address(101, "event0", 1)
    latency = _wait_for(subject, "address-added").at_s - began
    time.sleep(PAUSE_S)
    subject.near.remove_address(101, "event0", 1)
    _wait_for(subject, "address-removed")
    time.sleep(PAUSE_S)
    return latency


def start_with_link(subject: Subject) -> None:
    subject.add_links(["event0"])
    subject.start()
    time.sleep(SETTLE_S)
    subject.stamps.collect(0.01)


def _latency(plan: Plan, name: str, stamp: Path | None, *, targets: bool) -> list[Row]:
    with make_subjects(plan, name, "event*") as pair:
        latencies: dict[str, list[list[float]]] = {}
        for subject in pair:
            subject.put_scripts(["address-added", "address-removed"], stamp)
            start_with_link(subject)
            for _ in range(5):
                run_cycle(subject)
            latencies[subject.name] = []
        time.sleep(SETTLE_S)
        before = [subject.cpu_s() for subject in pair]
        for _ in range(plan.rounds):
            for subject in pair:
                latencies[subject.name].append([])
            for _ in range(plan.samples):
                for subject in pair:
                    latencies[subject.name][-1].append(run_cycle(subject))
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
