"""Nothing happens: how long a start takes, what memory is held, who wakes up."""

from __future__ import annotations

import time

import proc
from latency import run_cycle, start_with_link
from plan import SETTLE_S, Plan, make_subjects
from table import Row


def ready(plan: Plan) -> list[Row]:
    """Start -> READY=1; the floor: start -> subscribed."""
    with make_subjects(plan, "ready", "event*") as pair:
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
    with make_subjects(plan, "rest", "event*") as pair:
        for subject in pair:
            subject.put_scripts(["address-added", "address-removed"], plan.build / "stamp")
            start_with_link(subject)
            for _ in range(10):
                run_cycle(subject)
        floor, daemon = pair
        time.sleep(2 * SETTLE_S)
        (least,) = floor.roles().values()
        roles = daemon.roles()
        return [*_read_memory(roles, least), *_count_wakeups(roles, least, plan.idle_s)]


def _read_memory(roles: dict[str, int], least: int) -> list[Row]:
    """Return memory by role and in all. least: the floor's process."""
    limits = {"supervisor": ("PSS", 9.0), "helper": ("private", 2.0), "runner": ("private", 2.0)}
    rows = []
    whole = 0.0
    for role, pid in roles.items():
        memory = proc.read_memory(pid)
        whole += memory.proportional
        limited, limit = limits.get(role.partition("-")[0], ("", None))
        for kind, amount in (("PSS", memory.proportional), ("private", memory.private)):
            wanted = limit if kind == limited else None
            rows.append(Row(f"memory {role} {kind}", "MB", amount, None, wanted, "value"))
    floor = proc.read_memory(least).proportional
    return [*rows, Row("memory all PSS", "MB", whole, floor, 60.0, "value")]


def _count_wakeups(roles: dict[str, int], least: int, idle_s: float) -> list[Row]:
    """Return how often each role was switched to and fro within this time."""
    before = {pid: proc.read_switches(pid) for pid in (least, *roles.values())}
    time.sleep(idle_s)
    woken = {pid: proc.read_switches(pid) - count for pid, count in before.items()}
    rows = [Row(f"idle wake-ups {role}", "", woken[pid]) for role, pid in roles.items()]
    total = sum(woken[pid] for pid in roles.values())
    return [*rows, Row(f"idle wake-ups in {idle_s:.0f} s", "", total, woken[least], 0, "exact")]
