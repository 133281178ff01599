"""
Scripts that are run only if somebody has signed them: signatures, manifests, sealed copies.

A signature is OpenSSH's (PROTOCOL.sshsig), made by `ssh-keygen -Y sign` and checked here, in the
runner, without starting a program: Ed25519, RSA of 3,072 bits and more, ECDSA. It holds for the
manifest of a root, never for one script: else one signed script could stand in another's place. What
is run is a sealed copy in memory, hashed after it was sealed, so nobody can alter it in between. Why
so: docs/decisions/0016. cryptography is imported when a verifier is made, and not before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import re
import stat
import struct
from base64 import b64decode, b64encode
from collections.abc import Collection
from hashlib import new, sha256
from typing import Final

from privsep import manifest, openpgp
from privsep.launch import Launch
from privsep.protocol import escape

SCRIPT_LIMIT: Final = 16 << 20
"""Octets of a script at most."""
_SIGNATURE_LIMIT: Final = 16 << 10
_RSA_BITS: Final = 3072
_KINDS: Final = frozenset(b"ssh-ed25519 rsa-sha2-256 rsa-sha2-512 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521".split())  # fmt: skip
_ARMOR: Final = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?\Z")  # fmt: skip
_MFD_EXEC: Final = 0x10
"""Source: linux/memfd.h; since Linux 6.3."""
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Untrusted(ValueError):
    """Something is not what was signed, or was not signed; the text says why."""


# --- one signature -----------------------------------------------------------------------------


def _take(data: bytes, count: int) -> list[bytes]:
    """Return the strings that data is made of, exactly so many. Source: RFC 4251 section 5."""
    found = []
    for _ in range(count):
        if len(data) < 4 or len(data) - 4 < (size := struct.unpack_from(">I", data)[0]):
            raise Untrusted("its signature is cut short")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise Untrusted("its signature has octets that belong to nothing")
    return found


def verify(message: bytes, signature: bytes, signers: Collection[str]) -> str:
    """
    Return the fingerprint of the key that has signed, one of these.

    signature: armored, as `ssh-keygen -Y sign -n netevd-script` writes it, or as `openpgp` says. Raises:
    ValueError, most often Untrusted.
    """
    if signature.startswith(openpgp.MARK):
        return openpgp.verify(message, signature, signers)
    armor = _ARMOR.match(signature)
    blob = b64decode(armor[1].replace(b"\n", b""), validate=True) if armor else b""
    if not blob.startswith(b"SSHSIG\x00\x00\x00\x01"):
        raise Untrusted("its signature is none of OpenSSH's (version 1, armored)")
    key, namespace, reserved, algorithm, signed = _take(blob[10:], 5)
    fingerprint = "SHA256:" + b64encode(sha256(key).digest()).decode().rstrip("=")
    if fingerprint not in signers:
        raise Untrusted(f"it is signed by {fingerprint}, which is not in security.allowed_signers")
    if namespace != manifest.NAMESPACE.encode() or reserved:
        raise Untrusted(f"it is signed for something else; sign with -n {manifest.NAMESPACE}")
    if algorithm not in {b"sha256", b"sha512"}:
        raise Untrusted("its signature uses another hash than sha256 and sha512")
    digest = new(algorithm.decode(), message).digest()
    parts = (namespace, reserved, algorithm, digest)
    data = b"SSHSIG" + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    kind, value = _take(signed, 2)
    _check(key, kind, value, data)
    return fingerprint


def _check(blob: bytes, kind: bytes, signature: bytes, data: bytes) -> None:
    """Check a signature of this kind by the key in this blob. Raises: ValueError."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils  # noqa: PLC0415

    if kind not in _KINDS:
        raise Untrusted("its key is neither Ed25519 nor RSA nor ECDSA, or it signs with SHA-1")
    sums = {b"256": hashes.SHA256(), b"384": hashes.SHA384(), b"512": hashes.SHA512(), b"521": hashes.SHA512()}  # fmt: skip
    try:
        # ValueError, if the blob has another
        name = b"ssh-rsa" if kind.startswith(b"rsa") else kind
        key = serialization.load_ssh_public_key(name + b" " + b64encode(blob))
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif isinstance(key, rsa.RSAPublicKey):
            if key.key_size < _RSA_BITS:
                raise Untrusted(f"its RSA key has {key.key_size} bits, not {_RSA_BITS} or more")
            key.verify(signature, data, padding.PKCS1v15(), sums[kind[-3:]])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            numbers = _take(signature, 2)
            if any(not 0 < len(each) <= 67 or each[0] & 0x80 for each in numbers):
                raise Untrusted("its signature has a number that can't be")
            pair = utils.encode_dss_signature(*(int.from_bytes(each) for each in numbers))
            key.verify(pair, data, ec.ECDSA(sums[kind[-3:]]))
        else:
            raise Untrusted("its key is of a kind that is not supported")
    except (InvalidSignature, UnsupportedAlgorithm):
        raise Untrusted("its signature does not fit: it was altered since") from None


# --- manifests and scripts ---------------------------------------------------------------------


def _read(path: str, limit: int) -> bytes:
    """Return what is in a regular file of at most so many octets, without waiting. Raises: Untrusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
                return file.read(limit)
    except OSError as error:
        raise Untrusted(f"{escape(path)} can't be read: {error.strerror}") from None
    raise Untrusted(f"{escape(path)} is no regular file of at most {limit} octets")


def find_name(uid: int) -> str:
    """Return the name of a user as manifests have it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class Verifier:
    """What the manifests of all roots say, for the scripts of one identity."""

    def __init__(self, launch: Launch, number: int, versions: dict[str, int]) -> None:
        """number: of the identity. versions: the highest that was accepted of each root so far."""
        import cryptography.hazmat.bindings._rust  # noqa: F401, PLC0415 - as whoever starts us

        self._signers = frozenset(launch.signers or ())
        openpgp.prepare(self._signers)
        self._roots = launch.directories
        self._user = find_name(launch.runners[number].uid)
        named = [(path, each.uid) for each in launch.runners for path in each.scripts]
        self._users = {path: find_name(uid) for path, uid in named}
        """Who runs those scripts that rules name."""
        self._versions = dict(versions)
        self._verified: dict[str, tuple[bytes, bytes, manifest.Manifest]] = {}
        """By root what was verified last."""
        self.accepted: list[tuple[str, int, str]] = []
        """Root, version and signer of what was, until somebody takes them away."""

    def find_fault(self, path: str) -> str:
        """Return why a script is not what was signed for the user that runs it, "" if it is."""
        try:
            os.close(self.seal(path, self._users.get(path, self._user)))
        except (Untrusted, OSError) as fault:
            return str(fault)
        return ""

    def seal(self, path: str, user: str = "") -> int:
        """
        Return a descriptor of a copy in memory that nobody can alter and that is what was signed.

        user: who is to run it, "" for that of this identity. Raises: Untrusted, OSError.
        """
        user = user or self._user
        root, name = os.path.dirname(os.path.dirname(path)), "/".join(path.rsplit("/", 2)[1:])
        line = self._get_manifest(root).scripts.get(name)
        if line is None:
            fault = f"it is not signed: {root}/{manifest.NAME} does not name it"
            raise Untrusted(f"{fault}; mend it with: netevd sign add {path}")
        if line.user != user:
            raise Untrusted(f"it is signed for user {line.user}, and would run as {user}")
        content, copy = _read(path, SCRIPT_LIMIT), make_memory()
        try:
            os.write(copy, content)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
            if sha256(os.pread(copy, SCRIPT_LIMIT, 0)).hexdigest() != line.digest:
                advice = f"if that was you, mend it with: netevd sign add {path}"
                raise Untrusted(f"it was altered since it was signed; {advice}")
        except BaseException:
            os.close(copy)
            raise
        return copy

    def _get_manifest(self, root: str) -> manifest.Manifest:
        """Return what is signed of a root now. Raises: Untrusted."""
        if root not in self._roots:
            raise Untrusted("it is not signed: it stands in no script directory")
        path, reason = f"{root}/{manifest.NAME}", ""
        for name in (*manifest.SIGNATURES, manifest.SIGNATURES[0]):
            try:
                signature = _read(f"{root}/{name}", _SIGNATURE_LIMIT)
                return self._believe(root, _read(path, manifest.LIMIT), signature)
            except ValueError as fault:
                reason = reason or str(fault)  # of the second signature nothing is expected
        raise Untrusted(f"the manifest {path} is not believed: {reason}")

    def _believe(self, root: str, text: bytes, signature: bytes) -> manifest.Manifest:
        known = self._verified.get(root)
        if known is not None and known[:2] == (text, signature):
            return known[2]
        signer, found = verify(text, signature, self._signers), manifest.decode(text)
        least = self._versions.get(root, 0)
        if found.root != root or found.version < least:
            fault = f"it is of {found.root}, version {found.version}"
            raise Untrusted(f"{fault}, expected {root}, version {least} or higher")
        self._verified[root], self._versions[root] = (text, signature, found), found.version
        self.accepted.append((root, found.version, signer))
        return found


def make_memory() -> int:
    """Return a memfd that can be sealed and executed. Raises: OSError."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("netevd-script", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is what kernels before 6.3 say to the flag
            raise
        return os.memfd_create("netevd-script", flags)
