"""netevd.service under a real systemd: start, reload, watchdog, stop, upgrade."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from netevd.config.tokens import hash_secret
from tests.boundary.rig import wait_for
from tests.lab.rootfs import make_rootfs
from tests.lab.system import ENVIRONMENT, System

UNIT = Path(__file__).resolve().parents[2] / "packaging/systemd"
SYSUSERS = UNIT.parent / "sysusers/netevd.conf"
RECORD = '#!/bin/sh\necho "$NETEVD_SEQUENCE $LINK $STATE"\n'
CONFIGURATION = "network: {links: [eth*]}\nsystem: {log_format: journal}\n"


@pytest.fixture
def system(suite: str) -> Iterator[System]:
    """A system in which netevd is installed as `make install` does it; it may be started as often as one likes."""
    it = System(make_rootfs(suite))
    try:
        install(it)
        it.start(str(ENVIRONMENT))
        yield it
    finally:
        it.stop()


@pytest.fixture(params=["bookworm"])
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def install(system: System) -> None:
    files = system.files
    for name in ("etc/systemd/system/netevd.service.d", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d",
                 "opt/netevd", "etc/netevd/carrier.d", "etc/netevd/no-carrier.d"):  # fmt: skip
        (files / name).mkdir(parents=True)
    (files / "opt/netevd/env").symlink_to(ENVIRONMENT)
    shutil.copy(UNIT / "netevd.service", files / "etc/systemd/system")
    shutil.copy(UNIT / "tmpfiles.conf", files / "usr/lib/tmpfiles.d/netevd.conf")
    shutil.copy(SYSUSERS, files / "usr/lib/sysusers.d/netevd.conf")
    write(
        system,
        "etc/systemd/system/netevd.service.d/test.conf",
        "[Unit]\nStartLimitIntervalSec=0\n",
    )
    write(system, "etc/netevd/netevd.yaml", CONFIGURATION)
    for event in ("carrier", "no-carrier"):
        write(system, f"etc/netevd/{event}.d/10-record", RECORD, mode=0o755)


def write(system: System, name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the system, before or after its start."""
    path = (Path(f"/proc/{system.pid}/root") if system.pid else system.files) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def add_link(system: System) -> None:
    system.ip("link", "add", "eth0", "index", "101", "type", "veth",
              "peer", "name", "peer0", "index", "201")  # fmt: skip
    system.ip("link", "set", "eth0", "up")


def ask(system: System, *words: str) -> dict[str, Any]:
    answer = system.run("/opt/netevd/env/bin/netevd", "-j", *words)
    return dict(json.loads(answer.stdout))


def show(system: System, *names: str) -> dict[str, str]:
    text = system.run("systemctl", "show", "netevd", *(f"-p{name}" for name in names)).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def read_journal(system: System) -> str:
    """Return the end of what the unit has said, and systemd of it."""
    return system.run("journalctl", "-u", "netevd", "-o", "short-precise", "-n", "400").stdout


def has_run(system: System, state: str) -> bool:
    """Tell whether a script has printed that eth0 got this state."""
    text = system.run("journalctl", "-u", "netevd", "-o", "cat").stdout
    return any(re.fullmatch(rf"eth0: \d+ eth0 {state}", line) for line in text.splitlines())


def test_start_reload_stop(system: System) -> None:
    """`systemctl start` waits until events are handled, `reload` fails when the file is bad, `stop` leaves nothing."""
    add_link(system)
    system.run("systemctl", "start", "netevd")

    assert show(system, "ActiveState", "StatusText")["ActiveState"] == "active"
    assert "watching eth*" in show(system, "StatusText")["StatusText"]
    said = system.run("journalctl", "-u", "netevd", "-o", "cat").stdout
    assert "warn" not in said  # no sandbox is in the way of another
    assert "Landlock" not in said
    assert ask(system, "status")["generation"] == 1
    system.run("systemctl", "reload", "netevd")
    assert ask(system, "status")["generation"] == 2
    write(system, "etc/netevd/netevd.yaml", "network: {linsk: eth0}\n")
    assert system.run("systemctl", "reload", "netevd", check=False).returncode != 0
    assert "netevd.yaml:1:" in system.run("journalctl", "-u", "netevd").stdout
    assert show(system, "ActiveState")["ActiveState"] == "active"
    assert ask(system, "status")["generation"] == 2
    group = show(system, "ControlGroup")["ControlGroup"]
    system.run("systemctl", "stop", "netevd")
    assert show(system, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    assert not Path(f"/proc/{system.pid}/root", f"sys/fs/cgroup{group}/cgroup.procs").exists()


def test_scripts_run_within_the_unit(system: System) -> None:
    """Hooks run under everything that the unit forbids; doctor finds nothing that stands in the way."""
    system.run("systemctl", "start", "netevd")
    add_link(system)
    system.ip("link", "set", "peer0", "up")

    wait_for(lambda: has_run(system, "carrier") or None, "the run")
    doctor = system.run("/opt/netevd/env/bin/netevd", "doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout


def test_scripts_may_write_with_the_drop_in(system: System) -> None:
    """A script that is root by a rule can't write below /etc; with the drop-in that is shipped it can."""
    path = "/etc/netevd/carrier.d/20-write"
    write(system, path[1:], "#!/bin/sh\necho written > /etc/marker\n", mode=0o755)
    rule = f"scripts: {{rules: [{{path: {path}, user: root}}]}}\n"
    write(system, "etc/netevd/netevd.yaml", CONFIGURATION + rule)
    marker = Path(f"/proc/{system.pid}/root", "etc/marker")
    add_link(system)
    system.run("systemctl", "start", "netevd")
    system.ip("link", "set", "peer0", "up")

    said = "Script /etc/netevd/carrier.d/20-write exited with code "
    wait_for(lambda: said in system.run("journalctl", "-u", "netevd").stdout or None, "its end")
    assert "Read-only file system" in system.run("journalctl", "-u", "netevd").stdout
    assert not marker.exists()
    drop_in = (UNIT / "scripts-may-write.conf").read_text()
    write(system, "etc/systemd/system/netevd.service.d/scripts-may-write.conf", drop_in)
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "restart", "netevd")
    system.ip("link", "set", "peer0", "down")
    system.ip("link", "set", "peer0", "up")
    wait_for(lambda: marker.exists() or None, "the marker")


def test_watchdog_replaces_a_daemon_that_hangs(system: System) -> None:
    """A worker that does not answer ends the unit; the next one tells what happened meanwhile."""
    add_link(system)
    # of this test alone: on a machine with much to do 3 s end a daemon that is well, and then events are lost rightly
    write(system, "etc/systemd/system/netevd.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "start", "netevd")
    first = show(system, "MainPID")["MainPID"]
    worker = int(system.run("pgrep", "-x", "netevd-worker").stdout)
    system.run("kill", f"-{int(signal.SIGSTOP)}", str(worker))
    system.ip("link", "set", "peer0", "up")

    def is_replaced() -> bool:
        shown = show(system, "MainPID", "SubState")
        return shown["SubState"] == "running" and shown["MainPID"] not in {"0", first}

    wait_for(lambda: is_replaced() or None, "another daemon", 60)
    wait_for(lambda: has_run(system, "carrier") or None, "the run")
    assert show(system, "NRestarts")["NRestarts"] == "1"
    assert "watchdog" in system.run("journalctl", "-u", "netevd").stdout.lower()


def test_restart_of_the_unit_loses_no_event(system: System) -> None:
    """Ten restarts while an address comes and goes: each time is told once, in order, without a hole."""
    add_link(system)
    system.run("systemctl", "start", "netevd")
    events: list[dict[str, Any]] = list(ask(system, "events", "--limit", "100000")["events"])
    changes = 0

    def collect() -> list[str]:
        """Return every change of the address that was told so far; the journal holds those of a few restarts."""
        since = str(events[-1]["sequence"])
        events.extend(ask(system, "events", "--since", since, "--limit", "100000")["events"])
        found = [each["type"] for each in events]
        return [each for each in found if each in {"address-added", "address-removed"}]

    for _ in range(10):
        with system.begin("systemctl", "restart", "netevd") as restart:
            while restart.poll() is None or changes % 2:
                word = "del" if changes % 2 else "add"
                system.ip("address", word, "10.99.0.1/32", "dev", "eth0")
                changes += 1
                select.select([], [], [], 0.01)
        assert restart.returncode == 0, read_journal(system)
        wait_for(lambda: len(collect()) >= changes or None, f"{changes} changes")

    told = collect()
    assert told == ["address-added", "address-removed"] * (changes // 2), read_journal(system)
    numbers = [each["sequence"] for each in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    print(f"10 restarts, {changes} changes, {len(numbers)} events")


def test_sockets_of_systemd_wait_while_no_daemon_runs(system: System) -> None:
    """With netevd.socket the first client starts the daemon, and a restart or a stop refuses none."""
    shutil.copy(UNIT / "netevd.socket", Path(f"/proc/{system.pid}/root", "etc/systemd/system"))
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "start", "netevd.socket")
    assert show(system, "ActiveState")["ActiveState"] == "inactive"

    assert get(system, "http://127.0.0.1:9090/health/live") == 200
    assert ask(system, "status")["generation"] == 1
    answers = 0
    with system.begin("systemctl", "restart", "netevd") as restart:
        while restart.poll() is None or not answers:
            assert get(system, "http://127.0.0.1:9090/health/live") == 200
            answers += 1
    assert restart.returncode == 0
    system.run("systemctl", "stop", "netevd.service")
    assert get(system, "http://127.0.0.1:9090/health/live") == 200  # which has started it again
    assert ask(system, "status")["generation"] == 1
    mode = system.run("stat", "-c", "%a %U:%G", "/run/netevd/api.sock").stdout
    assert mode == "660 root:netevd\n"
    assert "is served at" not in system.run("journalctl", "-u", "netevd").stdout


@pytest.fixture
def signing(tmp_path: Path, suite: str, request: pytest.FixtureRequest) -> Iterator[System]:
    """A system with signed scripts, whose vm.memfd_noexec is the parameter."""
    it = System(make_rootfs(suite))
    try:
        install(it)
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        # as documented: a clone is signed where the key is
        words = [
            "init",
            str(it.files / "etc/netevd"),
            "--root",
            "/etc/netevd",
            "--key",
            str(key),
            "--user",
            "netevd-script",
        ]
        told = subprocess.run(
            [str(ENVIRONMENT / "bin/netevd"), "sign", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        write(it, "etc/netevd/netevd.yaml", CONFIGURATION + told.stdout)
        it.start(str(ENVIRONMENT), memfd_noexec=request.param)
        yield it
    finally:
        it.stop()


@pytest.mark.parametrize("signing", ["1"], indirect=True)
def test_signed_scripts_run_where_memory_is_not_executed_by_default(signing: System) -> None:
    """With vm.memfd_noexec=1 sealed copies run, and the memory that systemd keeps is known again: no event is lost."""
    system = signing
    add_link(system)
    system.run("systemctl", "start", "netevd")
    assert check_memory(system) == ("ok", "is granted")
    system.ip("link", "set", "peer0", "up")
    wait_for(lambda: has_run(system, "carrier") or None, "the run")
    system.run("systemctl", "restart", "netevd")
    system.ip("link", "set", "peer0", "down")
    wait_for(lambda: has_run(system, "no-carrier") or None, "the run after a restart")
    said = read_journal(system)
    assert "is not used" not in said
    assert len(ask(system, "events", "--type", "carrier")["events"]) == 1


@pytest.mark.parametrize("signing", ["2"], indirect=True)
def test_no_signed_script_runs_where_memory_can_not_be_executed(signing: System) -> None:
    """With vm.memfd_noexec=2 the daemon works, runs nothing that has to be signed, and doctor says what to set."""
    system = signing
    add_link(system)
    system.run("systemctl", "start", "netevd")
    result, words = check_memory(system)
    assert result == "problem"
    assert "vm.memfd_noexec must be 0 or 1" in words
    system.ip("link", "set", "peer0", "up")
    refused = "/etc/netevd/carrier.d/10-record"
    wait_for(lambda: any(refused in line and "Permission denied" in line for line in read_journal(system).splitlines())
             or None, "the refusal")  # fmt: skip
    assert ask(system, "show", "interface", "eth0")["carrier"] is True
    assert not has_run(system, "carrier")


def check_memory(system: System) -> tuple[str, str]:
    """Return what doctor says of memory files."""
    told = system.run("/opt/netevd/env/bin/netevd", "-j", "doctor", check=False).stdout
    (found,) = [each for each in json.loads(told)["findings"] if each["check"] == "memory"]
    return found["level"], found["message"]


def get(system: System, url: str, *context: str) -> int:
    """Return the status of an answer. context: a file of authorities, and a token."""
    words = "import ssl,sys,urllib.request as r; u,*c=sys.argv[1:];"
    words += "q=r.Request(u,headers={'Authorization':'Bearer '+c[1]} if c else {});"
    words += "print(r.urlopen(q,timeout=60,context=ssl.create_default_context(cafile=c[0]) if c else None).status)"
    return int(system.run("/usr/bin/python3", "-c", words, url, *context).stdout)


def test_key_and_tokens_are_credentials(system: System) -> None:
    """With the drop-in TLS and tokens come from systemd; only root and the reader's group can read them."""
    make_certificate(system, "etc/netevd/tls")
    secret = "a secret of the lab"
    line = f"ops read {hash_secret(secret)}\n"
    write(system, "etc/netevd/tls/tokens", line, mode=0o600)
    drop_in = (UNIT / "credentials.conf").read_text()
    write(system, "etc/systemd/system/netevd.service.d/credentials.conf", drop_in)
    place = "/run/netevd/credentials"
    api = f"{{tls: {{cert_file: {place}/tls.crt, key_file: {place}/tls.key}}, tokens_file: {place}/tokens}}"
    write(system, "etc/netevd/netevd.yaml", f"{CONFIGURATION}api: {api}\n")
    system.run("systemctl", "daemon-reload")

    started = system.run("systemctl", "start", "netevd", check=False)
    assert started.returncode == 0, system.run("journalctl", "--no-pager").stdout

    url = "https://127.0.0.1:9090/api/v1/status"
    assert get(system, url, "/etc/netevd/tls/tls.crt", secret) == 200
    modes = system.run(
        "stat", "-c", "%a %U:%G", place, f"{place}/tls.key", f"{place}/tokens"
    ).stdout
    assert modes == "750 root:netevd-net\n640 root:netevd-net\n640 root:netevd-net\n"


def make_certificate(system: System, directory: str) -> None:
    """Make a certificate that signs itself, and its key that root alone reads."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(system, f"{directory}/tls.crt", certificate.public_bytes(pem).decode())
    write(system, f"{directory}/tls.key", private.decode(), mode=0o600)


def test_units_are_well_formed(tmp_path: Path) -> None:
    """systemd itself finds nothing in them to complain of."""
    for name in ("netevd.service", "netevd.socket"):
        text = (UNIT / name).read_text().replace("/opt/netevd/env/bin/netevd", "/bin/true")
        (tmp_path / name).write_text(text)
    drop_ins = tmp_path / "netevd.service.d"
    drop_ins.mkdir()
    for name in ("credentials.conf", "scripts-may-write.conf"):
        shutil.copy(UNIT / name, drop_ins)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / f"netevd.{kind}") for kind in ("service", "socket"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in result.stderr.splitlines() if "netevd" in line]
    assert (result.returncode, ours) == (0, []), result.stderr


def test_unit_is_closed(tmp_path: Path) -> None:
    """systemd's own measure finds little that is open; what is has its reason in docs/systemd.md."""
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(UNIT / "netevd.service")],
        capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_COLORS": "0"},
    )  # fmt: skip
    print(result.stdout)
    assert result.returncode == 0, result.stdout
