"""The command line: how long a whole process takes to ask a running daemon."""

from __future__ import annotations

import subprocess
import sys
import time

from plan import SETTLE_S, Plan, make_subjects
from table import Row

LINKS = 20


def commands(plan: Plan) -> list[Row]:
    """`netevd list interfaces`, whole process; in place of the floor an interpreter that does nothing."""
    with make_subjects(plan, "commands", "event*") as (_, daemon):
        daemon.add_links([f"event{number}" for number in range(LINKS)])
        daemon.start()
        time.sleep(SETTLE_S)
        asks = [*plan.netevd, "--socket", str(daemon.work / "run" / "api.sock")]
        idle = [sys.executable, "-I", "-c", "pass"]
        rows = []
        for words in ("list interfaces", "list interfaces -j", "status"):
            ours, floor = [], []
            for _ in range(max(10, plan.samples)):  # in turn, so that both see the same neighbours
                floor.append(_time(idle))
                ours.append(_time([*asks, *words.split()]))
            limit = 200 if words.startswith("list") else None
            rows.append(Row(f"netevd {words}", "ms", min(ours), min(floor), limit, "value"))
        return rows


def _time(command: list[str]) -> float:
    """Return the milliseconds from fork to the end of a process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - began)
