"""Our reading of OpenSSH's signatures against ssh-keygen: both believe one, or both refuse it."""

from __future__ import annotations

import struct
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsep import manifest
from privsep.signatures import Untrusted, verify
from tests.boundary.signing import Signer

MESSAGE = b"netevd-scripts 1\nroot /etc/netevd\nversion 1\n"
KINDS = {"ed25519": ("ed25519", 0), "rsa": ("rsa", 3072), "ecdsa-256": ("ecdsa", 256), "ecdsa-384": ("ecdsa", 384),
         "ecdsa-521": ("ecdsa", 521)}  # fmt: skip


class Oracle:
    """A key, its signature of the message, and what ssh-keygen says of others."""

    def __init__(self, directory: Path, name: str) -> None:
        kind, bits = KINDS[name]
        self.directory = directory
        self.signer = Signer(directory, name, kind, bits)
        self.signature = self.signer.sign(MESSAGE)
        key = Path(f"{self.signer.path}.pub").read_text(encoding="ascii")
        (directory / f"allowed-{name}").write_text(f"ops {key}", encoding="ascii")
        self._allowed = str(directory / f"allowed-{name}")

    def believes(self, message: bytes, signature: bytes) -> bool:
        """Tell whether ssh-keygen believes that the message is signed."""
        path = self.directory / "signature"
        path.write_bytes(signature)
        words = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            self._allowed,
            "-I",
            "ops",
            "-n",
            manifest.NAMESPACE,
            "-s",
            str(path),
        ]
        result = subprocess.run(words, input=message, capture_output=True, check=False)
        return result.returncode == 0

    def we_believe(self, message: bytes, signature: bytes) -> bool:
        """Tell whether a runner does."""
        try:
            return verify(message, signature, {self.signer.fingerprint}) == self.signer.fingerprint
        except ValueError:
            return False


@pytest.fixture(scope="module", params=KINDS)
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Return the oracle for one kind of key."""
    return Oracle(tmp_path_factory.mktemp("keys"), request.param)


def parts(signature: bytes) -> list[bytes]:
    """Return key, namespace, reserved, hash and the two parts of the signature proper."""
    blob = b64decode(b"".join(signature.split(b"\n")[1:-2]))[10:]
    found = []
    for _ in range(5):
        (size,) = struct.unpack_from(">I", blob)
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    signed = found.pop()
    (size,) = struct.unpack_from(">I", signed)
    return [*found, signed[4 : 4 + size], signed[8 + size :]]


def put_together(found: list[bytes], tail: bytes = b"", inner: bytes = b"") -> bytes:
    """Return the armored signature of such parts. tail, inner: octets behind what is read."""

    def string(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    signed = string(found[4]) + string(found[5]) + inner
    blob = b"SSHSIG\0\0\0\1" + b"".join(map(string, [*found[:4], signed])) + tail
    text = b64encode(blob)
    lines = [text[place : place + 70] for place in range(0, len(text), 70)]
    return b"\n".join(
        [b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""]
    )


def test_what_is_signed_is_believed(oracle: Oracle) -> None:
    """Both believe it, also put together anew; both refuse another message, and the other hash is fine."""
    assert put_together(parts(oracle.signature)) == oracle.signature
    for message, signature in (
        (MESSAGE, oracle.signature), (MESSAGE + b"\n", oracle.signature),
        (MESSAGE, oracle.signer.sign(MESSAGE, "-O", "hashalg=sha256")),
        (MESSAGE, oracle.signer.sign(MESSAGE, namespace="file")), (MESSAGE, b""),
    ):  # fmt: skip
        assert oracle.we_believe(message, signature) == oracle.believes(message, signature)
    assert oracle.we_believe(MESSAGE, oracle.signature)
    assert not oracle.we_believe(MESSAGE + b"\n", oracle.signature)


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, str, int, bytes]:
    """Draw which part is changed, how, where, and by what."""
    how = draw(st.sampled_from(["flip", "cut", "insert", "replace", "tail", "inner"]))
    return (
        draw(st.integers(0, 5)),
        how,
        draw(st.integers(0, 4095)),
        draw(st.binary(min_size=1, max_size=4)),
    )


def change(found: list[bytes], drawn: tuple[int, str, int, bytes]) -> bytes:
    """Return the armored signature with such a change."""
    number, how, place, new = drawn
    before = found[number]
    place %= len(before) + 1
    match how:
        case "flip" if place < len(before):
            after = before[:place] + bytes([before[place] ^ (new[0] or 1)]) + before[place + 1 :]
        case "cut":
            after = before[:place]
        case "insert":
            after = before[:place] + new + before[place:]
        case "replace":
            after = new
        case "tail":
            return put_together(found, tail=new)
        case _:
            return put_together(found, inner=new)
    return put_together([*found[:number], after, *found[number + 1 :]])


def is_stricter(found: list[bytes], drawn: tuple[int, str, int, bytes]) -> bool:
    """
    Tell whether ours may refuse what ssh-keygen believes, as docs/signing.md says.

    Reserved data, octets behind the signature, the same key or number written in another way.
    """
    number, how, _, _ = drawn
    return how in {"tail", "inner"} or number in {0, 2, 5}


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=changes())
def test_whatever_is_altered_both_say_the_same(
    oracle: Oracle, drawn: tuple[int, str, int, bytes]
) -> None:
    """An altered signature is refused by both, or believed by both; ours is stricter in known ways only."""
    found = parts(oracle.signature)
    altered = change(found, drawn)
    ours, theirs = oracle.we_believe(MESSAGE, altered), oracle.believes(MESSAGE, altered)

    assert not (ours and not theirs), "we believe what ssh-keygen refuses"
    assert ours == theirs or is_stricter(found, drawn)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 4095), new=st.binary(max_size=3))
def test_armor_that_is_altered_is_never_believed_by_us_alone(
    oracle: Oracle, place: int, new: bytes
) -> None:
    """The text around it may be read more strictly than ssh-keygen does, never less."""
    place %= len(oracle.signature)
    altered = oracle.signature[:place] + new + oracle.signature[place + 1 :]

    assert not oracle.we_believe(MESSAGE, altered) or oracle.believes(MESSAGE, altered)


def test_weak_and_foreign_keys_are_refused(tmp_path: Path) -> None:
    """RSA below 3,072 bits and SHA-1 are refused whatever ssh-keygen says."""
    signer = Signer(tmp_path, "weak", "rsa", 2048)
    with pytest.raises(Untrusted, match="2048 bits, not 3072"):
        verify(MESSAGE, signer.sign(MESSAGE), {signer.fingerprint})
    strong = Signer(tmp_path, "strong", "rsa", 3072)
    found = parts(strong.sign(MESSAGE))
    with pytest.raises(Untrusted, match="SHA-1"):
        verify(MESSAGE, put_together([*found[:4], b"ssh-rsa", found[5]]), {strong.fingerprint})
