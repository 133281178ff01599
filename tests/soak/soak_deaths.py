"""SIGKILL of one role after another, under load."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, children
from tests.processes.storm import Storm

DEATHS = int(os.environ.get("NETEVD_SOAK_DEATHS", "40"))
SEED = int(os.environ.get("NETEVD_SOAK_SEED", "1"))


def test_deaths_under_load(make_daemon: Callable[..., Daemon]) -> None:
    """What is told stays true, nothing is told twice, each run ends once; nothing is left over."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    storm = Storm(daemon, links=20, pause_s=0.2)
    storm.prepare()
    daemon.start()
    descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    chance = random.Random(SEED)
    storm.begin()
    workers = 1
    for _ in range(DEATHS):
        role = chance.choice(("helper", "runner", "worker"))
        mark = len(daemon.log)
        daemon.kill(role)
        if role == "worker":
            workers += 1
            daemon.expect_serving(workers)
        elif role == "helper":
            daemon.expect(lambda e: "All routes were read again" in e["message"], after=mark)
        else:
            daemon.expect(lambda e: "exited with code 0" in e["message"], after=mark)
    storm.end()

    def is_over() -> bool:
        wanted, ended, _ = storm.count_ends()
        return wanted == ended

    wait_for(lambda: is_over() or None, "end of every run")
    wait_for(lambda: len(children(daemon.pid)) == 3 or None, "three roles")
    storm.check_truth()
    left = [pid for each in children(daemon.pid) for pid in children(each)]
    assert left == []
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == descriptors
    for pid in (daemon.pid, *children(daemon.pid)):
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    wanted, _, lost = storm.count_ends()
    print(f"{DEATHS} deaths, {storm.rounds} rounds, {wanted} runs, {lost} lost")
    assert daemon.stop() == 0
