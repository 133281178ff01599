"""`netevd doctor`: what stands in netevd's way on this machine, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import click

from netevd.cli.checks.case import Case, Finding, open_case
from netevd.cli.checks.clients import check_clients
from netevd.cli.checks.configuration import check_configuration, check_runtime
from netevd.cli.checks.kernel import (
    check_buffers,
    check_memory,
    check_reverse_path,
    check_sandbox,
)
from netevd.cli.checks.neighbours import check_neighbours, check_port
from netevd.cli.checks.privileges import check_capabilities, check_mode, check_users
from netevd.cli.checks.roles import check_roles
from netevd.cli.checks.scripts import check_scripts
from netevd.cli.failure import Exit
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
    wants_colour,
)
from privsep.protocol import escape

_COLOURS: Final = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}
_WIDTH: Final = max(map(len, _COLOURS)) + 2


@click.command()
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@format_options
@colour_option
def doctor(*, config: str | None) -> int:
    """
    Check this machine, and say what to do.

    Changes nothing and needs no daemon. As root it looks at what a daemon of root would find,
    otherwise at what one of the caller would. Exits 0 when there is no problem, else 1.
    """
    findings = list(_examine(open_case(None if config is None else os.path.abspath(config))))
    counts: Counter[str] = Counter(each.level for each in findings)
    if read_format() == "table":
        for each in findings:
            _print(each, colour=wants_colour(sys.stdout))
        words = ("problem", "warning", "note")
        say(", ".join(f"{counts[w] or 'no'} {w}{'s' * (counts[w] != 1)}" for w in words))
    else:
        shapes = [_shape(each) for each in findings]
        shape = {"healthy": not counts["problem"], "findings": shapes, "count": len(shapes)}
        print_shape(shape, "findings")
    return Exit.FAILED if counts["problem"] else Exit.FINE


def _examine(case: Case) -> Iterator[Finding]:
    """Yield what all checks find, in the order in which one would mend it."""
    first = (check_sandbox, check_memory, check_users, check_capabilities)
    found = [finding for check in first for finding in check(case)]
    yield from found
    yield from check_mode(case, found)
    for check in (check_buffers, check_configuration, check_runtime, check_scripts,
                  check_roles, check_reverse_path, check_neighbours, check_clients,
                  check_port):  # fmt: skip
        yield from check(case)


def _shape(finding: Finding) -> Mapping[str, object]:
    shape = {name: escape(text) for name, text in finding._asdict().items()}
    return {**shape, "command": shape["command"] or None}


def _print(finding: Finding, *, colour: bool) -> None:
    level = f"{finding.level:<{_WIDTH}}"
    if colour:
        level = click.style(level, fg=_COLOURS[finding.level])
    click.echo(f"{level}{escape(f'{finding.subject}: {finding.message}')}", color=True)
    if finding.command:
        click.echo(f"{' ' * _WIDTH}do: {escape(finding.command)}")
