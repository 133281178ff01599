"""The daemon's log in the journal: entries at the journal's socket, sent from within the sandbox."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netevd.model.actions import Kind
from netevd.report.journal_entries import MESSAGE_IDS
from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip
from tests.unit.report.test_journal_entries import parse

_MOUNT = (
    "mount -t tmpfs none /run && mkdir -p /run/systemd/journal"
    ' && mount --bind "$1" /run/systemd/journal && shift && exec "$@"'
)
WITH_JOURNAL = ("unshare", "--mount", "sh", "-c", _MOUNT, "sh")
"""Runs what follows with a directory of ours in the place of the journal's."""


@pytest.fixture
def journal() -> Iterator[socket.socket]:
    """Return a socket in a directory that every user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="netevd-journal-", dir="/var/tmp"))
    directory.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "socket"))
        (directory / "socket").chmod(0o666)
        sock.setblocking(False)
        yield sock
    shutil.rmtree(directory)


def test_events_and_runs_are_entries(
    make_daemon: Callable[..., Daemon], journal: socket.socket
) -> None:
    """An event, a script's output and its end each come as an entry with fields and number."""
    directory = Path(journal.getsockname()).parent
    daemon = make_daemon("system: {log_format: journal}\nnetwork: {links: eth0}\n", initial=False)
    daemon.script("carrier", "#!/bin/sh\necho hello\n")
    ip("link add name eth0 index 100 type veth peer name p0", "link set eth0 up")
    entries: list[dict[str, str]] = []

    def look(kind: Kind, about: str | None = None) -> dict[str, str] | None:
        try:
            while True:
                entries.append(parse(journal.recv(65536)))
        except BlockingIOError:
            pass
        number = MESSAGE_IDS[kind]
        found = (each for each in entries if each.get("MESSAGE_ID") == number)
        return next((each for each in found if about in (None, each.get("NETEVD_EVENT"))), None)

    daemon.start(prefix=(*WITH_JOURNAL, str(directory)), ready=False)
    serving = wait_for(lambda: look(Kind.SERVING), "the entry of the start")
    assert serving["MESSAGE"] == "netevd is watching eth0 (privileged)"
    entries.clear()
    ip("link set p0 up")

    event = wait_for(lambda: look(Kind.EVENT, "carrier"), "an event")
    assert (event["NETEVD_EVENT"], event["NETEVD_INTERFACE"]) == ("carrier", "eth0")
    output = wait_for(lambda: look(Kind.OUTPUT), "output")
    assert (output["MESSAGE"], output["NETEVD_STREAM"]) == ("eth0: hello", "out")
    ended = wait_for(lambda: look(Kind.SCRIPT_ENDED), "the end")
    assert ended["NETEVD_SEQUENCE"] == event["NETEVD_SEQUENCE"] == output["NETEVD_SEQUENCE"]
    assert ended["NETEVD_SCRIPT"].endswith("/carrier.d/10-test")
    assert daemon.stop() == 0
    assert "".join(daemon.raw).startswith("<6>netevd stops"), "the supervisor's own line"
