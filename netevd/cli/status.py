"""`netevd status`: the daemon on one screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import click

from netevd.cli.client import ask
from netevd.cli.failure import Exit
from netevd.cli.lines import show_duration, show_moment
from netevd.cli.options import daemon_options
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    wants_colour,
)
from netevd.cli.table import Cell, paint
from privsep.protocol import escape

_WIDTH: Final = 16
_HEALTH: Final = {"healthy": "good", "degraded": "doubtful", "unhealthy": "bad"}
_CHECKS: Final = {"pass": "good", "warn": "doubtful", "fail": "bad"}


@click.command()
@format_options
@colour_option
@daemon_options
def status() -> int:
    """
    Show the state of the daemon on one screen.

    Exits 0 whenever the daemon answers; what is wrong with it is said. The checks of its health are
    those of GET /health.
    """
    answer = ask("status")
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    health = ask("/health", expected=(503,))
    colour = wants_colour(sys.stdout)
    for name, (text, style) in _tell(answer, health, datetime.now().astimezone()):
        label = f"{name + ':' if name else '':<{_WIDTH}}"
        click.echo(f"{label}{paint(escape(text), style, colour=colour)}", color=True)
    return Exit.FINE


def _tell(
    answer: Mapping[str, Any], health: Mapping[str, Any], today: datetime
) -> Iterator[tuple[str, Cell]]:
    """Yield the lines of the screen: what each is about, and text with its style."""
    yield "state", (f"{answer['state']} ({answer['mode']}), version {answer['version']}", "")
    yield "uptime", (show_duration(answer["uptime_seconds"]), "")
    yield from _tell_configuration(answer, today)
    states = ", ".join(f"{count} {state}" for state, count in answer["interfaces_by_state"].items())
    yield "interfaces", (f"{answer['interfaces']}: {states}" if states else "none", "")
    missing = answer["unrouted_prefixes"]
    rest = f"; none to {missing} prefixes of WireGuard peers" if missing else ""
    yield "routes", (f"{answer['routes']}{rest}", "doubtful" if missing else "")
    yield "rules", (f"{answer['rules']}, of which netevd has made {answer['routing_rules']}", "")
    yield "events", (str(answer["events_processed"]), "")
    last = answer["last_event"]
    if last is not None:
        where, when = last["interface"] or "host", show_moment(last["time"], today)
        words = f"{where} {last['type']}: {last['description']}"
        yield "last event", (f"{words} (sequence {last['sequence']}, {when})", "")
    yield from _tell_scripts(answer)
    yield "health", (health["status"], _HEALTH.get(health["status"], ""))
    for name, check in health["checks"].items():
        advice = f"; {check['advice']}" if "advice" in check else ""
        text = f"{check['status']}  {name}: {check['detail']}{advice}"
        yield "", (text, _CHECKS.get(check["status"], "") if check["status"] != "pass" else "")


def _tell_configuration(answer: Mapping[str, Any], today: datetime) -> Iterator[tuple[str, Cell]]:
    loaded = show_moment(answer["loaded"], today)
    yield "configuration", (f"generation {answer['generation']}, loaded {loaded}", "")
    last = answer["last_reload"]
    if last is not None and last["outcome"] == "refused":
        yield "last reload", (f"refused at {show_moment(last['time'], today)}:", "bad")
        for problem in last["problems"]:
            yield "", (problem, "")


def _tell_scripts(answer: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    failed = answer["scripts_failed"]
    text = (
        f"{answer['scripts_executed']} executed, {failed} failed, {answer['open_runs']} not ended"
    )
    yield "scripts", (text, "bad" if failed else "")
    for path in answer["paused_scripts"]:
        yield "paused", (f"{path}; mend it, then: netevd resume {path}", "bad")
