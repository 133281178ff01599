"""What needs radios, which a kernel with simulated ones has, in a guest."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab import guest


def test_wireless_links(record_property: Callable[[str, object], None]) -> None:
    """The network of a station is told as it connects, roams and leaves."""
    users = "systemd-sysusers /run/lab/in/packaging/sysusers/netevd.conf"
    tests = guest.call_pytest("guest_wireless.py")

    outcome = guest.run(f"{users}\n{tests}", machine=guest.WIRELESS)

    outcome.expect_success(record_property)
