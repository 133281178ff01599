"""The settings as man(7), from the schema: names, types and defaults of its classes, and their docstrings."""

from __future__ import annotations

import ast
import sys
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import attrs
import roff

from netevd.config import kinds, schema


def describe_settings() -> list[str]:
    """Return every key of a file, then those of the entries of its lists."""
    lines: list[str] = []
    entries: list[type] = []
    for name, kind, default, text in _walk(schema.Configuration, "", entries):
        lines += _describe(name, kind, default, text)
    for entry in entries:  # grows while it is read: entries have entries
        lines += roff.subsection(f"Keys of an entry of type {roff.escape(entry.__name__.lower())}")
        lines += roff.paragraph(" ".join((entry.__doc__ or "").split()))
        for name, kind, default, text in _walk(entry, "", entries):
            lines += _describe(name, kind, default, text)
    return lines


def _describe(name: str, kind: str, default: str, text: str) -> list[str]:
    said = " ".join(text.split())
    return roff.tagged(roff.bold(name), f"{said}\n\n{kind} {default}".strip())


def _walk(owner: type, above: str, entries: list[type]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and docstring of each setting of a class."""
    texts, hints = _read_docstrings(owner.__name__), typing.get_type_hints(owner)
    for each in attrs.fields(owner):
        kind = hints[each.name]
        if kind is schema.Origin:
            continue
        if attrs.has(kind):
            yield from _walk(kind, f"{above}{each.name}.", entries)
            continue
        yield (
            above + each.name,
            _show_type(kind, entries),
            _show_default(each),
            texts.get(each.name, ""),
        )


def _show_type(kind: object, entries: list[type]) -> str:
    """Return what may be written."""
    arguments = [each for each in typing.get_args(kind) if each is not type(None)]
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        return _show_type(arguments[0], entries)
    if typing.get_origin(kind) is typing.Literal:
        if len(arguments) > 10:
            return "A name as of capabilities(7)."
        return "One of " + ", ".join(f"`{each}`" for each in arguments) + "."
    if typing.get_origin(kind) is tuple:
        entry = arguments[0]
        if isinstance(entry, type) and attrs.has(entry):
            if entry not in entries:
                entries.append(entry)
            return f"A list of entries of type {entry.__name__.lower()}, see below."
        return f"A list. Each: {_show_type(entry, entries)}"
    if isinstance(kind, typing.NewType):
        return " ".join(_read_docstrings("")[kind.__name__].split())
    return {bool: "`true` or `false`.", str: "Text.", int: "A number."}[typing.cast(type, kind)]


def _show_default(field: attrs.Attribute[object]) -> str:
    default = field.default
    if default is attrs.NOTHING:
        return "It must be given."
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"Default: `{str(default).lower()}`."
    if isinstance(default, tuple):
        return f"Default: `{' '.join(map(str, default))}`." if default else "Default: empty."
    if isinstance(default, float):
        return f"Default: `{default:g}s`."
    return f"Default: `{default}`."


def _read_docstrings(owner: str) -> dict[str, str]:
    """Return the docstrings that stand below names: of a class of the schema, or of the module ("")."""
    module = sys.modules[getattr(schema, owner).__module__] if owner else kinds
    assert module.__file__ is not None
    body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
    if owner:
        body = next(
            each.body for each in body if isinstance(each, ast.ClassDef) and each.name == owner
        )
    found = {}
    for statement, text in pairwise(body):
        match statement, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(value))),
            ):
                found[name] = value
    return found
