"""Keys, manifests and signatures for tests, made by ssh-keygen or gpg as an admin makes them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from privsep import manifest
from privsep.manifest import Line, Manifest


class Signer:
    """A key of its own."""

    def __init__(
        self, directory: Path, name: str = "ops", kind: str = "ed25519", bits: int = 0
    ) -> None:
        self.path = directory / f"key-{name}"
        size = ["-b", str(bits)] if bits else []
        words = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", str(self.path)]
        subprocess.run(words, check=True)
        told = ["ssh-keygen", "-l", "-E", "sha256", "-f", f"{self.path}.pub"]
        shown = subprocess.run(told, check=True, capture_output=True, text=True)
        self.fingerprint = shown.stdout.split()[1]

    def sign(self, message: bytes, *options: str, namespace: str = manifest.NAMESPACE) -> bytes:
        """Return the armored signature of a message."""
        words = ["ssh-keygen", "-Y", "sign", "-f", str(self.path), "-n", namespace, *options]
        return subprocess.run(words, input=message, check=True, capture_output=True).stdout

    def sign_root(self, root: Path, version: int, users: dict[str, str]) -> tuple[bytes, bytes]:
        """As `sign_root`."""
        return sign_root(self, root, version, users)


def sign_root(
    signer: Signer | OpenPgpSigner, root: Path, version: int, users: dict[str, str]
) -> tuple[bytes, bytes]:
    """Write and sign the manifest of a root; return both. users: by path below the root."""
    scripts = {
        path: Line(sha256((root / path).read_bytes()).hexdigest(), user)
        for path, user in users.items()
    }
    text = manifest.encode(Manifest(str(root), version, scripts))
    return put(root, text, signer.sign(text))


def put(root: Path, text: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """Write manifest and signature so that one that fits is there at each moment."""
    for name, content in ((manifest.SIGNATURES[1], signature), (manifest.NAME, text)):
        (root / f"{name}.tmp").write_bytes(content)
        (root / f"{name}.tmp").chmod(0o644)
        (root / f"{name}.tmp").rename(root / name)
    (root / manifest.SIGNATURES[1]).rename(root / manifest.SIGNATURES[0])
    return text, signature


class OpenPgpSigner:
    """A key of OpenPGP, in a directory of gpg's own."""

    def __init__(
        self, name: str = "ops", algorithm: str = "ed25519", expires: str = "never"
    ) -> None:
        self.home = Path(
            tempfile.mkdtemp(prefix="netevd-gpg-")
        )  # short: its agent's socket lies there
        self.gpg("--quick-generate-key", f"{name} <{name}@example.org>", algorithm, "sign", expires)
        told = self.gpg("--with-colons", "--list-keys").decode()
        self.fingerprint = next(
            line.split(":")[9] for line in told.splitlines() if line.startswith("fpr")
        )

    def gpg(self, *words: str, given: bytes = b"") -> bytes:
        """Return what gpg prints."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *words]  # fmt: skip
        return subprocess.run(command, input=given, check=True, capture_output=True).stdout

    def export(self) -> bytes:
        """Return the certificate."""
        return self.gpg("--armor", "--export-options", "export-minimal", "--export")

    def sign(self, message: bytes, *options: str) -> bytes:
        """Return certificate and signature of a message."""
        kind = options or ("--detach-sign",)
        return self.export() + self.gpg("--armor", *kind, given=message)

    def close(self) -> None:
        """End its agent and forget the key."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)
