"""What it costs to be held to what is needed: the sandbox against none, signed scripts against others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack

from latency import run_cycle, start_with_link
from plan import Plan
from subjects import Daemon, Subject
from table import Row

EVENTS = ["address-added", "address-removed"]


def _make(plan: Plan, stack: ExitStack, name: str, secure: Callable[[Daemon], str]) -> Daemon:
    """Return a daemon that serves. secure: returns its section `security`, once its scripts are there."""
    work = plan.work / name
    work.mkdir()
    daemon = Daemon(work, plan.netevd, "event*")
    stack.callback(daemon.close)
    daemon.put_scripts(EVENTS, None)
    with daemon.config.open("a") as file:
        file.write(secure(daemon))
    start_with_link(daemon)
    return daemon


def _sign(plan: Plan, daemon: Daemon) -> str:
    """Sign the scripts of a daemon; return what its configuration has to say then."""
    key = daemon.work / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    words = ["sign", "init", "--key", str(key), "--config", str(daemon.config)]
    made = subprocess.run([*plan.netevd, *words], check=True, capture_output=True, text=True)
    return made.stdout


def _compare(plan: Plan, pair: tuple[Subject, Subject]) -> tuple[float, float]:
    """Return the best round's median latency of both in milliseconds, taken in turn."""
    best = [float("inf")] * 2
    for subject in pair:
        for _ in range(5):
            run_cycle(subject)
    for _ in range(plan.rounds):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(plan.samples):
            for subject, taken in zip(pair, times, strict=True):
                taken.append(run_cycle(subject))
        medians = [sorted(taken)[len(taken) // 2] for taken in times]
        best = [min(known, new * 1000) for known, new in zip(best, medians, strict=True)]
    return best[0], best[1]


def confinement(plan: Plan) -> list[Row]:
    """Address added -> first line of a shell script: confined or not, signed or not."""
    with ExitStack() as stack:
        free = _make(plan, stack, "confinement-off", lambda _: "security: {sandbox: off}\n")
        held = _make(plan, stack, "confinement-enforce", lambda _: "")
        sandboxed = _compare(plan, (held, free))
        free.stop()
        signed = _make(plan, stack, "confinement-signed", lambda daemon: _sign(plan, daemon))
        verified = _compare(plan, (signed, held))
    return [
        Row("confinement p50 with the sandbox, without", "ms", *sandboxed, 1.05, "ratio"),
        Row("confinement p50 of signed scripts, of others", "ms", *verified),
    ]
