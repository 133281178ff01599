"""
Ways to the daemon: a unix socket, or TCP with or without TLS.

Without --socket or --url these are tried: the socket of a daemon of root, that of a daemon of the
caller's, and for reading TCP on loopback. What is said over a connection is cli.client's.
"""

from __future__ import annotations

import grp
import http.client
import json
import os
import pwd
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import click

from netevd.cli import options
from netevd.cli.failure import Exit, Failure
from netevd.cli.output import say

_PORT: Final = 9090
_SYSTEM: Final = "/run/netevd/api.sock"
_STATUS_LIMIT: Final = 1 << 20
"""Octets that are read of what may be no netevd at all."""
_LOOPBACK: Final = ("localhost", "127.", "::1")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("netevd", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(timeout_s: float, *, reading: bool = True) -> http.client.HTTPConnection:
    """
    Return a connection to the daemon that was asked for, or to the first that is there.

    timeout_s: for each step of whatever follows. reading: nothing will be changed. Raises: Failure.
    """
    url, path = options.given(options.URL), options.given(options.SOCKET)
    if url is not None:
        if path is not None:
            raise click.UsageError("--socket and --url name two daemons; give one of them.")
        return _connect_url(url, timeout_s)
    for key, name in ((options.TOKEN_FILE, "--token-file"), (options.CACERT, "--cacert"),
                      (options.CERT, "--cert"), (options.KEY, "--key")):  # fmt: skip
        if options.given(key) is not None:
            raise click.UsageError(f"{name} says how to ask a daemon at --url, and there is none.")
    return _connect_socket([path], timeout_s) if path else _find(timeout_s, reading=reading)


def read_headers() -> dict[str, str]:
    """Return the headers that say who asks. Raises: Failure."""
    path = options.given(options.TOKEN_FILE)
    if path is None:
        return {}
    with open(path, encoding="utf-8", errors="replace") as file:
        token = file.read(4096).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(f"{path}: expected one token, as `netevd token create` prints it")
    return {"Authorization": f"Bearer {token}"}


# --- unix sockets --------------------------------------------------------------------------------


def _find(timeout_s: float, *, reading: bool) -> http.client.HTTPConnection:
    base = os.environ.get("XDG_RUNTIME_DIR")
    own = f"{base}/netevd" if base else f"/tmp/netevd-{os.getuid()}"  # noqa: S108 - the daemon's rule
    paths = [_SYSTEM]
    if _belongs_to_us(own):
        paths.append(f"{own}/api.sock")
    try:
        return _connect_socket(paths, timeout_s)
    except Failure as failure:
        found = _guess(timeout_s)
        if found is not None and reading:
            return found
        if found is not None and failure.code is Exit.UNREACHABLE:
            text = (
                f"the daemon at http://127.0.0.1:{_PORT} may only be read that way; to change"
                " something name its socket by --socket, or give --url and --token-file"
            )
            raise Failure(text, Exit.DENIED) from None
        raise


def _belongs_to_us(directory: str) -> bool:
    """Tell whether what answers there is the caller's: anybody may make a name below /tmp."""
    try:
        return os.lstat(directory).st_uid == os.getuid()
    except OSError:
        return False


def _connect_socket(paths: list[str], timeout_s: float) -> _UnixConnection:
    denied = ""
    for path in paths:
        connection = _UnixConnection(path, timeout_s)
        try:
            connection.connect()
        except PermissionError:
            denied = denied or path
        except OSError:
            pass
        else:
            return connection
        connection.close()
    if denied:
        raise Failure(_explain_denial(denied), Exit.DENIED)
    where = " or ".join(paths)
    text = f"no daemon answers at {where}; is it running? (--socket or --url names another one)"
    raise Failure(text, Exit.UNREACHABLE)


def _explain_denial(path: str) -> str:
    """Return who may ask at a socket, as far as the caller can see."""
    text = f"you may not ask the daemon at {path}: "
    try:
        status = os.stat(path)
        group = grp.getgrgid(status.st_gid).gr_name
        return f"{text}be root or a member of the group {group}"
    except (OSError, KeyError):
        pass
    try:
        owner = pwd.getpwuid(os.stat(os.path.dirname(path)).st_uid).pw_name
    except (OSError, KeyError):
        return f"{text}be the user that it belongs to, or root"
    return f"{text}it is the own one of user {owner}; be that user, or root"


# --- TCP -----------------------------------------------------------------------------------------


def _guess(timeout_s: float) -> http.client.HTTPConnection | None:
    """Return a connection to netevd on loopback, None where nobody or somebody else listens."""
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=timeout_s)
    try:
        connection.request("GET", "/api/v1/status", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read(_STATUS_LIMIT))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    # port 9090 is that of Prometheus, too, and its API has paths of the same names
    if not isinstance(content, dict) or not {"generation", "uptime_seconds"} <= content.keys():
        return None
    return http.client.HTTPConnection("127.0.0.1", _PORT, timeout=timeout_s)


def _connect_url(url: str, timeout_s: float) -> http.client.HTTPConnection:
    secure, host, port = _read_url(url)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    if secure:
        connection = http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=_make_context()
        )
    elif options.given(options.TOKEN_FILE) and not host.startswith(_LOOPBACK):
        say(f"the token crosses the network as plain text; https://{host}:{port} would hide it")
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        text = f"{url}: its certificate is not to be trusted: {error.verify_message}"
        text += " (--cacert names the authority that has signed it)"
        raise Failure(text, Exit.UNREACHABLE) from None
    except ssl.SSLError as error:
        text = f"{url}: no TLS can be agreed on: {error.reason or error}"
        if error.reason == "WRONG_VERSION_NUMBER":
            text = f"{url} speaks no TLS; a daemon without a certificate is asked by http://{host}:{port}"
        raise Failure(text, Exit.UNREACHABLE) from None
    except OSError as error:
        text = f"no daemon answers at {url}: {error.strerror or error}; is it running, with api.port {port}?"
        raise Failure(text, Exit.UNREACHABLE) from None
    return connection


def _read_url(url: str) -> tuple[bool, str, int]:
    """Return whether it is https, host and port. Raises: UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"--url {url!r}: {error}") from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        raise click.UsageError(
            f"--url {url!r}: expected http:// or https:// with a host and a port, and nothing"
            " behind them, as https://example.net:9090."
        )
    secure = parts.scheme == "https"
    for key, name in (
        (options.CACERT, "--cacert"),
        (options.CERT, "--cert"),
        (options.KEY, "--key"),
    ):
        if options.given(key) is not None and not secure:
            raise click.UsageError(f"{name} needs an https URL, not {url}.")
    return secure, parts.hostname, port or _PORT


def _make_context() -> ssl.SSLContext:
    """Return how to check the daemon and what to show it. Raises: Failure."""
    cert, key = options.given(options.CERT), options.given(options.KEY)
    if key is not None and cert is None:
        raise click.UsageError("--key belongs to a certificate; --cert is missing.")
    try:
        context = ssl.create_default_context(cafile=options.given(options.CACERT))
        if cert is not None:
            context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        names = ", ".join(filter(None, (options.given(options.CACERT), cert, key)))
        text = f"{names}: not what TLS can use: {error.reason or error}; expected PEM"
        raise Failure(text, Exit.USAGE) from None
    return context
