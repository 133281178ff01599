"""Wireless links as a worker asks for them, on a machine that most likely has none."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from netevd.kernel.wireless import decode_stations
from privsep.protocol import VERSION, Done, Hello, Ping, Violated, Wireguard, Wireless
from tests.boundary.rig import HelperRig, receive
from tests.boundary.test_wireguard import read


@pytest.fixture
def helper(namespace: None) -> Iterator[HelperRig]:
    rig = HelperRig()
    assert rig.ask(Hello(VERSION)) == Done()
    yield rig
    rig.close()


def test_without_radios_there_are_none(helper: HelperRig) -> None:
    """Where the kernel has no nl80211 the answer says so; where it has, no link of this namespace is wireless."""
    assert helper.ask(Wireless(1, 0)) == Done()
    told, code = read(helper, 1)

    assert code in {0, errno.ENOENT}
    assert decode_stations([told]) == []


def test_readings_follow_each_other(helper: HelperRig) -> None:
    """Of a link that is not wireless, and of a device that is none: each has its answer, by its own number."""
    assert helper.ask(Wireless(1, 1)) == Done()
    assert read(helper, 1)[1] != 0
    assert helper.ask(Wireguard(2, 1, "lo", userspace=False)) == Done()
    assert read(helper, 2)[1] != 0
    assert helper.ask(Wireless(3, 0)) == Done()
    assert read(helper, 3)[1] in {0, errno.ENOENT}
    assert helper.ask(Ping(1)) == Done()


def test_reading_of_before_is_refused(helper: HelperRig) -> None:
    """Numbers only grow, over readings of both kinds."""
    assert helper.ask(Wireless(5, 0)) == Done()
    helper.rpc.send(Wireless(5, 0))

    violated, _ = receive(helper.lead)
    assert isinstance(violated, Violated)
    assert "reading 5 after 5" in violated.reason
