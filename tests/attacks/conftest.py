"""A hostile daemon for a whole module, in a network namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.attacks.rig import HOSTILE, Hostile
from tests.boundary.conftest import directory, enter_namespace, namespace, root, start_runner
from tests.processes.conftest import daemon, make_daemon
from tests.processes.rig import Daemon, ip

__all__ = ["daemon", "directory", "make_daemon", "namespace", "root", "start_runner"]


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    """Return a running daemon whose worker does what the test says, and its successor does."""
    if os.geteuid() != 0:
        pytest.skip("needs root to have a worker of another user")
    with enter_namespace():
        ip(
            "link set lo up",
            "link add name eth0 index 102 type veth peer name p0",
            "link set eth0 addrgenmode none",  # nothing happens by itself
            "link set p0 addrgenmode none",
            "link set eth0 up",
            "link set p0 up",
            "addr add 10.0.0.1/24 dev eth0",
            "rule add from 10.0.0.0/8 table 52 priority 5270",
        )
        made = Daemon(HOSTILE)
        made.script("routable", "#!/bin/sh\nexec sleep 1000\n", name="10-wait")
        try:
            yield Hostile(made).start()
        finally:
            made.close()
