"""
Options that several commands have and that say which daemon is asked, and about which family.

Their values lie in the context, which all levels share; what is given last wins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

SOCKET: Final = "netevd.socket"
URL: Final = "netevd.url"
TOKEN_FILE: Final = "netevd.token_file"  # noqa: S105 - where a path is kept
CACERT: Final = "netevd.cacert"
CERT: Final = "netevd.cert"
KEY: Final = "netevd.key"
"""Where the context keeps what was asked for."""
_FAMILY: Final = "netevd.family"

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def keep(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that keeps what was given in the context."""

    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            ctx.meta[key] = value

    return callback


def daemon_options(command: _Decorated, *, hidden: bool = True) -> _Decorated:
    """Give a command what says which daemon it asks; shown in the help of `netevd` alone."""
    readable = click.Path(exists=True, dir_okay=False)
    options: tuple[tuple[str, str, str, click.Path | None, str], ...] = (
        ("--key", KEY, "FILE", readable, "Key of that certificate, where --cert does not hold it."),
        ("--cert", CERT, "FILE", readable, "Certificate to show to a daemon at an https URL."),
        ("--cacert", CACERT, "FILE", readable, "Whose certificates to trust at an https URL."),
        ("--token-file", TOKEN_FILE, "FILE", readable, "File with the token to show at --url."),
        ("--url", URL, "URL", None, "Ask a daemon by TCP, as https://example.net:9090."),
        ("--socket", SOCKET, "PATH", click.Path(readable=False),
         "Socket of the daemon, api.sock in its runtime directory."),
    )  # fmt: skip
    for name, key, metavar, kind, text in options:
        command = click.option(
            name, type=kind, expose_value=False, callback=keep(key), metavar=metavar, help=text,
            hidden=hidden,
        )(command)  # fmt: skip
    return command


def family_options(command: _Decorated) -> _Decorated:
    """Give a command `-4` and `-6`."""
    for digit in "64":
        command = click.option(
            f"-{digit}", f"ipv{digit}", flag_value=f"ipv{digit}", type=str, expose_value=False,
            callback=keep(_FAMILY), help=f"Only what is IPv{digit}.",
        )(command)  # fmt: skip
    return command


def read_family() -> str | None:
    """Return ipv4 or ipv6 where only one was asked for."""
    found = click.get_current_context().meta.get(_FAMILY)
    return None if found is None else str(found)


def given(key: str) -> str | None:
    """Return what was given for one of the keys above."""
    found = click.get_current_context().meta.get(key)
    return None if found is None else str(found)
