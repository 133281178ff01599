"""The audit log of a whole daemon: what stands in it, who has said it, and that it ends nothing."""

from __future__ import annotations

import json
import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import connect
from tests.processes.rig import Daemon, ip

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")


def make(make_daemon: Callable[..., Daemon], **settings: object) -> tuple[Daemon, Path]:
    """Return a daemon with an audit log, and where that is."""
    daemon = make_daemon("network: {links: [eth*]}", **settings)
    path = daemon.root / "log" / "audit.jsonl"
    text = daemon.config.read_text(encoding="utf-8")
    audit = json.dumps({"enabled": True, "path": str(path)})
    daemon.config.write_text(f"system: {{log_format: json}}\n{text}audit: {audit}\n")
    return daemon, path


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def find(path: Path, **wanted: str) -> list[dict[str, Any]]:
    """Return the records that have these values."""
    return [each for each in read(path) if wanted.items() <= each.items()]


def ask(daemon: Daemon, path: str, method: str = "GET") -> Any:
    """Return the JSON that a daemon answers over its socket."""
    with connect(daemon) as client:
        return client.request(method, path).json()


def words(path: Path) -> list[tuple[str, str, str]]:
    """Return source, subject and outcome of each record."""
    return [(each["source"], each["what"], each["outcome"]) for each in read(path)]


def test_life_of_a_daemon(make_daemon: Callable[..., Daemon]) -> None:
    """Start, death of a role, good and bad reload and stop are noted, in order and once each."""
    daemon, path = make(make_daemon)
    daemon.start()
    daemon.kill("helper")
    wait_for(lambda: find(path, what="role", outcome="died"), "death")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    daemon.expect_serving(2)
    good = daemon.config.read_text(encoding="utf-8")
    daemon.config.write_text("nonsense: 1\n", encoding="utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: find(path, what="reload", outcome="refused"), "refusal")
    daemon.config.write_text(good, encoding="utf-8")

    assert daemon.stop() == 0
    assert words(path) == [
        ("supervisor", "configuration", "in-force"),
        ("supervisor", "role", "died"),
        ("supervisor", "reload", "begun"),
        ("supervisor", "configuration", "in-force"),
        ("supervisor", "reload", "begun"),
        ("supervisor", "reload", "refused"),
        ("supervisor", "daemon", "stopping"),
        ("supervisor", "daemon", "ended"),
    ]
    records = read(path)
    assert records[0]["detail"] == f"generation 1 of {daemon.pid}"
    assert records[1]["detail"] == "helper: signal SIGKILL"
    assert records[2]["by"] == "SIGHUP"
    assert "unknown key 'nonsense'" in records[5]["detail"]
    status = path.stat()
    assert status.st_mode & 0o7777 == 0o640
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid) == (0, pwd.getpwnam("netevd").pw_gid)


@needs_root
def test_script_with_privilege_is_noted_by_its_runner(make_daemon: Callable[..., Daemon]) -> None:
    """What runs as another user or with capabilities is noted; an ordinary script is not; a refusal is."""
    daemon, path = make(make_daemon)
    plain = daemon.script("link-added", "#!/bin/sh\n")
    special = daemon.script("link-added", "#!/bin/sh\nexit 3\n", name="20-root")
    broken = daemon.script("link-added", "#!/nowhere\n", name="30-broken")
    daemon.configure(rules=[{"path": str(special), "user": "root", "capabilities": ["CAP_CHOWN"]}])
    text = daemon.config.read_text(encoding="utf-8")
    audit = json.dumps({"enabled": True, "path": str(path)})
    daemon.config.write_text(f"system: {{log_format: json}}\n{text}audit: {audit}\n")
    daemon.start()

    ip("link add name eth0 index 101 type veth peer name peth0")
    wait_for(lambda: find(path, what="run", outcome="refused"), "refusal")
    assert daemon.stop() == 0

    (started,) = find(path, what="run", outcome="started")
    (ended,) = find(path, what="run", outcome="ended")
    (refused,) = find(path, what="run", outcome="refused")
    assert started["source"] == ended["source"] == "runner-1"
    assert started["by"] == "root with CAP_CHOWN"
    assert str(special) in started["detail"]
    assert ended["detail"].endswith("status 3")
    assert refused["source"] == "runner-0"
    assert str(broken) in refused["detail"]
    assert "its interpreter '/nowhere' (first line) is not there" in refused["detail"]
    assert str(plain) not in path.read_text(encoding="utf-8")


def test_what_a_client_has_asked_for_is_the_workers_word(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Who asked for a reload is noted by the worker, that there was one by the supervisor."""
    daemon, path = make(make_daemon)
    daemon.start()

    assert ask(daemon, "/api/v1/reload", "POST")["outcome"] == "in force"
    wait_for(lambda: len(find(path, what="configuration")) == 2 or None, "reload")
    daemon.expect_serving(2)

    assert daemon.stop() == 0
    assert words(path)[1:4] == [
        ("worker", "reload", "asked"),
        ("supervisor", "reload", "begun"),
        ("supervisor", "configuration", "in-force"),
    ]
    assert find(path, what="reload", outcome="begun")[0]["by"] == "the worker"


def test_log_that_can_not_be_written_ends_nothing(make_daemon: Callable[..., Daemon]) -> None:
    """It is said in the log and by the status, events go on; once it can be written nothing is missing."""
    daemon, path = make(make_daemon)
    path.mkdir(parents=True)
    path.parent.chmod(0o755)
    daemon.start()
    said = [e for e in daemon.log if "the audit log can't be written" in e["message"]]
    assert len(said) == 1
    assert "Is a directory" in said[0]["message"]
    ip("link add name eth0 index 101 type veth peer name peth0")
    daemon.wait_event("eth0", "link-added")
    status = ask(daemon, "/api/v1/status")
    assert status["audit_trouble"] == said[0]["message"]

    path.rmdir()
    daemon.kill("helper")
    wait_for(lambda: find(path, what="role", outcome="died"), "death")
    daemon.expect(lambda e: e["message"] == "the audit log is written again")
    wait_for(lambda: ask(daemon, "/api/v1/status")["audit_trouble"] is None or None, "no trouble")

    assert daemon.stop() == 0
    assert words(path)[:2] == [
        ("supervisor", "configuration", "in-force"),
        ("supervisor", "role", "died"),
    ]


def test_records_stand_in_the_journal_and_outlive_the_worker(
    make_daemon: Callable[..., Daemon],
) -> None:
    """What the file has the journal has too, of before a worker's death as well."""
    daemon, path = make(make_daemon)
    daemon.start()
    daemon.kill("worker")
    daemon.expect_serving(2)

    def told() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = ask(daemon, "/api/v1/audit")["records"]
        return found if len(found) == len(read(path)) == 2 else None

    records = wait_for(told, "two records")

    assert read(path) == records


def test_no_audit_log_unless_it_is_wanted(daemon: Daemon) -> None:
    """By default nothing is noted anywhere."""
    daemon.start()

    assert ask(daemon, "/api/v1/audit") == {"records": [], "count": 0, "more": False}


FLOODER = """
import os, sys
from privsep import spawn
from privsep.channel import Channel, Closed, make_pair
from privsep.protocol import CONTROL, Audit, Prepared

def start_worker(mode, *others):
    control, end = make_pair()

    def body():
        end.setblocking(True)
        channel = Channel(end, CONTROL, descriptors=8)
        channel.send(Prepared())
        try:
            while True:
                channel.send(Audit("role", "died", "supervisor", "x" * 512))
        except Closed:
            return

    pid = spawn.fork("worker", body, keep=(end.fileno(),))
    end.close()
    return pid, control

spawn.start_worker = start_worker
from privsep.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""A fault: a worker that does nothing but note something for the audit log, as fast as it can."""


def test_worker_that_floods_pushes_nothing_out(make_daemon: Callable[..., Daemon]) -> None:
    """What it says is marked as its own and cut short; the supervisor does its work and notes it."""
    daemon, path = make(make_daemon)
    daemon.start(fault=FLOODER, ready=False)
    wait_for(lambda: len(find(path, source="worker")) >= 100 or None, "a flood")

    daemon.kill("helper")
    wait_for(lambda: find(path, source="supervisor", what="role", outcome="died"), "a death")
    daemon.stop()

    records = read(path)
    assert len(find(path, source="worker")) < 200
    assert sum(each["lost"] for each in records) > 0
    assert {each["source"] for each in records} == {"worker", "supervisor"}
    ours = [(each["what"], each["outcome"]) for each in find(path, source="supervisor")]
    assert ours[0] == ("configuration", "in-force")
    assert ours[-1] == ("daemon", "ended")
