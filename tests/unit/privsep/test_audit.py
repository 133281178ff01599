"""Where root appends a line and where it does not, and what becomes of records until they are written."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from privsep import audit
from privsep.audit import AuditLog, Reporter, append
from privsep.channel import Channel, make_pair
from privsep.launch import AuditFile  # fmt: skip
from privsep.log import Log
from privsep.protocol import (
    LEAD,
    REPORT,
    Audit,
    Audited,
    AuditTrouble,
    ProtocolViolation,
    Report,
    Told,
    pack,
)

OWNERS = frozenset({0, os.getuid()})


def write(path: Path, line: bytes = b"{}\n", *, size: int = 4096, keep: int = 3) -> None:
    """Append a line as the supervisor would."""
    append(AuditFile(str(path), size, keep), OWNERS, -1, line)


def test_file_and_its_directory_are_made(tmp_path: Path) -> None:
    """The last directory is made if need be; the file is read by the group and written by nobody else."""
    path = tmp_path / "netevd" / "audit.jsonl"
    old = os.umask(0o077)
    try:
        write(path, b"1\n")
    finally:
        os.umask(old)
    write(path, b"2\n")

    assert path.read_bytes() == b"1\n2\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o022 == 0


def test_no_directory_but_the_last_is_made(tmp_path: Path) -> None:
    """A path that is mistyped further up is not made true."""
    with pytest.raises(OSError, match="No such file") as caught:
        write(tmp_path / "a" / "b" / "audit.jsonl")

    assert caught.value.filename == "a"
    assert not (tmp_path / "a").exists()


def _link_file(path: Path) -> None:
    victim = path.parent / "victim"
    victim.write_text("")
    path.symlink_to(victim)


def _link_hard(path: Path) -> None:
    (path.parent / "victim").write_text("")
    os.link(path.parent / "victim", path)


def _make_writable(path: Path) -> None:
    path.write_text("")
    path.chmod(0o666)


def _open_directory(path: Path) -> None:
    path.parent.chmod(0o777)


def _make_sticky(path: Path) -> None:
    path.parent.chmod(0o1777)


def _link_directory(path: Path) -> None:
    path.parent.rmdir()
    (path.parent.parent / "elsewhere").mkdir()
    path.parent.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("prepare", "fault"),
    [
        (_link_file, "symbolic links"),
        (_link_hard, "file of one name"),
        (_make_writable, "none else may write"),
        (_open_directory, "none else may write"),
        (_make_sticky, "none else may write"),
        (_link_directory, "Not a directory"),
        (os.mkfifo, "file of one name"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
)
def test_what_others_could_have_put_there_is_not_written(
    tmp_path: Path, prepare: Callable[[Path], None], fault: str
) -> None:
    """Links, what more than its owner may write and what is no file are refused, and left as they are."""
    path = tmp_path / "log" / "audit.jsonl"
    path.parent.mkdir()
    prepare(path)

    with pytest.raises(OSError, match=fault):
        write(path)

    assert all(not each.stat().st_size for each in tmp_path.rglob("victim"))
    assert not (tmp_path / "elsewhere" / "audit.jsonl").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make what belongs to others")
@pytest.mark.parametrize("part", ["log/audit.jsonl", "log", "."])
def test_what_belongs_to_others_is_not_written(tmp_path: Path, part: str) -> None:
    """File, directory or a directory above it of another user: whoever has one has the file."""
    path = tmp_path / "log" / "audit.jsonl"
    write(path)
    os.chown(tmp_path / part, 65534, 65534)

    with pytest.raises(OSError, match="that root has"):
        write(path)

    assert path.read_bytes() == b"{}\n"


def test_files_take_turns(tmp_path: Path) -> None:
    """No file is larger than it may be; the oldest one goes, and no line is torn."""
    path = tmp_path / "audit.jsonl"
    for number in range(45):
        write(path, b"%0999d\n" % number, size=4096, keep=2)

    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "audit.jsonl", "audit.jsonl.1", "audit.jsonl.2",
    ]  # fmt: skip
    names = ("audit.jsonl.2", "audit.jsonl.1", "audit.jsonl")
    kept = [int(line) for name in names for line in (tmp_path / name).read_text().split()]
    assert kept == list(range(36, 45))
    assert (tmp_path / "audit.jsonl.1").stat().st_size == 4000


def test_only_one_file_is_kept_where_no_other_is_wanted(tmp_path: Path) -> None:
    """keep: 0 leaves what fits into one file."""
    path = tmp_path / "audit.jsonl"
    for number in range(6):
        write(path, b"%0999d\n" % number, keep=0)

    assert [int(line) for line in path.read_text().split()] == [4, 5]
    assert [*tmp_path.iterdir()] == [path]


def test_torn_line_of_before_spoils_no_other(tmp_path: Path) -> None:
    """What a power failure has left half is a line of its own."""
    path = tmp_path / "audit.jsonl"
    write(path, b'{"torn')
    write(path, b"{}\n")

    assert path.read_bytes() == b'{"torn\n{}\n'


def test_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """A disk that is full, or a limit, leaves whole lines; with room again the next one is whole."""
    path = tmp_path / "audit.jsonl"
    program = (
        "import resource, sys\n"
        "from privsep.audit import append\n"
        "from privsep.launch import AuditFile\n"
        "import os\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))\n"
        "file = AuditFile(sys.argv[1], 65536, 1)\n"
        "owners = frozenset({0, os.getuid()})\n"
        "append(file, owners, -1, b'x' * 999 + b'\\n')\n"
        "try:\n    append(file, owners, -1, b'y' * 999 + b'\\n')\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )

    assert result.stdout == "there is no room for a whole line\n"
    assert path.stat().st_size == 1000
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1500


# --- records ---------------------------------------------------------------------------------------


def make(path: Path | None) -> tuple[AuditLog, list[Told]]:
    """Return an audit log that is to write to a file, and what it has told the worker."""
    told: list[Told] = []

    def tell(message: Told) -> bool:
        told.append(message)
        return True

    log = AuditLog(Log("error"), OWNERS, -1, tell)
    if path is not None:
        log.configure(AuditFile(str(path), 65536, 1))
    return log, told


def read(path: Path) -> list[dict[str, object]]:
    """Return the records of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_record_is_an_object_with_its_source(tmp_path: Path) -> None:
    """Time, source, what, outcome, by whom, the rest, and how many before it are missing."""
    path = tmp_path / "audit.jsonl"
    log, told = make(path)
    log.add("helper", Audit("rule", "added", "routing", "x"))

    (record,) = read(path)
    assert {**record, "time": ""} == {
        "time": "", "source": "helper", "what": "rule", "outcome": "added", "by": "routing",
        "detail": "x", "lost": 0,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(record["time"]))
    (audited,) = told
    assert isinstance(audited, Audited)
    assert (audited.source, audited.record) == ("helper", Audit("rule", "added", "routing", "x"))


def test_nothing_is_taken_where_nothing_is_wanted(tmp_path: Path) -> None:
    """Without an audit log nothing is kept, not even for the worker, or for an audit log to come."""
    log, told = make(None)
    log.add("worker", Audit("reload", "asked"))
    log.configure(AuditFile(str(tmp_path / "audit.jsonl"), 65536, 1))
    log.flush()

    assert told == []
    assert [*tmp_path.iterdir()] == []


def test_what_a_worker_does_not_hear_now_it_hears_later(tmp_path: Path) -> None:
    """While there is none, or none that hears, the latest records wait for it in their order."""
    told: list[Told] = []
    hears = False

    def tell(message: Told) -> bool:
        if hears:
            told.append(message)
        return hears

    log = AuditLog(Log("error"), OWNERS, -1, tell)
    log.configure(AuditFile(str(tmp_path / "audit.jsonl"), 1 << 20, 1))
    for number in range(audit.WAITING + 10):
        log.add("supervisor", Audit("role", "died", detail=f"{number}"))
    hears = True
    log.flush()

    details = [each.record.detail for each in told if isinstance(each, Audited)]
    assert details == [f"{number}" for number in range(10, audit.WAITING + 10)]


@pytest.mark.parametrize("text", ["a\n{}", "\x1b[2J", "\x9b", "\u2028", "x" * 513])
def test_worker_can_not_forge_a_line(text: str) -> None:
    """What could end a line, move a cursor or fill the disk is no message at all."""
    for record in (Audit("reload", "asked", by=text), Audit("reload", "asked", detail=text)):
        with pytest.raises(ProtocolViolation):
            REPORT.unpack(pack(record))


def test_worker_can_not_forge_a_source(tmp_path: Path) -> None:
    """What it says stands in its own words, and is marked as its own."""
    path = tmp_path / "audit.jsonl"
    text = '", "source": "supervisor"}{"source": "supervisor'
    make(path)[0].add("worker", Audit("reload", "asked", text, text))

    (record,) = read(path)
    assert record["source"] == "worker"
    assert record["by"] == record["detail"] == text


@pytest.mark.parametrize(
    ("source", "by"), [("worker", ""), ("courier", ""), ("supervisor", "the worker")]
)
def test_flood_of_who_hears_strangers_is_cut_and_counted(
    tmp_path: Path, source: str, by: str
) -> None:
    """100 notes come through, others' records too, and how many did not is told by the next record."""
    path = tmp_path / "audit.jsonl"
    log, _ = make(path)
    for _ in range(5000):
        log.add(source, Audit("reload", "asked", by))
    log.add("runner-0", Audit("run", "started", by="root"))

    records = read(path)
    assert 100 <= len(records) - 1 <= 110
    assert records[-1]["source"] == "runner-0"
    assert sum(int(str(each.get("lost", 0))) for each in records) + len(records) == 5001


def test_refusals_that_a_worker_can_cause_are_cut_and_runs_are_not(tmp_path: Path) -> None:
    """A worker that was taken over can't push out what is known; what was done is always noted."""
    path = tmp_path / "audit.jsonl"
    log, _ = make(path)
    for _ in range(300):
        log.add("runner-0", Audit("run", "refused"))
        log.add("runner-1", Audit("run", "started"))

    words = [(each["source"], each["outcome"]) for each in read(path)]
    assert words.count(("runner-1", "started")) == 300
    assert 100 <= words.count(("runner-0", "refused")) <= 110


def test_records_wait_for_a_file_that_can_not_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is said once, the worker is told, nothing fails; later all is written, what was too much counted."""
    path = tmp_path / "log" / "audit.jsonl"
    path.parent.mkdir()
    path.mkdir()
    log, told = make(path)
    for number in range(400):
        log.add("supervisor", Audit("role", "died", detail=f"{number}"))

    assert capfd.readouterr().err.count("the audit log can't be written") == 1
    assert str(path) in log.trouble
    assert log.due is not None
    assert [each for each in told if isinstance(each, AuditTrouble)] == [AuditTrouble(log.trouble)]
    path.rmdir()
    log.flush()
    log.add("supervisor", Audit("role", "died", detail="last"))

    details = [each["detail"] for each in read(path)]
    assert details == [*map(str, range(audit.WAITING)), "last"]
    assert read(path)[-1]["lost"] == 400 - audit.WAITING
    assert log.trouble == ""
    assert log.due is None
    assert AuditTrouble("") in told


def test_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """Another program may rotate it too."""
    path = tmp_path / "audit.jsonl"
    log, _ = make(path)
    log.add("supervisor", Audit("role", "died", detail="1"))
    path.rename(tmp_path / "moved")
    log.add("supervisor", Audit("role", "died", detail="2"))

    assert [each["detail"] for each in read(path)] == ["2"]


def test_end_of_a_file_is_noted_in_it(tmp_path: Path) -> None:
    """Other settings do not end a record of events without a word."""
    path = tmp_path / "audit.jsonl"
    log, _ = make(path)
    log.add("supervisor", Audit("role", "died"))
    log.configure(None)
    log.add("supervisor", Audit("role", "died"))

    assert [(each["what"], each["outcome"]) for each in read(path)] == [
        ("role", "died"), ("audit-log", "ended"),
    ]  # fmt: skip


def test_reporter_never_waits_and_counts(tmp_path: Path) -> None:
    """A supervisor that does not read costs records, which the next one counts, and nothing else."""
    near, far = make_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    reporter = Reporter(Channel(near, LEAD))
    for _ in range(20_000):
        reporter.tell("run", "started", "root", "x" * 600)
    far_end: Channel[Report] = Channel(far, REPORT)
    heard = 0
    with pytest.raises(BlockingIOError):
        while far_end.receive():
            heard += 1

    reporter.tell("run", "started", "root", "x")
    message, _ = far_end.receive()

    assert isinstance(message, Audit)
    assert 0 < heard < 20_000
    assert message.lost == 20_000 - heard
    far.close()
    reporter.tell("run", "started", "root", "x")
    near.close()
