"""
TLS on an accepted connection: a context from memory, a handshake within its time, who the client is.

The worker can't read the files; what they hold is in its sealed configuration.
"""

from __future__ import annotations

import os
import ssl
from http import HTTPStatus
from typing import Final

import attrs
import trio

from netevd.config.sealed import Secrets
from netevd.http.peer import Peer
from netevd.http.problem import describe
from privsep.protocol import escape

HANDSHAKE_S: Final = 10.0
"""Seconds that a handshake may take."""
_HANDSHAKE: Final = 0x16
"""First octet of a connection that wants TLS. Source: RFC 8446, 5.1."""


class Refused(Exception):
    """No encrypted connection came about; the text says why."""


def make_context(secrets: Secrets) -> ssl.SSLContext:
    """Return the server's side of TLS. Raises: ssl.SSLError, if certificate and key don't match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    memory = os.memfd_create("netevd-certificate", os.MFD_CLOEXEC)
    try:
        os.write(memory, secrets.certificate + b"\n" + secrets.key)
        context.load_cert_chain(f"/proc/self/fd/{memory}")  # it takes nothing but a path
        os.ftruncate(memory, 0)
    finally:
        os.close(memory)
    if secrets.client_ca:
        context.load_verify_locations(cadata=secrets.client_ca.decode("ascii"))
        context.verify_mode = ssl.CERT_OPTIONAL  # who has none may have a token
    return context


async def secure(
    stream: trio.SocketStream, context: ssl.SSLContext, peer: Peer
) -> tuple[trio.SSLStream[trio.SocketStream], Peer]:
    """Return the encrypted stream, and its peer with what the certificate says. Raises: Refused."""
    with trio.move_on_after(HANDSHAKE_S):
        first = await stream.socket.recv(1, trio.socket.MSG_PEEK)
        if first and first[0] != _HANDSHAKE:
            await _say_plain(stream)
            raise Refused("it does not speak TLS")
        encrypted = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await encrypted.do_handshake()
        except trio.BrokenResourceError as error:
            raise Refused(str(error.__cause__ or "it has gone")[:200]) from None
        return encrypted, attrs.evolve(
            peer, secure=True, certificate=_name(encrypted.getpeercert())
        )
    raise Refused(f"its handshake took more than {HANDSHAKE_S:.0f} s")


def _name(certificate: object) -> str:
    """Return what a verified certificate calls its owner, "" without one."""
    if not isinstance(certificate, dict) or not certificate:
        return ""
    names = dict(each for part in certificate.get("subject", ()) for each in part)
    alternatives = [value for _, value in certificate.get("subjectAltName", ())]
    name = names.get("commonName") or next(iter(alternatives), "") or "no name"
    return f"certificate of {escape(str(name))[:100]}"


async def _say_plain(stream: trio.SocketStream) -> None:
    """Tell a client that speaks HTTP what is spoken here."""
    content = describe(HTTPStatus.BAD_REQUEST, "this port speaks TLS: call it with https://")
    head = (
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    try:
        await stream.send_all(head.encode() + content)
        await stream.send_eof()
        with trio.move_on_after(1):
            while await stream.receive_some(65536):
                pass
    except trio.BrokenResourceError:
        return
