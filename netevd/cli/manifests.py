"""
Manifests of scripts as whoever signs them has them: read, made of what is there, signed, put in place.

Signing and checking is done by ssh-keygen(1), with all that it knows of keys: passphrases, agents; with
keys of OpenPGP by gpg (`gnupg`). What a daemon makes of a manifest is not repeated here; `netevd sign
verify` has a runner say it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from hashlib import sha256
from typing import Final, NamedTuple

from netevd.cli import gnupg
from netevd.cli.failure import Exit, Failure
from netevd.model.event import EventType
from privsep.manifest import LIMIT, NAME, NAMESPACE, SIGNATURES, Line, Manifest, decode, encode
from privsep.protocol import escape

_TOLD: Final = re.compile(r"(\d+) (SHA256:\S{43}) (.*) \((\S+)\)$", re.MULTILINE)
_GOOD: Final = re.compile(r"\bwith \S+ key (SHA256:\S{43})$", re.MULTILINE)
_RSA_BITS: Final = 3072
"""Source: privsep/signatures.py."""
_EVENTS: Final = frozenset(f"{kind.value}.d" for kind in EventType)


class Key(NamedTuple):
    """A key to sign with."""

    path: str
    """Of OpenSSH's file, "" for a key of gpg's."""
    fingerprint: str
    comment: str
    """What it is called, "" for nothing."""


def read_key(path: str) -> Key:
    """Return a key that can sign scripts. path: a fingerprint for one of OpenPGP. Raises: Failure."""
    if bare := gnupg.read_fingerprint(path):
        return Key("", bare, gnupg.describe(bare))
    found = _TOLD.search(_run(["-l", "-E", "sha256", "-f", path], what=f"the key {path}"))
    if found is None:
        raise Failure(f"ssh-keygen says nothing that can be understood of the key {path}")
    bits, fingerprint, comment, kind = found.groups()
    if kind not in {"ED25519", "ECDSA", "RSA"}:
        text = f"the key {path} is of kind {kind}, expected ED25519, ECDSA or RSA"
        raise Failure(f"{text}; make one with: ssh-keygen -t ed25519 -f netevd-signing")
    if kind == "RSA" and int(bits) < _RSA_BITS:
        raise Failure(f"the key {path} has {bits} bits, expected {_RSA_BITS} or more for RSA")
    return Key(path, fingerprint, "" if comment == "no comment" else comment)


def _run(words: list[str], content: bytes = b"", *, what: str) -> str:
    """Return what ssh-keygen prints. what: the subject of a complaint. Raises: Failure."""
    try:
        result = subprocess.run(["ssh-keygen", *words], input=content, capture_output=True)  # noqa: PLW1510
    except FileNotFoundError:
        raise Failure("ssh-keygen is not there; install the client of OpenSSH") from None
    if result.returncode:
        said = (result.stderr + result.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Failure(f"{what}: ssh-keygen says: {escape(said[-1]) if said else 'nothing'}")
    return result.stdout.decode("utf-8", "replace")


# --- what is there -----------------------------------------------------------------------------


def read_manifest(directory: str) -> Manifest | None:
    """Return the manifest of a directory, None where there is none. Raises: Failure, OSError."""
    path = os.path.join(directory, NAME)
    try:
        with open(path, "rb") as file:
            return decode(file.read(LIMIT + 1))
    except FileNotFoundError:
        return None
    except ValueError as fault:
        raise Failure(f"{path} is no manifest: {fault}") from None


def find_signer(directory: str) -> str:
    """Return the fingerprint of who has signed a manifest. Raises: Failure, OSError."""
    path = os.path.join(directory, NAME)
    with open(path, "rb") as file:
        content = file.read(LIMIT + 1)
    signature = os.path.join(directory, SIGNATURES[0])
    with open(signature, "rb") as file:
        armored = file.read(LIMIT)
    if armored.startswith(gnupg.MARK):
        return gnupg.find_signer(path, armored)
    words = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature]
    found = _GOOD.search(_run(words, content, what=path).strip())
    if found is None:
        raise Failure(f"{path}: ssh-keygen does not say who has signed it")
    return found[1]


def list_scripts(directory: str) -> list[str]:
    """Return the executable files of a directory's event directories, by path below it."""
    found = []
    for event in sorted(_EVENTS & set(os.listdir(directory))):
        for name in sorted(os.listdir(os.path.join(directory, event))):
            path = os.path.join(directory, event, name)
            if not name.startswith(".") and os.path.isfile(path) and os.access(path, os.X_OK):
                found.append(f"{event}/{name}")
    return found


def split(path: str) -> tuple[str, str]:
    """Return the directory that has a script's manifest, and the script's path below it. Raises: Failure."""
    whole = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    above, name = os.path.split(whole)
    directory, event = os.path.split(above)
    if event not in _EVENTS:
        text = (
            f"{path} stands in {event}, which is no directory of an event type such as routable.d"
        )
        raise Failure(text, Exit.UNKNOWN)
    return directory, f"{event}/{name}"


def measure(directory: str, script: str, user: str) -> Line:
    """Return what is to be signed of a script. Raises: OSError."""
    with open(os.path.join(directory, script), "rb") as file:
        return Line(sha256(file.read()).hexdigest(), user)


# --- signing -----------------------------------------------------------------------------------


def sign(directory: str, manifest: Manifest, key: Key) -> None:
    """Sign a manifest and put both in place, so that one that fits is there at each moment."""
    text = encode(manifest)
    try:
        decode(text)
    except ValueError:
        raise Failure("a name of a script, of its user or of the directory can't be signed: line"
                      " ends and control characters have no place there") from None  # fmt: skip
    if len(text) > LIMIT:
        raise Failure(f"the manifest would have {len(text)} octets, expected at most {LIMIT}")
    words = ["-Y", "sign", "-f", key.path, "-n", NAMESPACE]
    if key.path:
        signature = _run(words, text, what=f"signing by {key.path}").encode()
    else:
        signature = gnupg.sign(text, key.fingerprint)
    _place(directory, SIGNATURES[1], signature)
    _place(directory, NAME, text)
    os.rename(os.path.join(directory, SIGNATURES[1]), os.path.join(directory, SIGNATURES[0]))


def _place(directory: str, name: str, content: bytes) -> None:
    """Write a file as a whole, readable by everybody."""
    # under its own name from the first: SELinux labels by it, and a rename keeps the label
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=directory) as place:
        temporary = os.path.join(place, name)
        with open(temporary, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, os.path.join(directory, name))


def advise_anew(directory: str) -> str:
    """Return the command that makes a manifest anew."""
    return f"netevd sign init --replace {shlex.quote(directory)} --key KEY"
