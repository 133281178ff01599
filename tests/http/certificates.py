"""Certificates for one test: an authority of ours, one of somebody else, and what they sign."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme


class Certificates:
    """Files of a daemon, and contexts of its clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.other = trustme.CA()
        self.cert = directory / "server.pem"
        self.key = directory / "server.key"
        self.client_ca = directory / "clients.pem"
        self.client_ca.write_bytes(self.authority.cert_pem.bytes())
        self.renew()

    def renew(self) -> None:
        """Put another certificate and key into the files of the daemon."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        self.cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        self.key.touch(0o600)
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.key.chmod(0o640)

    def settings(self) -> str:
        """Return the daemon's settings, in one line."""
        return f"tls: {{cert_file: {self.cert}, key_file: {self.key}, client_ca_file: {self.client_ca}}}"

    def trust(self) -> ssl.SSLContext:
        """Return a client without a certificate that believes our authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def show(
        self, name: str, authority: trustme.CA | None = None, *, expired: bool = False
    ) -> ssl.SSLContext:
        """Return a client with a certificate of this name, of our authority unless another is given."""
        context = self.trust()
        until = datetime(2020, 1, 1, tzinfo=UTC) if expired else None
        begun = datetime(2019, 1, 1, tzinfo=UTC) if expired else None
        issued = (authority or self.authority).issue_cert(
            name, common_name=name, not_after=until, not_before=begun
        )
        issued.configure_cert(context)
        return context
