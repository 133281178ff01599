"""
Tables for people.

On a terminal rich fits them to its width; it is imported only then. What is piped is as wide as it
needs to be, one line a row. Where even the narrowest table would not fit, each row is a block of its
own, so nothing is cut off.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import click

from netevd.cli.options import keep
from netevd.cli.output import wants_colour
from privsep.protocol import escape

Cell: TypeAlias = tuple[str, str]
"""Text and style."""
Row: TypeAlias = Sequence[Cell]
"""Cells of a table, each with its style: a key of STYLES."""

STYLES: Final = {"": "", "bold": "1", "good": "32", "doubtful": "33", "bad": "31", "faint": "2"}
"""SGR parameters (ECMA-48). A style never says what the text does not."""
_RICH_STYLES: Final = {
    "": "", "bold": "bold", "good": "green", "doubtful": "yellow", "bad": "red", "faint": "dim",
}  # fmt: skip
_STATES: Final = {
    "routable": "good", "enslaved": "good", "carrier": "good", "degraded": "doubtful",
    "degraded-carrier": "doubtful", "dormant": "doubtful", "no-carrier": "bad", "off": "faint",
}  # fmt: skip
_RESULTS: Final = {"ok": "good", "failed": "bad", "timeout": "bad", "lost": "bad", "dropped": "bad"}

_TAIL: Final = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")
"""Blanks at the end of a line, and the styles that they have."""

_FIELDS: Final = "netevd.fields"
_NO_HEADER: Final = "netevd.no_header"
_GAP: Final = 2
_FOLDED: Final = 12
"""Columns of a terminal that a column which may be folded has at least."""
_FITTED_ROWS: Final = 2000
"""Of a longer table nobody looks at each line; fitting takes 0.1 ms a cell."""

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def table_options(command: _Decorated) -> _Decorated:
    """Give a command `--fields` and `--no-header`."""
    command = click.option(
        "--no-header", is_flag=True, expose_value=False, callback=keep(_NO_HEADER),
        help="Print the table without the names of its columns.",
    )(command)  # fmt: skip
    return click.option(
        "--fields", metavar="NAME,...", expose_value=False, callback=keep(_FIELDS),
        help="Columns of the table, in this order.",
    )(command)  # fmt: skip


def style_state(state: str) -> str:
    """Return the style of an operational state."""
    return _STATES.get(state, "")


def style_result(result: str) -> str:
    """Return the style of a run's result."""
    return _RESULTS.get(result, "doubtful")


def paint(text: str, style: str, *, colour: bool) -> str:
    """Return a text with the sequences of a style, if colours are wanted."""
    parameters = STYLES[style]
    return f"\x1b[{parameters}m{text}\x1b[0m" if colour and text and parameters else text


def print_table(columns: Sequence[str], rows: Iterable[Row], fold: Sequence[str] = ()) -> None:
    """Write a table. fold: columns that may be broken into lines; the last one always may."""
    chosen = choose(columns)
    picked = [columns.index(name) for name in chosen]
    cells = [[(escape(row[at][0]), row[at][1]) for at in picked] for row in rows]
    head = None if click.get_current_context().meta.get(_NO_HEADER) else chosen
    widths = [
        max([len(name) if head else 0, *(measure(row[at][0]) for row in cells)])
        for at, name in enumerate(chosen)
    ]
    folded = [at for at, name in enumerate(chosen) if name in fold or at == len(chosen) - 1]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if not room or sum(widths) + _GAP * (len(widths) - 1) <= room or len(cells) > _FITTED_ROWS:
        _print_lines(head, cells, widths)
    elif (
        sum(min(width, _FOLDED) if at in folded else width for at, width in enumerate(widths))
        + _GAP * (len(widths) - 1)
        <= room
    ):
        _print_fitted(head, cells, folded, room)
    else:
        _print_blocks(chosen, cells)


def choose(columns: Sequence[str]) -> list[str]:
    """Return the columns that were asked for. Raises: UsageError."""
    asked = click.get_current_context().meta.get(_FIELDS)
    if asked is None:
        return list(columns)
    found = []
    for word in str(asked).split(","):
        name = word.strip().upper()
        if name not in columns:
            close = difflib.get_close_matches(name, columns, 1)
            advice = f"did you mean {close[0].lower()}? " if close else ""
            known = ", ".join(each.lower() for each in columns)
            raise click.UsageError(
                f"--fields: there is no column {word!r}; {advice}There are {known}"
            )
        found.append(name)
    return found


def has_header() -> bool:
    """Return whether names of columns are wanted."""
    return not click.get_current_context().meta.get(_NO_HEADER)


def measure(text: str) -> int:
    """Return the columns of a terminal that a text takes. Source: Unicode annex 11, wcwidth(3)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def _print_lines(head: Sequence[str] | None, cells: Sequence[Row], widths: Sequence[int]) -> None:
    """Write each row as a line, however wide."""
    colour = wants_colour(sys.stdout)
    top = [] if head is None else [[(name, "bold") for name in head]]
    for row in [*top, *cells]:
        line = ""
        for (text, style), width in zip(row, widths, strict=True):
            line += paint(text, style, colour=colour) + " " * (width - measure(text) + _GAP)
        click.echo(line.rstrip(), color=True)


def _print_blocks(names: Sequence[str], cells: Sequence[Row]) -> None:
    """Write each cell as a line with its name."""
    colour = wants_colour(sys.stdout)
    for number, row in enumerate(cells):
        if number:
            click.echo()
        for name, (text, style) in zip(names, row, strict=True):
            click.echo(f"{name}: {paint(text, style, colour=colour)}".rstrip(), color=True)


def _print_fitted(
    head: Sequence[str] | None, cells: Sequence[Row], folded: Sequence[int], room: int
) -> None:
    """Write a table as wide as the terminal, with cells broken into lines."""
    from rich.console import Console  # noqa: PLC0415 - only where a table has to be fitted
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colour = wants_colour(sys.stdout)
    table = Table(
        box=None, show_header=head is not None, pad_edge=False, padding=(0, _GAP, 0, 0),
        header_style="bold",
    )  # fmt: skip
    for at in range(len(cells[0])):
        name = "" if head is None else head[at]
        table.add_column(name, no_wrap=at not in folded, overflow="fold")
    for row in cells:
        table.add_row(*(Text(text, style=_RICH_STYLES[style]) for text, style in row))
    console = Console(
        width=room, highlight=False, markup=False, emoji=False, legacy_windows=False,
        color_system="standard" if colour else None, no_color=not colour, force_terminal=colour,
        soft_wrap=False, _environ={**os.environ, "NO_COLOR": ""},
    )  # fmt: skip
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        tail = _TAIL.search(line)
        end = "\x1b[0m" if tail is not None and "\x1b" in tail[0] else ""
        click.echo(_TAIL.sub("", line) + end, color=True)
