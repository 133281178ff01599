"""
From a file to a Configuration, or to all of its problems in one go.

cattrs structures and collects; here its paths are turned back into places, and words of every type
are read.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

import attrs
import cattrs
from attrs import frozen
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from netevd.config import schema
from netevd.config.includes import read_all
from netevd.config.schema import Configuration
from netevd.config.tree import Place, Problem, Tree
from netevd.model.route import read_protocol, read_table

DEFAULT_PATH: Final = "/etc/netevd/netevd.yaml"

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\Z")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?\Z")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?\Z", re.IGNORECASE)
_WRITTEN_TRUE: Final = {"true": True, "false": False}


@frozen(slots=True)
class Loaded:
    """A checked configuration, and where its settings were written."""

    configuration: Configuration
    places: dict[tuple[str, ...], Place]
    """Place of every setting that a file gives, by its path of keys."""


def load(path: str | None, environment: Mapping[str, str]) -> Loaded | list[Problem]:
    """Return the configuration of a file (None: the default one, if there is one) or its problems."""
    if path is None:
        if not os.path.lexists(DEFAULT_PATH):
            return Loaded(Configuration(), {})
        path = DEFAULT_PATH
    problems: list[Problem] = []
    tree = read_all(path, environment, problems)
    configuration = Configuration()
    try:
        configuration = _converter.structure(_to_plain(tree), Configuration)
    except ClassValidationError as error:
        problems.extend(_find_problems(error, tree))
    return (
        sorted(set(problems)) if problems else Loaded(configuration, dict(_find_places(tree, ())))
    )


def _to_plain(tree: Tree) -> object:
    if isinstance(tree.value, dict):
        return {name: _to_plain(child) for name, (_, child) in tree.value.items()}
    if isinstance(tree.value, list):
        return [_to_plain(child) for child in tree.value]
    return tree.value


def _find_places(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Place]]:
    if isinstance(tree.value, dict):
        for name, (_, child) in tree.value.items():
            yield (*path, name), child.place
            yield from _find_places(child, (*path, name))


# --- problems ------------------------------------------------------------------------------------


def _find_problems(error: ClassValidationError, tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each leaf of a tree of validation errors."""
    noted, others = error.group_exceptions()
    for exception, note in noted:
        name = note.name if isinstance(note, AttributeValidationNote) else ""
        child = tree.value[name][1] if isinstance(tree.value, dict) and name in tree.value else tree
        if isinstance(exception, ClassValidationError):
            yield from _find_problems(exception, child)
        elif isinstance(exception, cattrs.IterableValidationError):
            yield from _find_item_problems(exception, child, name)
        else:
            yield Problem(child.place, f"{name}: {exception}")
    for exception in others:
        if isinstance(exception, ForbiddenExtraKeysError):
            yield from _find_unknown_keys(exception, tree)
        else:
            yield Problem(tree.place, str(exception))


def _find_item_problems(
    error: cattrs.IterableValidationError, tree: Tree, name: str
) -> Iterator[Problem]:
    noted, others = error.group_exceptions()
    for exception, note in noted:
        index = note.index if isinstance(note, IterableValidationNote) else 0
        known = isinstance(tree.value, list) and isinstance(index, int)
        place = tree.value[index].place if known else tree.place  # type: ignore[index, union-attr]
        yield Problem(place, f"{name}: {exception}")
    for exception in others:
        yield Problem(tree.place, f"{name}: {exception}")


def _find_unknown_keys(error: ForbiddenExtraKeysError, tree: Tree) -> Iterator[Problem]:
    known = [attribute.name for attribute in attrs.fields(error.cl)]
    if error.cl is Configuration:
        known.append("include")
    assert isinstance(tree.value, dict)
    for name in error.extra_fields:
        place = tree.value[name][0]
        close = difflib.get_close_matches(name, known, 1, 0.6)
        elsewhere = [key for key, inside in _SECTIONS.items() if name in inside]
        if close:
            advice = f"did you mean {close[0]!r}?"
        elif elsewhere and error.cl is Configuration:
            advice = f"it belongs below {elsewhere[0]!r}"
        else:
            advice = f"expected {', '.join(sorted(known))}"
        yield Problem(place, f"unknown key {name!r}; {advice}")


_SECTIONS: Final = {
    "system": {field.name for field in attrs.fields(schema.System)},
    "network": {field.name for field in attrs.fields(schema.Network)},
    "scripts": {field.name for field in attrs.fields(schema.Scripts)},
    "routes": {field.name for field in attrs.fields(schema.Routes)},
}


# --- types -----------------------------------------------------------------------------------------


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(str(value)[:80])


def _read_text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected {expected}, found {_show(value)}")
    if "\0" in value or "\n" in value:
        raise ValueError(f"expected {expected}, found a line end or NUL in it")
    return value


def _read_bool(value: object, _: object) -> bool:
    text = _read_text(value, "true or false")
    if text.lower() not in _WRITTEN_TRUE:
        raise ValueError(f"expected true or false, found {text[:80]!r}")
    return _WRITTEN_TRUE[text.lower()]


def _read_duration(value: object, _: object) -> float:
    text = _read_text(value, "a duration such as 30s")
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"expected a duration such as 250ms, 30s, 5m or 1h, found {text[:80]!r}")
    if match[2] is None:
        raise ValueError(f"the unit is missing; write {text}s for seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0.001 <= seconds <= 86400 * 366:
        raise ValueError(f"expected a duration from 1ms to one year, found {text[:80]!r}")
    return seconds


def _read_size(value: object, _: object) -> int:
    text = _read_text(value, "a size such as 64KiB")
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 65536, 64KiB or 1MiB, found {text[:80]!r}")
    size = int(match[1]) * _SIZES[match[2] or ""]
    if size > 16 * 1024**2:
        raise ValueError(f"expected at most 16MiB, found {text[:80]!r}")
    return size


def _read_count(value: object, _: object) -> int:
    text = _read_text(value, "a number from 1 to 200")
    if not text.strip().isascii() or not text.strip().isdigit() or not 1 <= int(text) <= 200:
        raise ValueError(f"expected a number from 1 to 200, found {text[:80]!r}")
    return int(text)


def _read_words(value: object, what: str) -> list[str]:
    if isinstance(value, list):
        return [_read_text(word, what) for word in value]
    return _read_text(value, what).split()


def _read_patterns(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "interface names or globs")
    for word in words:
        bare = word.removeprefix("!")
        if not bare or any(character.isspace() or character == "/" for character in bare):
            raise ValueError(f"expected an interface name or glob, found {word[:80]!r}")
    return tuple(words)


def _read_tables(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "routing tables by name or number")
    for word in words:
        read_table(word)
    if len(words) > 64:
        raise ValueError(f"expected at most 64 routing tables, found {len(words)}")
    return tuple(words)


def _read_protocols(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "route protocols by name or number")
    for word in words:
        read_protocol(word)
    if len(words) > 64:
        raise ValueError(f"expected at most 64 route protocols, found {len(words)}")
    return tuple(words)


def _read_path(value: object, _: object) -> str:
    text = _read_text(value, "an absolute path")
    if not text.startswith("/") or len(text) > 1024:
        raise ValueError(f"expected an absolute path such as /etc/netevd, found {text[:80]!r}")
    return os.path.normpath(text)


def _read_user(value: object, _: object) -> str:
    text = _read_text(value, "the name of a system user")
    if not _USER.match(text):
        raise ValueError(f"expected the name of a system user, found {text[:80]!r}")
    return text


def _read_choice(value: object, kind: Any) -> str:
    words = get_args(kind)
    text = _read_text(value, f"one of {', '.join(words)}")
    if text not in words:
        close = difflib.get_close_matches(text, words, 1)
        advice = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected one of {', '.join(words)}, found {text[:80]!r}{advice}")
    return text


def _read_backends(value: object, _: object) -> tuple[str, ...]:
    return tuple(_read_choice(word, schema.Backend) for word in _read_words(value, "a backend"))


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    readers: dict[object, Callable[[object, object], object]] = {
        schema.Duration: _read_duration,
        schema.Size: _read_size,
        schema.Count: _read_count,
        schema.Patterns: _read_patterns,
        schema.Tables: _read_tables,
        schema.Protocols: _read_protocols,
        schema.AbsolutePath: _read_path,
        schema.UserName: _read_user,
        tuple[schema.Backend, ...]: _read_backends,
        schema.Level: _read_choice,
        schema.Format: _read_choice,
    }
    for kind, reader in readers.items():
        converter.register_structure_hook_func(lambda given, kind=kind: given == kind, reader)  # type: ignore[misc]
    converter.register_structure_hook(bool, _read_bool)
    for section in (schema.System, schema.Network, schema.Scripts, schema.Routes):
        _accept_empty(converter, section)
    return converter


def _accept_empty(converter: cattrs.Converter, section: type) -> None:
    """Read a section written with nothing below it as one with its defaults."""
    structure: Callable[..., object] = cattrs.gen.make_dict_structure_fn(section, converter)

    def read(value: object, kind: Any) -> object:
        if value is None:
            return section()
        if not isinstance(value, dict):
            raise TypeError(f"expected keys and values, found {_show(value)}")
        return structure(value, kind)

    converter.register_structure_hook(section, read)


_converter = _make_converter()
