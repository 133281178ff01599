"""
Who may do what: one judgement before any request is looked at, by listener, address and credential.

A unix socket has been judged by its mode. Over TCP whoever is on this host may read, everybody else
shows a token or a certificate; to change anything takes one of these in any case. Names and origins
are checked since a browser can be made to ask for somebody else (DNS rebinding, cross-site requests).
"""

from __future__ import annotations

import hashlib
import hmac
from enum import IntEnum
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from attrs import frozen

from netevd.config.schema import Api, Token
from netevd.http.guesses import Guesses
from netevd.http.peer import Peer

BODY_LIMIT: Final = 1024 * 1024
"""Octets of a request's body: a configuration may have as many."""

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = _READING | {"POST", "PUT", "PATCH", "DELETE"}
_ADMINISTERED: Final = "/api/v1/config"
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
"""Headers of a proxy on this host: who asks it may be anywhere."""
_SINGLE: Final = frozenset({b"host", b"origin", b"authorization", b"content-length"})
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})
_BAD_ESCAPES: Final = ("%2f", "%5c", "%00", "%2e", "\\")

Scope: TypeAlias = dict[str, Any]


class Role(IntEnum):
    """What somebody may do; each includes those before it."""

    NOBODY = 0
    READ = 1
    OPERATE = 2
    ADMIN = 3


@frozen(slots=True)
class Caller:
    """Who asks, and what that may do."""

    name: str
    """In words for log and audit."""
    role: Role


@frozen(slots=True)
class Refusal:
    """Why a request is not even looked at."""

    status: HTTPStatus
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Access:
    """The rules of one configuration, and the guesses that were made since it is in force."""

    def __init__(self, api: Api, tokens: tuple[Token, ...]) -> None:
        """tokens: all of them, wherever they were written."""
        self._api = api
        self._tokens = [
            (bytes.fromhex(token.hash.partition(":")[2]), token.name, Role[token.role.upper()])
            for token in tokens
        ]
        self._guesses = Guesses()

    def judge(self, scope: Scope, now: float) -> Caller | Refusal:
        """Return who asks, or why nobody answers. now: seconds of a clock that only goes on."""
        peer: Peer = scope["state"]["peer"]
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in _SINGLE:
                return Refusal(HTTPStatus.BAD_REQUEST, f"the header {name.decode()} is there twice")
            headers[name] = value
        method = "GET" if scope["type"] == "websocket" else scope["method"]
        refusal = (
            _find_bad_target(scope, method)
            or self._find_closed(scope, peer)
            or self._find_wrong_host(headers, peer)
            or _find_cross_site(scope, method, headers)
        )
        if refusal is not None:
            return refusal
        caller = self._identify(peer, headers, now)
        if isinstance(caller, Refusal):
            return caller
        return self._find_denied(caller, scope["path"], method) or caller

    def _find_closed(self, scope: Scope, peer: Peer) -> Refusal | None:
        """Refuse what this listener is not for."""
        path = scope["path"]
        if peer.kind == "metrics" and not _is_below(path, ("/metrics", "/health")):
            detail = "this port is for /metrics and /health; the API has its own"
            return Refusal(HTTPStatus.NOT_FOUND, detail)
        if self._api.enabled or peer.kind == "metrics":
            return None
        if not peer.is_local or scope["type"] == "websocket" or not _is_below(path, _ALWAYS):
            detail = (
                "api.enabled is false: the unix socket serves commands, and nothing else is served"
            )
            return Refusal(HTTPStatus.NOT_FOUND, detail)
        return None

    def _find_wrong_host(self, headers: dict[bytes, bytes], peer: Peer) -> Refusal | None:
        """Refuse names that are not ours: a page of theirs could be the one that asks."""
        host = headers.get(b"host")
        if peer.uid is not None or host is None:
            return None
        name = _split_host(host)
        if name is not None and (_is_address(name) or name in _LOCAL_NAMES or self._allows(name)):
            return None
        detail = (
            f"the host {host.decode('latin-1')[:100]!r} is not one of ours: call an IP address or"
            " localhost, or have api.allowed_hosts name it"
        )
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, detail)

    def _allows(self, name: str) -> bool:
        allowed = self._api.allowed_hosts
        return any(name == each or (each[0] == "*" and name.endswith(each[1:])) for each in allowed)

    def _identify(self, peer: Peer, headers: dict[bytes, bytes], now: float) -> Caller | Refusal:
        """Return who asks."""
        if peer.uid is not None:
            return Caller(str(peer), Role.ADMIN if peer.is_local else Role.READ)
        given = headers.get(b"authorization")
        if given is not None:
            return self._check_token(peer, given, now)
        if peer.certificate:
            return Caller(str(peer), Role[self._api.tls.client_role.upper()])
        on_host = peer.is_loopback and not _FORWARDED & headers.keys()
        return Caller(str(peer), Role.READ if on_host else Role.NOBODY)

    def _check_token(self, peer: Peer, given: bytes, now: float) -> Caller | Refusal:
        wait = self._guesses.find_wait(peer.address, now)
        if wait:
            detail = f"too many wrong tokens have come from {peer.address}; wait {wait} s"
            retry = (b"retry-after", str(wait).encode())
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, (retry,))
        scheme, _, secret = given.partition(b" ")
        digest = hashlib.sha256(secret.strip()).digest()
        found: Caller | None = None
        for known, name, role in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, digest) and scheme.lower() == b"bearer":
                found = Caller(f"token {name} from {peer}", role)
        if found is not None:
            return found
        self._guesses.note(peer.address, now)
        detail = "the token is not known; `netevd token list` names those that are"
        return _challenge(detail, b', error="invalid_token"')

    def _find_denied(self, caller: Caller, path: str, method: str) -> Refusal | None:
        reading = method in _READING
        if reading and _is_below(path, self._api.anonymous):
            return None
        needed = Role.READ if reading else Role.OPERATE
        if not reading and _is_below(path, (_ADMINISTERED,)):
            needed = Role.ADMIN
        if caller.role >= needed:
            return None
        if caller.role <= Role.READ and not caller.name.startswith("token "):
            what = "reading from another host" if reading else "changing anything over TCP"
            detail = (
                f"{what} takes a token (Authorization: Bearer ...) or a client certificate;"
                " `netevd token create` makes one"
            )
            return _challenge(detail)
        detail = f"this takes the role {needed.name.lower()}; {caller.name} has {caller.role.name.lower()}"
        return Refusal(HTTPStatus.FORBIDDEN, detail)


_ALWAYS: Final = ("/api", "/health", "/metrics")
"""What the unix socket serves whatever the settings are."""


def _challenge(detail: str, more: bytes = b"") -> Refusal:
    header = (b"www-authenticate", b'Bearer realm="netevd"' + more)
    return Refusal(HTTPStatus.UNAUTHORIZED, detail, (header,))


def _is_below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _find_bad_target(scope: Scope, method: str) -> Refusal | None:
    """Refuse paths that two programs could read in two ways, and methods that nothing here has."""
    if method not in _METHODS:
        allow = (b"allow", ", ".join(sorted(_METHODS)).encode())
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"no method {method[:20]} here", (allow,))
    raw = scope["raw_path"].decode("latin-1")
    path = scope["path"]
    if not raw.startswith("/"):
        detail = "expected a path that begins with /: this is no proxy"
        return Refusal(HTTPStatus.BAD_REQUEST, detail)
    escaped = "%" in raw
    if (escaped and any(each in raw.lower() for each in _BAD_ESCAPES)) or "\\" in raw:
        detail = "a path has no escaped slash, backslash, dot or NUL"
        return Refusal(HTTPStatus.BAD_REQUEST, detail)
    if "//" in raw or "/./" in f"{raw}/" or "/../" in f"{raw}/":
        detail = "a path has no empty segments and none that is . or .."
        return Refusal(HTTPStatus.BAD_REQUEST, detail)
    if (escaped and not path.isprintable()) or "\ufffd" in path or "#" in raw:
        detail = "a path is UTF-8 without control characters"
        return Refusal(HTTPStatus.BAD_REQUEST, detail)
    if b"token=" in scope["query_string"].lower():
        detail = "a token has no place in a URL, which logs keep; send Authorization: Bearer ..."
        return Refusal(HTTPStatus.BAD_REQUEST, detail)
    return None


def _find_cross_site(scope: Scope, method: str, headers: dict[bytes, bytes]) -> Refusal | None:
    """Refuse what a page of another site makes a browser do. Source: Fetch, Origin and Sec-Fetch-Site."""
    if method in _READING and scope["type"] != "websocket":
        return None
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    same = origin is None or origin.lower() in {
        b"http://" + host.lower(),
        b"https://" + host.lower(),
    }
    if same and headers.get(b"sec-fetch-site", b"none") in {b"none", b"same-origin"}:
        return None
    said = (origin or b"another site").decode("latin-1")[:100]
    return Refusal(HTTPStatus.FORBIDDEN, f"a page of {said} may not do that here")


def _split_host(host: bytes) -> str | None:
    """Return name or address of the header Host without its port, None for nonsense."""
    text = host.decode("latin-1").lower().strip()
    if text.startswith("["):
        name, end, port = text[1:].partition("]")
        port = port.removeprefix(":") if end else "x"
    else:
        name, _, port = text.partition(":")
    if not name or (port and not (port.isascii() and port.isdigit())):
        return None
    return name.removesuffix(".")


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
