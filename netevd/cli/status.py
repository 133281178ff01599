"""`netevd status`: the daemon on one screen."""

from __future__ import annotations

import click

from netevd.cli.client import ask
from netevd.cli.failure import Exit
from netevd.cli.options import daemon_options
from netevd.cli.output import colour_option, format_options, print_shape, read_format
from privsep.protocol import escape


@click.command()
@format_options
@colour_option
@daemon_options
def status() -> int:
    """Show the state of the daemon on one screen."""
    answer = ask("status")
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    last = answer["last_event"]
    what = (
        f"{last['interface'] or 'host'} {last['type']}: {last['description']}" if last else "none"
    )
    results = ", ".join(f"{count} {name}" for name, count in answer["runs_by_result"].items())
    rows = {
        "state": f"{answer['state']} ({answer['mode']}), version {answer['version']}",
        "uptime": _show_duration(answer["uptime_seconds"]),
        "configuration": f"generation {answer['generation']}, loaded {answer['loaded']}",
        "interfaces": f"{answer['interfaces']} ({_count(answer['interfaces_by_state'])})",
        "routes, rules": f"{answer['routes']}, {answer['rules']}",
        "last event": f"{what} (sequence {answer['sequence']})",
        "scripts": f"{results or 'none ran yet'}; {answer['open_runs']} not ended",
    }
    for path in answer["paused_scripts"]:
        rows["paused"] = f"{path}; mend it, then: netevd resume {path}"
    for name, text in rows.items():
        click.echo(f"{name + ':':<16}{escape(text)}")
    return Exit.FINE


def _count(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _show_duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    words = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in words if number]
    return " ".join(shown[:2]) or "0 s"
