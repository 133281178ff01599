"""`netevd events` and `netevd explain`: what has happened, what happens, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

from netevd.cli.client import Parameters, ask, follow
from netevd.cli.failure import Exit
from netevd.cli.lines import EVENTS, make_event_row
from netevd.cli.options import daemon_options
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
    wants_colour,
)
from netevd.cli.table import Row, choose, has_header, measure, paint, print_table, table_options
from netevd.cli.words import EventGlob, EventName, InterfaceName, SequenceNumber
from netevd.model.event import EventType
from privsep.protocol import escape

_BEGINNING: Final = "1970-01-01T00:00:01Z"
_WIDTHS: Final = {"TIME": 12, "SEQUENCE": 16, "INTERFACE": 15, "EVENT": 18, "WHAT": 0}
"""Columns of a terminal, at least: what comes is not known yet."""


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
    "--type",
    "types",
    metavar="TYPE",
    multiple=True,
    type=EventGlob(),
    help="Only this type; globs, repeatable.",
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
    "--limit",
    type=click.IntRange(0, 100_000),
    metavar="N",
    help="At most so many: the latest, with --since the first (default 100).",
)
@table_options
@format_options
@colour_option
@daemon_options
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
    chosen: Parameters = {"since": since, "type": types, "interface": interfaces}
    if not following:
        answer = ask("events", {**chosen, "limit": limit})
        _print(answer)
        if answer["more"] and limit is None:
            say("there are more; --limit and --since choose others")
        return Exit.FINE
    if since and limit is not None:
        raise click.UsageError("With --follow, --since and --limit exclude each other.")
    _write_head()
    if not since:
        answer = ask("events", {**chosen, "limit": limit or 0})
        for event in answer["events"]:
            _write(event)
        # before the first event of all there is no number to go on from
        since = str(answer["last"] or _BEGINNING)
    for message in follow({**chosen, "since": since}):
        if message.kind == "event":
            _write(message.content)
        elif message.kind == "gap":
            first, last = message.content["from"], message.content["to"]
            say(f"events {first} to {last} are not known any more")
    return Exit.FINE


def _print(answer: Mapping[str, Any]) -> None:
    if read_format() != "table":
        print_shape(answer, "events")
    elif answer["events"]:
        today = datetime.now().astimezone()
        print_table(EVENTS, [make_event_row(event, today) for event in answer["events"]])
    else:
        say("there are no such events")


def _write_head() -> None:
    if read_format() == "table" and has_header() and sys.stdout.isatty():
        _write_row([(name, "bold") for name in EVENTS])


def _write(event: Mapping[str, Any]) -> None:
    """Write one event at once: a row of a table that has no end, or JSON, which is a line then."""
    if read_format() == "table":
        _write_row(make_event_row(event, datetime.now().astimezone()))
    else:
        click.echo(json.dumps(event, ensure_ascii=False))


def _write_row(row: Row) -> None:
    colour = wants_colour(sys.stdout)
    cells = dict(zip(EVENTS, row, strict=True))
    line = ""
    for name in choose(EVENTS):
        text, style = escape(cells[name][0]), cells[name][1]
        width = max(_WIDTHS[name], measure(text))
        line += paint(text, style, colour=colour) + " " * (width - measure(text) + 2)
    click.echo(line.rstrip(), color=True)


@click.command()
@click.argument("sequence", required=False, type=SequenceNumber(1), metavar="[SEQUENCE]")
@click.option(
    "--interface", type=InterfaceName(), metavar="NAME", help="The last event of this interface ..."
)
@click.option("--event", type=EventName(), metavar="TYPE", help="... of this type.")
@format_options
@colour_option
@daemon_options
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
    _write_row(make_event_row(told, datetime.now().astimezone()))
    for line in answer["explanation"]:
        click.echo(f"  {escape(line)}")
    for run in answer["runs"]:
        for each in run.get("output", ()):
            click.echo(f"    {each['stream']}: {escape(each['line'])}")
    return Exit.FINE
