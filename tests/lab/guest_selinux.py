"""Runs in the guest with SELinux: the module is loaded and enforced."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import probe
from tests.lab.denials import Denial, Log
from tests.lab.guest_confinement import (
    PROCESSES,
    PYTHON,
    ROLES,
    TOP,
    VERSIONS,
    do_the_work,
    do_what_is_signed,
    find_faults,
    install,
    read_journal,
    sh,
    try_everything,
)

CONTEXTS = Path("/etc/selinux/default/contexts/files")
ENTRY = Path("/usr/local/sbin/netevd-probe")
"""Not below /run, which is nosuid: no domain is entered from there."""
ADMIN = ("runcon", "-t", "unconfined_t", "/bin/sh", "-c", 'exec "$@"', "sh")
"""Who signs is no service: for those ssh-keygen has a domain that reads keys of sshd alone."""
ALWAYS = re.compile(
    r"denied  \{ (rlimitinh|siginh|noatsecure)( (rlimitinh|siginh|noatsecure))* \}"
    r"|module_request .*kmod=.net-pf-16-proto-16-family-"
)
"""What the kernel asks at each change of domain and never needs, and for a family that nobody uses; ordinarily it is not told."""
COMMON = {"read code", "read a file of /etc"}
ALLOWED: dict[str, set[str]] = {
    "supervisor": {*COMMON, "open TCP", "open netlink", "write netlink", "take a link down", "change users",
                   "read the configuration", "write the configuration", "execute a program", "read versions of manifests",
                   "write versions of manifests"},
    "reader": {*COMMON, "read the configuration"},
    "helper": set(),
    "runner": {"execute a shell"},
    "worker": {*COMMON, "read the configuration", "read the journal", "write the journal"},
    "courier": {*COMMON, "open TCP", "open UDP"},
    "dialer": {"connect to the system bus"},
    "script": {*COMMON, "open TCP", "open UDP", "execute a program", "execute a shell", "write below /tmp",
               "open netlink", "write netlink", "take a link down"},
}  # fmt: skip
"""Everything else is refused. The shell of dhclient's hooks, which a runner executes, is a script to it. Helper and worker have sockets, but make none."""
RECORDS = {
    "execute a program": r'(name|path)="([^"]*/)?(bin|true)"',
    "execute a shell": r'name="(bin|dash)"',
    "read a file of /etc": r'name="fstab"',
    "read a file of root's": r'name="(root|.profile)"',
    "read shadow": r'name="shadow" .*:shadow_t:',
    "read the configuration": r'name="(netevd|netevd.yaml)" .*:netevd_etc_t:',
    "read the journal": r'name="(lib|netevd|probe)" .*:(var_lib_t|netevd_var_lib_t):',
    "read versions of manifests": r'name="(lib|netevd-signed|versions.json)" .*:(var_lib_t|netevd_signed_t):',
    "write versions of manifests": r'name="(lib|netevd-signed|versions.json)" .*:(var_lib_t|netevd_signed_t):',
    "connect to the system bus": r'name="(dbus|system_bus_socket)"|denied  \{ connectto \} .*:system_dbusd_t:',
    "read code": r'name="pyvenv.cfg"',
    "write below /etc": r'denied  \{ write \} .*name="etc"',
    "write below /tmp": r'name="tmp" .*:tmp_t:.* tclass=dir',
    "write the configuration": r'name="(netevd|netevd.yaml)" .*:netevd_etc_t:',
    "write a script": r'name="(netevd|carrier.d|99-probe)"',
    "write its code": r'denied  \{ append .*name="os.py"',
    "write the journal": r'name="(lib|netevd|probe)" .*:(var_lib_t|netevd_var_lib_t):',
    "open netlink": r"denied  \{ create \} .*tclass=netlink_route_socket",
    "write netlink": r"tclass=netlink_route_socket",
    "open a packet socket": r"denied  \{ create \} .*tclass=packet_socket",
    "open TCP": r"denied  \{ create \} .*tclass=tcp_socket",
    "open UDP": r"denied  \{ create \} .*tclass=udp_socket",
    "take a link down": r"denied  \{ (create|net_admin) \} .*tclass=(tcp_socket|capability)",
    "trace a process": r"denied  \{ ptrace \} .*:initrc_t:",
    "read memory of a process": r"tcontext=\S+:initrc_t:\S+ tclass=(dir|file)",
    "signal a process": r"denied  \{ signal \} .*:initrc_t:",
    "mount": r"denied  \{ (mounton|mount|sys_admin) \}",
    "set the host's name": r"denied  \{ sys_admin \}",
    "load a module": r"denied  \{ sys_module \}",
    "change the policy": r"tcontext=\S+:(security_t|sysfs_t):",
    "leave its domain": r"denied  \{ (setcurrent|dyntransition) \}",
    "change users": r"denied  \{ (setuid|setgid) \}",
}


def load(policy: bytes) -> None:
    """Load a policy: the kernel takes it in one piece or not at all."""
    descriptor = os.open("/sys/fs/selinux/load", os.O_WRONLY)
    try:
        assert os.write(descriptor, policy) == len(policy)
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """The module is loaded and its files are labelled, as semodule(8) and restorecon(8) do it."""
    shutil.copy(TOP / "linked/file_contexts", CONTEXTS)
    for each in CONTEXTS.glob("*.bin"):
        each.unlink()
    load((TOP / "linked/policy").read_bytes())
    install()
    sh(
        "restorecon",
        "-RF",
        "/etc/netevd",
        "/etc/systemd/system",
        "/var/lib/netevd",
        "/var/lib/netevd-signed",
    )
    sh("restorecon", "/opt/netevd")
    sh("systemctl", "daemon-reload")
    sh("setenforce", "1")
    assert sh("getenforce").strip() == "Enforcing"
    yield
    sh("systemctl", "stop", "netevd")


def choose_ours(denials: list[Denial]) -> list[Denial]:
    return [
        each
        for each in denials
        if each.domain.startswith("netevd") and not ALWAYS.search(each.what)
    ]


def test_daemon_does_its_work_in_its_domains() -> None:
    """Carrier to script, rule, API, reload and restart, each role in its own domain; nothing is refused."""
    log = Log()
    try:
        labels, script = do_the_work()
    finally:
        denials = choose_ours(log.read())
        log.close()
        print(*denials, read_journal(), sep="\n")

    types = {each: f"netevd_{each}_t" for each in PROCESSES} | {"supervisor": "netevd_t"}
    assert labels == {each: f"system_u:system_r:{name}:s0" for each, name in types.items()}
    assert script == "system_u:system_r:netevd_script_t:s0"
    assert denials == []


def test_signed_scripts_run_in_their_domain() -> None:
    """A daemon with verify_scripts runs sealed copies, refuses what was altered, and is itself refused nothing."""
    log = Log()
    try:
        script = do_what_is_signed(*ADMIN)
    finally:
        denials = choose_ours(log.read())
        log.close()
        print(*denials, read_journal(), sep="\n")

    assert script == "system_u:system_r:netevd_script_t:s0"
    assert denials == []
    assert find_type(VERSIONS) == "netevd_signed_t"
    for name in ("SCRIPTS.sha256", "SCRIPTS.sha256.sig"):
        assert find_type(Path("/etc/netevd") / name) == "netevd_manifest_t"


def find_type(path: Path) -> str:
    """Return the type that a file is labelled with."""
    return os.getxattr(path, "security.selinux").decode().split(":")[2]


@pytest.mark.parametrize("role", ROLES)
def test_role_is_refused_what_is_not_its_own(role: str) -> None:
    """As root, without seccomp, Landlock and a user of its own: the policy alone refuses, and tells."""
    ENTRY.write_text(f"#!{PYTHON} -B\n{Path(probe.__file__).read_text()}")
    ENTRY.chmod(0o755)
    sh("chcon", "-t", "netevd_exec_t", str(ENTRY))

    label, acts, denials = try_everything([str(ENTRY)], role)

    role = "script" if role == "sealed" else role
    name = "netevd_t" if role == "supervisor" else f"netevd_{role}_t"
    ours = [each for each in choose_ours(denials) if each.domain == name]
    print(label, acts, *ours, sep="\n")
    assert label == f"system_u:system_r:{name}:s0"
    assert find_faults(acts, ALLOWED[role], RECORDS, ours) == []
