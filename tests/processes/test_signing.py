"""security.verify_scripts in a whole daemon: what runs, what is told, over reloads and restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.boundary.signing import OpenPgpSigner, Signer, put, sign_root
from tests.processes.rig import RECORD, Daemon, ip
from tests.processes.test_audit import find
from tests.unit.cli.rig import netevd

Make = Callable[..., Daemon]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
SAY = "#!/bin/sh\necho one\n"
USERS = {"address-added.d/10-own": "netevd-script", "address-added.d/20-root": "root"}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Return a key that may sign."""
    return Signer(tmp_path)


def begin(make_daemon: Make, signer: Signer, **more: Any) -> Daemon:
    """Return a daemon, not started, that wants signatures, with a script of each of two users."""
    daemon = make_daemon("network: {links: [eth*]}")
    daemon.configure(rules=[{"path": f"{daemon.scripts}/address-added.d/20-root", "user": "root"}])
    for path in USERS:
        daemon.script(
            "address-added",
            RECORD.replace("$STATE", "${NETEVD_SCRIPT_PATH##*/}"),
            path.split("/")[1],
        )
    allow(daemon, signer)
    ip("link add eth0 index 101 type veth peer name p0 index 201")
    return daemon


def allow(daemon: Daemon, *signers: Signer | OpenPgpSigner) -> None:
    """Write who may sign into the configuration."""
    text = daemon.config.read_text(encoding="utf-8").split("security:")[0]
    security = {
        "verify_scripts": True,
        "allowed_signers": [{"fingerprint": each.fingerprint} for each in signers],
    }
    log = f"audit: {{enabled: true, path: {daemon.root}/log/audit.jsonl}}\n"
    text = text if "audit:" in text else f"system: {{log_format: json}}\n{text}{log}"
    daemon.config.write_text(f"{text}security: {json.dumps(security)}\n", encoding="utf-8")


def add(octet: int) -> None:
    """Add an address, for which the scripts of address-added run."""
    ip(f"addr add 10.1.{octet}.1/24 dev eth0")


def ran(daemon: Daemon) -> list[str]:
    """Return the names of the scripts that ran, in order."""
    return [words[2] for words in daemon.record()]


def hooks(daemon: Daemon) -> dict[str, str | None]:
    """Return why each script does not run, as `netevd list hooks` says it."""
    told = netevd("--socket", f"{daemon.root}/run/api.sock", "-j", "list", "hooks")
    return {each["name"]: each["reason"] for each in json.loads(told.stdout)["hooks"]}


def test_signed_scripts_run_as_whom_they_were_signed_for(make_daemon: Make, signer: Signer) -> None:
    """Each identity's runner runs its own; a stranger in the directory is told, audited and never run."""
    daemon = begin(make_daemon, signer)
    signer.sign_root(daemon.scripts, 1, USERS)
    daemon.start()
    audit = daemon.root / "log" / "audit.jsonl"
    daemon.script("address-added", SAY, "30-stranger")
    daemon.expect(lambda entry: "30-stranger is skipped: it is not signed" in entry["message"])

    add(1)

    wait_for(lambda: len(ran(daemon)) == 2, "two runs")
    assert ran(daemon) == ["10-own", "20-root"]
    assert "is not signed" in (hooks(daemon)["30-stranger"] or "")
    record = wait_for(lambda: find(audit, what="script", outcome="refused"), "audit record")
    assert len(record) == 1 and "30-stranger" in record[0]["detail"]
    accepted = find(audit, what="manifest", outcome="accepted")
    assert len(accepted) == 2 and all(signer.fingerprint in each["detail"] for each in accepted)


def test_openpgp_signs_for_a_daemon(make_daemon: Make, signer: Signer) -> None:
    """Scripts of each identity run that gpg has signed for; beside OpenSSH's key, and in its place."""
    certificate = OpenPgpSigner()
    daemon = begin(make_daemon, signer)
    allow(daemon, signer, certificate)
    sign_root(certificate, daemon.scripts, 1, USERS)
    daemon.start()
    add(1)
    wait_for(lambda: len(ran(daemon)) == 2, "two runs")
    accepted = find(daemon.root / "log" / "audit.jsonl", what="manifest", outcome="accepted")
    assert all(certificate.fingerprint in each["detail"] for each in accepted)

    sign_root(signer, daemon.scripts, 2, {next(iter(USERS)): "netevd-script"})
    wait_for(lambda: hooks(daemon).get("20-root"), "the manifest of the other key")
    assert hooks(daemon)["10-own"] is None
    certificate.close()


def test_signer_is_revoked_by_a_reload(make_daemon: Make, signer: Signer, tmp_path: Path) -> None:
    """After a reload without it nothing that it has signed runs; signed by another it runs again."""
    daemon = begin(make_daemon, signer)
    signer.sign_root(daemon.scripts, 1, USERS)
    daemon.start()
    second = Signer(tmp_path, "second")
    allow(daemon, second)
    reloaded = netevd("--socket", f"{daemon.root}/run/api.sock", "reload")
    assert reloaded.returncode == 0, reloaded.stderr

    wait_for(
        lambda: "not in security.allowed_signers" in (hooks(daemon).get("10-own") or ""), "refusal"
    )
    add(1)
    daemon.wait_event("eth0", "address-added")
    second.sign_root(daemon.scripts, 2, USERS)
    wait_for(lambda: hooks(daemon).get("10-own", "unknown") is None, "the manifest of the second")
    add(2)

    wait_for(lambda: len(ran(daemon)) == 2, "two runs")
    assert [words[5] for words in daemon.record()] == ["10.1.2.1"] * 2, (
        "not those of the first address"
    )


def test_old_manifest_is_refused_over_a_restart(make_daemon: Make, signer: Signer) -> None:
    """What was believed is remembered by root, in a directory that the worker can't write."""
    daemon = begin(make_daemon, signer)
    old = signer.sign_root(daemon.scripts, 1, USERS)
    signer.sign_root(daemon.scripts, 2, USERS)
    daemon.start()
    kept = daemon.root / "state-signed" / "versions.json"
    wait_for(kept.exists, "what is kept")
    wait_for(lambda: len(json.loads(kept.read_text())) == 2, "both users")
    assert (os.stat(kept).st_uid, os.stat(kept.parent).st_uid) == (0, 0)
    assert daemon.stop() == 0

    put(daemon.scripts, *old)
    daemon.start(ready=False)
    daemon.expect_serving(2)

    wait_for(
        lambda: "version 2 or higher" in (hooks(daemon).get("10-own") or ""),
        "refusal of the old one",
    )
    kept.chmod(0o666)  # what others may have written is not believed, and that is said
    assert daemon.stop() == 0
    daemon.start(ready=False)
    daemon.expect(
        lambda entry: "versions.json: it is writable by group and others" in entry["message"]
    )
