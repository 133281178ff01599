"""
Signatures of OpenPGP, where pysequoia is installed: netevd's extra `openpgp`.

A signature of OpenPGP does not hold its key, so the certificate stands before it in the same file. That it
stands there proves nothing: what counts is the fingerprint in root's configuration, on which all of a
certificate hangs. Which algorithms, lengths, subkeys and times are good is Sequoia's standard policy. Why so:
docs/decisions/0016.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from typing import Final

MARK: Final = b"-----BEGIN PGP "
"""How every file that is looked at here begins."""
_FORM: Final = re.compile(rb"(?s)(%bPUBLIC KEY BLOCK-----\n(?:(?!-----B).)+)(%bSIGNATURE-----\n(?:(?!-----B).)+-----END PGP SIGNATURE-----\n?)" % (MARK, MARK))  # fmt: skip


def prepare(signers: Collection[str]) -> None:
    """Load the library if one of these needs it; that it is not there is said of each signature."""
    if not all(each.startswith("SHA256:") for each in signers):
        with contextlib.suppress(ImportError):
            import pysequoia  # noqa: F401, PLC0415


def verify(message: bytes, signature: bytes, signers: Collection[str]) -> str:
    """
    Return the fingerprint of the certificate that has signed, one of these. Raises: ValueError.

    signature: certificate and detached signature, both armored.
    """
    parts = _FORM.fullmatch(signature)
    try:
        import pysequoia  # noqa: PLC0415

        if parts is None:
            raise ValueError("it has to be a certificate and then a signature, both armored")
        certificate, made = pysequoia.Cert.from_bytes(parts[1]), pysequoia.Sig.from_bytes(parts[2])
        if (fingerprint := str(certificate.fingerprint).upper()) not in signers:
            raise ValueError(f"{fingerprint} is not in security.allowed_signers")
        if made.signature_type != pysequoia.packet.SignatureType.Binary:
            raise ValueError("it is not of a binary document; sign with --detach-sign")
        pysequoia.verify(message, lambda _: [certificate], signature=made)
    except ImportError:
        raise ValueError("signatures of OpenPGP need pysequoia: install netevd[openpgp]") from None
    except BaseException as error:  # Sequoia's, and a panic of Rust, which is no Exception
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"its signature of OpenPGP is not good: {reason}") from None
    return fingerprint
