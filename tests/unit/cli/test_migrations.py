"""What is seen in a script of another program: programs that need more, variables that are not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from netevd.cli.migrations.scripts import Convention, look

CONVENTION = Convention("root", {"LINKNAME": "use LINK", "JSON": "it is another one"})


def find(tmp_path: Path, line: str, first: str = "#!/bin/sh") -> list[str]:
    """Return what is said of a script with this line."""
    path = tmp_path / "script"
    path.write_text(f"{first}\n{line}\n")
    assert all(each.place.line == 2 for each in look(str(path), CONVENTION))
    return [each.text.partition(";")[0] for each in look(str(path), CONVENTION)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ip route add 10.0.0.0/8 dev $1", "ip, which changes something, needs CAP_NET_ADMIN"),
        ("x && /sbin/ip -6 addr flush dev a", "ip, which changes something, needs CAP_NET_ADMIN"),
        ("ip link set a up", "ip, which changes something, needs CAP_NET_ADMIN"),
        ("ip link show up", None),
        ("ip -json addr show dev a", None),
        ("echo zip added", None),
        ("# ip route add x", None),
        ("tc qdisc replace dev a root fq", "tc needs CAP_NET_ADMIN"),
        ("tc qdisc show", None),
        ("ethtool -K a gro off", "ethtool needs CAP_NET_ADMIN"),
        ("ethtool a", None),
        ("if wg show; then :; fi", "wg needs CAP_NET_ADMIN"),
        ("sysctl -w net.ipv4.ip_forward=1", "sysctl needs root, or a rule of polkit"),
        ("sysctl net.ipv4.ip_forward", None),
        ("systemctl restart chrony", "systemctl needs root, or a rule of polkit"),
        ("systemctl is-active chrony", None),
        ("brctl addif br0 a", "brctl needs CAP_NET_ADMIN"),
        ("hostname", None),
        ("hostname a", "hostname needs root, or a rule of polkit"),
    ],
)
def test_programs_that_need_more_than_a_script_has(
    tmp_path: Path, line: str, expected: str | None
) -> None:
    """What only looks needs nothing; what changes something does, and it is said what."""
    wanted = [] if expected is None else [f"{expected}, which scripts don't have"]

    assert find(tmp_path, line) == wanted


@pytest.mark.parametrize(
    ("first", "line", "seen"),
    [
        ("#!/bin/sh", 'echo "$LINKNAME"', True),
        ("#!/bin/sh", "echo ${LINKNAME:-none}", True),
        ("#!/bin/sh", "echo $LINKNAMES", False),
        ("#!/bin/sh", "echo a # $LINKNAME", False),
        ("#!/usr/bin/python3", "import os; os.environ['LINKNAME']", True),
        ("#!/usr/bin/python3", 'getenv("LINKNAME")', True),
        ("#!/usr/bin/perl", "print $ENV{LINKNAME}", True),
        ("#!/usr/bin/perl", "print LINKNAME", False),
    ],
)
def test_variables_that_are_not_set_here(tmp_path: Path, first: str, line: str, seen: bool) -> None:
    """In shell, Python and Perl; comments and longer names are none."""
    wanted = ["variable LINKNAME is not set here: use LINK"] if seen else []

    assert find(tmp_path, line, first) == wanted


def test_a_variable_that_is_another_one_is_a_note(tmp_path: Path) -> None:
    """It is set here too, and means something else."""
    path = tmp_path / "script"
    path.write_text("#!/bin/sh\njq . <<< $JSON\n")

    (found,) = look(str(path), CONVENTION)
    assert (found.severity, found.text) == (
        "note",
        "variable JSON is another one here: it is another one",
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty, or can't be read by who asks; it was not looked at"),
        (b"echo\n", "can't be started: its first line names no interpreter"),
        (b"\x7fELF\x02", "is a program, so it was not looked at which variables it uses"),
    ],
)
def test_what_is_no_script_of_text(tmp_path: Path, content: bytes, expected: str) -> None:
    """An empty file, a text that no kernel starts, a compiled program."""
    path = tmp_path / "script"
    path.write_bytes(content)

    (found,) = look(str(path), CONVENTION)
    assert found.text.startswith(expected)
