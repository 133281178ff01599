"""Daemons and DHCP networks as fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.dhcp import Network
from tests.processes.conftest import make_daemon, namespace

__all__ = ["make_daemon", "namespace"]


@pytest.fixture
def network(namespace: None) -> Iterator[Network]:
    """eth1 and a DHCP server that is not started yet."""
    with Network() as it:
        yield it
