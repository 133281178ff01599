"""What came of it, as a table: what was seen where, with which result."""

from __future__ import annotations

from typing import Final

import pytest

SEEN: Final = {
    "test_kernel_wireguard_vlan_bond_vrf": "kernel WireGuard, vlan, bond, vrf",
    "test_apparmor_enforced": "AppArmor enforcing",
    "test_selinux_enforced": "SELinux enforcing",
    "lab_systemd.py": "systemd unit",
    "lab_networkd.py": "systemd-networkd",
    "lab_leases.py": "dhclient, dhcpcd",
    "lab_backends.py": "networkd, logind, resolved, hostnamed",
    "lab_networkmanager.py": "NetworkManager",
    "lab_dispatcher.py": "NetworkManager's dispatcher, a VPN",
}
"""By the part of a test's name that is found first."""
_RESULTS: Final = ("error", "failed", "skipped", "passed")
"""The worst first."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show a line for each thing of `SEEN`: tests, seconds, the worst result."""
    lines = []
    for part, what in SEEN.items():
        found = [
            (result, report)
            for result in _RESULTS
            for report in terminalreporter.getreports(result)
            if part in report.nodeid
        ]
        if found:
            seconds = sum(report.duration for _, report in found)
            lines.append(f"{what:<36} {len(found):>5} {seconds:>8.0f} s  {found[0][0]}")
    if lines:
        terminalreporter.section("lab")
        terminalreporter.write_line(f"{'what':<36} tests     time  result")
        for line in lines:
            terminalreporter.write_line(line)
