"""A worker that was taken over has the supervisor's ear: what it can have written, and what not."""

from __future__ import annotations

import array
import contextlib
import ctypes
import grp
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from privsep.protocol import (
    CANDIDATE_LIMIT,
    CONTROL,
    PACKET_LIMIT,
    Candidate,
    Decide,
    Message,
    Settled,
    pack,
)
from tests.boundary.rig import DEADLINE, wait_for
from tests.processes.conftest import make_daemon
from tests.processes.rig import Daemon, NotifySocket

__all__ = ["make_daemon"]

OPEN = "system: {log_format: json}\napi: {config_writes: true}\n"
_PIDFD_GETFD = 438
"""Source: asm-generic/unistd.h."""


class Taken:
    """The worker of a real daemon: stopped, and the test in its place."""

    def __init__(self, daemon: Daemon) -> None:
        self.pid = daemon.role("worker")
        words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        libc = ctypes.CDLL(None, use_errno=True)
        handle = os.pidfd_open(self.pid)
        stolen = libc.syscall(_PIDFD_GETFD, handle, int(words[-2]), 0)
        os.close(handle)
        assert stolen >= 0, os.strerror(ctypes.get_errno())
        self._control = socket.socket(fileno=stolen)
        os.kill(self.pid, signal.SIGSTOP)

    def send(self, message: Message) -> None:
        """Say something that the protocol knows."""
        self.send_raw(pack(message))

    def send_raw(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Say whatever."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._control.sendmsg([packet], rights if descriptors else [])

    def hear(self) -> Settled:
        """Return the next answer to what was said about the configuration."""
        while True:
            assert select.select([self._control], [], [], DEADLINE)[0], "no answer"
            message = CONTROL.unpack(self._control.recv(PACKET_LIMIT))
            if isinstance(message, Settled):
                return message

    def expect_end(self, daemon: Daemon) -> None:
        """Return once the supervisor has ended this worker and has another one."""
        daemon.expect(lambda entry: "worker broke the protocol and is ended" in entry["message"])
        wait_for(lambda: daemon.find("worker") not in {None, self.pid} or None, "the next worker")

    def close(self) -> None:
        """Let go of the worker."""
        self._control.close()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon whose configuration may be written."""
    made = make_daemon(OPEN)
    with contextlib.closing(
        NotifySocket()
    ) as notify:  # served is what the supervisor knows, not what the worker says
        made.start(environment={"NOTIFY_SOCKET": notify.path})
        notify.receive_until("READY=1")
    return made


@pytest.fixture
def taken(daemon: Daemon) -> Iterator[Taken]:
    """Return its worker, taken over."""
    worker = Taken(daemon)
    yield worker
    worker.close()


def make(text: str | bytes, *, patch: bool = False, confirm: int = 0) -> Candidate:
    """Return a request to write this."""
    return Candidate(text.encode() if isinstance(text, str) else text, patch, False, confirm)


def list_files(daemon: Daemon) -> dict[str, bytes]:
    """Return every file in the configuration's directory with its content."""
    return {each.name: each.read_bytes() for each in daemon.root.iterdir() if each.is_file()}


WIDER = {
    "a rule for root": "scripts: {rules: [{path: SCRIPTS/off.d/a, user: root}]}\n",
    "a rule with a capability": "scripts: {rules: [{path: SCRIPTS/off.d/a, capabilities: [CAP_SYS_ADMIN]}]}\n",
    "limits taken off": "scripts: {rules: [{path: SCRIPTS/off.d/a, limits: {memory: 100GiB}}]}\n",
    "another user": "scripts: {user: nobody}\n",
    "a user by a variable that may come": "scripts: {user: '${NOBODY_KNOWS:-netevd-script}'}\n",
    "other scripts": "scripts: {directory: /var/lib/netevd}\n",
    "a file of its own": "include: /var/tmp/netevd-of-the-worker.yaml\n",
    "a glob of its own": "include: /var/lib/netevd/*.yaml\n",
    "an audit log elsewhere": "audit: {enabled: true, path: /var/log/netevd/other.jsonl}\n",
    "writes forbidden to others": "api: {config_writes: false}\n",
    "an alias": "a: &x {user: root}\nscripts: *x\n",
    "a tag": "scripts: !!python/object:os.system {user: root}\n",
    "a merge key": "scripts: {<<: {user: root}}\n",
    "a key given twice": "scripts: {initial: true}\nscripts: {user: root}\n",
    "a second document": "--- {}\n--- {scripts: {user: root}}\n",
    "not UTF-8": b"scripts: {user: \xff}\n",
    "a NUL": b"scripts: {user: root\0}\n",
    "UTF-16": "scripts: {user: root}\n".encode("utf-16"),
    "nothing": "",
    "a bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    ),
    "a well": "[" * 50_000,
}  # fmt: skip


def test_nothing_that_grants_more_is_written(daemon: Daemon, taken: Taken) -> None:
    """Whatever the text tries: it is refused, no file changes, and the daemon works on."""
    own = Path("/var/tmp/netevd-of-the-worker.yaml")
    own.write_text("{}\n")
    before = list_files(daemon)
    kept = daemon.config.read_text()
    try:
        for name, given in WIDER.items():
            taken.send(make(_place(given, kept, daemon)))

            settled = taken.hear()
            assert settled.outcome == "invalid", (name, settled)
            assert list_files(daemon) == before, name
    finally:
        own.unlink()
    assert daemon.role("worker") == taken.pid


def _place(given: str | bytes, kept: str, daemon: Daemon) -> str | bytes:
    """Return a text that is the file but for what is given, where that is text."""
    if not given or isinstance(given, bytes):
        return given
    text = given.replace("SCRIPTS", str(daemon.scripts))
    return "\n".join(
        [*(line for line in kept.splitlines() if line.partition(":")[0] not in text), text]
    )


def test_nothing_that_grants_more_is_patched(daemon: Daemon, taken: Taken) -> None:
    """The same for patches, whose text somebody else writes."""
    before = list_files(daemon)
    patches = [
        '{"scripts": {"user": "root"}}',
        '{"scripts": {"rules": [{"path": "/etc/netevd/off.d/a", "user": "root"}]}}',
        '{"include": "/var/lib/netevd/x.yaml"}',
        '{"api": null}',
        '{"network": {"links": "a"}, "scripts\\nx": {"user": "root"}}',
        '{"script_timeout": "5s\\nscripts: {user: root}"}',
        '{"filters": [{"action": "log", "webhooks": [{"url": "http://127.0.0.1/"}]}]}',
        '{"filters": [{"action": "${A:-log}", "match": {"interface": "x\\u0000"}}], "x": 1}',
        '{"script_timeout": "' + "a" * 150_000 + '"}',
        "null", "[]", "{", "\udcff", "{" * 10_000,
    ]  # fmt: skip
    for patch in patches:
        taken.send(make(patch.encode("utf-8", "surrogatepass"), patch=True))

        settled = taken.hear()
        assert settled.outcome == "invalid", (patch, settled)
        assert list_files(daemon) == before, patch


SECRET = "the-secret-of-another"


def test_what_it_may_not_read_is_not_read_for_it(
    make_daemon: Callable[..., Daemon], namespace: None
) -> None:
    """Neither a file that the reader may read, nor a variable of the supervisor's, comes back in problems."""
    daemon = make_daemon(OPEN)
    hidden = daemon.root / "hidden"
    hidden.write_text(f"{SECRET}: {SECRET}\n")
    hidden.chmod(0o640)
    os.chown(hidden, 0, grp.getgrnam("netevd-net").gr_gid)
    daemon.start(environment={"HIDDEN": SECRET})
    taken = Taken(daemon)
    kept = daemon.config.read_text()
    tries = [
        f"include: {hidden}",
        f"include: {daemon.root}/hid*",
        f"webhooks: [{{url: 'https://example.org/', headers_file: {hidden}}}]",
        f"filters: [{{action: log, webhooks: [{{url: 'https://a/', headers_file: {hidden}}}]}}]",
        "script_timeout: '${HIDDEN}'",
        "script_timeout: '${HIDDEN:-5s}'",
        "network: {links: ['${HIDDEN}']}",
        "script_timeout: '${NONE:-${HIDDEN}}'",
        "debounce: {overrides: [{interface_pattern: '${HIDDEN}'}]}",
    ]
    api = "api: {config_writes: true, "
    files = ["tokens_file: HIDDEN}", "tls: {cert_file: HIDDEN, key_file: HIDDEN}}",
             "tls: {client_ca_file: HIDDEN}}"]  # fmt: skip
    texts = [f"{kept}{each}\n" for each in tries]
    texts += [
        kept.replace("api: {config_writes: true}", api + each.replace("HIDDEN", str(hidden)))
        for each in files
    ]
    for text in texts:
        taken.send(make(text))

        settled = taken.hear()
        assert settled.outcome == "invalid", text
        assert settled.problems
        assert SECRET not in str(settled), text
    taken.send(make(json.dumps({"script_timeout": "${HIDDEN}"}), patch=True))
    assert SECRET not in str(taken.hear())
    taken.close()


@pytest.mark.parametrize(
    "packet",
    [
        msgspec.msgpack.encode([120, b"x" * (CANDIDATE_LIMIT + 1), False, False, 0]),
        b"x" * (PACKET_LIMIT + 1),
        msgspec.msgpack.encode([120, b"{}", False, False, 0, "/etc/passwd"]),
        msgspec.msgpack.encode([120, b"{}", False, False, -1]),
        msgspec.msgpack.encode([120, b"{}", False, False, 86401]),
        msgspec.msgpack.encode([120, "/etc/passwd", False, False]),
        msgspec.msgpack.encode([120, 3, False, False, 0]),
        msgspec.msgpack.encode([125, "fine", []]),
        msgspec.msgpack.encode([121]),
        b"\xc1",
    ],
    ids=["large", "larger", "path", "negative", "for ever", "short", "number", "answer", "half", "noise"],
)  # fmt: skip
def test_what_the_protocol_does_not_know_ends_the_worker(
    daemon: Daemon, taken: Taken, packet: bytes
) -> None:
    """Nothing is written, and the next worker serves."""
    before = list_files(daemon)

    taken.send_raw(packet)

    taken.expect_end(daemon)
    daemon.expect_serving(2)
    assert list_files(daemon) == before


def test_a_descriptor_ends_the_worker(daemon: Daemon, taken: Taken) -> None:
    """The supervisor takes none, whatever comes with it."""
    with open("/dev/null", "rb") as file:
        taken.send_raw(pack(make("{}")), (file.fileno(),))

    taken.expect_end(daemon)


def test_a_flood_ends_the_worker(daemon: Daemon, taken: Taken) -> None:
    """A second one before the first is answered is too much; the file is what it was."""
    before = list_files(daemon)

    for _ in range(50):
        taken.send(make("a: 1\n"))

    taken.expect_end(daemon)
    daemon.expect_serving(2)
    assert list_files(daemon) == before


def test_what_is_off_ends_the_worker(make_daemon: Callable[..., Daemon]) -> None:
    """Where root's configuration does not allow it, no honest worker asks."""
    daemon = make_daemon().start()
    taken = Taken(daemon)
    before = list_files(daemon)

    taken.send(make("api: {config_writes: true}\n"))

    taken.expect_end(daemon)
    assert list_files(daemon) == before
    taken.close()


def test_a_trial_is_all_that_can_be_decided(daemon: Daemon, taken: Taken) -> None:
    """Without one there is nothing to keep and nothing to bring back, whatever lies beside the file."""
    (daemon.root / "netevd.yaml.previous").write_text("scripts: {user: root}\n")
    before = list_files(daemon)

    for keep in (True, False):
        taken.send(Decide(keep))
        assert taken.hear().outcome == "nothing"

    assert list_files(daemon) == before


def test_what_it_may_write_it_writes_to_the_one_file(daemon: Daemon, taken: Taken) -> None:
    """A hostile worker can write what every client could, and that is told."""
    text = daemon.config.read_text() + "filters: [{action: ignore}]\n"
    before = set(list_files(daemon))

    taken.send(make(text))

    assert taken.hear().outcome == "fine"
    assert daemon.config.read_text() == text
    assert set(list_files(daemon)) - before == {"netevd.yaml.previous"}
    daemon.expect(lambda entry: "was written over the API" in entry["message"])


@pytest.mark.parametrize("suffix", [".new", ".previous", ".unconfirmed"])
def test_a_link_in_the_way_is_not_followed(make_daemon: Callable[..., Daemon], suffix: str) -> None:
    """Where a sticky directory lets others put one: it is replaced, what it names stays."""
    daemon = make_daemon(OPEN).start()
    victim = daemon.root / "data"
    victim.write_text("mine\n")
    daemon.root.chmod(0o1777)
    link = daemon.root / f"netevd.yaml{suffix}"
    link.symlink_to(victim)
    os.lchown(link, 65534, 65534)
    taken = Taken(daemon)

    def write() -> bool | None:
        taken.send(make(daemon.config.read_text() + "script_timeout: 5s\n"))
        return taken.hear().outcome in {"fine", "unwritable"} or None  # or busy, at a start

    wait_for(write, "the outcome")
    assert victim.read_text() == "mine\n"
    taken.close()
