"""`netevd list`: tables of what there is."""

from __future__ import annotations

from typing import Final

import click

from netevd.cli.client import ask
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
from netevd.cli.trials.answers import Entry, Identity, Problems
from netevd.cli.trials.once import Once, show_problems


@click.group("list")
def list_() -> None:
    """List what netevd knows."""


@list_.command()
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--observe", is_flag=True, help="Check as the caller, even when that is root.")
@format_options
@colour_option
def hooks(*, config: str | None, observe: bool) -> int:
    """
    List every script file, and whether it would run.

    Needs no daemon. Scripts of one event run in the order in which they are listed.
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
    if read_format() != "table":
        shapes = [_shape(entry) for entry in entries]
        print_shape({"hooks": shapes, "count": len(shapes)}, "hooks")
    elif entries:
        print_table(("EVENT", "SCRIPT", "VERDICT"), [_make_row(entry) for entry in entries])
    else:
        say(
            "there are no scripts; put executable files into directories such as routable.d"
            " below scripts.directory (default /etc/netevd)"
        )
    return Exit.FINE


def _shape(entry: Entry) -> dict[str, object]:
    return {
        "event": entry.event,
        "name": entry.name,
        "path": entry.path,
        "runnable": entry.runnable,
        "reason": entry.reason or None,
    }


def _make_row(entry: Entry) -> Row:
    verdict = ("ok", "good") if entry.runnable else (f"skipped: {entry.reason}", "doubtful")
    return ((entry.event, ""), (entry.path, ""), verdict)


@list_.command()
@click.option("--state", metavar="STATE", help="Only those in this operational state.")
@click.option("--kind", metavar="KIND", help="Only those of this kind, such as veth.")
@format_options
@colour_option
@socket_option
def interfaces(*, state: str | None, kind: str | None) -> int:
    """List every interface that the daemon knows."""
    answer = ask("interfaces", {"state": state, "kind": kind})
    if read_format() != "table":
        print_shape(answer, "interfaces")
        return Exit.FINE
    rows = [
        (
            (str(each["index"]), ""),
            (each["name"], "bold"),
            (each["kind"] or "-", ""),
            (each["state"], _STATES.get(each["state"], "")),
            (" ".join(f"{a['ip']}/{a['prefix']}" for a in each["addresses"]), ""),
        )
        for each in answer["interfaces"]
    ]
    print_table(("INDEX", "NAME", "KIND", "STATE", "ADDRESSES"), rows)
    return Exit.FINE


_STATES: Final = {"routable": "good", "degraded": "doubtful", "degraded-carrier": "doubtful"}


@list_.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@format_options
@colour_option
@socket_option
def runs(*, limit: int) -> int:
    """List runs of scripts: the latest that have ended, then those that have not."""
    answer = ask("runs", {"limit": limit})
    if read_format() != "table":
        print_shape(answer, "runs")
        return Exit.FINE
    rows = [
        (
            (str(each["run"]), ""),
            (each["interface"] or "-", "bold"),
            (each["event"], ""),
            (each["script"], ""),
            (each["result"] or each["stage"], "good" if each["result"] == "ok" else "doubtful"),
            ("" if each["result"] is None else f"{each['duration_seconds']:.3f} s", ""),
        )
        for each in answer["runs"]
    ]
    print_table(("RUN", "INTERFACE", "EVENT", "SCRIPT", "RESULT", "DURATION"), rows)
    return Exit.FINE
