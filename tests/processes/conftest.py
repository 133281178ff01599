"""Daemons as fixtures, each in a network namespace of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.boundary.conftest import namespace
from tests.processes.rig import Daemon, ip

__all__ = ["namespace"]

JSON_LOG = "system: {log_format: json}\n"


@pytest.fixture
def make_daemon(namespace: None) -> Iterator[Callable[..., Daemon]]:
    """Return a function that makes a daemon with JSON logs in a namespace with lo up."""
    ip("link set lo up")
    made: list[Daemon] = []

    def make(configuration: str = JSON_LOG, **script_settings: object) -> Daemon:
        made.append(Daemon(configuration, **script_settings))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon that was not started yet."""
    return make_daemon()
