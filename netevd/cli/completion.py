"""`netevd completion`: the script by which a shell asks us what could follow."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from netevd.cli.main import COMPLETION_VARIABLE, NAME
from netevd.cli.output import refuse_format

_SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """
    Print the completion script of a shell.

    \b
    bash: eval "$(netevd completion bash)" in ~/.bashrc
    zsh:  eval "$(netevd completion zsh)" in ~/.zshrc, after compinit
    fish: netevd completion fish > ~/.config/fish/completions/netevd.fish
    """  # noqa: D301 - click keeps lines as they are below a backspace
    refuse_format()
    complete = _SHELLS[shell](ctx.find_root().command, {}, NAME, COMPLETION_VARIABLE)
    # not .source(): for bash that starts bash to ask its version, here the reader's shell decides
    click.echo(complete.source_template % complete.source_vars())
