"""For all tests: every skip is counted and named at the end; no example of a property has to be quick."""

from __future__ import annotations

import os
import signal
from collections import Counter

import hypothesis
import pytest

from privsep import sandbox

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

sandbox.traps = os.environ.get("NETEVD_SANDBOX_TRAPS") == "1"
"""As in a daemon: with `make matrix`, a system call that a role's filter does not allow ends the role."""

for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        # as after nohup(1) or in a shell's background: programs that tests start are not to inherit it
        signal.signal(_number, lambda *_: None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each reason for which tests were skipped, and how many it cost."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    terminalreporter.section("skips")
    terminalreporter.line(f"{len(skipped)} tests were skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"  {count} x {reason}")
