"""What needs a kernel with more kinds of links than this machine's, in a guest."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab import guest


def test_kernel_wireguard_vlan_bond_vrf(record_property: Callable[[str, object], None]) -> None:
    """Devices of the kernel's own WireGuard, and links that only another kernel has."""
    users = "systemd-sysusers /run/lab/in/packaging/sysusers/netevd.conf"
    tests = guest.call_pytest("guest_wireguard.py", "guest_links.py")

    outcome = guest.run(f"{users}\n{tests}")

    outcome.expect_success(record_property)
