"""Signatures and manifests: believed as they were made, or not at all."""

from __future__ import annotations

import struct
from base64 import b64encode
from functools import cache
from hashlib import sha256, sha512
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privsep import manifest
from privsep.signatures import verify

_MESSAGE = (
    b"netevd-scripts 1\nroot /etc/netevd\nversion 7\n"
    + b"9" * 64
    + b"  netevd-script  routable.d/10-vpn\n"
)


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


@cache
def _make() -> tuple[str, bytes]:
    """Return the fingerprint of a key and the signature that it makes of the message. Source: PROTOCOL.sshsig."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    blob = _string(b"ssh-ed25519") + _string(public)
    parts = [manifest.NAMESPACE.encode(), b"", b"sha512"]
    signed = key.sign(b"SSHSIG" + b"".join(map(_string, [*parts, sha512(_MESSAGE).digest()])))
    content = b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(_string, [blob, *parts]))
    content += _string(_string(b"ssh-ed25519") + _string(signed))
    text = b64encode(content)
    lines = b"\n".join(text[place : place + 70] for place in range(0, len(text), 70))
    armored = b"-----BEGIN SSH SIGNATURE-----\n" + lines + b"\n-----END SSH SIGNATURE-----\n"
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("="), armored


_OPENPGP = (Path(__file__).parents[1] / "data" / "openpgp" / manifest.SIGNATURES[0]).read_bytes()
_CERTIFICATE = "79FFBE79F17AB62F9F11B89BA88A551435C6BA1F"
"""Whose signature of the message that is, made by gpg."""


def seeds() -> list[bytes]:
    """Return a signature of either kind, and a manifest."""
    return [_make()[1], _MESSAGE, _OPENPGP]


def check(data: bytes) -> None:
    """Nothing but the signature itself is believed of the message, and nothing of another one."""
    if data.startswith(b"-----BEGIN PGP"):
        _check_openpgp(data)
        return
    fingerprint, armored = _make()
    try:
        assert verify(_MESSAGE, data, {fingerprint}) == fingerprint
        assert data.replace(b"\n", b"") == armored.replace(b"\n", b"")
    except ValueError:
        assert data != armored
    try:
        verify(_MESSAGE + b"\n", data, {fingerprint})
        raise AssertionError("a signature of something else is believed")
    except ValueError:
        pass
    try:
        assert manifest.encode(manifest.decode(data)) == data
    except ValueError:
        pass


def _check_openpgp(data: bytes) -> None:
    """Likewise; what OpenPGP's armor says of itself may be written in more ways than one."""
    try:
        assert verify(_MESSAGE, data, {_CERTIFICATE}) == _CERTIFICATE
    except ValueError as fault:
        assert data != _OPENPGP, fault
    for message, signers in ((_MESSAGE + b"\n", {_CERTIFICATE}), (_MESSAGE, {"A" * 40})):
        try:
            verify(message, data, signers)
        except ValueError:
            continue
        raise AssertionError("a signature of something else, or of somebody else, is believed")
