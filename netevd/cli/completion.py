"""`netevd completion`: what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """
    Print the completion script of a shell.

    bash: netevd completion bash > /etc/bash_completion.d/netevd
    """
    from netevd.cli.main import cli  # noqa: PLC0415 - it imports us

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "netevd", "_NETEVD_COMPLETE").source())
