"""`netevd token`: who may do what over TCP. Works on the file of tokens, and asks no daemon."""

from __future__ import annotations

import fcntl
import grp
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast, get_args

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.config import tokens
from netevd.config.kinds import RoleName, TokenName
from netevd.config.load import load
from netevd.config.schema import Api, Token
from netevd.config.tokens import Entry

_NAME = click.Path(readable=False)
_SIZE = 1024 * 1024


def _find_path(given: str | None) -> str:
    """Return the file: the one that is given, else what the default configuration says."""
    if given is not None:
        return os.path.abspath(given)
    loaded = load(None, os.environ)
    return Api().tokens_file if isinstance(loaded, list) else loaded.configuration.api.tokens_file


def _read(path: str) -> list[Entry]:
    """Return the tokens of a file, none if it is not there. Raises: Failure."""
    try:
        with open(path, "rb") as file:
            entries, problems = tokens.parse(path, file.read(_SIZE))
    except FileNotFoundError:
        return []
    except PermissionError:
        raise Failure(f"{path}: you may not read it; be root", Exit.DENIED) from None
    if problems:
        raise Failure(f"{problems[0]}", Exit.FAILED)
    return entries


@contextmanager
def _changing(path: str) -> Iterator[list[Entry]]:
    """Hold the file's directory, and write what has become of its tokens. Raises: Failure."""
    try:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Failure(f"{os.path.dirname(path)}: {error.strerror}", Exit.FAILED) from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        entries = _read(path)
        yield entries
        _write(path, tokens.write(entries))
    except PermissionError:
        raise Failure(f"{path}: you may not write it; be root", Exit.DENIED) from None
    finally:
        os.close(directory)


def _write(path: str, content: bytes) -> None:
    """Put a file in place as a whole, readable by the daemon's reader and by nobody else."""
    descriptor, temporary = tempfile.mkstemp(prefix=".tokens-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            if os.geteuid() == 0:
                os.fchown(descriptor, 0, _find_group())
            os.fchmod(descriptor, 0o640)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _find_group() -> int:
    try:
        return grp.getgrnam("netevd-net").gr_gid
    except KeyError:
        return 0


file_option = click.option(
    "--file", type=_NAME, help="The file of tokens; else what /etc/netevd/netevd.yaml says."
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens by which clients may do something over TCP."""


@token.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(get_args(RoleName)), default="read", show_default=True,
    help="What it is good for: reading; also reload and resume; also the configuration.",
)  # fmt: skip
@file_option
@format_options
@colour_option
def create(*, name: str, role: str, file: str | None) -> int:
    """
    Make a token and print it, once: only its hash is kept.

    It holds from the next `netevd reload` on.
    """
    path = _find_path(file)
    secret = tokens.make_secret(secrets.token_bytes(32))
    made = datetime.now(UTC).strftime("%Y-%m-%d")
    new = Token(TokenName(name), cast("RoleName", role), tokens.hash_secret(secret))
    with _changing(path) as entries:
        if any(each.token.name == name for each in entries):
            raise Failure(f"there is a token {name} in {path}; revoke it first", Exit.FAILED)
        entries.append(Entry(new, made))
        _, problems = tokens.parse(path, tokens.write(entries))
        if problems:
            text = f"{name!r} can't be a token's name: letters, digits, dots, hyphens, underscores"
            raise click.BadParameter(text, param_hint="NAME")
    if read_format() == "table":
        click.echo(secret)
    else:
        print_shape({"name": name, "role": role, "token": secret, "hash": new.hash})
    say(
        f"kept as {name} ({role}) in {path}; it is shown this once, and holds after `netevd reload`"
    )
    return Exit.FINE


@token.command("list")
@file_option
@format_options
@colour_option
def list_(*, file: str | None) -> int:
    """List the tokens of the file: name, role, when it was made, and the beginning of its hash."""
    path = _find_path(file)
    entries = _read(path)
    if read_format() == "table":
        for each in entries:
            made, known = each.made or "-", each.token
            click.echo(f"{known.name:<24} {known.role:<8} {made:<10} {known.hash[:19]}...")
        if not entries:
            say(f"{path} has no tokens")
    else:
        found = [
            {"name": it.name, "role": it.role, "made": each.made or None, "hash": it.hash}
            for each in entries
            for it in (each.token,)
        ]
        print_shape({"tokens": found, "count": len(found)}, "tokens")
    return Exit.FINE


@token.command()
@click.argument("name")
@file_option
@colour_option
def revoke(*, name: str, file: str | None) -> int:
    """
    Take a token back.

    It is good for nothing any more from the next `netevd reload` on.
    """
    path = _find_path(file)
    with _changing(path) as entries:
        kept = [each for each in entries if each.token.name != name]
        if len(kept) == len(entries):
            raise Failure(f"there is no token {name} in {path}", Exit.UNKNOWN)
        entries[:] = kept
    say(f"{name} is revoked; `netevd reload` puts that in force")
    return Exit.FINE
