"""`netevd validate`: every problem of a configuration in one go, like a compiler's."""

from __future__ import annotations

import difflib
import os

import click

from netevd.cli.exits import Exit
from netevd.cli.output import Output, say
from netevd.config.load import DEFAULT_PATH, Loaded, load
from netevd.config.tree import Place, Problem
from netevd.model.event import EventType


@click.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--strict", is_flag=True, help="Take warnings as problems.")
@click.pass_obj
def validate(output: Output, *, file: str | None, strict: bool) -> int:
    """
    Check FILE (default /etc/netevd/netevd.yaml) and all it includes.

    Writes `file:line:column: problem` for each problem. Warns of what can't be meant, such as a
    script directory that is not there or `T.d` of no event type.
    """
    loaded = load(file, os.environ)
    problems = loaded if isinstance(loaded, list) else []
    warnings = find_doubts(loaded) if isinstance(loaded, Loaded) else []
    failed = bool(problems or (strict and warnings))
    if output.is_table:
        for problem in problems:
            click.echo(str(problem))
        for warning in warnings:
            click.echo(f"{warning}" if strict else f"{warning} (warning)")
        if not problems and not warnings:
            say(f"{file or DEFAULT_PATH}: fine")
    else:
        rows = [_shape(problem, "problem") for problem in problems]
        rows += [_shape(warning, "problem" if strict else "warning") for warning in warnings]
        output.write({"valid": not failed, "problems": rows}, "problems")
    return Exit.FAILED if failed else Exit.FINE


def _shape(problem: Problem, severity: str) -> dict[str, object]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line or None,
        "column": place.column or None,
        "severity": severity,
        "message": problem.message,
    }


def find_doubts(loaded: Loaded) -> list[Problem]:
    """Return what a configuration says that can't be meant."""
    directory = loaded.configuration.scripts.directory
    place = loaded.places.get(("scripts", "directory"), Place(directory))
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        return [
            Problem(place, f"script directory {directory}: {error.strerror}; no script will run")
        ]
    known = {f"{kind.value}.d" for kind in EventType}
    doubts = []
    for name in names:
        unknown = name.endswith(".d") and name not in known and name != "conf.d"
        if unknown and os.path.isdir(os.path.join(directory, name)):
            close = difflib.get_close_matches(name, sorted(known), 1)
            advice = f"; did you mean {close[0]}?" if close else ""
            doubts.append(
                Problem(Place(os.path.join(directory, name)), f"is of no event type{advice}")
            )
    return doubts
