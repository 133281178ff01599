"""Who may do what over TCP: tokens, certificates, names, and what of it is written where."""

from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.boundary.rig import DEADLINE, wait_for
from tests.http.certificates import Certificates
from tests.http.rig import PORT, add_pair, ask, connect, connect_tcp
from tests.processes.rig import Daemon, children, ip
from tests.processes.test_reload import reload

PROGRAM = "import sys; from netevd.cli.main import main; sys.exit(main())"
RESUME = "/api/v1/hooks/resume?path=/no-such-script"
OUTSIDE = "10.9.9.9"


def netevd(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that asks no daemon."""
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def make_token(daemon: Daemon, name: str, role: str) -> str:
    """Make a token in the daemon's file and return its secret."""
    done = netevd("token", "create", name, "--role", role, "--file", str(daemon.root / "tokens"))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


def settings(daemon: Daemon, more: str = "") -> None:
    """Have the daemon use its own file of tokens, and these settings of the API."""
    path = daemon.root / "tokens"
    if not path.exists():
        path.write_text("")
        path.chmod(0o644)
    api = f"tokens_file: {path}{', ' if more else ''}{more}"
    daemon._configuration = f"system: {{log_format: json}}\napi: {{{api}}}\n"
    daemon.configure()


@pytest.fixture
def certificates(daemon: Daemon) -> Certificates:
    """Return certificates in files that user netevd-net may read."""
    directory = daemon.root / "certificates"
    directory.mkdir(mode=0o755)
    made = Certificates(directory)
    os.chown(made.key, 0, grp.getgrnam("netevd-net").gr_gid)
    return made


def test_loopback_reads_and_a_token_changes(daemon: Daemon) -> None:
    """Without a token nothing is changed over TCP; with one what its role is good for."""
    settings(daemon, 'tokens: [{name: x, role: read, hash: "sha256:%s"}]' % ("0" * 64))
    secrets = {role: make_token(daemon, role, role) for role in ("read", "operate", "admin")}
    daemon.start()
    with connect_tcp() as client:
        assert ask(client, "/api/v1/status")["state"] == "serving"
        refused = client.post(RESUME, params={"path": "/x"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "takes a token" in refused.json()["detail"]
        assert "sha256" not in client.get("/api/v1/config").text
        for role, status in (("read", 403), ("operate", 404), ("admin", 404)):
            answer = client.post(RESUME, params={"path": "/x"}, headers=bearer(secrets[role]))
            assert answer.status_code == status, role
        denied = client.put("/api/v1/config", headers=bearer(secrets["operate"]))
        assert denied.status_code == 403
        assert "takes the role admin" in denied.json()["detail"]


def test_outside_takes_a_token_for_everything(daemon: Daemon) -> None:
    """From an address that is not loopback nothing is read without a token, but what is open to all."""
    add_pair()
    ip(f"addr add {OUTSIDE}/32 dev eth0")
    settings(daemon, f"bind_address: {OUTSIDE}, allow_plain: true, anonymous: [/health, /metrics]")
    secret = make_token(daemon, "prometheus", "read")
    daemon.start()
    with connect_tcp() as client:
        client.base_url = client.base_url.copy_with(host=OUTSIDE)
        assert client.get("/api/v1/status").status_code == 401
        assert client.get("/metrics").status_code == 200
        assert client.get("/api/v1/status", headers=bearer(secret)).status_code == 200


def test_who_asks_a_proxy_of_this_host_is_nobody(daemon: Daemon) -> None:
    """What a proxy forwards comes from loopback, and whoever asks the proxy does not."""
    settings(daemon)
    daemon.start()
    with connect_tcp() as client:
        answer = client.get("/api/v1/status", headers={"X-Forwarded-For": "203.0.113.9"})
        assert answer.status_code == 401


def test_a_revoked_token_ends_with_the_reload(daemon: Daemon) -> None:
    """Tokens are read at each reload; nothing of a secret is in the file, the log or the memory of it."""
    settings(daemon)
    secret = make_token(daemon, "ops", "operate")
    daemon.start()
    with connect_tcp() as client:
        assert client.post(RESUME, headers=bearer(secret)).status_code == 404
        path = str(daemon.root / "tokens")
        assert secret not in Path(path).read_text()
        listed = netevd("token", "list", "--file", path)
        assert "ops" in listed.stdout
        assert secret not in listed.stdout
        assert netevd("token", "create", "ops", "--file", path).returncode == 1
        assert netevd("token", "revoke", "ops", "--file", path).returncode == 0
        assert netevd("token", "revoke", "ops", "--file", path).returncode == 4
        reload(daemon, 2)
        answer = client.post(RESUME, headers=bearer(secret))
        assert (answer.status_code, "not known" in answer.json()["detail"]) == (401, True)
    assert secret not in "".join(daemon.raw)
    assert secret.removeprefix("netevd_") not in "".join(daemon.raw)


def test_guessing_is_answered_ever_later(daemon: Daemon) -> None:
    """After ten wrong tokens none from that address is looked at for a while; reading goes on."""
    settings(daemon)
    secret = make_token(daemon, "ops", "operate")
    daemon.start()
    with connect_tcp() as client:
        found = [
            client.get("/api/v1/status", headers=bearer(f"guess{number}")).status_code
            for number in range(14)
        ]
        assert found[:10] == [401] * 10
        assert found[-1] == 429
        late = client.get("/api/v1/status", headers=bearer(secret))
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 0
        assert client.get("/api/v1/status").status_code == 200
    with connect(daemon) as client:
        assert client.post(RESUME).status_code == 404


def test_tls_serves_and_a_certificate_operates(daemon: Daemon, certificates: Certificates) -> None:
    """TCP is TLS; a certificate of the named authority changes things, one of another gets nothing."""
    settings(daemon, certificates.settings())
    daemon.start()
    url = f"https://localhost:{PORT}"
    with httpx.Client(base_url=url, verify=certificates.trust(), trust_env=False) as client:
        assert client.get("/api/v1/status").status_code == 200
        assert client.post(RESUME).status_code == 401
    shown = certificates.show("ops.example.org")
    with httpx.Client(base_url=url, verify=shown, trust_env=False) as client:
        assert client.post(RESUME).status_code == 404
        assert client.put("/api/v1/config").status_code == 403
    for stranger in (
        certificates.show("evil.example.org", certificates.other),
        certificates.show("late.example.org", expired=True),
    ):
        with (
            httpx.Client(base_url=url, verify=stranger, trust_env=False) as client,
            pytest.raises(httpx.HTTPError),
        ):
            client.get("/api/v1/status")
    with connect(daemon) as client:
        assert client.post(RESUME).status_code == 404


def test_plain_http_to_a_tls_port_is_told(daemon: Daemon, certificates: Certificates) -> None:
    """Whoever speaks HTTP to TLS reads what to do."""
    settings(daemon, certificates.settings())
    daemon.start()
    answer = httpx.get(f"http://127.0.0.1:{PORT}/", trust_env=False)
    assert answer.status_code == 400
    assert "https://" in answer.json()["detail"]


def test_a_renewed_certificate_holds_after_a_reload(
    daemon: Daemon, certificates: Certificates
) -> None:
    """The daemon shows another certificate, and its listener was never closed."""
    settings(daemon, certificates.settings())
    daemon.start()

    def read_shown() -> bytes:
        context = certificates.trust()
        with (
            socket.create_connection(("127.0.0.1", PORT), timeout=DEADLINE) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            shown = sock.getpeercert(binary_form=True)
            assert shown is not None
            return shown

    first = read_shown()
    assert read_shown() == first
    certificates.renew()
    reload(daemon, 2)
    assert read_shown() != first


def test_bad_files_are_told_and_change_nothing(daemon: Daemon, certificates: Certificates) -> None:
    """A key that all can read, that is another's, or that is none, is a problem with what to do."""
    settings(daemon, certificates.settings())
    daemon.start()
    good = certificates.key.read_bytes()
    other = certificates.other.issue_cert("localhost").private_key_pem.bytes()
    for content, mode, words in (
        (good, 0o644, "chmod 640"),
        (other, 0o640, "is not the key of"),
        (b"nothing", 0o640, "not PEM"),
    ):
        certificates.key.write_bytes(content)
        certificates.key.chmod(mode)
        told = len(daemon.log)
        with connect(daemon) as client:
            answer = client.post("/api/v1/reload")
        assert answer.status_code == 422
        assert words in answer.text
        daemon.expect(lambda entry, words=words: words in entry["message"], after=told)
    assert not [line for line in daemon.raw if "PRIVATE" in line]
    with httpx.Client(verify=certificates.trust(), trust_env=False) as client:
        assert client.get(f"https://localhost:{PORT}/api/v1/status").status_code == 200


def test_the_key_is_the_worker_s_alone(daemon: Daemon, certificates: Certificates) -> None:
    """Nobody but the worker holds the memory with the key, and its user can't read the file."""
    settings(daemon, certificates.settings())
    daemon.start()
    assert httpx.get(
        f"https://localhost:{PORT}/health", verify=certificates.trust(), trust_env=False
    )
    command = ["setpriv", "--reuid=netevd", "--regid=netevd", "--clear-groups", "cat"]
    denied = subprocess.run([*command, certificates.key], capture_output=True, check=False)
    assert denied.returncode != 0

    def holds(pid: int) -> bool:
        links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
        return any("netevd-configuration" in each or "certificate" in each for each in links)

    holders = {pid for pid in [daemon.pid, *children(daemon.pid)] if holds(pid)}
    assert holders == {daemon.pid}  # it hands it to the next worker; the one of now has read it
    peek = [*command[:-1], "sh", "-c", f"cat /proc/{daemon.role('worker')}/mem"]
    assert subprocess.run(peek, capture_output=True, check=False).returncode != 0


def test_names_and_origins(make_daemon: Callable[..., Daemon]) -> None:
    """A name that is not ours is refused over TCP, and a page of another site may change nothing."""
    daemon = make_daemon()
    settings(daemon, 'allowed_hosts: "node1.example.org *.example.net"')
    secret = make_token(daemon, "ops", "operate")
    daemon.start()
    with connect_tcp() as client:
        for host, status in (
            ("localhost:9090", 200), ("127.0.0.1", 200), ("[::1]:9090", 200),
            ("NODE1.example.org", 200), ("a.b.example.net:80", 200), ("example.net", 421),
            ("evil.example.com", 421), ("node1.example.org.evil.example.com", 421), ("", 421),
        ):  # fmt: skip
            answer = client.get("/api/v1/status", headers={"Host": host})
            assert answer.status_code == status, host
        for origin, status in (
            ("http://127.0.0.1:9090", 404), ("http://evil.example.com", 403), ("null", 403),
            ("http://127.0.0.1:9091", 403),
        ):  # fmt: skip
            headers = {"Origin": origin, **bearer(secret)}
            assert client.post(RESUME, headers=headers).status_code == status, origin
        headers = {"Sec-Fetch-Site": "cross-site", **bearer(secret)}
        assert client.post(RESUME, headers=headers).status_code == 403


def test_every_answer_carries_what_browsers_need_to_be_careful(
    served: Daemon, client: httpx.Client
) -> None:
    """Answers, problems and refusals alike."""
    with connect_tcp() as over_tcp:
        for answer in (
            client.get("/api/v1/status"), client.get("/api/v1/nothing"),
            over_tcp.post(RESUME), over_tcp.get("/metrics"),
        ):  # fmt: skip
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers
    assert over_tcp.is_closed
    assert client.get("/api/v1/status").headers["cache-control"] == "no-store"


def test_refusals_and_changes_are_noted_for_the_audit(daemon: Daemon) -> None:
    """Who has asked is known: by uid over the socket, by the token's name over TCP."""
    log = daemon.root / "log"
    log.mkdir(mode=0o755)
    settings(daemon)
    secret = make_token(daemon, "ops", "operate")
    daemon._configuration += f"audit: {{enabled: true, path: {log}/audit.jsonl}}\n"
    daemon.configure()
    daemon.start()
    with connect_tcp() as client, connect(daemon) as local:
        client.post(RESUME, headers=bearer("wrong"))
        client.post(RESUME, params={"path": "/x"}, headers=bearer(secret))
        local.post(RESUME, params={"path": "/y"})

        def read() -> list[dict[str, str]] | None:
            records = ask(local, "/api/v1/audit")["records"]
            found = [each for each in records if each["source"] == "worker"]
            return found if len(found) >= 3 else None

        refused, by_token, by_uid = wait_for(read, "three notes")
    assert (refused["what"], refused["outcome"]) == ("request", "refused")
    assert "127.0.0.1" in refused["by"]
    assert by_token["by"] == "token ops from 127.0.0.1"
    assert by_uid["by"].startswith(f"uid {os.getuid()} (pid ")
    assert secret not in (log / "audit.jsonl").read_text()
