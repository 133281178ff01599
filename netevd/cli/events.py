"""`netevd events` and `netevd explain`: what has happened, what happens, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from netevd.cli.client import ask, follow
from netevd.cli.failure import Exit
from netevd.cli.options import socket_option
from netevd.cli.output import (
    Row,
    colour_option,
    format_options,
    print_shape,
    print_table,
    read_format,
    say,
)
from netevd.cli.words import EventName, InterfaceName
from netevd.model.event import EventType
from privsep.protocol import escape

_COLUMNS = ("TIME", "SEQUENCE", "INTERFACE", "EVENT", "WHAT")


@click.command()
@click.option(
    "-f", "--follow", "following", is_flag=True, help="Go on with what happens from now on."
)
@click.option(
    "--since",
    metavar="WHEN",
    default="",
    help="After this sequence number, or from this time on (10m: ago).",
)
@click.option(
    "--type", "types", metavar="TYPE", multiple=True, help="Only this type; globs, repeatable."
)
@click.option(
    "--interface",
    "interfaces",
    metavar="GLOB",
    multiple=True,
    type=InterfaceName(),
    help="Only these; repeatable.",
)
@click.option(
    "--limit", type=click.IntRange(0, 100_000), help="At most so many, the latest (default 100)."
)
@format_options
@colour_option
@socket_option
def events(
    *,
    following: bool,
    since: str,
    types: tuple[str, ...],
    interfaces: tuple[str, ...],
    limit: int | None,
) -> int:
    """
    Show events, the oldest first.

    With --follow it goes on over reloads and restarts of the daemon, without gap or repeat.
    """
    chosen = {"since": since, "type": types, "interface": interfaces}
    answer = ask("events", {**chosen, "limit": 100_000 if following and since else limit})
    found = answer["events"]
    if not following:
        _print(answer)
        return Exit.FINE
    if not since and limit is None:
        found = []  # only what happens from now on
    _write_head()
    for event in found:
        _write(event)
    last = answer["last"]
    for message in follow({**chosen, "since": str(last)}):
        if message.kind == "event":
            _write(message.content)
        elif message.kind == "gap":
            say(
                f"events {message.content['from']} to {message.content['to']} are not known any more"
            )
    return Exit.FINE


def _print(answer: Mapping[str, Any]) -> None:
    if read_format() != "table":
        print_shape(answer, "events")
    elif answer["events"]:
        print_table(_COLUMNS, [_make_row(event) for event in answer["events"]])
    else:
        say("there are no such events")


def _make_row(event: Mapping[str, Any]) -> Row:
    moment = datetime.fromisoformat(event["time"]).astimezone()
    initial = " (at start)" if event["initial"] else ""
    return (
        (f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}", ""),
        (str(event["sequence"]), ""),
        (event["interface"] or "-", "bold"),
        (event["type"], ""),
        (event["description"] + initial, ""),
    )


def _write_head() -> None:
    if read_format() == "table" and sys.stdout.isatty():
        click.echo(_join(tuple((column, "") for column in _COLUMNS)))


def _write(event: Mapping[str, Any]) -> None:
    """Write one line at once: each format but the table is one object a line."""
    if read_format() == "table":
        click.echo(_join(_make_row(event)))
    else:
        click.echo(json.dumps(event, ensure_ascii=False))


def _join(row: Row) -> str:
    widths = (12, 16, 15, 18, 0)
    return "  ".join(
        escape(text).ljust(width) for (text, _), width in zip(row, widths, strict=True)
    ).rstrip()


@click.command()
@click.argument("sequence", required=False, type=click.IntRange(1), metavar="[SEQUENCE]")
@click.option("--interface", type=InterfaceName(), help="The last event of this interface ...")
@click.option("--event", type=EventName(), help="... of this type.")
@format_options
@colour_option
@socket_option
def explain(*, sequence: int | None, interface: str | None, event: EventType | None) -> int:
    """
    Tell what became of an event: which scripts ran or did not, and why.

    Give its sequence number, or --interface and --event for the last one of that kind.
    """
    if (sequence is None) == (interface is None or event is None):
        raise click.UsageError("Give a sequence number, or both --interface and --event.")
    answer = ask("explain", {"sequence": sequence, "interface": interface, "event": event})
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    told = answer["event"]
    click.echo(_join(_make_row(told)))
    for line in answer["explanation"]:
        click.echo(f"  {escape(line)}")
    for run in answer["runs"]:
        for each in run.get("output", ()):
            click.echo(f"    {each['stream']}: {escape(each['line'])}")
    return Exit.FINE
