"""`netevd show`: one thing in detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from netevd.cli.client import ask
from netevd.cli.failure import Exit
from netevd.cli.options import socket_option
from netevd.cli.output import colour_option, format_options, print_shape, read_format
from netevd.cli.words import InterfaceName
from privsep.protocol import escape


@click.group("show")
def show() -> None:
    """Show one thing in detail."""


@show.command()
@click.argument("name", type=InterfaceName())
@format_options
@colour_option
@socket_option
def interface(*, name: str) -> int:
    """Show one interface with its addresses, gateways and counters."""
    answer = ask(f"interfaces/{_quote(name)}")
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    for key, value in answer.items():
        if key == "addresses":
            _say(
                key,
                ", ".join(f"{a['ip']}/{a['prefix']} ({a['scope']}, {a['state']})" for a in value),
            )
        elif isinstance(value, list):
            _say(key, " ".join(map(str, value)))
        elif isinstance(value, Mapping):
            _say(key, ", ".join(f"{name} {number}" for name, number in value.items()))
        else:
            _say(key, "" if value is None else str(value))
    return Exit.FINE


@show.command()
@click.argument("number", type=click.IntRange(1), metavar="RUN")
@format_options
@colour_option
@socket_option
def run(*, number: int) -> int:
    """Show one run of a script: its event, how it ended, what it printed."""
    answer = ask(f"runs/{number}")
    if read_format() != "table":
        print_shape(answer, "runs")
        return Exit.FINE
    for each in answer["runs"]:
        _show_run(each)
    return Exit.FINE


def _show_run(run: Mapping[str, Any]) -> None:
    for key, value in run.items():
        if key != "output":
            _say(key, "-" if value is None else str(value))
    for line in run.get("output", ()):
        click.echo(f"  {line['stream']}: {escape(line['line'])}")


def _say(key: str, text: str) -> None:
    click.echo(f"{key.replace('_', ' ') + ':':<24}{escape(text)}".rstrip())


def _quote(name: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - only here

    return quote(name, safe="")
