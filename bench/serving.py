"""Clients: how many are served, and what that costs an event."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import proc
from latency import _percentile, run_cycle, start_with_link
from plan import SETTLE_S, Plan
from subjects import Broken, Daemon
from table import Row

HERE: Final = Path(__file__).resolve().parent
PORT: Final = 9090
PLAIN: Final = 9190
CONNECTIONS: Final = 16
"""As many as keep one core busy."""
LOAD_S: Final = 3.0
RATE: Final = 200
"""Requests a second while events are measured."""
LINKS: Final = 60
"""With so many there are more than 500 series."""


@contextmanager
def _make_daemon(plan: Plan, name: str) -> Iterator[Daemon]:
    work = plan.work / name
    work.mkdir()
    daemon = Daemon(work, plan.netevd, "event*")
    daemon.near.ip("link", "set", "lo", "up")
    try:
        yield daemon
    finally:
        daemon.close()


@contextmanager
def _run(daemon: Daemon, program: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of this directory beside the daemon."""
    command = daemon.near.command(sys.executable, str(HERE / program), *words)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _read(daemon: Daemon, port: int) -> bytes:
    """Return the body of GET /metrics, once somebody answers."""
    end = time.monotonic() + 10
    script = (
        "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())"
    )
    words = [sys.executable, "-c", script, f"http://127.0.0.1:{port}/metrics"]
    while time.monotonic() < end:
        done = subprocess.run(daemon.near.command(*words), capture_output=True, check=False)
        if done.returncode == 0:
            return done.stdout
        time.sleep(0.1)
    raise Broken(f"nobody answers at port {port}: {done.stderr.decode()[-200:]}")


def _load(daemon: Daemon, port: int, pid: int) -> float:
    """
    Return how many requests were answered for each second of a process's processor time.

    That is what one core of its own could do in a second, whoever else is on the machine.
    """
    words = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{LOAD_S:.0f}s",
        f"http://127.0.0.1:{port}/metrics",
    ]
    command = daemon.near.command("taskset", "-c", _last_core(), *words)
    before = proc.read_cpu_s(pid)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = proc.read_cpu_s(pid) - before
    found = re.search(r"([0-9]+) requests in", output)
    if found is None or "Non-2xx" in output or "Socket errors" in output:
        raise Broken(f"wrk was not served well:\n{output}")
    return int(found[1]) / spent


def _last_core() -> str:
    return str(max(os.sched_getaffinity(0)))


def _pin(pid: int) -> None:
    """Let a process have one core, and not that of the load."""
    os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})


def scrape(plan: Plan) -> list[Row]:
    """GET /metrics on one core, beside plain Quart with the same body."""
    with _make_daemon(plan, "scrape") as daemon:
        daemon.add_links([f"event{number}" for number in range(LINKS)])
        daemon.start()
        for up in (False, True):
            for number in range(LINKS):
                daemon.far.set_up(201 + number, up=up)
            time.sleep(SETTLE_S)
        for number in range(LINKS):
            daemon.near.add_address(101 + number, f"event{number}", 1 + number)
        time.sleep(2 * SETTLE_S)
        body = _read(daemon, PORT)
        series = sum(not line.startswith(b"#") for line in body.splitlines())
        file = daemon.work / "body"
        file.write_bytes(body)
        worker = daemon.roles()["worker"]
        _pin(worker)
        with _run(daemon, "plain.py", str(file), str(PLAIN)) as plain:
            _read(daemon, PLAIN)
            _pin(plain.pid)
            ours, peer = 0.0, 0.0
            for _ in range(plan.rounds):
                ours = max(ours, _load(daemon, PORT, worker))
                peer = max(peer, _load(daemon, PLAIN, plain.pid))
        memory = proc.read_memory(worker).private
    return [
        Row("scrape series", "", series),
        Row("scrape size", "KB", len(body) / 1000),
        Row("scrape requests", "/s", ours, None, 1000, "least"),
        Row("scrape requests by plain Quart", "/s", ours, peer, 1.8, "least"),
        Row("scrape memory worker private", "MB", memory),
    ]


def serving(plan: Plan) -> list[Row]:
    """Address added -> first line of a shell script, with and without 200 scrapes a second."""
    with _make_daemon(plan, "serving") as daemon:
        daemon.put_scripts(["address-added", "address-removed"], None)
        start_with_link(daemon)
        _read(daemon, PORT)
        quiet: list[list[float]] = []
        busy: list[list[float]] = []
        for _ in range(5):
            run_cycle(daemon)
        with _run(daemon, "client.py", str(PORT), str(RATE)) as client:
            time.sleep(SETTLE_S)
            for _ in range(plan.rounds):
                quiet.append([])
                busy.append([])
                for _ in range(plan.samples):  # in turn, so that both see the same neighbours
                    for which, times in ((signal.SIGSTOP, quiet), (signal.SIGCONT, busy)):
                        client.send_signal(which)
                        time.sleep(
                            random.uniform(0.02, 0.02 + 1 / RATE)
                        )  # anywhere between two requests
                        times[-1].append(run_cycle(daemon))
            if client.poll() is not None:
                raise Broken(f"the client was not served: status {client.returncode}")
    rows = []
    for name, share, limit in (("p50", 0.5, 1.2), ("p90", 0.9, None)):
        with_, without = (
            1000 * min(_percentile(each, share) for each in times) for times in (busy, quiet)
        )
        rows.append(
            Row(
                f"latency-sh {name} with {RATE} scrapes a second, without",
                "ms",
                with_,
                without,
                limit,
                "ratio",
            )
        )
    return rows
