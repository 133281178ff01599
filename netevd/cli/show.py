"""`netevd show`: one thing in detail."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

import click

from netevd.cli import lines
from netevd.cli.client import Refusal, ask, quoted
from netevd.cli.failure import Exit, Failure
from netevd.cli.options import daemon_options, family_options, read_family
from netevd.cli.output import (
    colour_option,
    format_options,
    format_yaml,
    print_shape,
    read_format,
    say,
)
from netevd.cli.words import InterfaceName, RunNumber, TableName, advise
from netevd.model.route import show_table
from privsep.protocol import escape

_WIDTH: Final = 24


@click.group("show")
def show() -> None:
    """Show one thing in detail."""


@show.command()
@click.argument("name", type=InterfaceName())
@family_options
@format_options
@colour_option
@daemon_options
def interface(*, name: str) -> int:
    """Show one interface with its addresses, gateways and counters."""
    answer = find_interface(name)
    if family := read_family():
        answer["addresses"] = [each for each in answer["addresses"] if each["family"] == family]
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    for key, value in answer.items():
        if key == "addresses":
            _say_each(
                key,
                [f"{a['ip']}/{a['prefix']} ({a['scope']}, {a['state']})" for a in value],
            )
        elif isinstance(value, list):
            _say(key, " ".join(map(str, value)) or "-")
        elif isinstance(value, Mapping):
            _say_each(key, [f"{name.replace('_', ' ')} {each}" for name, each in value.items()])
        elif isinstance(value, bool):
            _say(key, "yes" if value else "no")
        else:
            _say(key, "-" if value is None else str(value))
    return Exit.FINE


def find_interface(name: str) -> dict[str, Any]:
    """Return the object of an interface. Raises: Failure, which names the one that was meant."""
    try:
        return ask(f"interfaces/{quoted(name)}")
    except Refusal as refusal:
        if refusal.code is not Exit.UNKNOWN:
            raise
        known = [each["name"] for each in ask("interfaces")["interfaces"]]
        text = f"there is no interface {name!r}; {advise(name, known)}"
        raise Failure(text, Exit.UNKNOWN) from None


@show.command()
@click.argument("number", type=RunNumber(1), metavar="RUN")
@format_options
@colour_option
@daemon_options
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


@show.command()
@click.option("--interface", type=InterfaceName(), metavar="NAME", help="Only those over this one.")
@click.option("--table", type=TableName(), metavar="TABLE", help="Only those of this table.")
@family_options
@format_options
@colour_option
@daemon_options
def routes(*, interface: str | None, table: str | None) -> int:
    """Show routes as ip-route(8) writes them, table by table."""
    answer = ask("routes", {"interface": interface, "table": table, "family": read_family()})
    if read_format() != "table":
        print_shape(answer, "routes")
        return Exit.FINE

    def group(route: Mapping[str, Any]) -> tuple[int, str]:
        return route["table"], route["family"]

    for (number, family), found in groupby(sorted(answer["routes"], key=group), group):
        click.echo(f"table {show_table(number)}, {family}:")
        for each in found:
            click.echo(f"  {escape(lines.show_route(each))}")
    return Exit.FINE


@show.command()
@family_options
@format_options
@colour_option
@daemon_options
def rules() -> int:
    """Show the rules of the routing policy as ip-rule(8) writes them, family by family."""
    answer = ask("rules", {"family": read_family()})
    if read_format() != "table":
        print_shape(answer, "rules")
        return Exit.FINE

    def group(rule: Mapping[str, Any]) -> str:
        return str(rule["family"])

    for family, found in groupby(sorted(answer["rules"], key=group), group):
        click.echo(f"{family}:")
        for each in found:
            click.echo(f"  {escape(lines.show_rule(each))}")
    return Exit.FINE


@show.command()
@format_options
@colour_option
@daemon_options
def config() -> int:
    """
    Show the configuration that is in force, with every default, as a file that would give the same.

    From which files it was made is said on standard error.
    """
    answer = ask("config")
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    from netevd.cli.settings import restore, write  # noqa: PLC0415 - the schema, only here

    if answer.get("file"):
        say(f"made of {', '.join([answer['file'], *answer['included']])}")
    click.echo(format_yaml(write(restore(answer))), nl=False)
    return Exit.FINE


def _say(key: str, text: str) -> None:
    click.echo(f"{key.replace('_', ' ') + ':' if key else '':<{_WIDTH}}{escape(text)}".rstrip())


def _say_each(key: str, texts: list[str]) -> None:
    """Write the first text beside the key and the others below it."""
    for text in texts[:1] or ["-"]:
        _say(key, text)
    for text in texts[1:]:
        _say("", text)
