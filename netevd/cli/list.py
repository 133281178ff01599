"""`netevd list`: tables of what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from netevd.cli import lines, options
from netevd.cli.client import Parameters, ask
from netevd.cli.failure import Exit, Failure
from netevd.cli.options import daemon_options, family_options, read_family
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.cli.table import Row, print_table, table_options
from netevd.cli.trials.answers import Entry, Identity, Problems
from netevd.cli.trials.once import Once, show_problems
from netevd.cli.words import InterfaceName, StateName, TableName


@click.group("list")
def list_() -> None:
    """List what netevd knows."""


def _print(
    key: str,
    parameters: Parameters,
    columns: Sequence[str],
    make_row: Callable[[Any], Row],
    fold: Sequence[str] = (),
) -> int:
    """Ask for a list and write it."""
    answer = ask(key, parameters)
    if read_format() != "table":
        print_shape(answer, key)
    elif answer[key]:
        print_table(columns, [make_row(each) for each in answer[key]], fold)
    else:
        say(f"there are no such {key}" if any(parameters.values()) else f"there are no {key}")
    return Exit.FINE


@list_.command()
@click.option("--state", type=StateName(), metavar="STATE", help="Only those in this state.")
@click.option("--kind", metavar="KIND", help="Only those of this kind, such as veth.")
@family_options
@table_options
@format_options
@colour_option
@daemon_options
def interfaces(*, state: str | None, kind: str | None) -> int:
    """
    List every interface that the daemon knows, watched or not.

    With -4 or -6 only addresses of that family are shown.
    """
    answer = ask("interfaces", {"state": state, "kind": kind})
    if family := read_family():
        for each in answer["interfaces"]:
            each["addresses"] = [one for one in each["addresses"] if one["family"] == family]
    if read_format() != "table":
        print_shape(answer, "interfaces")
    elif answer["interfaces"]:
        rows = [lines.make_interface_row(each) for each in answer["interfaces"]]
        print_table(lines.INTERFACES, rows)
    else:
        say("there are no such interfaces")
    return Exit.FINE


@list_.command()
@click.option("--interface", type=InterfaceName(), metavar="NAME", help="Only those over this one.")
@click.option("--table", type=TableName(), metavar="TABLE", help="Only those of this table.")
@family_options
@table_options
@format_options
@colour_option
@daemon_options
def routes(*, interface: str | None, table: str | None) -> int:
    """
    List the routes that the daemon knows.

    Which these are is for the setting `routes` to say: by default those of the main table, and the
    default routes of all tables.
    """
    chosen = {"interface": interface, "table": table, "family": read_family()}
    return _print("routes", chosen, lines.ROUTES, lines.make_route_row, ("GATEWAY", "INTERFACE"))


@list_.command()
@family_options
@table_options
@format_options
@colour_option
@daemon_options
def rules() -> int:
    """List the rules of the routing policy, in the order in which the kernel asks them."""
    chosen = {"family": read_family()}
    return _print("rules", chosen, lines.RULES, lines.make_rule_row, ("SELECTOR", "ACTION"))


@list_.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=100,
    show_default=True,
    help="At most so many of each.",
)
@table_options
@format_options
@colour_option
@daemon_options
def runs(*, limit: int) -> int:
    """List runs of scripts: the latest that have ended, then those that have not."""
    return _print("runs", {"limit": limit}, lines.RUNS, lines.make_run_row, ("SCRIPT",))


@list_.command()
@click.option("--interface", type=InterfaceName(), metavar="NAME", help="Only those of this one.")
@table_options
@format_options
@colour_option
@daemon_options
def peers(*, interface: str | None) -> int:
    """List the peers of WireGuard devices, as they were read last."""
    now = datetime.now(UTC)
    make_row = partial(lines.make_peer_row, now=now)
    return _print("peers", {"interface": interface}, lines.PEERS, make_row, ("ALLOWED IPS",))


# --- hooks ---------------------------------------------------------------------------------------


@list_.command()
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--observe", is_flag=True, help="Check as the caller, even when that is root.")
@table_options
@format_options
@colour_option
@daemon_options
def hooks(*, config: str | None, observe: bool) -> int:
    """
    List every script file, and whether it would run.

    Scripts of one event run in the order in which they are listed. Needs no daemon; where one
    answers, it tells which scripts it has paused.
    """
    entries: list[Entry] = []
    answered = False
    with Once(None, config=config, observe=observe) as answers:
        for answer in answers:
            answered = True
            match answer:
                case Problems(problems=problems):
                    raise show_problems(problems)
                case Identity(user=user, uid=uid, observe=True):
                    say(f"observe mode: checked for the caller, {user} (uid {uid})")
                case Entry():
                    entries.append(answer)
                case _:
                    continue
    if not answered:
        return Exit.FAILED  # the process has said why
    paused = _find_paused()
    if read_format() != "table":
        shapes = [_shape(entry, paused) for entry in entries]
        print_shape({"hooks": shapes, "count": len(shapes)}, "hooks")
    elif entries:
        rows = [_make_row(entry, paused) for entry in entries]
        print_table(("EVENT", "SCRIPT", "VERDICT"), rows, ("SCRIPT",))
    else:
        say(
            "there are no scripts; put executable files into directories such as routable.d"
            " below scripts.directory (default /etc/netevd)"
        )
    return Exit.FINE


def _find_paused() -> set[str] | None:
    """Return the scripts that the daemon has paused, None where none answers. Raises: Failure."""
    try:
        return set(ask("status", timeout_s=1.0)["paused_scripts"])
    except Failure:
        if options.given(options.SOCKET) or options.given(options.URL):
            raise
        return None


def _shape(entry: Entry, paused: set[str] | None) -> dict[str, object]:
    return {
        "event": entry.event,
        "name": entry.name,
        "path": entry.path,
        "runnable": entry.runnable,
        "reason": entry.reason or None,
        "paused": None if paused is None else entry.path in paused,
    }


def _make_row(entry: Entry, paused: set[str] | None) -> Row:
    verdict = ("ok", "good") if entry.runnable else (f"skipped: {entry.reason}", "doubtful")
    if entry.path in (paused or ()):
        verdict = (f"paused: it failed too often in a row; netevd resume {entry.path}", "bad")
    return ((entry.event, ""), (entry.path, ""), verdict)
