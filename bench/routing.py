"""Policy routing of a link with 1,000 addresses: how long it plans, how fast it writes, what a second pass does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Final

from plan import SETTLE_S, Plan, make_subjects
from subjects import Broken
from table import Row

from netevd.config.schema import Policy, Routing
from netevd.core.policydifference import find_difference
from netevd.core.policyplan import Known, get_ours, make_plan
from netevd.model.address import Address
from netevd.model.link import IFF_LOWER_UP, IFF_UP, IfIndex, Link
from netevd.model.route import Nexthop, Route, Table
from netevd.model.snapshot import OperationalState, Snapshot

ADDRESSES: Final = 1000
RULES: Final = 2 * ADDRESSES + 1
NAME: Final = "rtbench0"
_WAIT_S: Final = 60.0


def routing(plan: Plan) -> list[Row]:
    """1,000 addresses, 2,001 rules: a plan and its difference, the writing of it, a second pass."""
    return [*_plan(plan), *_write(plan)]


def _plan(plan: Plan) -> list[Row]:
    """In one process: best of the rounds."""
    configuration = Routing(Policy(enabled=True, primary="include", families=("ipv4",)))
    ours = get_ours(configuration)
    link = Link(IfIndex(2), "eth0", IFF_UP | IFF_LOWER_UP, 6, 1500, "")
    found = [
        Address(link.ifindex, 4, f"10.1.{number // 250}.{number % 250 + 1}", 16, 0, 0x80)
        for number in range(ADDRESSES)
    ]
    snapshot = Snapshot(link, tuple(found), OperationalState.ROUTABLE)
    routes = [
        Route(4, Table(254), "10.1.0.0/16", 0, 1, 2, 253, (Nexthop(link.ifindex),)),
        Route(4, Table(254), "0.0.0.0/0", 0, 1, 4, 0, (Nexthop(link.ifindex, "10.1.9.9"),)),
    ]
    known = Known([snapshot], routes, {link.ifindex: 1})
    first = make_plan(configuration, known)
    present = sorted(first.rules, key=repr)
    spent, left = [], 0
    for _ in range(5 * plan.rounds):
        began = time.perf_counter()
        made = make_plan(configuration, known)
        left = len(find_difference(made, present, [*routes, *made.routes], ours).changes)
        spent.append(1000 * (time.perf_counter() - began))
    return [
        Row(
            "routing plan of 1,000 addresses against 2,001 rules",
            "ms",
            min(spent),
            None,
            30.0,
            "value",
        ),
        Row("routing changes of a second pass", "", float(left), None, 0.0, "exact"),
    ]


def _write(plan: Plan) -> list[Row]:
    """By a whole daemon that is told to by a reload."""
    with make_subjects(plan, "routing", NAME) as (_, daemon):
        batch = [
            f"link add {NAME} type veth peer name {NAME}p",
            f"link set {NAME} up",
            f"link set {NAME}p up",
        ]
        batch += [
            f"addr add 10.1.{number // 250}.{number % 250 + 1}/16 dev {NAME}"
            for number in range(ADDRESSES)
        ]
        batch += [f"route add default via 10.1.9.9 dev {NAME}"]
        ip = daemon.near.command
        daemon.near.ip("-batch", "-", lines="\n".join(batch))
        daemon.start()
        pid = daemon.process.pid
        time.sleep(SETTLE_S)
        with daemon.config.open("a") as file:
            file.write(
                f"routing: {{policy: {{enabled: true, primary: include, interfaces: [{NAME}]}}}}\n"
            )
        os.kill(pid, signal.SIGHUP)
        began = last = 0.0
        count, until = 0, time.monotonic() + _WAIT_S
        while count < RULES:
            shown = subprocess.run(
                ip("ip", "-N", "-4", "rule"), capture_output=True, text=True, check=True
            )
            last, before, count = time.monotonic(), count, shown.stdout.count("proto 110")
            began = last if before == 0 else began
            if last > until:
                raise Broken(f"{count} of {RULES} rules after {_WAIT_S:.0f} s")
        # what was there at the first look was made before it
        rate = RULES / max(last - began, 1e-3)
    return [Row("routing changes a second, whole daemon", "/s", rate, None, 3000.0, "least")]
