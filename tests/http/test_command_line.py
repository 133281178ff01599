"""The command line as a client over TCP: TLS, tokens and certificates, and what it says when refused."""

from __future__ import annotations

import json
from pathlib import Path

from tests.http.certificates import Certificates
from tests.http.rig import PORT
from tests.http.test_access import certificates, make_token, settings
from tests.processes.rig import Daemon, ip
from tests.unit.cli.rig import netevd

__all__ = ["certificates"]

PLAIN = f"http://127.0.0.1:{PORT}"
SECURE = f"https://localhost:{PORT}"


def keep(path: Path, *parts: bytes) -> str:
    """Write a file; return its path."""
    path.write_bytes(b"".join(parts))
    return str(path)


def test_plain_loopback_reads_and_a_token_changes(daemon: Daemon, tmp_path: Path) -> None:
    """What may not be is exit code 5 with the API's reason; the stream works the same way."""
    settings(daemon)
    secret = make_token(daemon, "ops", "operate")
    daemon.start()
    token = keep(tmp_path / "token", secret.encode(), b"\n")

    assert netevd("--url", PLAIN, "list", "interfaces").returncode == 0
    refused = netevd("--url", PLAIN, "reload")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "takes a token" in refused.stderr
    allowed = netevd("--url", PLAIN, "--token-file", token, "reload")
    assert allowed.returncode == 0, allowed.stderr
    waited = netevd("--url", PLAIN, "--token-file", token, "wait", "lo", "--for", "carrier")
    assert waited.returncode == 0, waited.stderr


def test_tls_is_believed_by_its_authority_alone(
    daemon: Daemon, certificates: Certificates, tmp_path: Path
) -> None:
    """An unknown authority, another name and no TLS at all are told apart; a certificate changes."""
    ip("link set lo up")
    settings(daemon, certificates.settings())
    daemon.start()
    ours = keep(tmp_path / "ours.pem", certificates.authority.cert_pem.bytes())
    other = keep(tmp_path / "other.pem", certificates.other.cert_pem.bytes())
    client = certificates.authority.issue_cert("ops.example.org", common_name="ops.example.org")
    cert = keep(tmp_path / "ops.pem", *(each.bytes() for each in client.cert_chain_pems))
    key = keep(tmp_path / "ops.key", client.private_key_pem.bytes())

    found = netevd("-j", "--url", SECURE, "--cacert", ours, "status")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["state"] == "serving"
    for options in (["--cacert", other], []):
        doubted = netevd("--url", SECURE, *options, "status")
        assert (doubted.returncode, doubted.stdout) == (3, "")
        assert "its certificate is not to be trusted" in doubted.stderr
        assert "--cacert" in doubted.stderr
    named = netevd("--url", f"https://127.0.0.2:{PORT}", "--cacert", ours, "status")
    assert named.returncode == 3
    shown = netevd("--url", SECURE, "--cacert", ours, "--cert", cert, "--key", key, "reload")
    assert shown.returncode == 0, shown.stderr
    wrong = netevd("--url", SECURE, "--cacert", ours, "--cert", ours, "status")
    assert wrong.returncode == 2
    assert "expected PEM" in wrong.stderr
