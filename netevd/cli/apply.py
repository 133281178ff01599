"""`netevd apply`, `netevd confirm` and `netevd rollback`: a configuration that is taken back unless confirmed."""

from __future__ import annotations

import math
import sys
from typing import Any, Final

import click

from netevd.cli.client import Parameters, Refusal, ask, ask_whole
from netevd.cli.failure import Exit
from netevd.cli.options import daemon_options
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
    show_text,
    wants_colour,
)
from netevd.cli.words import DurationValue

_TIMEOUT_S: Final = 60.0
"""A configuration is read, written and taken over by new processes meanwhile."""
_COLOURS: Final = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
"""SGR sequences (ECMA-48) by how a line begins; the sign says the same."""


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--confirm",
    type=DurationValue(),
    metavar="TIME",
    help="Take it back after this time, unless it is confirmed by 'netevd confirm'.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@format_options
@colour_option
@daemon_options
def apply(*, file: Any, confirm: float | None, dry_run: bool) -> int:
    """
    Write a file into the daemon's configuration file and put it in force.

    FILE is - for standard input. What it changes is shown first. The daemon's configuration has to
    allow it, by api.config_writes. With problems, or when somebody else was faster, nothing is changed
    and the exit status is 1.
    """
    content = file.read()
    trial = _put(content, {"dry_run": "1"})
    if read_format() == "table":
        _show_diff(trial["diff"])
    if dry_run or not (trial["changes"] or trial["diff"]):
        if not trial["diff"]:
            say("that is what is in force already")
        return _finish(trial)
    seconds = None if confirm is None else max(1, math.ceil(confirm))
    answer = _put(content, {"confirm": seconds}, trial["tag"])
    if seconds is None:
        say("the configuration is in force")
    else:
        say(
            f"the configuration is in force; it is taken back in {seconds} s unless: netevd confirm"
        )
    shown = {key: trial[key] for key in ("changes", "count", "diff")}
    return _finish({**answer, **shown})


def _put(content: bytes, parameters: Parameters, tag: str = "") -> dict[str, Any]:
    """Have the daemon take a configuration, or try it. Raises: Failure."""
    headers = {"Content-Type": "application/yaml"}
    if tag:
        headers["If-Match"] = f'"{tag}"'
    try:
        return ask_whole(
            "config", parameters, method="PUT", timeout_s=_TIMEOUT_S, body=content, headers=headers
        )[1]
    except Refusal as refusal:
        for problem in refusal.problems:
            click.echo(show_text(problem))
        raise


def _show_diff(text: str) -> None:
    colour = wants_colour(sys.stdout)
    for line in text.splitlines():
        shown = show_text(line)
        start = _COLOURS.get(line[:1], "") if colour else ""
        click.echo(f"{start}{shown}\x1b[0m" if start else shown, color=True)


def _finish(answer: dict[str, Any]) -> int:
    if read_format() != "table":
        print_shape(answer, "changes")
    return Exit.FINE


@click.command()
@format_options
@daemon_options
def confirm() -> int:
    """Keep the configuration that was applied with --confirm."""
    answer = ask("config/confirm", method="POST")
    say("the configuration stays")
    if read_format() != "table":
        print_shape(answer)
    return Exit.FINE


@click.command()
@format_options
@daemon_options
def rollback() -> int:
    """Take the configuration back that was applied with --confirm, now."""
    answer = ask("config/rollback", method="POST", timeout_s=_TIMEOUT_S)
    say("what was before is in force again")
    if read_format() != "table":
        print_shape(answer)
    return Exit.FINE
