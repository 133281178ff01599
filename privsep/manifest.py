"""
The manifest of a root of script directories: what each script holds and which user may run it.

Pure, and spoken by both sides: the command line writes manifests (`netevd sign`), a runner believes
those that are signed (`signatures`). The form is canonical: one text for one meaning, so that what
is read is all that was signed. `SCRIPTS.sha256` is

    netevd-scripts 1
    root /etc/netevd
    version 7
    9f86d081884c7d65...  netevd-script  routable.d/10-vpn

with SHA-256 of the content, user and path below the root, sorted by path.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NAME: Final = "SCRIPTS.sha256"
"""File name of the manifest, in the root of the script directories."""
SIGNATURES: Final = (f"{NAME}.sig", f"{NAME}.sig.new")
"""File names of its signature. Whoever signs anew leaves the second one, renames the manifest, and
renames the second one to the first: so a signature that fits is there at each moment."""
NAMESPACE: Final = "netevd-script"
"""What the signature is for. Source: PROTOCOL.sshsig of OpenSSH."""
LIMIT: Final = 1 << 20
"""Octets of a manifest at most."""

_HEAD: Final = re.compile(
    r"netevd-scripts 1\nroot (/[^\x00-\x1f\x7f]*)\nversion ([1-9][0-9]{0,17})\n"
)
_LINE: Final = re.compile(
    r"([0-9a-f]{64})  ([A-Za-z_][A-Za-z0-9_.-]{0,31}\$?)  ([^\x00-\x1f\x7f]+)\n"
)


class Line(NamedTuple):
    """What is signed of one script."""

    digest: str
    """SHA-256 of its content, 64 hexadecimal digits."""
    user: str
    """The one user it may run as."""


class Manifest(NamedTuple):
    """What is signed of a root."""

    root: str
    """Path of the root: what is signed for one is nothing in another."""
    version: int
    """Each manifest of a root has a higher one than those before it."""
    scripts: dict[str, Line]
    """By path below the root, `TYPE.d/NAME`."""


def encode(manifest: Manifest) -> bytes:
    """Return the text of a manifest."""
    scripts = sorted(manifest.scripts.items())
    lines = [f"{line.digest}  {line.user}  {path}\n" for path, line in scripts]
    head = f"netevd-scripts 1\nroot {manifest.root}\nversion {manifest.version}\n"
    return (head + "".join(lines)).encode("utf-8", "surrogateescape")


def decode(text: bytes) -> Manifest:
    """Return what a manifest says. Raises: ValueError."""
    words = text.decode("utf-8", "surrogateescape")
    if (head := _HEAD.match(words)) is None:
        raise ValueError("it does not begin with 'netevd-scripts 1', 'root PATH', 'version NUMBER'")
    found = _LINE.findall(words, head.end())
    scripts = {path: Line(digest, user) for digest, user, path in found}
    manifest = Manifest(head[1], int(head[2]), scripts)
    if encode(manifest) != text:
        raise ValueError("its lines are not SHA-256, user, path, two blanks between each, sorted")
    return manifest
