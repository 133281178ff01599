"""
What commands print: data on standard output in the format asked for, words on standard error.

Everything that is not our own text is escaped before it gets to a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, TypeAlias, TypeVar

import click

from netevd.cli.options import keep
from privsep.protocol import escape

Shape: TypeAlias = Mapping[str, Any]
"""An object as the API would show it: only what JSON knows."""

FORMATS: Final = ("table", "json", "jsonl", "yaml")
COLOURS: Final = ("auto", "always", "never")
FORMAT: Final = "netevd.format"
_COLOUR: Final = "netevd.colour"
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def format_options(command: _Decorated) -> _Decorated:
    """Give a command `-o/--output` and `-j`."""
    command = click.option(
        "-j", "json_", flag_value="json", type=str, expose_value=False, callback=keep(FORMAT),
        help="The same as --output json.",
    )(command)  # fmt: skip
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), expose_value=False,
        callback=keep(FORMAT), help="Format of what is printed; table is for people.",
    )(command)  # fmt: skip


def colour_option(command: _Decorated) -> _Decorated:
    """Give a command `--color`."""
    return click.option(
        "--color", type=click.Choice(COLOURS), expose_value=False, callback=keep(_COLOUR),
        help="When to colour; auto: on terminals, heeding NO_COLOR and FORCE_COLOR.",
    )(command)  # fmt: skip


def read_format() -> str:
    """Return the format that was asked for."""
    return str(click.get_current_context().meta.get(FORMAT, "table"))


def read_colour() -> str:
    """Return when to colour."""
    return str(click.get_current_context().meta.get(_COLOUR, "auto"))


def refuse_format() -> None:
    """
    Refuse `--output` for a command that prints no data. Raises: UsageError.
    """
    if FORMAT in click.get_current_context().meta:
        raise click.UsageError("This command prints no data, so it has no --output.")


def wants_colour(stream: IO[str]) -> bool:
    """Tell whether a stream gets colours. Source: no-color.org, force-color.org."""
    choice = read_colour()
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def guard_streams() -> None:
    """Make sure that there are three streams and that none fails over a character."""
    # what the caller has closed must not be taken by what we or our children open later
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(null, "w", encoding="utf-8"))
        else:
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Write words for people to standard error, each line with our name."""
    for line in text.split("\n"):
        click.echo(f"netevd: {escape(line)}", err=True)


def show_text(text: str) -> str:
    """Return text of somebody else as a terminal may have it: lines and tabs stay, no control."""
    return "\n".join("\t".join(map(escape, line.split("\t"))) for line in text.split("\n"))


def print_shape(shape: Shape, items: str | None = None) -> None:
    """
    Write an object as JSON, JSON lines or YAML, in UTF-8 whatever the locale.

    items: key of the list whose elements are the lines of jsonl; None: the object is one line.
    """
    match read_format():
        case "jsonl":
            rows = [shape] if items is None else shape[items]
            text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        case "yaml":
            text = format_yaml(shape)
        case _:
            text = json.dumps(shape, ensure_ascii=False, indent=2) + "\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def format_yaml(shape: Shape) -> str:
    """Return an object as YAML."""
    from io import StringIO  # noqa: PLC0415 - only for this format

    from ruamel.yaml import YAML  # noqa: PLC0415 - only for this format

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = StringIO()
    yaml.dump(json.loads(json.dumps(shape)), stream)  # words of enumerations are plain text then
    return stream.getvalue()
