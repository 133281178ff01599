"""How commands write: tables for people, JSON, JSON lines or YAML for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from privsep.protocol import escape

FORMATS: Final = ("table", "json", "jsonl", "yaml")


class Output:
    """Where a command's data goes, and in which form."""

    def __init__(self, form: str, color: str) -> None:
        """form: one of FORMATS. color: auto, always or never."""
        self.form = form
        self._color = color

    @property
    def is_table(self) -> bool:
        """Whether people read it."""
        return self.form == "table"

    def colours(self) -> bool:
        """Tell whether words are coloured. Source: no-color.org."""
        if self._color != "auto":
            return self._color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def write(self, data: dict[str, object], rows: str | None = None) -> None:
        """Write an object; as JSON lines, one line for each row of its list `rows`."""
        if self.form == "jsonl":
            listed = data.get(rows, []) if rows is not None else [data]
            for row in listed if isinstance(listed, list) else [data]:
                click.echo(msgspec.json.encode(row).decode())
        elif self.form == "yaml":
            from ruamel.yaml import YAML  # noqa: PLC0415 - costs 50 ms that others need not pay

            yaml = YAML()
            yaml.default_flow_style = False
            yaml.dump(data, sys.stdout)
        else:
            click.echo(msgspec.json.format(msgspec.json.encode(data)).decode())

    def write_table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows below their header, columns aligned, hostile text escaped."""
        shown = [header, *[[escape(cell) for cell in row] for row in rows]]
        widths = [max(len(row[column]) for row in shown) for column in range(len(header))]
        for number, row in enumerate(shown):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            bold = number == 0 and self.colours()
            click.echo(
                click.style(line.rstrip(), bold=True) if bold else line.rstrip(), color=bold or None
            )


def say(text: str) -> None:
    """Write words for people to standard error."""
    click.echo(text, err=True)
