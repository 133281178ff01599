"""The files that a configuration names, read and checked by the reader: the worker's user can't."""

from __future__ import annotations

import os
import ssl
import stat
from typing import Final

from netevd.config import tokens
from netevd.config.load import Loaded
from netevd.config.schema import Api, Tls, Token
from netevd.config.sealed import Secrets
from netevd.config.tree import Place, Problem

_LIMIT: Final = 1024 * 1024
"""Octets of one of these files."""


class _Fault(Exception):
    """A file can't be used; the text says why and what to do."""


def read_secrets(loaded: Loaded, *, observe: bool, problems: list[Problem]) -> Secrets:
    """Return what the named files hold; append what is wrong with them. observe: read as the caller."""
    api = loaded.configuration.api
    found: dict[str, bytes] = {}
    for name in ("cert_file", "key_file", "client_ca_file"):
        path = getattr(api.tls, name)
        if path is not None:
            place = loaded.places.get(("api", "tls", name), Place(path))
            try:
                found[name] = _read(path, observe=observe, private=name == "key_file")
            except _Fault as fault:
                problems.append(Problem(place, f"{name}: {path} {fault}"))
    if not problems and api.tls.cert_file:
        place = loaded.places.get(("api", "tls"), Place(api.tls.cert_file))
        problems += [Problem(place, text) for text in _find_tls_faults(api.tls, found)]
    known = _read_tokens(api, loaded, problems, observe=observe)
    return Secrets(
        found.get("cert_file", b""), found.get("key_file", b""), found.get("client_ca_file", b""), known
    )  # fmt: skip


def _read_tokens(
    api: Api, loaded: Loaded, problems: list[Problem], *, observe: bool
) -> tuple[Token, ...]:
    path = api.tokens_file
    named = loaded.places.get(("api", "tokens_file"))
    if named is None and not os.path.lexists(path):
        return api.tokens
    try:
        content = _read(path, observe=observe, trusted=not observe)
    except _Fault as fault:
        problems.append(Problem(named or Place(path), f"tokens_file: {path} {fault}"))
        return api.tokens
    entries, faults = tokens.parse(path, content)
    names = {token.name for token in api.tokens}
    for each in entries:
        if each.token.name in names:
            text = (
                f"there is a token {each.token.name} in the configuration too; revoke one of them"
            )
            faults.append(Problem(Place(path), text))
    problems += faults
    return (*api.tokens, *(each.token for each in entries))


def _read(path: str, *, observe: bool, private: bool = False, trusted: bool = False) -> bytes:
    """
    Return what is in a file.

    private: nobody may read it beside owner and group. trusted: only root may have written it.
    Raises: _Fault.
    """
    group = "" if observe else f"chgrp netevd-net {path} && "
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        who = "its directory or itself is closed to " + ("you" if observe else "user netevd-net")
        raise _Fault(f"can't be read: {who}; try: {group}chmod 640 {path}") from None
    except OSError as error:
        raise _Fault(f"can't be read: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
            raise _Fault(f"is no regular file of at most {_LIMIT} octets")
        if private and status.st_mode & 0o007:
            raise _Fault(f"is open to everybody; mend it with: {group}chmod 640 {path}")
        if trusted and (status.st_uid != 0 or status.st_mode & 0o022):
            raise _Fault(f"is not root's alone to write: chown root {path} && chmod go-w {path}")
        return file.read(_LIMIT)


def _find_tls_faults(tls: Tls, found: dict[str, bytes]) -> list[str]:
    """Return what OpenSSL has against these files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    faults = []
    assert tls.cert_file is not None
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_refuse_password)
    except _Fault as fault:
        faults.append(f"key_file: {tls.key_file} {fault}")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            faults.append(f"key_file: {tls.key_file} is not the key of {tls.cert_file}")
        else:
            text = f"cert_file: {tls.cert_file} and its key_file are not PEM that OpenSSL reads"
            faults.append(f"{text} ({reason})")
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(cadata=found["client_ca_file"].decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "not ASCII"
            faults.append(
                f"client_ca_file: {tls.client_ca_file} has no certificate in PEM ({reason})"
            )
    return faults


def _refuse_password() -> str:
    raise _Fault("has a password; netevd has nobody to ask: take it off")
