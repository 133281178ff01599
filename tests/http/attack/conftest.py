"""Daemons that serve, each in a network namespace of its own, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.boundary.conftest import namespace
from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, connect
from tests.processes.conftest import daemon, make_daemon
from tests.processes.rig import RECORD, Daemon

__all__ = ["daemon", "make_daemon", "namespace"]


@pytest.fixture
def served(daemon: Daemon) -> Daemon:
    """Return a daemon that serves, with the links eth0 and peth0 and a script for new addresses."""
    daemon.script("address-added", RECORD)
    add_pair()
    daemon.start()
    wait_for(lambda: "carrier" in daemon.events("eth0") or None, "initial state")
    return daemon


@pytest.fixture
def client(served: Daemon) -> Iterator[httpx.Client]:
    """Return a client of its unix socket."""
    with connect(served) as made:
        yield made
