"""SIGKILL of one role after another, under load: at rest, while dumps are read, while it reloads."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.boundary.rig import wait_for
from tests.http.rig import ask, connect
from tests.processes.rig import ROLES, Daemon, children, comm, ip
from tests.processes.storm import EVENTS, Storm

DEATHS = int(os.environ.get("NETEVD_SOAK_DEATHS", "40"))
SEED = int(os.environ.get("NETEVD_SOAK_SEED", "1"))
MOMENTS = ("at rest", "in a dump", "in a reload")


class Executioner:
    """Kills roles of a daemon, and tells when all are there again."""

    def __init__(self, daemon: Daemon, chance: random.Random) -> None:
        self._daemon = daemon
        self._chance = chance
        self._probes = 0
        self.repairs: list[float] = []
        """Seconds from a death until an event ran its script again."""
        self.moments: Counter[str] = Counter()

    def strike(self, moment: str) -> None:
        """Kill a role at such a moment, and wait until all are ready again."""
        if moment == "in a reload":
            os.kill(self._daemon.pid, signal.SIGHUP)
            self._pause(0.6)
        elif moment == "in a dump":  # a new worker has everything dumped
            self._kill("worker")
            self._pause(0.3)
        self._kill(self._chance.choice(ROLES))
        died = time.monotonic()
        self.moments[moment] += 1
        self.wait_ready()
        self.repairs.append(time.monotonic() - died)

    def _pause(self, most_s: float) -> None:
        """Let some time pass, so that the blow falls anywhere in what was begun."""
        select.select([], [], [], self._chance.random() * most_s)

    def _kill(self, role: str) -> None:
        found = [pid for pid in children(self._daemon.pid) if comm(pid) == f"netevd-{role}"]
        for pid in found[: 1 + self._chance.randrange(2)]:  # in a reload there may be two of them
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_ready(self) -> None:
        """Return once something that happens now has run its script, and no role is too many."""
        self._probes += 1
        ip(f"addr add 192.0.2.{self._probes % 250 + 1}/32 dev probe")
        wanted = f"192.0.2.{self._probes % 250 + 1}"
        wait_for(
            lambda: (
                any(words[5] == wanted and words[2] == "address-added" for words in self._tail())
                or None
            ),
            "a run after the death",
            60,
        )
        ip(f"addr del {wanted}/32 dev probe")
        wait_for(
            lambda: (
                sorted(comm(pid) for pid in children(self._daemon.pid))
                == sorted(f"netevd-{role}" for role in ROLES)
                or None
            ),
            "three roles",
        )

    def _tail(self) -> list[list[str]]:
        """Return what the link of the probes has had run, of the last few thousand runs."""
        path = self._daemon.scripts / "data" / "record"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 262_144))
            lines = file.read().decode().splitlines()
        found = [line.split(" ") for line in lines if " probe " in line]
        return [words for words in found if len(words) > 5]


class Witness:
    """What the daemon's journal says, asked for so often that nothing of it goes unseen."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.events: dict[int, dict[str, Any]] = {}
        self.ends: dict[int, dict[str, Any]] = {}
        """By event: how its one run ended."""
        self._fault: AssertionError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """Watch no more. Raises: AssertionError, for what can't be."""
        self._over.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            try:
                self.look()
            except httpx.HTTPError:
                continue  # there is no worker now
            except AssertionError as fault:
                self._fault = fault
                return

    def look(self) -> None:
        """Take in what is new."""
        since = max(self.events, default=0)
        with connect(self._daemon) as client:
            events = ask(client, "/api/v1/events", since=since, limit=100_000)
            runs = ask(client, "/api/v1/runs", limit=100_000)["runs"]
        assert not since or events["first"] <= since + 1, "not asked often enough"
        self.events |= {each["sequence"]: each for each in events["events"]}
        for each in runs:
            if each["result"] is None:
                continue
            known = self.ends.setdefault(each["sequence"], each)
            assert known["run"] == each["run"] and known["result"] == each["result"], "ended twice"

    def tell(self) -> list[dict[str, Any]]:
        """Return the events in order, as the log has them."""
        return [
            {
                "sequence": number, "event": each["type"], "interface": each["interface"],
                "ip": (each["address"] or {}).get("ip"),
            }
            for number, each in sorted(self.events.items())
        ]  # fmt: skip

    def find_missing(self) -> set[int]:
        """Return the events whose script has not ended yet."""
        return {
            number
            for number, each in self.events.items()
            if each["type"] in EVENTS and not each["initial"] and number not in self.ends
        }


def read_kernel() -> dict[str, tuple[bool, frozenset[str]]]:
    """Return carrier and addresses of each link as the kernel has them."""
    result = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True)
    return {
        each["ifname"]: ("LOWER_UP" in each["flags"],
                         frozenset(one["local"] for one in each["addr_info"]))
        for each in json.loads(result.stdout)
    }  # fmt: skip


def read_daemon(daemon: Daemon) -> dict[str, tuple[bool, frozenset[str]]]:
    """Return the same as the daemon has it."""
    with connect(daemon) as client:
        found = ask(client, "/api/v1/interfaces")["interfaces"]
    return {
        each["name"]: ("lower-up" in [flag.lower().replace("_", "-") for flag in each["flags"]],
                       frozenset(one["ip"] for one in each["addresses"]))
        for each in found
    }  # fmt: skip


def test_deaths_under_load(make_daemon: Callable[..., Daemon]) -> None:
    """What is told stays true, nothing is told twice, each run ends once; nothing is left over."""
    daemon = make_daemon(
        "system: {log_format: json}\nnetwork: {links: [eth*, probe]}\n", initial=False
    )
    storm = Storm(daemon, links=20, pause_s=0.25)
    storm.prepare()
    ip(
        "link add name probe index 99 type veth peer name pprobe",
        "link set probe addrgenmode none", "link set probe up", "link set pprobe up",
    )  # fmt: skip
    daemon.start()
    executioner, witness = Executioner(daemon, random.Random(SEED)), Witness(daemon)
    executioner.wait_ready()
    descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    began = time.monotonic()
    storm.begin()
    for number in range(DEATHS):
        executioner.strike(MOMENTS[number % len(MOMENTS)])
    storm.end()
    witness.close()
    rate = 4 * len(storm.names) * storm.rounds / (time.monotonic() - began)

    def is_over() -> bool:
        witness.look()
        return not witness.find_missing() and read_daemon(daemon) == read_kernel()

    wait_for(lambda: is_over() or None, "end of every run and the kernel's state", 300)
    told = witness.tell()
    storm.check_truth(told)
    left = [pid for each in children(daemon.pid) for pid in children(each)]
    assert left == []
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == descriptors
    for pid in (daemon.pid, *children(daemon.pid)):
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    results = Counter(each["result"] for each in witness.ends.values())
    assert set(results) <= {"ok", "lost"}
    moments = ", ".join(f"{count} {moment}" for moment, count in executioner.moments.items())
    slowest = sorted(executioner.repairs)
    print(
        f"{DEATHS} deaths ({moments}), {storm.rounds} rounds, {rate:.0f} changes a second,"
        f" {len(told)} events; runs: {dict(results)}; a script ran again after"
        f" {slowest[len(slowest) // 2]:.2f} s, at most {slowest[-1]:.2f} s"
    )
    assert daemon.stop() == 0
