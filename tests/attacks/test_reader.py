"""A reader that was taken over: what it says of users, and what it does instead of answering."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.rig import FAULT, Hostile, show_kernel
from tests.boundary.conftest import enter_namespace
from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to have a reader of another user"
)

ORDERS = {
    "root": "can't run as root", "root for all": "no rule names the scripts", "worker": "can't run as netevd",
    "helper": "can't run as netevd-net", "capability": "no rule names the scripts", "crowd": "41 script identities",
    "noise": "broke the protocol", "surrogates": "broke the protocol", "nothing": "ended without an answer",
    "silence": "could not be read within", "descriptor": "broke the protocol",
}  # fmt: skip
"""What it does, and why the reload is refused."""

IMPATIENT = """
import os, time
from privsep import reading
begin = reading.Reading.__init__
def begin_impatiently(self, *arguments):
    begin(self, *arguments)
    if os.path.exists(ORDERS) and open(ORDERS).read() == "silence":
        self.until = time.monotonic() + 0.2
reading.Reading.__init__ = begin_impatiently
"""
"""Who is silent is not waited for as long as usual."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Hostile]:
    """Return a daemon whose readers, but for the first, do as told."""
    with enter_namespace():
        ip("link set lo up")
        made = Daemon("system: {log_format: json}\n")
        hostile = Hostile(made)
        hostile.marker.unlink()
        shutil.copy(Path(__file__).with_name("false_reader.py"), made.root / "false_reader.py")
        (made.root / "false_reader.py").chmod(0o644)
        fault = FAULT.replace("DIRECTORY", repr(str(made.root))).replace('"worker"]', '"reader"]')
        fault = fault.replace("'worker'", "'reader'").replace("'puppet'", "'false_reader'")
        fault = fault.replace("'worker'", "'reader'").replace("'puppet'", "'false_reader'")
        fault = IMPATIENT.replace("ORDERS", repr(f"{made.config}.orders")) + fault
        try:
            made.start(fault=fault)
            hostile.marker.touch()
            yield hostile
        finally:
            made.close()


@pytest.mark.parametrize("order", ORDERS)
def test_reader_grants_nothing_that_must_not_be_granted(daemon: Hostile, order: str) -> None:
    """Its answer is refused with the reason, nothing else changes, and it has ended."""
    made, kernel, there = daemon.daemon, show_kernel(), daemon.privileged()
    worker, before = made.role("worker"), daemon.count("reload", "refused")
    Path(f"{made.config}.orders").write_text(order)

    os.kill(made.pid, signal.SIGHUP)
    wait_for(lambda: daemon.count("reload", "refused") > before or None, "the refusal")

    refused = [
        each
        for each in daemon.records()
        if (each["what"], each["outcome"]) == ("reload", "refused")
    ]
    assert ORDERS[order] in refused[-1]["detail"]
    wait_for(lambda: made.find("reader") is None or None, "its end")
    assert (made.role("worker"), daemon.privileged(), show_kernel()) == (worker, there, kernel)
