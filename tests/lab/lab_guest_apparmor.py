"""AppArmor, which this machine's kernel does not have, in a guest."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab import guest


def test_apparmor_enforced(record_property: Callable[[str, object], None]) -> None:
    """The daemon works in its profiles; what a role must not do is refused and recorded."""
    outcome = guest.run(guest.call_pytest("guest_apparmor.py"))

    outcome.expect_success(record_property, ", AppArmor")
