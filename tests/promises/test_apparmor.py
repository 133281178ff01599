"""The AppArmor profiles can be loaded, and say of each role what the documentation says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from privsep import spawn
from privsep.confined import _PROGRAMS

TOP = Path(__file__).resolve().parents[2]
APPARMOR = TOP / "apparmor"
ROLES = {"supervisor", "reader", "helper", "runner", "script", "worker", "courier", "dialer"}

needs_parser = pytest.mark.skipif(
    shutil.which("apparmor_parser") is None,
    reason="apparmor_parser is not there (Debian package apparmor)",
)


def parse(*words: str, profile: Path = APPARMOR / "netevd") -> subprocess.CompletedProcess[bytes]:
    """Have the profiles compiled; nothing is loaded, whatever the kernel."""
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--Include", str(APPARMOR)]
    return subprocess.run([*command, *words, str(profile)], capture_output=True, check=False)


@needs_parser
def test_profiles_compile() -> None:
    """The parser takes them without an error, and warns of nothing."""
    result = parse()

    text = result.stderr.decode()
    assert result.returncode == 0, text
    assert "Warning from" not in text, text
    assert len(parse("--stdout").stdout) > 10_000  # what a kernel would be given


@needs_parser
def test_parser_is_asked() -> None:
    """What the parser refuses, this test would see."""
    assert parse(profile=TOP / "README.md").returncode != 0


@needs_parser
def test_each_role_has_a_profile() -> None:
    """Every role that the supervisor starts, and scripts, have one of their own below the ceiling."""
    names = set(parse("--names").stdout.decode().split())

    assert names == {"netevd", *(f"netevd//{role}" for role in ROLES)}
    assert {*_PROGRAMS, "helper", "runner"} <= ROLES
    assert set(re.findall(r'domain\.enter\("(\w+)"\)', Path(spawn.__file__).read_text())) <= ROLES


def read_profile(role: str) -> str:
    """Return what stands in the profile of a role, without comments."""
    text = (APPARMOR / "netevd").read_text()
    match = re.search(rf"^  profile {role} .*?\{{\n(.*?)^  \}}$", text, re.MULTILINE | re.DOTALL)
    assert match is not None, role
    return re.sub(r"#.*", "", match[1])


@pytest.mark.parametrize("role", ["worker", "reader", "courier", "dialer"])
def test_programs_of_netevd_have_no_capability_and_no_netlink(role: str) -> None:
    """Nor do they execute anything."""
    profile = read_profile(role)

    assert "capability" not in profile
    assert "netlink" not in profile
    assert not re.search(r"\s[a-z]*(ix|px|cx|ux|Px|Cx|Ux|Ix)\b", profile)


def test_helper_has_no_file() -> None:
    """One capability and netlink, beside what every role has."""
    rules = [line.strip() for line in read_profile("helper").splitlines() if line.strip()]

    assert rules == [
        "include <abstractions/netevd/role>",
        "capability net_admin,",
        "network netlink raw,",
        "include if exists <local/netevd-helper>",
    ]


def test_no_role_leaves_its_profile() -> None:
    """Only the ceiling and the supervisor may change to another."""
    text = (APPARMOR / "netevd").read_text()
    for role in ROLES - {"supervisor"}:
        assert "change_profile" not in read_profile(role), role
    assert text.count("change_profile ->") == 3
    assert "change_profile" not in re.sub(
        r"#.*",
        "",
        "".join(each.read_text() for each in (APPARMOR / "abstractions/netevd").iterdir()),
    )


def test_each_profile_has_a_place_for_what_a_site_adds() -> None:
    """local/netevd for the ceiling, local/netevd-ROLE for each role, as docs say."""
    text = (APPARMOR / "netevd").read_text()

    found = set(re.findall(r"include if exists <local/(\S+)>", text))
    assert found == {"netevd", *(f"netevd-{role}" for role in ROLES)}
