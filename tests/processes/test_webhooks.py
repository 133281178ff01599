"""Webhooks: a real daemon, real HTTP servers, real kernel events."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.boundary.receiver import Answer, Receiver, status
from tests.boundary.rig import wait_for
from tests.processes.nameserver import NameServer
from tests.processes.rig import Daemon, ip
from tests.processes.test_reload import reload
from tests.unit.cli.rig import NETEVD, environment

Make = Callable[..., Daemon]
Receive = Callable[..., Receiver]


@pytest.fixture
def receive() -> Iterator[Receive]:
    """Return a maker of servers."""
    made: list[Receiver] = []

    def make(*answers: Answer, **settings: Any) -> Receiver:
        made.append(Receiver(*answers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def configure(
    *webhooks: dict[str, Any],
    event: str = "address-added",
    more: dict[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Return a configuration whose addresses are posted, and nothing else."""
    settings = {"allow_local": True, **settings}
    rule = {"match": {"event_type": event}, "action": "execute", "webhooks": list(webhooks)}
    rule |= more or {}
    return (
        "system: {log_format: json}\n"
        f"filters: [{json.dumps(rule)}]\n"
        f"webhooks: {json.dumps(settings)}\n"
    )


def change(number: int = 1) -> None:
    """Have an address added to a link that is there."""
    ip(f"addr add 10.1.1.{number}/24 dev eth0")


@pytest.fixture
def link(namespace: None) -> None:
    """Have a link eth0."""
    ip("link add eth0 index 101 type veth peer name peth0", "link set eth0 up")


def taken(daemon: Daemon, after: int = 0) -> dict[str, Any]:
    """Return the record of an event that was taken."""
    return daemon.expect(lambda entry: "has taken event" in entry["message"], after)


def netevd(daemon: Daemon, *words: str) -> str:
    """Return what a command says of the daemon."""
    command = [*NETEVD, *words, "--socket", str(daemon.root / "run" / "api.sock")]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return result.stdout


def test_an_event_is_posted_again_until_it_is_taken(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """500, then 429, then 200: one key, growing attempts, one body; `explain` tells all of it."""
    server = receive(status(500), status(429, "Retry-After: 2"), status(200, body=b"thanks"))
    hook = {"url": server.url("/secret?x=1")}
    daemon = make_daemon(configure(hook, more={"scripts": []})).start()

    change()

    posts = server.wait(3)
    record = taken(daemon)
    assert [each.headers["netevd-attempt"] for each in posts] == ["1", "2", "3"]
    assert len({(each.body, each.headers["idempotency-key"]) for each in posts}) == 1
    first = posts[0]
    assert (first.path, first.headers["host"]) == ("/secret?x=1", f"127.0.0.1:{server.port}")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["netevd-event"] == "address-added"
    assert first.headers["netevd-host"] == os.uname().nodename
    event = json.loads(first.body)
    assert event["event"]["sequence"] == first.sequence == record["sequence"]
    assert event["event"]["address"]["ip"] == "10.1.1.1"
    assert [each["ip"] for each in event["interface"]["addresses"]] == ["10.1.1.1"]
    assert event["before"]["addresses"] == []
    told = netevd(daemon, "explain", str(first.sequence))
    assert "failed, attempt 1: status 500; it is tried again" in told
    assert "has taken it (status 200, attempt 3)" in told
    assert "the filter has no script run" in told
    assert "in 2.0 s" in daemon.expect(lambda e: "status 429" in e["message"])["message"]
    assert "secret" not in "".join(daemon.raw) + told
    assert read_metrics(daemon) == {
        "ok": 1, "retried": 2, "failed": 0, "refused": 0, "lost": 0, "dropped": 0,
    }  # fmt: skip


def read_metrics(daemon: Daemon) -> dict[str, int]:
    """Return how many attempts had which result, as Prometheus would read it."""
    command = ["curl", "-sS", "--unix-socket", str(daemon.root / "run" / "api.sock")]
    result = subprocess.run(
        [*command, "http://localhost/metrics"], capture_output=True, text=True, check=True
    )
    found = re.findall(
        r'^netevd_webhook_deliveries_total\{result="(\w+)"\} (\d+)', result.stdout, re.MULTILINE
    )
    return {name: int(float(number)) for name, number in found}


def test_a_webhook_that_does_not_answer_holds_nobody_else_up(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """Its own events wait in order; another webhook, and scripts, go on."""
    slow, quick = receive(), receive()
    slow.answers.append(slow.never)
    daemon = make_daemon(configure({"url": slow.url()}, {"url": quick.url()}, timeout="2s"))
    daemon.script("address-added", "#!/bin/sh\necho done\n")
    daemon.start()

    change(1)
    change(2)

    first, second = quick.wait(2)
    assert first.sequence < second.sequence
    daemon.expect(lambda entry: entry["message"] == "done")
    daemon.expect(lambda entry: "no answer within 2 s" in entry["message"])
    posts = slow.wait(3)
    assert [each.sequence for each in posts] == [first.sequence, first.sequence, second.sequence]


@pytest.mark.parametrize("host", ["hooks.test", "10.9.0.1", "localhost.localdomain"])
def test_names_of_this_machine_are_refused(
    make_daemon: Make, receive: Receive, link: None, tmp_path: Path, host: str
) -> None:
    """A name that leads to the loopback, and an address of this machine, get no connection."""
    ip("addr add 10.9.0.1/24 dev eth0", "link set peth0 up")
    server = receive(address="0.0.0.0")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 hooks.test localhost.localdomain\n")
    daemon = make_daemon(configure({"url": server.url(host=host)}, allow_local=False))
    daemon.start(prefix=mounting({hosts: "/etc/hosts"}))

    change()

    refused = daemon.expect(lambda entry: "was not told of event" in entry["message"])
    assert "webhooks.allow_local" in refused["message"]
    assert server.connections == 0
    assert "refused, attempt 1" in netevd(daemon, "explain", str(refused["sequence"]))


def mounting(places: dict[Path, str]) -> tuple[str, ...]:
    """Return what runs a command with these in the place of others, in a mount namespace of its own."""
    steps = [f"mount --bind {source} {target}" for source, target in places.items()]
    return ("unshare", "--mount", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh")


class Elsewhere:
    """Another network namespace with a server at 10.9.0.2, behind the link eth0."""

    def __init__(self, make: Callable[[], Receiver]) -> None:
        self.receiver: Receiver | None = None
        self._make = make
        self._ready, self._connected = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._live, daemon=True)
        thread.start()
        assert self._ready.wait(20)
        ip(
            f"link set peth0 netns /proc/{os.getpid()}/task/{thread.native_id}/ns/net",
            "addr add 10.9.0.1/24 dev eth0",
        )
        self._ready.clear()
        self._connected.set()
        assert self._ready.wait(20)

    def _live(self) -> None:
        assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET, of this thread
        self._ready.set()
        self._connected.wait(20)
        ip("addr add 10.9.0.2/24 dev peth0", "link set peth0 up")
        self.receiver = self._make()
        self._ready.set()
        self.receiver.closing.wait(60)


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[Callable[..., tuple[NameServer, tuple[str, ...]]]]:
    """Return a maker of name servers, with what has a command ask them and nobody else."""
    made: list[NameServer] = []
    configuration, order = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    order.write_text("passwd: files\ngroup: files\nhosts: dns\n")

    def make(answer: Callable[[int], list[str] | None]) -> tuple[NameServer, tuple[str, ...]]:
        made.append(NameServer(answer))
        places = {configuration: "/etc/resolv.conf", order: "/etc/nsswitch.conf"}
        return made[-1], mounting(places)

    yield make
    for each in made:
        each.close()


def test_a_name_that_changes_is_judged_each_time_and_asked_for_once(
    make_daemon: Make, receive: Receive, link: None, resolver: Callable[..., Any]
) -> None:
    """What is connected to is the answer that was judged; another answer a moment later is too late."""
    there = Elsewhere(lambda: receive(address="10.9.0.2"))
    assert there.receiver is not None
    here = receive(address="0.0.0.0", port=there.receiver.port)
    answers = [["10.9.0.2"], ["127.0.0.1"], ["10.9.0.2", "127.0.0.1"], ["10.9.0.1"]]
    server, prefix = resolver(lambda number: answers[number])
    url = here.url(host="rebind.test")
    daemon = make_daemon(configure({"url": url}, allow_local=False)).start(prefix=prefix)

    change(1)
    taken(daemon)
    for number in (2, 3, 4):
        change(number)
        wait_for(lambda number=number: count_refused(daemon) == number - 1 or None, "refusal")

    assert server.asked == 4
    assert len(there.receiver.posts) == 1
    assert here.connections == 0


def count_refused(daemon: Daemon) -> int:
    """Return how many events were refused."""
    return sum("allow_local" in entry["message"] for entry in list(daemon.log))


def test_a_name_server_that_is_silent_costs_its_webhook_alone(
    make_daemon: Make, receive: Receive, link: None, resolver: Callable[..., Any]
) -> None:
    """The C library waits longer than the attempt may; others are posted, and a stop is not held up."""
    _, prefix = resolver(lambda _: None)
    server = receive()
    silent = {"url": server.url(host="silent.test")}
    daemon = make_daemon(configure(silent, {"url": server.url()}, timeout="500ms"))
    daemon.start(prefix=prefix)

    change()

    server.wait()
    daemon.expect(lambda entry: "no answer within 0.5 s" in entry["message"])
    assert daemon.stop() == 0


def test_a_name_elsewhere_is_posted_to_by_tls(
    make_daemon: Make, receive: Receive, link: None, tmp_path: Path
) -> None:
    """Name, certificate of an authority of the system's, secret headers: nothing is local, all fits."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(context)
    there = Elsewhere(lambda: receive(address="10.9.0.2", tls=context))
    assert there.receiver is not None
    hosts, openssl, bundle = tmp_path / "hosts", tmp_path / "ssl", tmp_path / "ssl" / "cert.pem"
    openssl.mkdir()
    hosts.write_text("10.9.0.2 hooks.test other.test\n")
    bundle.write_bytes(authority.cert_pem.bytes())
    root = Path(tempfile.gettempdir())
    above = [each for each in tmp_path.parents if root in each.parents]
    for path in (*above, tmp_path, openssl, hosts, bundle):
        path.chmod(0o755)
    places = {hosts: "/etc/hosts", bundle: "/etc/ssl/certs/ca-certificates.crt"}
    if os.path.isdir("/usr/lib/ssl"):
        places[openssl] = "/usr/lib/ssl"
    headers = tmp_path / "headers"
    headers.write_text("# for the receiver\nAuthorization: Bearer 5f0c-secret\nX-Site: home\n")
    headers.chmod(0o640)
    os.chown(headers, 0, pwd.getpwnam("netevd-net").pw_gid)
    right = {"url": there.receiver.url(host="hooks.test"), "headers_file": str(headers)}
    wrong = {"url": there.receiver.url("/wrong", host="other.test")}
    daemon = make_daemon(configure(right, wrong, allow_local=False))
    daemon.start(prefix=mounting(places))

    change()

    (post,) = there.receiver.wait()
    assert post.headers["authorization"] == "Bearer 5f0c-secret"
    assert post.headers["x-site"] == "home"
    assert post.headers["host"] == f"hooks.test:{there.receiver.port}"
    taken(daemon)
    refused = daemon.expect(lambda entry: "certificate is not accepted" in entry["message"])
    assert "Hostname mismatch" in refused["message"]
    assert [each.path for each in there.receiver.posts] == ["/hook"]
    assert find_in_memory(daemon.role("courier"), b"5f0c-secret")
    assert not find_in_memory(daemon.role("worker"), b"5f0c-secret")
    assert find_in_memory(daemon.role("worker"), b"hooks.test")
    assert "5f0c" not in "".join(daemon.raw)


def find_in_memory(pid: int, wanted: bytes) -> bool:
    """Tell whether these bytes are anywhere in a process."""
    with (
        open(f"/proc/{pid}/maps", encoding="ascii") as maps,
        open(f"/proc/{pid}/mem", "rb") as memory,
    ):
        for line in maps:
            words = line.split()
            if not words[1].startswith("rw") or words[-1].startswith("[v"):
                continue
            first, last = (int(each, 16) for each in words[0].split("-"))
            if last - first > 64 << 20:
                continue  # the slates, sparse
            memory.seek(first)
            try:
                if wanted in memory.read(last - first):
                    return True
            except OSError:
                continue
    return False


def test_the_courier_has_exactly_its_identity(make_daemon: Make, link: None) -> None:
    """The worker's user, another group and no more; no capability, filter, no_new_privs, not dumpable."""
    daemon = make_daemon(configure({"url": "http://127.0.0.1:9/"})).start()
    pid = daemon.role("courier")

    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    worker, helper = pwd.getpwnam("netevd"), pwd.getpwnam("netevd-net")
    assert found["Uid"] == [str(worker.pw_uid)] * 4
    assert found["Gid"] == [str(helper.pw_gid)] * 4
    assert found["Groups"] == [str(helper.pw_gid)]
    for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert int(found[name][0], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    targets = [os.readlink(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd")]
    assert not [each for each in targets if "slate" in each or "netevd-configuration" in each]
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_without_webhooks_there_is_no_courier(daemon: Daemon) -> None:
    """Nothing of it exists unless the configuration names one; a reload brings it and takes it away."""
    plain = daemon.config.read_text(encoding="utf-8")
    daemon.start()
    assert daemon.find("courier") is None

    daemon.config.write_text(configure({"url": "http://127.0.0.1:9/"}))
    reload(daemon, 2)
    assert daemon.find("courier") is not None

    daemon.config.write_text(plain)
    reload(daemon, 3)
    wait_for(lambda: daemon.find("courier") is None or None, "end of the courier")


# --- deaths, reloads, stops --------------------------------------------------------------------


class Gate:
    """An answer that is held back."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def answer(self, sock: socket.socket) -> None:
        """Answer once it is open."""
        self._opened.wait(60)
        status(200)(sock)

    def open(self) -> None:
        """Let the answer come."""
        self._opened.set()


@pytest.fixture
def held(receive: Receive) -> Receiver:
    """Return a server whose first answer never comes."""
    server = receive()
    server.answers.append(server.never)
    return server


def test_a_dead_courier_is_replaced_and_the_event_posted_again(
    make_daemon: Make, held: Receiver, link: None
) -> None:
    """What was under way is posted once more, under the same key."""
    daemon = make_daemon(configure({"url": held.url()})).start()
    change()
    held.wait()

    daemon.kill("courier")

    taken(daemon)
    first, second = held.posts
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert (first.headers["netevd-attempt"], second.headers["netevd-attempt"]) == ("1", "2")
    told = netevd(daemon, "explain", str(first.sequence))
    assert "lost, attempt 1: the process that posts died; it is tried again" in told


def test_a_dead_worker_costs_nothing(make_daemon: Make, receive: Receive, link: None) -> None:
    """The courier goes on with what is under way; the next worker hears what came of it."""
    gate = Gate()
    server = receive(gate.answer)
    daemon = make_daemon(configure({"url": server.url()})).start()
    change(1)
    server.wait()
    courier = daemon.role("courier")

    daemon.kill("worker")
    daemon.expect_serving(2)
    change(2)
    gate.open()

    server.wait(2)
    taken(daemon)
    first, second = server.posts
    assert first.sequence < second.sequence
    assert daemon.role("courier") == courier
    assert "has taken it (status 200, attempt 1)" in netevd(daemon, "explain", str(first.sequence))


def test_a_reload_that_changes_no_webhook_does_not_disturb_it(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """The courier stays, with what is under way; nothing is posted twice."""
    gate = Gate()
    server = receive(gate.answer)
    daemon = make_daemon(configure({"url": server.url()})).start()
    change()
    server.wait()
    courier = daemon.role("courier")
    with daemon.config.open("a") as file:
        file.write("network: {emit_json: false}\n")

    reload(daemon, 2)
    gate.open()

    taken(daemon)
    assert len(server.posts) == 1
    assert daemon.role("courier") == courier


def test_a_reload_with_other_webhooks_goes_on_with_what_stays(
    make_daemon: Make, held: Receiver, receive: Receive, link: None
) -> None:
    """What is open for a webhook that stays is posted by the next courier; the rest is lost, and told."""
    gone = receive()
    gone.answers.append(gone.never)
    daemon = make_daemon(configure({"url": gone.url()}, {"url": held.url()})).start()
    change()
    held.wait()
    gone.wait()
    courier = daemon.role("courier")
    daemon.config.write_text(configure({"url": held.url()}))

    reload(daemon, 2)

    taken(daemon)
    wait_for(lambda: daemon.role("courier") != courier or None, "the end of the old courier")
    first, second = held.posts
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    told = netevd(daemon, "explain", str(first.sequence))
    assert f"webhook http://127.0.0.1:{gone.port}/...: lost, attempt 1: the configuration" in told
    assert len(gone.posts) == 1


def test_what_is_open_at_a_stop_is_posted_by_the_next_daemon(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """What rests and what waits goes on; nothing that was taken comes again."""
    server = receive(status(200), status(503, "Retry-After: 2"))
    daemon = make_daemon(configure({"url": server.url()})).start()
    change(1)
    change(2)
    change(3)
    daemon.expect(lambda entry: "status 503" in entry["message"])

    assert daemon.stop() == 0
    assert len(server.posts) == 2
    daemon.expect(lambda e: "2 deliveries to webhooks wait: the next netevd" in e["message"])
    before = len(daemon.log)
    daemon.start()

    posts = server.wait(4)
    numbers = [each.sequence for each in posts]
    assert numbers == [numbers[0], numbers[1], numbers[1], numbers[3]]
    assert len({*numbers}) == 3
    taken(daemon, before)


def test_a_stop_waits_a_little_for_what_is_under_way(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """An answer that comes while the daemon stops is heard, recorded, and not asked for again."""
    gate = Gate()
    server = receive(gate.answer)
    daemon = make_daemon(configure({"url": server.url()})).start()
    change()
    server.wait()
    assert daemon.process is not None

    daemon.process.send_signal(signal.SIGTERM)
    daemon.expect(lambda entry: "deliveries to webhooks wait" in entry["message"])
    gate.open()

    assert daemon.process.wait(20) == 0
    taken(daemon)
    before = len(daemon.log)
    daemon.start(ready=False)
    daemon.expect(lambda entry: "netevd is watching" in entry["message"], before)
    change(2)
    assert [each.headers["netevd-attempt"] for each in server.wait(2)] == ["1", "1"]


# --- what only tries -----------------------------------------------------------------------------


def test_a_dry_run_says_where_it_would_post(
    make_daemon: Make, receive: Receive, link: None
) -> None:
    """It connects to nobody."""
    server = receive()
    daemon = make_daemon(configure({"url": server.url("/secret")}))
    daemon.start("--dry-run")

    change()

    would = daemon.expect(lambda entry: entry["message"].startswith("would post to"))
    assert would["message"] == f"would post to http://127.0.0.1:{server.port}/..."
    assert would["event"] == "address-added"
    assert daemon.find("courier") is None
    assert server.connections == 0


def test_observe_mode_posts_too(
    make_daemon: Make, receive: Receive, link: None, tmp_path: Path
) -> None:
    """As the caller, with a headers file of the caller's."""
    headers = tmp_path / "headers"
    headers.write_text("X-Who: me\n")
    headers.chmod(0o600)
    server = receive()
    daemon = make_daemon(configure({"url": server.url(), "headers_file": str(headers)}))
    daemon.start("--observe")

    change()

    assert server.wait()[0].headers["x-who"] == "me"
