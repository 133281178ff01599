"""rtnetlink headers, sd_notify, the log of the privileged side, script names, the table."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

import pytest

from privsep import notify, rtnetlink
from privsep.channel import Channel, Closed, make_pair
from privsep.log import Log
from privsep.protocol import LEAD, Entry, Peer, ProtocolViolation
from privsep.scripts import Table, find_fault, is_leftover, trusted_owners
from privsep.versions import PAUSE, Versions

HEADER = struct.Struct("=IHHII")


def _message(type_: int, body: bytes = b"", flags: int = 0, sequence: int = 7) -> bytes:
    return HEADER.pack(16 + len(body), type_, flags, sequence, 0) + body


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (_message(16, b"1234"), (7, False, 0, False)),
        (_message(16) + _message(3, struct.pack("=i", 0)), (7, True, 0, False)),
        (_message(16, flags=0x10) + _message(3, bytes(4)), (7, True, 0, True)),
        (_message(2, struct.pack("=i", -16)), (7, True, 16, False)),
        (_message(16)[:12], (0, False, 0, False)),
        (HEADER.pack(8, 16, 0, 7, 0), (7, True, 71, False)),
        (HEADER.pack(400, 16, 0, 7, 0), (7, True, 71, False)),
        (b"", (0, False, 0, False)),
    ],
)
def test_headers_of_a_dump(datagram: bytes, expected: tuple[int, bool, int, bool]) -> None:
    """The end, its error and an interruption are found; a header that can't be is an end."""
    assert tuple(rtnetlink.read_part(datagram))[1:] == expected


def test_dump_requests_are_constant() -> None:
    """A dump request differs in nothing but its sequence, and the table of a dump of routes."""
    for kind in ("links", "addresses", "rules", "nothing"):
        first = rtnetlink.encode_dump(kind, 1, 0)
        second = rtnetlink.encode_dump(kind, 2**32 + 2, 77)
        assert first[:8] + first[12:] == second[:8] + second[12:]
        assert struct.unpack_from("=I", second, 8) == (2,)
    every, one = (rtnetlink.encode_dump("routes4", 1, table) for table in (0, 77))
    assert one[4:28] == every[4:]
    assert one[28:] == struct.pack("=HHI", 8, 15, 77)


def test_notify_without_a_socket_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NOTIFY_SOCKET, or with one that is gone, nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notify.notify("READY=1")


def test_notify_speaks_to_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with @ is one of the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0netevd-test-{os.getpid()}")
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@netevd-test-{os.getpid()}")

        notify.notify("READY=1", "STATUS=x")

        assert sock.recv(100) == b"READY=1\nSTATUS=x"


def test_notify_makes_one_line_of_one_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker calls its status can't hold an assignment of its own, such as another main process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0netevd-test-{os.getpid()}")
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@netevd-test-{os.getpid()}")

        notify.notify("READY=1", "STATUS=fine\nMAINPID=1")

        assert sock.recv(100) == rb"READY=1" + b"\n" + rb"STATUS=fine\x0aMAINPID=1"


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("3000000", None, 3.0),
        ("", None, None),
        ("0", None, None),
        ("x", None, None),
        ("1000", "1", None),
    ],
)
def test_watchdog_interval(monkeypatch, usec, pid, expected) -> None:
    """The interval is WATCHDOG_USEC when it is meant for this process."""
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))

    assert notify.watchdog_interval() == expected


def test_log_of_the_privileged_side(capfd: pytest.CaptureFixture[str]) -> None:
    """Text, JSON, or with a priority in front, and nothing below the level."""
    log = Log("warn", "json")
    log.write("info", "hidden")
    log.write("error", "shown")
    log.form = "text"
    log.write("warn", "plain")
    log.form = "journal"
    log.write("error", "told")

    first, second, third = capfd.readouterr().err.splitlines()
    assert json.loads(first)["message"] == "shown"
    assert json.loads(first)["level"] == "error"
    assert second.endswith("warn  plain")
    assert third == "<3>told"


def test_log_writes_one_line_whatever_it_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """What another role has said can't begin a line, nor can a path of undecodable octets end the daemon."""
    Log("info", "journal").write("error", "told: a\n<6>all is well \udcff")

    assert capfd.readouterr().err == "<3>told: a\\x0a<6>all is well \\xff\n"


def test_channel_keeps_descriptors_close_on_exec() -> None:
    """A descriptor that arrives is not inherited by what is executed."""
    near, far = make_pair()
    sender, receiver = Channel(near, LEAD), Channel(far, LEAD, descriptors=1)

    sender.send(Peer(), (0,))
    message, (descriptor,) = receiver.receive()

    assert message == Peer()
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    sender.close()
    with pytest.raises(Closed):
        receiver.receive()
    receiver.close()


def test_channel_refuses_descriptors_it_did_not_ask_for() -> None:
    """More descriptors than a channel may carry are closed, and a violation."""
    near, far = make_pair()
    sender, receiver = Channel(near, LEAD), Channel(far, LEAD, descriptors=1)
    before = len(os.listdir("/proc/self/fd"))

    sender.send(Peer(), (0, 1, 2, 0, 1, 2))
    with pytest.raises(ProtocolViolation):
        receiver.receive()

    assert len(os.listdir("/proc/self/fd")) == before
    sender.close()
    receiver.close()


@pytest.mark.parametrize(
    ("name", "left"),
    [("10-a", False), ("a.sh", False), (".a", True), ("a~", True), ("a.dpkg-new", True), ("#a#", True),
     ("a.rpmsave", True), ("a.swp", True)],
)  # fmt: skip
def test_leftover_names(name: str, left: bool) -> None:
    """Hidden files and what editors and packages leave are no scripts."""
    assert is_leftover(name) is left


def _write(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def owners() -> frozenset[int]:
    """Return whose files are trusted here."""
    return trusted_owners(observe=True)


def test_vendor_script_is_replaced_by_name(tmp_path: Path, owners: frozenset[int]) -> None:
    """The first root wins over the second by file name; order is bytewise over both."""
    first, second = tmp_path / "etc", tmp_path / "lib"
    _write(first / "routable.d/20-b")
    _write(second / "routable.d/20-b")
    _write(second / "routable.d/10-a")
    _write(second / "routable.d/Z")
    _write(second / "other.d/x")
    table = Table([str(first), str(second)], ["routable"], owners)

    assert table.scan()

    assert [entry.path for entry in table.entries] == [
        f"{second}/routable.d/10-a",
        f"{first}/routable.d/20-b",
        f"{second}/routable.d/Z",
    ]
    assert not table.scan()


def test_number_of_a_removed_file_is_not_used_again(tmp_path: Path, owners: frozenset[int]) -> None:
    """A file that goes and comes back is another entry."""
    path = _write(tmp_path / "routable.d/a")
    table = Table([str(tmp_path)], ["routable"], owners)
    table.scan()
    (first,) = table.entries
    path.unlink()
    table.scan()
    _write(path)
    table.scan()

    (second,) = table.entries
    assert isinstance(second, Entry)
    assert second.id > first.id
    assert table.find_fault(first.id)[2] != ""


def test_every_element_of_a_path_is_held_to_the_rule(
    tmp_path: Path, owners: frozenset[int]
) -> None:
    """A link is followed; a writable directory behind it is found as one on the way would be."""
    target = _write(tmp_path / "open" / "script")
    link = tmp_path / "routable.d" / "a"
    link.parent.mkdir()
    link.symlink_to(target)

    assert find_fault(str(link), owners) == ""
    target.parent.chmod(0o777)
    assert "open is writable by group and others" in find_fault(str(link), owners)
    target.parent.chmod(0o755)
    link.unlink()
    link.symlink_to("../open/../open/script")
    assert find_fault(str(link), owners) == ""


def test_table_is_told_in_parts_that_fit(tmp_path: Path, owners: frozenset[int]) -> None:
    """A table of thousands of files comes in several messages, complete and in order."""
    for number in range(1500):
        _write(tmp_path / f"routable.d/{number:04}-{'x' * 60}")
    table = Table([str(tmp_path)], ["routable"], owners)
    table.scan()

    parts = table.parts()

    assert len(parts) > 1
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert [entry for part in parts for entry in part.entries] == table.entries


def test_versions_are_written_seldom_whatever_a_runner_counts(
    tmp_path: Path, owners: frozenset[int]
) -> None:
    """The first soon; what comes after it once its pause is over, all in one; a lower one never."""
    kept = tmp_path / "state-signed" / "versions.json"
    versions = Versions(str(tmp_path / "state"), owners, Log("error"))
    versions.note(7, "/etc/netevd", 1)
    first = versions.due
    for version in range(2, 1000):
        versions.note(7, "/etc/netevd", version)
    assert first == versions.due and first is not None and not kept.exists()

    versions.keep()
    assert json.loads(kept.read_text()) == {"7": {"/etc/netevd": 999}} and versions.due is None
    versions.note(7, "/etc/netevd", 998)
    assert versions.due is None
    versions.note(7, "/etc/netevd", 1000)
    assert versions.due is not None and versions.due - first > PAUSE / 2
    assert versions.find(7) == {"/etc/netevd": 1000}
    assert json.loads(kept.read_text()) == {"7": {"/etc/netevd": 999}}
