"""Where clients are served: what is opened, kept over reloads, adopted, and what can't be had."""

from __future__ import annotations

import os
import re
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from netevd.http.connection import LAST_CALL_S
from tests.boundary.rig import DEADLINE, wait_for
from tests.http.rig import PORT, add_pair, ask, connect, connect_tcp, find_socket, stream
from tests.processes.rig import RECORD, Daemon, children, ip
from tests.processes.test_reload import reload
from tests.processes.test_store import _HAND_OVER as HAND_OVER

JSON_LOG = "system: {log_format: json}\n"


def list_listening() -> set[str]:
    """Return address and port of every TCP socket that listens in this namespace."""
    command = ["ss", "-Hltn"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[3] for line in lines}


def find_inode(daemon: Daemon, place: str) -> str:
    """Return what identifies the socket that listens at a place, whoever holds it."""
    command = ["ss", "-Hltne"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (line,) = [line for line in lines if line.split()[3] == place]
    found = re.search(r"ino:(\d+)", line)
    assert found is not None
    return found[1]


def rewrite(daemon: Daemon, settings: str) -> None:
    """Give the daemon other settings of the API."""
    daemon._configuration = f"{JSON_LOG}{settings}\n"
    daemon.configure()


def test_loopback_is_served_by_default(served: Daemon) -> None:
    """127.0.0.1:9090 and nothing else; it answers as the unix socket does."""
    assert list_listening() == {"127.0.0.1:9090"}
    with connect_tcp() as over_tcp, connect(served) as over_socket:
        assert ask(over_tcp, "/api/v1/interfaces") == ask(over_socket, "/api/v1/interfaces")


def test_both_families_and_several_addresses(make_daemon: Callable[..., Daemon]) -> None:
    """Each address of a list is served; an IPv6 one is for IPv6 alone."""
    daemon = make_daemon(f'{JSON_LOG}api: {{bind_address: ["127.0.0.1", "::1"], port: 9191}}\n')
    daemon.start()
    assert list_listening() == {"127.0.0.1:9191", "[::1]:9191"}
    for host in ("127.0.0.1", "[::1]"):
        assert httpx.get(f"http://{host}:9191/api/v1/status", trust_env=False).status_code == 200


def test_an_address_may_come_later(make_daemon: Callable[..., Daemon]) -> None:
    """An address that no link has yet is listened at, and served once it is there."""
    daemon = make_daemon(f"{JSON_LOG}api: {{bind_address: 10.9.9.9, allow_plain: true}}\n")
    daemon.start()
    assert list_listening() == {"10.9.9.9:9090"}
    add_pair()
    ip("addr add 10.9.9.9/32 dev eth0")
    with httpx.Client(base_url="http://example.org", trust_env=False) as client:
        client.base_url = client.base_url.copy_with(host="10.9.9.9", port=PORT)
        assert client.get("/api/v1/status").status_code == 401  # it comes from 10.9.9.9 itself


def test_disabled_leaves_the_unix_socket(make_daemon: Callable[..., Daemon]) -> None:
    """Without TCP the commands still have their socket, and only they."""
    daemon = make_daemon(f"{JSON_LOG}api: {{enabled: false}}\n")
    daemon.start()
    assert list_listening() == set()
    with connect(daemon) as client:
        assert ask(client, "/api/v1/status")["state"] == "serving"
        problem = client.get("/").json()
        assert problem["status"] == 404
        assert "api.enabled is false" in problem["detail"]


def test_a_second_unix_socket(make_daemon: Callable[..., Daemon]) -> None:
    """api.socket is served like the first one, with its owner and mode, and goes with its setting."""
    daemon = make_daemon()
    path = daemon.root / "second.sock"
    rewrite(daemon, f"api: {{socket: {path}}}")
    daemon.start()
    for each in (path, find_socket(daemon)):
        status = os.stat(each)
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert status.st_gid == os.stat(find_socket(daemon)).st_gid
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.post("http://localhost/api/v1/hooks/resume?path=/nothing").status_code == 404
    rewrite(daemon, "")
    reload(daemon, 2)
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


def test_a_file_in_the_way_is_left_alone(make_daemon: Callable[..., Daemon]) -> None:
    """A path of api.socket that is no socket stays what it is; that is told once."""
    daemon = make_daemon()
    path = daemon.root / "precious"
    path.write_text("mine")
    rewrite(daemon, f"api: {{socket: {path}}}")
    daemon.start()
    told = daemon.expect(lambda entry: "nobody is served at" in entry["message"])
    assert "not a socket" in told["message"]
    assert path.read_text() == "mine"


def test_a_taken_port_is_told_once_and_had_later(daemon: Daemon) -> None:
    """Events are handled meanwhile, and the running worker serves the port once it is free."""
    daemon.script("address-added", RECORD)
    add_pair()
    with socket.create_server(("127.0.0.1", PORT)):
        daemon.start()
        told = daemon.expect(lambda entry: "nobody is served at" in entry["message"])
        assert (told["level"], "ss -lntp" in told["message"]) == ("warn", True)
        assert "127.0.0.1 port 9090: Address already in use" in told["message"]
        ip("addr add 10.1.1.1/24 dev eth0")
        wait_for(lambda: daemon.record() or None, "a script")
        with connect(daemon) as client:
            assert ask(client, "/api/v1/status")["state"] == "serving"
        worker = daemon.role("worker")
        reload(daemon, 2)
    daemon.expect(lambda entry: "served at 127.0.0.1 port 9090 from now on" in entry["message"])
    with connect_tcp() as client:
        assert ask(client, "/api/v1/status")["state"] == "serving"
    assert daemon.role("worker") != worker
    assert sum("nobody is served" in entry["message"] for entry in daemon.log) == 1


def test_two_daemons_share_a_host(make_daemon: Callable[..., Daemon], daemon: Daemon) -> None:
    """The second one does all that it can without the port."""
    daemon.start()
    other = make_daemon()
    other.start()
    other.expect(lambda entry: "nobody is served at" in entry["message"])
    with connect(other) as client:
        assert ask(client, "/api/v1/status")["state"] == "serving"
    assert other.stop() == 0
    assert daemon.stop() == 0


def test_a_reload_changes_only_what_has_changed(make_daemon: Callable[..., Daemon]) -> None:
    """A socket whose address stays is the same one; another goes, a new one comes."""
    daemon = make_daemon(f'{JSON_LOG}api: {{bind_address: "127.0.0.1 127.0.0.2"}}\n')
    daemon.start()
    kept = find_inode(daemon, "127.0.0.1:9090")
    rewrite(daemon, 'api: {bind_address: "127.0.0.1 127.0.0.3"}')
    reload(daemon, 2)
    assert list_listening() == {"127.0.0.1:9090", "127.0.0.3:9090"}
    assert find_inode(daemon, "127.0.0.1:9090") == kept
    rewrite(daemon, 'api: {bind_address: "0.0.0.0", allow_plain: true}')
    reload(daemon, 3)
    assert list_listening() == {"0.0.0.0:9090"}


def test_every_worker_gets_the_listeners(served: Daemon) -> None:
    """A worker that is killed costs no listener."""
    kept = find_inode(served, "127.0.0.1:9090")
    served.kill("worker")
    with connect_tcp() as client:
        assert ask(client, "/api/v1/status")["state"] == "serving"
    assert find_inode(served, "127.0.0.1:9090") == kept


def test_no_request_is_refused_or_cut_by_reloads(served: Daemon) -> None:
    """3,000 requests by four clients while the daemon reloads five times: each is answered."""
    over = threading.Event()
    statuses: list[bytes] = []
    request = b"GET /api/v1/interfaces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def work(family: socket.AddressFamily, address: Any) -> None:
        while not (over.is_set() and len(statuses) >= 3000):
            with socket.socket(family) as sock:
                sock.settimeout(DEADLINE)
                sock.connect(address)
                sock.sendall(request)
                answer = b"".join(iter(lambda: sock.recv(65536), b""))
                statuses.append(answer[:12] if answer.endswith(b"}") else answer)

    places = [(socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_UNIX, str(find_socket(served)))]
    workers = [threading.Thread(target=work, args=place) for place in places * 2]
    for each in workers:
        each.start()
    try:
        for times in range(2, 7):
            reload(served, times)
    finally:
        over.set()
    for each in workers:
        each.join()
    assert set(statuses) == {b"HTTP/1.1 200"}
    assert len(statuses) >= 3000


def test_no_kept_connection_is_ended_without_a_word(served: Daemon) -> None:
    """
    Clients that send one request after another on one connection lose none to five reloads: the last
    answer says that it is the last one. Who was quiet for longer than the last call may find the
    connection closed, as RFC 9112, 9.5 has it, and comes again.
    """
    over = threading.Event()
    told: list[str] = []
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def talk(sock: socket.socket) -> str:
        before = time.monotonic()
        while not over.is_set():
            began = time.monotonic()
            sock.sendall(request)
            was_quiet = time.monotonic() - before >= LAST_CALL_S
            answer = b""
            while not answer.endswith(b"}"):
                part = sock.recv(65536)
                if not part:
                    return "quiet" if was_quiet and not answer else f"cut after {answer!r}"
                answer += part
            if b"\r\nconnection: close\r\n" in answer:
                return "last"
            before = began
        return "kept"

    def work(family: socket.AddressFamily, address: Any) -> None:
        while not over.is_set():
            with socket.socket(family) as sock:
                sock.settimeout(DEADLINE)
                sock.connect(address)
                told.append(talk(sock))

    places = [(socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_UNIX, str(find_socket(served)))]
    workers = [threading.Thread(target=work, args=place) for place in places * 4]
    for each in workers:
        each.start()
    try:
        for times in range(2, 7):
            reload(served, times)
    finally:
        over.set()
    for each in workers:
        each.join()
    assert set(told) <= {"last", "quiet", "kept"}
    assert "last" in told


@pytest.mark.parametrize(
    "path", ["/health", "/metrics", "/api/v1/interfaces", "/api/v1/runs", "/api/v1/openapi.json"]
)
def test_who_sends_no_more_is_answered(served: Daemon, path: str) -> None:
    """A client that closes its side behind the request, over TCP and the unix socket, reads all of it."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    places = [(socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_UNIX, str(find_socket(served)))]
    for family, address in places:
        with socket.socket(family) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(address)
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        (length,) = re.findall(rb"content-length: (\d+)", head)
        assert len(body) == int(length)


def test_sockets_of_the_service_manager_are_adopted(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """What is handed over by name is served in place of what would have been opened."""
    daemon = make_daemon()
    path = tmp_path / "given.sock"
    with (
        socket.create_server(("127.0.0.1", 9999)) as tcp,
        socket.create_server(("127.0.0.1", 9998)) as metrics,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(path))
        unix.listen()
        given = {"api": unix, "api-tcp": tcp, "metrics": metrics}
        numbers = ",".join(str(each.fileno()) for each in given.values())
        daemon.start(
            environment={"LISTEN_FDS": "3", "LISTEN_FDNAMES": ":".join(given)},
            prefix=(sys.executable, "-c", HAND_OVER, numbers),
            descriptors=tuple(each.fileno() for each in given.values()),
        )
        assert list_listening() == {"127.0.0.1:9999", "127.0.0.1:9998"}
        with connect_tcp(9999) as client:
            assert ask(client, "/api/v1/status")["state"] == "serving"
        with connect_tcp(9998) as client:
            assert "has its own" in ask(client, "/api/v1/status", 404)["detail"]
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://localhost/api/v1/status").status_code == 200
        reload(daemon, 2)
        with connect_tcp(9999) as client:
            assert ask(client, "/api/v1/status")["generation"] == 2


def test_idle_listeners_wake_nobody(served: Daemon) -> None:
    """With nobody connected no role has anything to do but to wait."""
    with connect_tcp() as client:
        ask(client, "/api/v1/status")
    worker = served.role("worker")

    def read_switches() -> str:
        text = Path(f"/proc/{worker}/status").read_text(encoding="ascii")
        return next(line for line in text.splitlines() if line.startswith("voluntary"))

    def settled() -> bool | None:
        before = read_switches()
        select.select([], [], [], 1.0)
        return read_switches() == before or None

    wait_for(settled, "a second without a wake-up")


def test_stopping_with_streams_open(served: Daemon) -> None:
    """A stream that is read by nobody does not hold up the end of the daemon."""
    with connect(served) as client, stream(client) as reader:
        assert served.stop() == 0
        assert reader.read() is None
    assert not [each for each in served.log if each["level"] == "error"]


def test_children_have_no_listener(served: Daemon) -> None:
    """Helper and runner hold no listening socket: nothing but supervisor and worker does."""
    inode = find_inode(served, "127.0.0.1:9090")
    holders = {
        pid
        for pid in [served.pid, *children(served.pid)]
        for each in Path(f"/proc/{pid}/fd").iterdir()
        if os.readlink(each) == f"socket:[{inode}]"
    }
    assert holders == {served.pid, served.role("worker")}


def test_a_configuration_may_not_be_reachable_in_the_clear(daemon: Daemon) -> None:
    """An address that others reach takes TLS, or a word that says that it shall not."""
    rewrite(daemon, "api: {bind_address: 0.0.0.0}")
    daemon.start(ready=False)
    assert daemon.process is not None
    assert daemon.process.wait(timeout=20) == 1
    wait_for(lambda: "allow_plain: true" in "".join(daemon.raw) or None, "the advice")
