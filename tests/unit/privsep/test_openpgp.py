"""Signatures of OpenPGP: made by gpg, believed by a pinned fingerprint alone; gpgv is the oracle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from privsep.signatures import verify
from tests.boundary.signing import OpenPgpSigner

MESSAGE = b"netevd-scripts 1\nroot /etc/netevd\nversion 7\n"


@pytest.fixture(scope="module")
def signer() -> Iterator[OpenPgpSigner]:
    """Return a key that may sign."""
    made = OpenPgpSigner()
    yield made
    made.close()


def say(message: bytes, signature: bytes, *signers: str) -> str:
    """Return who is believed to have signed, or why nobody is."""
    try:
        return verify(message, signature, signers)
    except ValueError as fault:
        return str(fault)


def ask_gpgv(directory: Path, message: bytes, signature: bytes) -> bool:
    """Tell whether gpgv takes a signature for good by the certificate that stands before it."""
    place = signature.index(b"-----BEGIN PGP SIGNATURE")
    words = ["gpg", "--batch", "--dearmor"]
    ring = subprocess.run(words, input=signature[:place], check=True, capture_output=True).stdout
    for name, content in (("ring", ring), ("signature", signature[place:]), ("message", message)):
        (directory / name).write_bytes(content)
    words = ["gpgv", "--keyring", *(str(directory / each) for each in ("ring", "signature", "message"))]  # fmt: skip
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa3072", "nistp256"])
def test_what_gpg_signs_is_believed(tmp_path: Path, algorithm: str) -> None:
    """Of each kind of key; of a text that differs in one octet nothing is."""
    signer = OpenPgpSigner(algorithm=algorithm)
    signature = signer.sign(MESSAGE)
    signer.close()

    assert say(MESSAGE, signature, "A" * 40, signer.fingerprint) == signer.fingerprint
    assert ask_gpgv(tmp_path, MESSAGE, signature)
    altered = MESSAGE.replace(b"7", b"8")
    assert "no valid signatures" in say(altered, signature, signer.fingerprint)
    assert not ask_gpgv(tmp_path, altered, signature)


def test_a_signing_subkey_stands_for_its_certificate(tmp_path: Path) -> None:
    """The fingerprint is the primary key's, whichever of its keys has signed."""
    signer = OpenPgpSigner()
    signer.gpg("--quick-add-key", signer.fingerprint, "ed25519", "sign", "never")
    signature = signer.sign(MESSAGE)
    signer.close()

    assert say(MESSAGE, signature, signer.fingerprint) == signer.fingerprint
    assert ask_gpgv(tmp_path, MESSAGE, signature)


def test_nobody_else_is_believed(signer: OpenPgpSigner) -> None:
    """Not another certificate, nor a signature under somebody else's certificate."""
    other = OpenPgpSigner("other")
    theirs, certificate = other.sign(MESSAGE), other.export()
    other.close()

    assert "not in security.allowed_signers" in say(MESSAGE, theirs, signer.fingerprint)
    mixed = signer.export() + theirs.removeprefix(certificate)
    assert "no valid signatures" in say(MESSAGE, mixed, signer.fingerprint)
    assert "no valid signatures" in say(
        MESSAGE, certificate + signer.sign(MESSAGE).removeprefix(signer.export()), other.fingerprint
    )


def test_the_form_is_one_certificate_and_one_signature(signer: OpenPgpSigner) -> None:
    """Whatever else stands in the file, or of another kind, is not believed."""
    certificate, whole = signer.export(), signer.sign(MESSAGE)
    signature = whole.removeprefix(certificate)
    for wrong in (
        signature,
        certificate,
        signature + certificate,
        certificate + whole,
        whole + signature,
        whole + b"more\n",
        b"\n" + whole,
        certificate[:200] + signature,
        whole.replace(b"\n", b"\r\n"),
    ):
        assert say(MESSAGE, wrong, signer.fingerprint) != signer.fingerprint, wrong
    text = signer.sign(MESSAGE, "--textmode", "--detach-sign")
    assert "not of a binary document" in say(MESSAGE, text, signer.fingerprint)


def test_weak_and_revoked_keys_are_refused() -> None:
    """RSA of 1,024 bits; SHA-1; a certificate that its owner has revoked, once that stands in it."""
    weak = OpenPgpSigner(algorithm="rsa1024")
    found = say(MESSAGE, weak.sign(MESSAGE), weak.fingerprint)
    weak.close()
    assert found != weak.fingerprint
    signer = OpenPgpSigner()
    old = say(
        MESSAGE, signer.sign(MESSAGE, "--digest-algo", "SHA1", "--detach-sign"), signer.fingerprint
    )
    before = signer.sign(MESSAGE)
    revocation = (signer.home / "openpgp-revocs.d" / f"{signer.fingerprint}.rev").read_text()
    signer.gpg("--import", given=revocation.replace(":-----BEGIN", "-----BEGIN").encode())
    revoked = signer.export() + before[before.index(b"-----BEGIN PGP SIGNATURE") :]
    signer.close()

    assert old != signer.fingerprint
    assert say(MESSAGE, before, signer.fingerprint) == signer.fingerprint
    assert say(MESSAGE, revoked, signer.fingerprint) != signer.fingerprint


def test_without_pysequoia_it_is_said(
    signer: OpenPgpSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names what has to be installed."""
    signature = signer.sign(MESSAGE)
    monkeypatch.setitem(sys.modules, "pysequoia", None)

    assert "install netevd[openpgp]" in say(MESSAGE, signature, signer.fingerprint)
