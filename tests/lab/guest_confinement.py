"""
Runs in the guest: what both controls have to hold alike. The daemon does its work in the domains of the
policy and nothing of that is refused; every act that is forbidden to a role is refused, and recorded.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.boundary.rig import wait_for
from tests.lab import probe
from tests.lab.denials import Denial, Log
from tests.processes.rig import await_carrier, pull

TOP = Path(__file__).resolve().parents[2]
NETEVD = "/opt/netevd/env/bin/netevd"
PYTHON = "/opt/netevd/env/bin/python"
HOOK = Path("/etc/netevd/carrier.d/10-record")
RECORD = '#!/bin/sh\nread -r label < /proc/self/attr/current\necho "ran $LINK $STATE as $label by $0"\nip -brief link show "$LINK"\n'
VERSIONS = Path("/var/lib/netevd-signed/versions.json")
NOEXEC = Path("/proc/sys/vm/memfd_noexec")
"""Since Linux 6.3."""
CONFIGURATION = """
network: {links: [eth*, veth*]}
routing: {rules: [{priority: 20010, from: 10.9.9.0/24, table: main}]}
filters: [{match: {event_type: carrier}, action: execute, webhooks: [{url: "http://127.0.0.1:9099/"}]}]
webhooks: {allow_local: true}
audit: {enabled: true}
"""
PROCESSES = ("supervisor", "helper", "runner", "worker", "courier", "dialer")
"""What lives while the daemon does; a reader ends with its answer."""
ROLES = (
    "supervisor",
    "reader",
    "helper",
    "runner",
    "worker",
    "courier",
    "dialer",
    "script",
    "sealed",
)
"""In whose place everything is tried; a sealed copy is a script without a path."""


def sh(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def start() -> None:
    """Start the unit; an emulated machine may need longer than the daemon waits, and begins again then."""
    subprocess.run(["systemctl", "start", "netevd"], check=False)
    wait_for(lambda: is_active() or None, f"a start: {read_journal()}", 300)


def is_active() -> bool:
    command = ["systemctl", "is-active", "--quiet", "netevd"]
    return subprocess.run(command, check=False).returncode == 0


def reload() -> None:
    """Reload the unit, as often as it takes."""
    command = ["systemctl", "reload", "netevd"]
    done = lambda: subprocess.run(command, check=False).returncode == 0 or None  # noqa: E731
    wait_for(done, "a reload", 300)


def install() -> None:
    """Put the unit, the users, a configuration and a script in place."""
    shutil.copy(TOP / "packaging/systemd/netevd.service", "/etc/systemd/system")
    shutil.copy(TOP / "packaging/systemd/tmpfiles.conf", "/etc/tmpfiles.d/netevd.conf")
    sh("systemd-sysusers", str(TOP / "packaging/sysusers/netevd.conf"))
    sh("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/netevd.conf")
    HOOK.parent.mkdir(parents=True, exist_ok=True)
    HOOK.write_text(RECORD)
    HOOK.chmod(0o755)
    Path("/etc/netevd/netevd.yaml").write_text(CONFIGURATION)
    Path("/etc/fstab").touch()
    Path("/var/lib/netevd/probe").touch()
    VERSIONS.write_text("{}")


def read_journal() -> str:
    return sh("journalctl", "-u", "netevd", "-o", "cat", "--no-pager")


def find_labels() -> dict[str, str]:
    """Return the domain of each process of the daemon, by its role."""
    main = sh("systemctl", "show", "netevd", "-p", "MainPID", "--value").strip()
    group = sh("systemctl", "show", "netevd", "-p", "ControlGroup", "--value").strip()
    found = {}
    for pid in Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split():
        name = Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("netevd-")
        found["supervisor" if pid == main else name] = (
            Path(f"/proc/{pid}/attr/current").read_text().strip("\0\n")
        )
    return found


def try_everything(command: list[str], role: str) -> tuple[str, dict[str, str], list[Denial]]:
    """Run the probe in a role's place; return its label, the error of each act, and what was recorded."""
    script = HOOK.with_name("20-probe")
    script.write_text(f"#!{PYTHON}\n{Path(probe.__file__).read_text()}")
    script.chmod(0o755)
    if shutil.which("restorecon"):
        sh("restorecon", str(script))
    stranger = subprocess.Popen(["sleep", "600"])
    log = Log()
    journal = Path("/var/lib/netevd")
    before = journal.stat()
    os.chown(journal, 0, 0)  # so that its mode refuses nothing to root
    try:
        done = subprocess.run(
            [*command, role, str(stranger.pid), str(script)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and done.stdout, f"{done.stdout}\n{done.stderr}\n{log.read()}"
        told = json.loads(done.stdout)
        return told["label"], told["acts"], log.read()
    finally:
        os.chown(journal, before.st_uid, before.st_gid)
        log.close()
        stranger.kill()
        stranger.wait()


def find_faults(
    acts: dict[str, str], allowed: set[str], records: dict[str, str], denials: list[Denial]
) -> list[str]:
    """Return what was allowed and should not be, or the reverse, or was refused without a record."""
    text = "\n".join(each.what for each in denials)
    faults = []
    for name, error in acts.items():
        if (name in allowed) != (error not in {"EACCES", "EPERM"}):
            faults.append(f"{name}: {error or 'done'}")
        elif name not in allowed and not re.search(records[name], text):
            faults.append(f"{name}: refused ({error}) without a record like {records[name]!r}")
    return faults


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what the courier posts."""

    posted: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def receive() -> Iterator[list[str]]:
    """Listen where the configuration posts to."""
    with http.server.HTTPServer(("127.0.0.1", 9099), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Receiver.posted
        finally:
            server.shutdown()
            thread.join()


def do_the_work() -> tuple[dict[str, str], str]:
    """Have the daemon do what it is for; return labels of its processes and what its script was."""
    sh("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "peer0")
    with receive() as posted:
        start()
        sh("ip", "link", "set", "veth0", "up")
        sh("ip", "link", "set", "peer0", "up")
        sh("ip", "address", "add", "10.9.9.1/24", "dev", "veth0")
        pattern = r"ran veth0 carrier as (\S+)"
        ran = wait_for(lambda: re.search(pattern, read_journal()), "the run", 120)
        wait_for(lambda: posted or None, "what is posted", 120)
    labels = find_labels()
    assert json.loads(sh(NETEVD, "-j", "show", "interface", "veth0"))["carrier"] is True
    with urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=60) as body:
        assert b"netevd_events_total" in body.read()
    wait_for(lambda: "from 10.9.9.0/24" in sh("ip", "rule") or None, "its rule", 120)
    reload()
    bounce()
    wait_for(lambda: len(re.findall(pattern, read_journal())) > 1 or None, "one more", 120)
    sh("systemctl", "stop", "netevd")
    start()
    assert json.loads(sh(NETEVD, "-j", "status"))["generation"] == 1
    return labels, ran.group(1)


def do_what_is_signed(*admin: str) -> str:
    """
    Have the daemon that runs believe signed scripts alone; return what a sealed copy was.

    A reload puts it in force; a script that was altered is refused until it is signed anew, and a restart knows
    of both versions. admin: what a command of an administrator begins with.
    """
    key = str(Path.home() / "signing")
    sh(*admin, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    text = f"{CONFIGURATION}{sh(*admin, NETEVD, 'sign', 'init', '--key', key)}"
    Path("/etc/netevd/netevd.yaml").write_text(text)
    reload()
    sealed = r"ran veth0 carrier as (\S+).* by /proc/self/fd/3"
    bounce()
    ran = wait_for(lambda: re.search(sealed, read_journal()), "a run of what is signed", 120)
    wait_for(lambda: read_versions() == {1} or None, "its version", 120)
    with HOOK.open("a") as script:
        script.write("echo altered\n")
    bounce()
    refused = rf"{re.escape(str(HOOK))}.*it was altered since it was signed"
    wait_for(lambda: re.search(refused, read_journal()), "its refusal", 120)
    sh(*admin, NETEVD, "sign", "add", str(HOOK), "--key", key)
    sh("systemctl", "stop", "netevd")
    assert len(re.findall(sealed, read_journal())) == 1
    start()
    bounce()
    wait_for(
        lambda: "veth0: altered " in read_journal() or None, "a run of what is signed anew", 120
    )
    wait_for(lambda: read_versions() == {2} or None, "its version", 120)
    if NOEXEC.exists():
        forbid_memory(sealed, admin)
    sh("systemctl", "stop", "netevd")
    return ran.group(1)


def forbid_memory(sealed: str, admin: tuple[str, ...]) -> None:
    """Have copies run where memory is executed by who asks for it alone, and none where it never is. sealed: what they say."""
    NOEXEC.write_text("1")
    before = len(re.findall(sealed, read_journal()))
    bounce()
    wait_for(lambda: len(re.findall(sealed, read_journal())) > before or None, "a run with 1", 120)
    NOEXEC.write_text("2")
    try:
        done = subprocess.run(
            [*admin, NETEVD, "-j", "doctor"], capture_output=True, text=True, check=False
        )
        findings = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
        assert (findings["memory"]["level"], findings["memory"]["command"]) == (
            "problem",
            "sysctl -w vm.memfd_noexec=1",
        )
        before = len(re.findall(sealed, read_journal()))
        bounce()
        refused = rf"{re.escape(str(HOOK))}.*Permission denied"
        wait_for(lambda: re.search(refused, read_journal()), "the refusal with 2", 120)
        assert len(re.findall(sealed, read_journal())) == before
    finally:
        NOEXEC.write_text("0")


def read_versions() -> set[int]:
    """Return the versions of manifests that were believed, of whatever user and directory."""
    known = json.loads(VERSIONS.read_text())
    return {version for roots in known.values() for version in roots.values()}


def bounce() -> None:
    """Pull the cable of veth0 and put it back, each once the kernel has told it."""
    pull("peer0", "veth0")
    sh("ip", "link", "set", "peer0", "up")
    await_carrier("veth0", up=True)
