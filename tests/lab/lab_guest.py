"""What needs another kernel than this machine's, in a guest."""

from __future__ import annotations

from tests.lab import guest

PYTEST = "cd /run/lab/in && python -m pytest -q -p no:cacheprovider -c pyproject.toml --rootdir=. --tb=short {file}"
USERS = "systemd-sysusers /run/lab/in/packaging/sysusers/netevd.conf"


def test_kernel_wireguard_vlan_bond_vrf() -> None:
    """Devices of the kernel's own WireGuard, and links that only another kernel has."""
    outcome = guest.run(f"{USERS}\n{PYTEST.format(file='tests/lab/guest_wireguard.py')}")

    print(outcome.log)
    assert outcome.status == 0, outcome.log


def test_apparmor_enforced() -> None:
    """The daemon works in its profiles; what a role must not do is refused and recorded."""
    outcome = guest.run(PYTEST.format(file="tests/lab/guest_apparmor.py"))

    print(outcome.log)
    assert outcome.status == 0, outcome.log
