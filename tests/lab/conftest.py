"""What came of it, as a table: what was seen, with which result, how long it took, and on which system."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.lab.rootfs import MADE

SEEN: Final = {
    "lab_guest_apparmor.py": "AppArmor enforcing",
    "lab_guest_selinux.py": "SELinux enforcing",
    "lab_guest_links.py": "kernel WireGuard, vlan, bond, vrf",
    "lab_guest_wireless.py": "wireless links, simulated",
    "lab_systemd.py": "systemd unit",
    "lab_networkd.py": "systemd-networkd",
    "lab_leases.py": "dhclient, dhcpcd",
    "lab_backends.py": "networkd, logind, resolved, hostnamed",
    "lab_networkmanager.py": "NetworkManager",
    "lab_restarts.py": "restarts of daemons and the bus",
    "lab_dispatcher.py": "NetworkManager's dispatcher, a VPN",
}
"""By the file of a test; a file that is not here has a row by its own name."""
_RESULTS: Final = ("error", "failed", "skipped", "passed")
"""The worst first."""
_BEGAN: Final = float(os.environ.get("NETEVD_LAB_BEGAN") or time.time())
"""Since 1970; packaging/check says when it began, before it installed what is needed."""


@pytest.fixture(autouse=True)
def on_what(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """Note what the test ran on, unless it notes that itself, and what had to be made for it."""
    yield
    properties = request.node.user_properties
    if "on" not in dict(properties):
        suite = next((each for each in ("bookworm", "trixie") if each in request.node.name), "")
        record_property("on", f"Linux {os.uname().release}{f', {suite}' if suite else ''}")
    for each in MADE:
        record_property("made", each)
    MADE.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show a line for each file of tests: the worst result, checks, seconds, on what; then what was made and the whole."""
    rows: dict[str, list[tuple[str, pytest.TestReport]]] = {}
    for result in (*_RESULTS, ""):
        for report in terminalreporter.getreports(result):
            if isinstance(report, pytest.TestReport) and "tests/lab/" in report.nodeid:
                name = report.nodeid.split("::")[0].rsplit("/", 1)[1]
                rows.setdefault(SEEN.get(name, name), []).append((result, report))
    if not rows:
        return
    terminalreporter.section("lab")
    line = f"{'check':<40} {'result':<8} {'checks':>6} {'time':>7}  on"
    terminalreporter.write_line(line)
    made = []
    for what, found in rows.items():
        results = [result for result, _ in found if result]
        # noted when a test ends, so that the report of its end has it
        noted = [
            each
            for _, report in found
            if report.when == "teardown"
            for each in report.user_properties
        ]
        made += [str(value) for name, value in noted if name == "made"]
        more = sum(int(str(value)) - 1 for name, value in noted if name == "checks")
        seconds = sum(report.duration for _, report in found)
        places = sorted({str(value) for name, value in noted if name == "on"})
        line = f"{what:<40} {results[0] if results else '':<8} {len(results) + more:>6} {seconds:>5.0f} s"
        terminalreporter.write_line(f"{line}  {'; '.join(places)}")
    terminalreporter.write_line(f"made for it: {', '.join(made) or 'nothing, all was there'}")
    terminalreporter.write_line(f"the whole: {time.time() - _BEGAN:.0f} s")
