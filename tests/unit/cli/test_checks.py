"""What `netevd doctor` decides by itself, on values."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from netevd.cli.checks import kernel, privileges
from netevd.cli.checks.case import read_finding
from netevd.cli.checks.clients import judge_dhclient, judge_dhcpcd
from netevd.cli.checks.kernel import judge_landlock
from netevd.cli.checks.neighbours import find_listeners
from netevd.cli.checks.privileges import MAKE_USERS, make_users
from netevd.cli.checks.processes import Process, read_file
from netevd.cli.checks.scripts import find_start_fault, find_sudo
from privsep import mode, rtnetlink, sandbox


def test_what_is_said_of_the_daemon_is_the_daemon_s() -> None:
    """Users, capabilities, buffer and the command that makes users are privsep's own."""
    assert (privileges.USERS, privileges.MAKE_USERS) == (mode.USERS, mode.MAKE_USERS)
    assert privileges.NEEDED == sandbox.NEEDED
    assert kernel.EVENT_BUFFER == rtnetlink.EVENT_BUFFER


def test_numbers_of_capabilities_are_the_kernel_s() -> None:
    """The order of the schema's names is that of linux/capability.h."""
    assert privileges._NUMBERS == sandbox.CAPABILITIES


# --- users -----------------------------------------------------------------------------------------


def test_all_users_missing_is_the_one_command_of_run() -> None:
    """Where nothing is there, the command is what `netevd run` prints."""
    missing = [*(f"user {name}" for name in privileges.USERS), "group netevd"]

    assert make_users(missing) == MAKE_USERS


@pytest.mark.parametrize("missing", ["user netevd", "user netevd-net", "group netevd"])
def test_single_user_missing_is_made_alone(missing: str) -> None:
    """A command that makes what exists would stop there and make nothing."""
    command = make_users([missing])

    assert command in MAKE_USERS.split(" && ")
    assert command.split()[0] == f"{missing.split(maxsplit=1)[0]}add"
    assert command.split()[-1] == missing.split()[1]


# --- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "command"),
    [
        ("x is bad; mend it with: chmod a b", "x is bad", "chmod a b"),
        ("no user; make it with: useradd x", "no user", "useradd x"),
        ("no user; make all of them with:\nuseradd x", "no user", "useradd x"),
        ("did you mean b.d? Mend it with: mv a.d b.d", "did you mean b.d?", "mv a.d b.d"),
        ("it is a FIFO; not a file", "it is a FIFO; not a file", ""),
    ],
)
def test_command_is_taken_out_of_a_message(text: str, message: str, command: str) -> None:
    """Messages of the daemon end with the command that mends, which stands apart in a finding."""
    finding = read_finding("warning", "scripts", "x", text)

    assert (finding.message, finding.command) == (message, command)


# --- Landlock --------------------------------------------------------------------------------------


def test_landlock_that_is_there_is_fine() -> None:
    """The ABI is told."""
    assert judge_landlock(6, 0)[:4] == ("ok", "sandbox", "Landlock", "ABI 6")
    closes = "which closes files; signals and abstract sockets are the filter's alone"
    assert judge_landlock(4, 0)[:4] == ("ok", "sandbox", "Landlock", f"ABI 4, {closes}")
    assert "TCP and signals and abstract sockets are" in judge_landlock(3, 0)[3]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EOPNOTSUPP, "lsm= of the kernel's command line"),
        (errno.ENOSYS, "CONFIG_SECURITY_LANDLOCK=y"),
        (errno.EPERM, "the container's profile"),
    ],
)
def test_landlock_that_is_not_there_is_said_with_its_meaning(code: int, advice: str) -> None:
    """Each reason has its own advice, and all say what is lost."""
    finding = judge_landlock(-1, code)

    assert finding.level == "warning"
    assert "only its user and seccomp confine" in finding.message
    assert advice in finding.message


# --- scripts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#!/bin/sh\nsudo ip link", {"sudo": 2}),
        ("#!/usr/bin/env bash\nif ! sudo -n true; then\n", {"sudo": 2}),
        ("#!/bin/sh\nx=$(sudo id)\n", {"sudo": 2}),
        ("#!/bin/sh\nLANG=C A=b /usr/bin/sudo id\nsudo x\n", {"sudo": 2}),
        ("#!/bin/bash -e\n[ -n x ] && su - bob -c id\ntrue; doas id\n", {"su": 2, "doas": 3}),
        ("#!/bin/sh\n# sudo would not work\nip link # sudo no\n", {}),
        ("#!/bin/sh\necho 'a; sudo b' \"c && su d\" sudo\n", {}),
        ("#!/bin/sh\nsudoku x\nsummary\nip su\n", {}),
        ("#!/usr/bin/python3\nrun(['sudo', 'ip'])\n", {"sudo": 2}),
        ('#!/usr/bin/env python3\nos.system("/usr/bin/sudo ip")\n', {"sudo": 2}),
        ("#!/usr/bin/python3\n# 'sudo' x\nprint('no sudo', su)\n", {}),
        ("\x7fELF\nsudo x\n", {}),
    ],
)
def test_sudo_is_found_where_it_is_a_command(text: str, found: dict[str, int]) -> None:
    """A word in a comment, a text or an argument is no use of sudo."""
    assert find_sudo(text.encode()) == found


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"#!/bin/sh\n", ""),
        (b"#! /bin/sh -e\n", ""),
        (b"\x7fELF\x02", ""),
        (b"", "it is empty; mend it with: rm /x"),
        (b"echo hello\n", "names no interpreter"),
        (b"#!\n", "names no interpreter"),
        (b"#!/bin/sh\r\necho\r\n", "CR LF"),
        (b"#!/no/such/python\n", "/no/such/python is not there"),
    ],
)
def test_first_line_tells_whether_a_script_can_start(content: bytes, fault: str) -> None:
    """What execve(2) would refuse is told before."""
    found = find_start_fault(content, "/x")

    assert fault in found if fault else found == ""


# --- processes and port ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (("/usr/bin/python3", "/usr/bin/networkd-dispatcher", "-T"), "networkd-dispatcher"),
        (("/usr/bin/python3.11", "-u", "/usr/bin/networkd-dispatcher"), "networkd-dispatcher"),
        (("/usr/sbin/NetworkManager", "--no-daemon"), "NetworkManager"),
        (("python3", "-i"), "python3"),
        (("bash",), "bash"),
    ],
)
def test_program_of_an_interpreter_is_its_script(arguments: tuple[str, ...], program: str) -> None:
    """A dispatcher in Python is known by its script's name."""
    assert Process(1, "", arguments).program == program


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {address}:2382 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 4711 1 x 100
"""
"""Source: proc_net_tcp in Linux's documentation."""


@pytest.mark.parametrize(
    ("address", "state", "taken"),
    [
        ("0100007F", "0A", True), ("00000000", "0A", True), ("0" * 32, "0A", True),
        ("0000000000000000FFFF00000100007F", "0A", True),
        ("0200007F", "0A", False), ("0100007F", "01", False),
        ("00000000000000000000000001000000", "0A", False),
    ],
)  # fmt: skip
def test_listener_takes_the_port_if_it_covers_the_address(
    address: str, state: str, taken: bool
) -> None:
    """Other addresses and connections leave 127.0.0.1 free."""
    table = TABLE.format(address=address, state=state)

    assert list(find_listeners(table, 9090)) == ([4711] if taken else [])
    assert list(find_listeners(table, 9091)) == []
    assert list(find_listeners(table + "1: cut\n", 9091)) == []


@pytest.mark.parametrize(
    ("listens", "wanted", "taken"),
    [
        ("0200007F", "127.0.0.2", True), ("0200007F", "0.0.0.0", True), ("0200007F", "::", True),
        ("0" * 32, "192.0.2.1", True), ("0" * 8, "192.0.2.1", True), ("0200007F", "::1", False),
        ("00000000000000000000000001000000", "::1", True), ("0" * 8, "::1", False),
    ],
)  # fmt: skip
def test_configured_address_counts(listens: str, wanted: str, taken: bool) -> None:
    """One that listens everywhere keeps an address from us, and we can't listen everywhere beside one."""
    table = TABLE.format(address=listens, state="0A")

    assert list(find_listeners(table, 9090, wanted)) == ([4711] if taken else [])


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A directory among another daemon's hooks, or a FIFO, is no content and no error."""
    (tmp_path / "hook").write_text("#!/bin/sh\n")
    os.mkfifo(tmp_path / "fifo")

    contents = [read_file(str(path)) for path in (tmp_path, tmp_path / "fifo", tmp_path / "none")]

    assert contents == [b"", b"", b""]
    assert read_file(str(tmp_path / "hook")) == b"#!/bin/sh\n"


# --- leases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        ("-lf /run/x/dhclient.leases", True),
        ("-lf /var/lib/dhcp/dhclient.eth0.leases", False),
        ("-lf /var/lib/dhcp/sub/dhclient.leases", True),
        ("-v eth0", False),
        ("-lf", False),
    ],
)
def test_dhclient_whose_file_is_not_read(words: str, *, warned: bool) -> None:
    """It is told which file that is; one without an option has the default, which is read."""
    process = Process(7, "dhclient", ("/sbin/dhclient", *words.split()))

    found = list(judge_dhclient(process, ["/var/lib/dhcp/dhclient*.leases"]))

    assert [each.level for each in found] == ["warning"] * warned
    assert all(words.split()[1] in each.message for each in found)


def test_dhcpcd_without_hook_is_told_how_to_get_it(tmp_path: Path) -> None:
    """The command names the directory that this system has; with the hook all is fine."""
    place = tmp_path / "hooks"
    place.mkdir()
    process = Process(7, "dhcpcd", ("dhcpcd: eth0",))
    directories = [str(tmp_path / "missing"), str(place)]

    (found,) = judge_dhcpcd(process, directories)
    assert (found.level, found.command.endswith(f"90-netevd {place}/")) == ("note", True)
    (place / "90-netevd").write_text("")
    assert [each.level for each in judge_dhcpcd(process, directories)] == ["ok"]
