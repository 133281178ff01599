"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

SOCKET_KEY: Final = "netevd.socket"
"""Where the context keeps the socket that was asked for."""

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def socket_option(command: _Decorated) -> _Decorated:
    """Give a command `--socket`."""

    def keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[SOCKET_KEY] = value

    return click.option(
        "--socket", type=click.Path(readable=False), expose_value=False, callback=keep, metavar="PATH",
        help="Socket of the daemon, api.sock in its runtime directory.",
    )(command)  # fmt: skip
