"""`netevd diff`: what a file would change in the configuration that is in force."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from netevd.cli.client import ask
from netevd.cli.failure import Exit
from netevd.cli.options import daemon_options
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.cli.settings import Change, compare, restore, veil
from netevd.cli.trials.once import show_problems
from netevd.config.load import DEFAULT_PATH, Loaded, load
from netevd.config.tree import Place
from privsep.protocol import escape


@click.command()
@click.argument("file", required=False, type=click.Path(readable=False))
@format_options
@colour_option
@daemon_options
def diff(*, file: str | None) -> int:
    """
    Tell what a file would change in the configuration that is in force.

    FILE is the one that the daemon has read if it is not given. Each setting that is not the same
    has a line with its place in the file. Exits 0 when nothing differs, 1 when something does, as
    diff(1). ${VARIABLES} are those of the caller.
    """
    answer = ask("config")
    path = os.path.abspath(file or answer.get("file") or DEFAULT_PATH)
    loaded = load(path if file or answer.get("file") else None, os.environ)
    if not isinstance(loaded, Loaded):
        raise show_problems([str(problem) for problem in loaded])
    changes = list(compare(restore(answer), veil(loaded.configuration)))
    if read_format() != "table":
        shapes = [_shape(change, loaded, path) for change in changes]
        print_shape({"file": path, "changes": shapes, "count": len(shapes)}, "changes")
    elif changes:
        for change in changes:
            click.echo(escape(_tell(change, _find(change, loaded, path))))
    else:
        say(f"{path}: the same as what is in force")
    return Exit.FAILED if changes else Exit.FINE


def _find(change: Change, loaded: Loaded, path: str) -> Place:
    """Return where a setting is written; what is not is nowhere in the file."""
    place = None if change.after is None else loaded.places.get(change.path)
    return place or Place(path)


def _shape(change: Change, loaded: Loaded, path: str) -> dict[str, Any]:
    place = _find(change, loaded, path)
    return {
        "key": show_key(change),
        "before": change.before,
        "after": change.after,
        "file": place.file,
        "line": place.line or None,
    }


def show_key(change: Change) -> str:
    """Return the dotted name of a setting; entries of lists are counted from 1."""
    return ".".join(str(int(each) + 1) if each.isdigit() else each for each in change.path)


def _tell(change: Change, place: Place) -> str:
    where = f"{place.file}:{place.line}" if place.line else place.file
    if change.path[-1].isdigit():
        word = "new" if change.before is None else "gone"
        entry = change.after if change.before is None else change.before
        return f"{where}: {show_key(change)} is {word}: {_show(entry)}"
    return f"{where}: {show_key(change)}: {_show(change.before)} -> {_show(change.after)}"


def _show(value: Any) -> str:
    """Return a value in one line, as YAML has it."""
    if value is None:
        return "(not given)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_show(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_show, value)) + "]"
    if isinstance(value, str) and value and not set(value) & set(" :,{}[]\"'#&*!|>%@`"):
        return value
    return json.dumps(value, ensure_ascii=False)
