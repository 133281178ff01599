"""The SELinux module compiles, links with Debian's policy, and says of each role what it shall."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.lab.policy import (
    DEVEL,
    SOURCE,
    Fault,
    Rules,
    compile_module,
    find_base,
    find_rules,
    link,
    read_contexts,
)

BASE = Path(os.environ.get("NETEVD_SELINUX_BASE", "/nonexistent"))
"""Modules of Debian's policy; packaging/check unpacks them."""
ROLES = ("helper", "runner", "worker", "reader", "courier", "dialer")

pytestmark = pytest.mark.skipif(
    not (DEVEL.exists() and BASE.is_dir() and shutil.which("secilc") and shutil.which("sesearch")),
    reason="a tool for SELinux is not there (Debian: selinux-policy-dev secilc setools)",
)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_module(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="module")
def policy(module: Path) -> Path:
    """Return the linked policy: of the same sources it is the same, and linking takes a while."""
    digest = hashlib.sha256(module.read_bytes() + str(BASE.stat().st_mtime_ns).encode()).hexdigest()
    linked = BASE.with_name(f"selinux-{digest[:16]}")
    with BASE.with_name("selinux.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and old ones are removed
        if not linked.exists():
            new = link(find_base(BASE), [module], module.with_name("policy"))
            for each in BASE.parent.glob("selinux-*"):
                each.unlink(missing_ok=True)
            shutil.copy(new, BASE.with_name("linking"))
            os.rename(BASE.with_name("linking"), linked)
    return linked


@pytest.fixture(scope="module")
def rules(policy: Path) -> Rules:
    return find_rules(
        policy, [*(f"netevd_{role}_t" for role in ROLES), "netevd_t", "netevd_script_t", "init_t"]
    )


def find_perms(rules: Rules, source: str, kind: str, target: str = "") -> set[str]:
    """Return what a domain may do with objects of a class, of one type or of any."""
    found = [each for each in rules[source] if each.kind == kind and target in {"", each.target}]
    return {perm for each in found for perm in each.perms}


def test_assertions_are_checked_when_it_is_linked(module: Path) -> None:
    """A rule that gives the worker a capability does not link, and the tool names both lines."""
    bad = module.with_name("bad.cil")
    bad.write_text("(allow netevd_worker_t self (capability (net_admin)))\n")

    with pytest.raises(Fault, match=r"neverallow check failed[\s\S]*netevd_worker_t"):
        link(find_base(BASE), [module, bad], module.with_name("bad"))


@pytest.mark.parametrize("role", ["worker", "reader", "courier", "dialer"])
def test_programs_of_netevd_have_no_capability(rules: Rules, role: str) -> None:
    """Nor may they execute a program, use netlink, or change their domain."""
    domain = f"netevd_{role}_t"
    nothing = ("capability", "capability2", "cap_userns", "packet_socket", "rawip_socket", "bpf")

    for kind in (*nothing, "netlink_route_socket", "netlink_generic_socket"):
        assert find_perms(rules, domain, kind) == set(), kind
    assert find_perms(rules, domain, "file")
    assert not find_perms(rules, domain, "file") & {"execute_no_trans", "entrypoint", "relabelto"}
    assert not find_perms(rules, domain, "process") & {
        "transition",
        "dyntransition",
        "setcurrent",
        "ptrace",
        "execmem",
    }


def test_helper_has_one_capability_and_no_file_of_its_own(rules: Rules) -> None:
    """CAP_NET_ADMIN, netlink, and what every process may read: the C library."""
    domain = "netevd_helper_t"

    assert find_perms(rules, domain, "capability") == {"net_admin"}
    assert "nlmsg_write" in find_perms(rules, domain, "netlink_route_socket", "netevd_t")
    for name in (
        "etc_t",
        "netevd_etc_t",
        "netevd_var_lib_t",
        "shadow_t",
        "bin_t",
        "netevd_runtime_t",
    ):
        assert "open" not in find_perms(rules, domain, "file", name), name
    for kind in ("tcp_socket", "udp_socket", "rawip_socket", "packet_socket"):
        assert find_perms(rules, domain, kind, domain) == set()


def test_scripts_are_the_one_way_out_of_the_runner(rules: Rules) -> None:
    """By execution of a script, under no_new_privs, into one domain or the other as the boolean says."""
    ways = {
        (each.target, each.condition)
        for each in rules["netevd_runner_t"] if each.kind == "process" and "transition" in each.perms
    }  # fmt: skip

    assert ways == {
        ("netevd_script_t", "netevd_scripts_unconfined False"),
        ("netevd_unconfined_script_t", "netevd_scripts_unconfined True"),
    }
    for name in ("netevd_script_t", "netevd_unconfined_script_t"):
        assert find_perms(rules, "netevd_runner_t", "process2", name) == {
            "nnp_transition",
            "nosuid_transition",
        }
    assert "execute_no_trans" not in find_perms(rules, "netevd_runner_t", "file")


@pytest.mark.parametrize("role", ROLES)
def test_supervisor_goes_over_to_every_role_and_none_comes_back(rules: Rules, role: str) -> None:
    """No file is an entry to the domain of a role."""
    domain = f"netevd_{role}_t"

    assert "dyntransition" in find_perms(rules, "netevd_t", "process", domain)
    assert "dyntransition" not in find_perms(rules, domain, "process")
    assert "entrypoint" not in find_perms(rules, domain, "file")


@pytest.mark.parametrize("domain", ["netevd_t", *(f"netevd_{role}_t" for role in ROLES)])
def test_dialer_alone_reaches_the_system_bus(rules: Rules, domain: str) -> None:
    """Neither can another role connect to it, nor is anything of netevd's answered there as another."""
    connects = "connectto" in find_perms(rules, domain, "unix_stream_socket", "system_dbusd_t")

    assert connects == (domain == "netevd_dialer_t")
    assert find_perms(rules, domain, "dbus") == ({"send_msg"} if connects else set())


def test_service_manager_starts_the_daemon_under_no_new_privs(rules: Rules) -> None:
    """init_t goes over to netevd_t by the file that is executed, also with NoNewPrivileges=yes."""
    assert "entrypoint" in find_perms(rules, "netevd_t", "file", "netevd_exec_t")
    assert "transition" in find_perms(rules, "init_t", "process", "netevd_t")
    assert "nnp_transition" in find_perms(rules, "init_t", "process2", "netevd_t")


def test_scripts_touch_nothing_of_netevds_own(rules: Rules) -> None:
    """Neither journal, log nor memory, nor a process; the API's socket they may connect to."""
    domain = "netevd_script_t"

    for name in ("netevd_var_lib_t", "netevd_log_t", "netevd_memory_t", "shadow_t"):
        assert find_perms(rules, domain, "file", name) == set()
    for name in (*(f"netevd_{role}_t" for role in ROLES), "netevd_t"):
        assert not find_perms(rules, domain, "process", name) & {"ptrace", "sigkill", "signal"}
    assert "connectto" in find_perms(rules, domain, "unix_stream_socket", "netevd_t")


def test_every_path_of_netevd_has_a_context(module: Path) -> None:
    """What `make install` puts on a machine, and what the daemon makes there."""
    lines = [line.split("\t") for line in read_contexts(module).splitlines()]

    def find(path: str) -> str:
        """Return the last that fits. Source: selabel_file(5)."""
        return next(each[-1] for each in reversed(lines) if re.fullmatch(each[0], path)).split(":")[
            2
        ]

    assert {path: find(path) for path in (
        "/opt/netevd/env/bin/netevd", "/etc/netevd/netevd.yaml", "/etc/netevd/conf.d/10.yaml",
        "/etc/netevd/routable.d", "/etc/netevd/routable.d/10-say", "/usr/lib/netevd/off.d/x",
        "/run/netevd/api.sock", "/var/lib/netevd/journal", "/var/log/netevd/audit.jsonl",
        "/var/lib/netevd-signed/versions.json", "/etc/netevd/SCRIPTS.sha256", "/etc/netevd/SCRIPTS.sha256.sig.new",
        "/etc/systemd/system/netevd.service", "/etc/systemd/system/netevd.service.d/x.conf",
    )} == {
        "/opt/netevd/env/bin/netevd": "netevd_exec_t", "/etc/netevd/netevd.yaml": "netevd_etc_t",
        "/etc/netevd/conf.d/10.yaml": "netevd_etc_t", "/etc/netevd/routable.d": "netevd_script_exec_t",
        "/etc/netevd/routable.d/10-say": "netevd_script_exec_t", "/usr/lib/netevd/off.d/x": "netevd_script_exec_t",
        "/run/netevd/api.sock": "netevd_runtime_t", "/var/lib/netevd/journal": "netevd_var_lib_t",
        "/var/log/netevd/audit.jsonl": "netevd_log_t", "/etc/systemd/system/netevd.service": "netevd_unit_t",
        "/etc/systemd/system/netevd.service.d/x.conf": "netevd_unit_t",
        "/var/lib/netevd-signed/versions.json": "netevd_signed_t", "/etc/netevd/SCRIPTS.sha256": "netevd_manifest_t",
        "/etc/netevd/SCRIPTS.sha256.sig.new": "netevd_manifest_t",
    }  # fmt: skip


def test_manual_page_names_every_domain_type_and_boolean() -> None:
    """netevd_selinux(8) says what each is for."""
    page = (SOURCE / "netevd_selinux.8").read_text().replace("\\", "")
    declared = re.findall(r"^type (netevd_\w+)", (SOURCE / "netevd.te").read_text(), re.MULTILINE)
    roles = re.findall(
        r"^netevd_role_template\((\w+)\)", (SOURCE / "netevd.te").read_text(), re.MULTILINE
    )

    assert sorted(roles) == sorted(ROLES)
    for name in (*declared, *(f"netevd_{role}_t" for role in roles), "netevd_scripts_unconfined"):
        assert name in page, name
