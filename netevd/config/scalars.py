"""Where in a file a character of a value stands, so that a mistake within text has a column."""

from __future__ import annotations

import re
from typing import Final

from netevd.config.tree import Place, Tree, Written

_ESCAPE: Final = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|.", re.DOTALL)
"""One character of a double-quoted scalar. Source: YAML 1.2.2 section 5.7."""

_QUOTE: Final = re.compile(r"''|.", re.DOTALL)
"""One character of a single-quoted scalar. Source: YAML 1.2.2 section 7.3.2."""


def locate(tree: Tree, line: int, column: int) -> Place:
    """
    Return the place of a character of a scalar. line and column: within its value, from 1.

    Exact for a scalar that is written in one line, and for a literal block; of any other, and of one
    whose variables were expanded, it is where the scalar begins.
    """
    written, value = tree.written, tree.value
    if written is None or not isinstance(value, str):
        return tree.place
    if written.style == "|":
        return _locate_in_block(tree.place, written.raw, value, line, column)
    starts = _find_starts(written)
    if "\n" in written.raw or len(starts) != len(value):
        return tree.place
    lines = value.split("\n")[: line - 1]
    index = sum(len(each) + 1 for each in lines) + column - 1
    starts.append(starts[-1] + 1 if starts else 0)  # just behind the last one
    offset = starts[min(index, len(starts) - 1)]
    return Place(tree.place.file, tree.place.line, tree.place.column + offset)


def _find_starts(written: Written) -> list[int]:
    """Return where each character of the value begins in what is written in one line."""
    if written.style not in {"'", '"'}:
        return list(range(len(written.raw)))
    pattern = _ESCAPE if written.style == '"' else _QUOTE
    inner = written.raw[1:-1]
    return [match.start() + 1 for match in pattern.finditer(inner)]


def _locate_in_block(place: Place, raw: str, value: str, line: int, column: int) -> Place:
    lines, values = raw.split("\n"), value.split("\n")
    if line > len(values) or line >= len(lines) or not lines[line].endswith(values[line - 1]):
        return place
    indent = len(lines[line]) - len(values[line - 1])
    return Place(place.file, place.line + line, indent + column)
