"""Runs in the guest with AppArmor: its profiles are loaded and enforced."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import probe
from tests.lab.denials import Log
from tests.lab.guest_confinement import (
    NETEVD,
    PROCESSES,
    PYTHON,
    ROLES,
    TOP,
    do_the_work,
    do_what_is_signed,
    find_faults,
    install,
    read_journal,
    sh,
    try_everything,
)

NETWORK = {"open TCP", "open UDP"}
COMMON = {"read code"}
ALLOWED = {
    "supervisor": {*COMMON, "open TCP", "open netlink", "write netlink", "take a link down", "change users",
                   "read the configuration", "write the configuration", "read versions of manifests",
                   "write versions of manifests"},
    "reader": {*COMMON, "read the configuration"},
    "helper": {"open netlink", "write netlink"},
    "dialer": set(),
    "runner": {*COMMON, "execute a shell"},
    "worker": {*COMMON, "open TCP", "read the configuration", "read the journal", "write the journal"},
    "courier": {*COMMON, *NETWORK},
    "script": {*COMMON, *NETWORK, "execute a program", "execute a shell", "read a file of /etc", "write below /tmp",
               "open netlink", "write netlink", "take a link down"},
}  # fmt: skip
"""Everything else is refused, but what `UNKNOWN` names. The shell of dhclient's hooks, which a runner executes, is a script to it."""
UNKNOWN = {"connect to the system bus"}
"""What AppArmor of Linux 6.1 does not look at: paths of sockets."""
RECORDS = {
    "execute a program": r'operation="exec".* name="/usr/bin/true"',
    "execute a shell": r'operation="exec".* name="/usr/bin/(da)?sh"',
    "read a file of /etc": r'operation="open".* name="/etc/fstab"',
    "read a file of root's": rf'operation="open".* name="{re.escape(probe.PROFILE)}"',
    "read shadow": r'operation="open".* name="/etc/shadow"',
    "read the configuration": r'operation="open".* name="/etc/netevd/netevd.yaml"',
    "read the journal": r'operation="open".* name="/var/lib/netevd/probe"',
    "read versions of manifests": r'operation="open".* name="/var/lib/netevd-signed/versions.json"',
    "write versions of manifests": r'operation="open".* name="/var/lib/netevd-signed/versions.json".* requested_mask="[^"]*[ac]',
    "read code": r'operation="open".* name="/opt/netevd/env/pyvenv.cfg"',
    "write below /etc": r'operation="mknod".* name="/etc/netevd-probe"',
    "write below /tmp": r'operation="mknod".* name="/tmp/netevd-probe"',
    "write the configuration": r'operation="open".* name="/etc/netevd/netevd.yaml".* requested_mask="[^"]*[ac]',
    "write a script": r'operation="(mknod|open)".* name="/etc/netevd/carrier.d/99-probe"',
    "write its code": r'operation="open".* name="/usr/lib/python3.11/os.py".* requested_mask="[^"]*a',
    "write the journal": r'operation="open".* name="/var/lib/netevd/probe".* requested_mask="[^"]*[ac]',
    "open netlink": r'operation="create".* family="netlink"',
    "write netlink": r'family="netlink"|capname="net_admin"',
    "open a packet socket": r'operation="create".* family="packet"',
    "open TCP": r'operation="create".* family="inet".* sock_type="stream"',
    "open UDP": r'operation="create".* family="inet".* sock_type="dgram"',
    "take a link down": r'family="inet"|capname="net_admin"',
    "trace a process": r'operation="ptrace"',
    "read memory of a process": r'operation="ptrace"|name="/proc/\d+/mem"',
    "signal a process": r'operation="signal"',
    "mount": r'operation="mount"|capname="sys_admin"',
    "set the host's name": r'capname="sys_admin"',
    "load a module": r'capname="sys_module"',
    "change the policy": r'name="/sys/kernel/security/apparmor/.remove"',
    "leave its domain": r'operation="change_profile"|name="/proc/\d+/attr/current"',
    "change users": r'capname="setuid"',
}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """The profiles are loaded as an administrator loads them, and the daemon is installed."""
    shutil.copytree(TOP / "apparmor", "/etc/apparmor.d", dirs_exist_ok=True)
    sh("apparmor_parser", "--replace", "/etc/apparmor.d/netevd")
    install()
    yield
    sh("systemctl", "stop", "netevd")


def test_daemon_does_its_work_in_its_profiles() -> None:
    """Carrier to script, rule, API, reload and restart, each role in its own profile; nothing is refused."""
    log = Log()

    try:
        labels, script = do_the_work()
    finally:
        denials = log.read()
        log.close()
        print(*denials, sep="\n")

    assert labels == {each: f"netevd//&netevd//{each} (enforce)" for each in PROCESSES}
    assert script == "netevd//&netevd//script"
    assert [each for each in denials if each.domain.startswith("netevd")] == [], read_journal()


def test_signed_scripts_run_in_their_profile() -> None:
    """A daemon with verify_scripts runs sealed copies, refuses what was altered, and is itself refused nothing."""
    log = Log()
    try:
        script = do_what_is_signed()
    finally:
        denials = log.read()
        log.close()
        print(*denials, read_journal(), sep="\n")

    assert script == "netevd//&netevd//script"
    assert [each for each in denials if each.domain.startswith("netevd")] == [], read_journal()


@pytest.mark.parametrize("role", ROLES)
def test_role_is_refused_what_is_not_its_own(role: str) -> None:
    """As root, without seccomp, Landlock and a user of its own: the profile alone refuses, and tells."""
    command = ["aa-exec", "-p", "netevd", "--", PYTHON, "-B", str(Path(probe.__file__))]

    label, acts, denials = try_everything(command, role)

    print(label, acts, *(each for each in denials), sep="\n")
    name = "script" if role == "sealed" else role
    assert label.startswith(f"netevd//&netevd//{name} (enforce)")
    assert {each.domain for each in denials} <= {"netevd", f"netevd//{name}"}
    assert find_faults(acts, ALLOWED[name] | UNKNOWN, RECORDS, denials) == []


def test_role_that_can_not_enter_its_profile_does_not_start() -> None:
    """With the ceiling of another version, that lets nobody into the roles' profiles, the start is refused."""
    text = (TOP / "apparmor/netevd").read_text()
    changed = "".join(
        line for line in text.splitlines(keepends=True) if "change_profile ->" not in line
    )
    other = Path("/run/netevd-other")
    other.write_text(changed)
    sh("systemctl", "stop", "netevd")
    sh("apparmor_parser", "--replace", str(other))
    try:
        done = sh("sh", "-c", f"aa-exec -p netevd -- {NETEVD} run 2>&1; echo status $?")
    finally:
        sh("apparmor_parser", "--replace", "/etc/apparmor.d/netevd")
    assert "the supervisor can't leave 'netevd (enforce)' for its own domain" in done
    assert done.endswith("status 1\n")
