"""`netevd reload` and `netevd resume`: what a running daemon is asked to do."""

from __future__ import annotations

import click

from netevd.cli.client import Refusal, ask
from netevd.cli.failure import Exit
from netevd.cli.options import daemon_options
from netevd.cli.output import format_options, print_shape, read_format, say


@click.command()
@format_options
@daemon_options
def reload() -> int:
    """
    Have the daemon read its configuration again, and wait for the outcome.

    A bad configuration changes nothing: its problems are printed and the exit status is 1.
    """
    try:
        answer = ask("reload", method="POST")
    except Refusal as refusal:
        for problem in refusal.problems:
            click.echo(problem)
        raise
    if read_format() == "table":
        say(f"the configuration is in force (generation {answer['generation']})")
    else:
        print_shape(answer)
    return Exit.FINE


@click.command()
@click.argument("path", type=click.Path())
@format_options
@daemon_options
def resume(*, path: str) -> int:
    """Let a script run again that was paused since it failed too often in a row."""
    answer = ask("hooks/resume", {"path": path}, method="POST")
    if read_format() == "table":
        say(f"{path} runs again with its next event")
    else:
        print_shape(answer)
    return Exit.FINE
