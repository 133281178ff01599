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
from netevd.cli.words import EventName, InterfaceName, StateName, TableName
from netevd.model.event import EventType


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
        chosen = any(value for name, value in parameters.items() if name != "limit")
        say(f"there are no such {key}" if chosen else f"there are no {key} yet")
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
@click.option("--table", type=TableName(), metavar="TABLE", help="Only those that look this up.")
@family_options
@table_options
@format_options
@colour_option
@daemon_options
def rules(*, table: str | None) -> int:
    """List the rules of the routing policy, in the order in which the kernel asks them."""
    chosen = {"table": table, "family": read_family()}
    return _print("rules", chosen, lines.RULES, lines.make_rule_row, ("SELECTOR", "ACTION"))


@list_.command()
@click.option("--interface", type=InterfaceName(), metavar="GLOB", help="Only those of this one.")
@click.option("--result", metavar="RESULT", help="Only those that ended so, such as failed.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=100,
    show_default=True,
    help="At most so many.",
)
@table_options
@format_options
@colour_option
@daemon_options
def runs(*, interface: str | None, result: str | None, limit: int) -> int:
    """List runs of scripts: the latest that have ended, then those that have not."""
    chosen: Parameters = {"interface": interface, "result": result, "limit": limit}
    return _print("runs", chosen, lines.RUNS, lines.make_run_row, ("SCRIPT",))


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
@click.option("--event", type=EventName(), metavar="TYPE", help="Only those of this event type.")
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Look them up without a daemon, as one with this configuration would; it must exist.",
)
@click.option(
    "--observe", is_flag=True, help="The same, checked as the caller, even when that is root."
)
@table_options
@format_options
@colour_option
@daemon_options
def hooks(*, event: EventType | None, config: str | None, observe: bool) -> int:
    """
    List every script file, and whether it would run.

    Scripts of one event run in the order in which they are listed. Where a daemon answers, they are
    its own, with those that it has paused; else they are looked up as a daemon would do it.
    """
    found = None if config or observe else _ask_for_hooks()
    if found is None:
        found = look_up(config, observe=observe)
    if found is None:
        return Exit.FAILED  # the process has said why
    if event is not None:
        found = [each for each in found if each["event"] == event and not each.get("tree")]
    if read_format() != "table":
        print_shape({"hooks": found, "count": len(found)}, "hooks")
    elif found:
        rows = [lines.make_hook_row(each) for each in found]
        print_table(lines.HOOKS, rows, ("SCRIPT",))
    else:
        say(
            "there are no scripts; put executable files into directories such as routable.d"
            " below scripts.directory (default /etc/netevd)"
        )
    return Exit.FINE


def _ask_for_hooks() -> list[dict[str, Any]] | None:
    """Return the scripts of the daemon, None where none answers. Raises: Failure."""
    try:
        return list(ask("hooks")["hooks"])
    except Failure as failure:
        named = options.given(options.SOCKET) or options.given(options.URL)
        if named or failure.code not in {Exit.UNREACHABLE, Exit.DENIED}:
            raise
        return None


def look_up(config: str | None, *, observe: bool) -> list[dict[str, Any]] | None:
    """Return what a daemon would find, None where that can't be told. Raises: Failure."""
    found: list[dict[str, Any]] | None = None
    from netevd.cli.replay import load_configuration  # noqa: PLC0415 - a daemon's list is quicker
    from netevd.cli.trials.scripttable import clear  # noqa: PLC0415
    from netevd.config.identities import Identities  # noqa: PLC0415

    identities = Identities(load_configuration(config), observe=observe)
    with Once(None, config=config, observe=observe) as answers:
        for answer in answers:
            found = [] if found is None else found
            match answer:
                case Problems(problems=problems):
                    raise show_problems(problems)
                case Identity(user=user, uid=uid, observe=True):
                    say(f"observe mode: checked for the caller, {user} (uid {uid})")
                case Entry():
                    found.append(_shape(clear(answer, identities)))
                case _:
                    continue
    return found


def _shape(entry: Entry) -> dict[str, Any]:
    return {
        "event": entry.event,
        "tree": entry.tree or None,
        "name": entry.name,
        "path": entry.path,
        "runnable": entry.runnable,
        "reason": entry.reason or None,
        "paused": False,
    }
