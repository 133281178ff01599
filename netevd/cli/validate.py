"""`netevd validate`: what is wrong with a configuration, where, all in one go."""

from __future__ import annotations

import os

import click

from netevd.cli.advice import find_doubts
from netevd.cli.failure import Exit
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.config import headers
from netevd.config.load import DEFAULT_PATH, load
from netevd.config.tree import Problem
from privsep.protocol import escape


@click.command()
@click.argument("file", type=click.Path(readable=False), required=False)
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@format_options
@colour_option
def validate(*, file: str | None, strict: bool) -> int:
    """
    Check a configuration file.

    FILE is /etc/netevd/netevd.yaml if it is not given. Prints `file:line:column: problem` for each
    problem, `file:line:column: warning: ...` for what this machine lacks, and `file:line:column: notice: ...`
    for keys that have other names today. Exits 0 when the file is fine, else 1. Reads the file as the caller, with the
    caller's environment for ${VARIABLES}.
    """
    path = os.path.abspath(file or DEFAULT_PATH)
    loaded = load(None if file is None else path, os.environ)
    if isinstance(loaded, list):
        problems = loaded
    else:
        _, problems = headers.read_all(loaded, observe=os.geteuid() != 0, lenient=True)
    doubts = [] if isinstance(loaded, list) else find_doubts(loaded, path)
    notices = () if isinstance(loaded, list) else loaded.notices
    valid = not problems and not (strict and doubts)
    if read_format() == "table":
        for problem in problems:
            click.echo(escape(str(problem)))
        for doubt in doubts:
            click.echo(escape(f"{doubt.place}: {'' if strict else 'warning: '}{doubt.message}"))
        for notice in notices:
            click.echo(escape(f"{notice.place}: notice: {notice.message}"))
    else:
        severity = "error" if strict else "warning"
        shapes = [_shape(problem, "error") for problem in problems]
        shapes += [_shape(doubt, severity) for doubt in doubts]
        shapes += [_shape(notice, "notice") for notice in notices]
        shape = {"file": escape(path), "valid": valid, "problems": shapes, "count": len(shapes)}
        print_shape(shape, "problems")
    if valid:
        _say_fine(path, len(doubts), exists=file is not None or os.path.lexists(path))
    return Exit.FINE if valid else Exit.FAILED


def _shape(problem: Problem, severity: str) -> dict[str, object]:
    return {
        "file": escape(problem.place.file),
        "line": problem.place.line or None,
        "column": problem.place.column or None,
        "severity": severity,
        "message": escape(problem.message),
    }


def _say_fine(path: str, warnings: int, *, exists: bool) -> None:
    note = f", with {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
    if exists:
        say(f"{path}: fine{note}")
    else:
        say(f"{path} does not exist, so the defaults apply: fine{note}")
