"""Entries of the journal, read by a parser of our own making from the protocol's description."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netevd.model.actions import Kind
from netevd.report.journal_entries import MESSAGE_IDS, connect, encode, name_fields
from netevd.report.records import make_log

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "logs.md"


def parse(entry: bytes) -> dict[str, str]:
    """Return the fields of an entry by systemd's description of its native protocol."""
    found: dict[str, str] = {}
    while entry:
        head, _, rest = entry.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", rest)
            value, end, entry = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        else:
            entry = rest
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


@given(st.dictionaries(st.sampled_from(["MESSAGE", "NETEVD_A", "NETEVD_B"]), st.text()))
def test_any_text_comes_out_as_it_went_in(fields: dict[str, str]) -> None:
    """Line ends, equals signs and whatever else stands in a value forge no field."""
    clean = {name: re.sub("[\ud800-\udfff]", "?", value) for name, value in fields.items()}

    assert parse(encode(clean)) == clean


def test_the_fields_of_an_event() -> None:
    """Each fact has its field, absent ones have none, and the kind its number."""
    record = {
        "event": "got carrier", "event_type": "carrier", "level": "info", "timestamp": 1,
        "interface": "eth0", "ip": None, "sequence": 7, "kind": Kind.EVENT,
    }  # fmt: skip

    assert name_fields(record) == {
        "MESSAGE": "eth0 carrier: got carrier",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "netevd",
        "MESSAGE_ID": MESSAGE_IDS[Kind.EVENT],
        "NETEVD_EVENT": "carrier",
        "NETEVD_INTERFACE": "eth0",
        "NETEVD_SEQUENCE": "7",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("trace", "7"), ("debug", "7"), ("info", "6"), ("warn", "4"), ("error", "3")],
)
def test_levels_are_priorities(level: str, priority: str) -> None:
    """Levels are those of syslog(3)."""
    assert name_fields({"event": "x", "level": level})["PRIORITY"] == priority


def test_hostile_values_are_escaped() -> None:
    """A name with a line end or bytes that are not UTF-8 is shown, not repeated."""
    named = name_fields({"event": "a\nb", "level": "info", "interface": "e\udcff\n"})

    assert (named["MESSAGE"], named["NETEVD_INTERFACE"]) == ("e\\xff\\x0a: a\\x0ab", "e\\xff\\x0a")


def test_a_long_message_is_cut() -> None:
    """An entry fits into one datagram, whatever a script prints."""
    named = name_fields({"event": "ä" * 100_000, "level": "info"})

    assert 40_000 < len(named["MESSAGE"].encode()) <= 49_152


def test_records_reach_the_journal(tmp_path: Path) -> None:
    """What is logged comes to the socket as entries; levels below the chosen one do not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "socket"))
        journal.settimeout(5)
        ours = connect(str(tmp_path / "socket"))
        assert ours is not None
        with ours:
            log = make_log("info", "journal", ours)
            log.debug("not this")
            log.warning("this", event_type="carrier")

        entry = parse(journal.recv(65536))

    assert entry == {
        "MESSAGE": "carrier: this",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "netevd",
        "NETEVD_EVENT": "carrier",
    }


def test_what_the_journal_does_not_take_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a journal, or with one that is gone, no record is lost."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "socket"))
        ours = connect(str(tmp_path / "socket"))
    assert ours is not None
    with ours:
        make_log("info", "journal", ours).info("after its end", interface="eth0")
    make_log("info", "journal", connect(str(tmp_path / "nothing"))).info("without")

    lines = [line[24:] for line in capfd.readouterr().err.splitlines()]
    absent = "there is no journal at /run/systemd/journal/socket: the log is text on standard error"
    assert lines == ["info  eth0: after its end", f"warn  {absent}", "info  without"]


def test_numbers_are_documented_and_differ() -> None:
    """The reference names each kind with its number; numbers are 128 bits and never the same."""
    rows = re.findall(r"^\| `([a-z-]+)` \| `([0-9a-f]{32})` \|", PAGE.read_text(), re.MULTILINE)

    assert dict(rows) == {kind.value: number for kind, number in MESSAGE_IDS.items()}
    assert set(MESSAGE_IDS) == set(Kind)
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
