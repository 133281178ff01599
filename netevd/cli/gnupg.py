"""
Signing manifests with keys of OpenPGP, by calling gpg(1), with all that it knows of keys: passphrases, agents, cards.

A signature of OpenPGP does not hold its key, so what is put in place is the certificate and then the signature.
What a daemon makes of both is privsep's; here gpgv(1) tells who has signed.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from typing import Final

from netevd.cli.failure import Failure
from privsep.protocol import escape

MARK: Final = b"-----BEGIN PGP "
_SIGNATURE: Final = MARK + b"SIGNATURE-----"
_PRINT: Final = re.compile(r"(0x)?(([0-9A-Fa-f]\s*){40}|([0-9A-Fa-f]\s*){64})")
_VALID: Final = re.compile(r"^\[GNUPG:\] VALIDSIG .* ([0-9A-F]{40}|[0-9A-F]{64})$", re.MULTILINE)
"""Its last word is the primary key. Source: doc/DETAILS of GnuPG."""


def read_fingerprint(text: str) -> str:
    """Return the fingerprint that this is, as configurations and gpg have it; "" if it is none."""
    if _PRINT.fullmatch(text.strip()) is None:
        return ""
    return re.sub(r"0x|\s", "", text).upper()


def describe(fingerprint: str) -> str:
    """Return what a key that can sign is called, "" for nothing. Raises: Failure."""
    told = _run(["gpg", "--batch", "--with-colons", "--list-secret-keys", fingerprint], what=f"the key {fingerprint}").decode("utf-8", "replace")  # fmt: skip
    fields = [line.split(":") for line in told.splitlines()]
    primary = next((each[9] for each in fields if each[0] == "fpr"), "")
    if primary != fingerprint:
        text = f"{fingerprint} is a subkey, expected the fingerprint of its primary key"
        raise Failure(f"{text}: {primary or 'gpg --list-secret-keys prints it'}")
    return next((each[9] for each in fields if each[0] == "uid"), "")


def sign(text: bytes, fingerprint: str) -> bytes:
    """Return certificate and signature of a manifest, armored. Raises: Failure."""
    what = f"signing by {fingerprint}"
    exported = ["--armor", "--export-options", "export-minimal", "--export", fingerprint]
    made = ["--armor", "--local-user", f"{fingerprint}", "--output", "-", "--detach-sign"]
    return _run(["gpg", "--batch", *exported], what=what) + _run(["gpg", *made], text, what=what)


def find_signer(manifest: str, signature: bytes) -> str:
    """Return the fingerprint of who has signed a manifest. Raises: Failure, OSError."""
    place = signature.find(_SIGNATURE)
    with tempfile.TemporaryDirectory(prefix="netevd-sign-") as scratch:
        files = [os.path.join(scratch, name) for name in ("certificate", "signature")]
        keyring = _run(["gpg", "--batch", "--dearmor"], signature[:place], what=manifest)
        for path, content in zip(files, (keyring, signature[place:]), strict=True):
            with open(path, "wb") as file:
                file.write(content)
        words = ["gpgv", "--status-fd", "1", "--keyring", files[0], files[1], manifest]
        found = _VALID.search(_run(words, what=manifest).decode("utf-8", "replace"))
    if place <= 0 or found is None:
        raise Failure(f"{manifest}: gpgv does not say who has signed it")
    return found[1]


def _run(words: list[str], content: bytes = b"", *, what: str) -> bytes:
    """Return what a program prints. what: the subject of a complaint. Raises: Failure."""
    try:
        result = subprocess.run(words, input=content, capture_output=True)  # noqa: PLW1510
    except FileNotFoundError:
        raise Failure(f"{words[0]} is not there; install GnuPG") from None
    if result.returncode:
        said = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Failure(f"{what}: {words[0]} says: {escape(said[-1]) if said else 'nothing'}")
    return result.stdout
