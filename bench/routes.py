"""Many routes: how long a dump takes and what it holds, and what a storm of them costs."""

from __future__ import annotations

import subprocess
import time

import proc
from lab import Namespace
from plan import SETTLE_S, Plan, make_subjects
from subjects import Daemon
from table import Row

ROUTES = 100_000
STORM = 50_000
LINK = ("link", "add", "name", "route0", "type", "veth", "peer", "name", "route0p")


def routes(plan: Plan) -> list[Row]:
    """Dump of 100,000 routes beside `ip route show`, memory for them; a storm of 50,000 events."""
    with make_subjects(plan, "routes", "nothing") as (floor, daemon):
        for subject in (floor, daemon):
            subject.near.ip(*LINK)
            subject.near.ip("link", "set", "route0", "up")
            subject.near.ip("link", "set", "route0p", "up")
            subject.near.ip("address", "add", "10.0.0.1/16", "dev", "route0")
        return [*_storm(plan, floor.near, daemon), *_dump(plan, daemon)]


def _write(verb: str, count: int) -> str:
    return "\n".join(
        f"route {verb} 11.{n >> 16}.{n >> 8 & 255}.{n & 255} via 10.0.{n % 250}.2"
        for n in range(count)
    )


def _storm(plan: Plan, near: Namespace, daemon: Daemon) -> list[Row]:
    """Add routes at once; return CPU an event and how many were heard of, one role at a time."""
    command = near.command(str(plan.build / "listen"), str(STORM))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        near.ip("-batch", "-", lines=_write("add", STORM))
        seen, _, least = listener.stdout.readline().split()
    daemon.start()
    time.sleep(SETTLE_S)
    pids = [pid for role, pid in daemon.roles().items() if role in {"helper", "worker"}]
    before = sum(proc.read_cpu_s(pid) for pid in pids)
    daemon.near.ip("-batch", "-", lines=_write("add", STORM))
    spent = _read_settled_cpu(pids) - before
    daemon.stop()
    daemon.near.ip("-batch", "-", lines=_write("del", STORM))
    return [
        Row(
            "storm CPU a route, helper and worker", "ms", spent / STORM * 1000,
            float(least) / int(seen) * 1000, 3.2, "ratio",
        )
    ]  # fmt: skip


def _read_settled_cpu(pids: list[int]) -> float:
    """Return the processor time of these processes once they have nothing left to do."""
    spent = -1.0
    while spent != (now := sum(proc.read_cpu_s(pid) for pid in pids)):
        spent = now
        time.sleep(SETTLE_S)
    return spent


def _dump(plan: Plan, daemon: Daemon) -> list[Row]:
    """Compare starts with and without routes: the difference is the dump."""
    without = [_start(daemon) for _ in range(plan.starts)]
    daemon.near.ip("-batch", "-", lines=_write("add", ROUTES))
    whole = [_start(daemon) for _ in range(plan.starts)]
    shown = []
    for _ in range(plan.starts):
        begun = time.monotonic()
        daemon.near.ip_quiet("route", "show")
        shown.append(time.monotonic() - begun)
    took = min(each[0] for each in whole) - min(each[0] for each in without)
    held = min(each[1] for each in whole) - min(each[1] for each in without)
    return [
        Row("dump of 100,000 routes", "ms", took * 1000, min(shown) * 1000, 2.0, "ratio"),
        Row("memory worker, 100,000 routes", "MB", held, None, 45.0, "value"),
    ]


def _start(daemon: Daemon) -> tuple[float, float]:
    """Return seconds until ready and the worker's private memory in MiB."""
    seconds = daemon.start()
    time.sleep(SETTLE_S / 2)
    memory = proc.read_memory(daemon.roles()["worker"]).private
    daemon.stop()
    return seconds, memory
