"""
From a file to a Configuration, or to all of its problems in one go.

cattrs structures and collects; here its paths are turned back into places. Words are read by
`values`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
import cattrs
from attrs import frozen
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from netevd.config import condition, kinds, legacy, schema
from netevd.config.conflicts import find_conflicts
from netevd.config.identities import LIMITS
from netevd.config.includes import File, read_all
from netevd.config.scalars import locate
from netevd.config.schema import Configuration, Origin
from netevd.config.tree import Place, Problem, Tree
from netevd.config.values import READERS
from netevd.config.words.text import read_bool, show

DEFAULT_PATH: Final = "/etc/netevd/netevd.yaml"


@frozen(slots=True)
class Loaded:
    """A checked configuration, and where its settings were written."""

    configuration: Configuration
    places: dict[tuple[str, ...], Place]
    """Place of every setting that a file gives, by its path of keys; in lists the index is one."""
    files: tuple[File, ...] = ()
    """What was read, the main file first."""
    notices: tuple[Problem, ...] = ()
    """What is to be said of keys and variables that are called otherwise today; none is wrong."""


def load(
    path: str | None, environment: Mapping[str, str], given: bytes | None = None
) -> Loaded | list[Problem]:
    """
    Return the configuration of a file (None: the default one, if there is one) or its problems.

    given: what to read instead of the file's content; files that it includes are read.
    """
    problems: list[Problem] = []
    files: tuple[File, ...] = ()
    if path is None and _is_absent(DEFAULT_PATH):
        tree = Tree(Place(DEFAULT_PATH), {})
    else:
        tree, files = read_all(path or DEFAULT_PATH, environment, problems, given)
    accepted = legacy.accept(tree, environment, problems)
    try:
        configuration = _converter.structure(tree.plain(), Configuration)
    except ClassValidationError as error:
        problems.extend(_rename(each, accepted.names) for each in _find_problems(error, tree))
    problems.extend(_find_faulty_conditions(tree))
    if problems:
        return sorted(set(problems))
    places = dict(_find_places(tree, ()))
    loaded = _add_origins(Loaded(configuration, places, files, accepted.notices))
    return find_conflicts(loaded.configuration, loaded.places) or loaded


def _is_absent(path: str) -> bool:
    """Tell whether a file is not there; of one that can't be looked at it is told later why."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _rename(problem: Problem, names: Mapping[Place, str]) -> Problem:
    """Return a problem of a value that was moved with the name that the user has for it."""
    name = names.get(problem.place)
    if name is None:
        return problem
    _, _, text = problem.message.partition(": ")
    return Problem(problem.place, f"{name}: {text}")


def _add_origins(loaded: Loaded) -> Loaded:
    """Return the same with filters that know where they are written, for who asks later why."""
    filters = []
    for index, each in enumerate(loaded.configuration.filters):
        place = loaded.places["filters", str(index)]
        filters.append(attrs.evolve(each, origin=Origin(place.file, place.line)))
    return attrs.evolve(
        loaded, configuration=attrs.evolve(loaded.configuration, filters=tuple(filters))
    )


def _find_places(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Place]]:
    if isinstance(tree.value, dict):
        for name, (_, child) in tree.value.items():
            yield (*path, name), child.place
            yield from _find_places(child, (*path, name))
    elif isinstance(tree.value, list):
        for index, child in enumerate(tree.value):
            yield (*path, str(index)), child.place
            yield from _find_places(child, (*path, str(index)))


# --- problems ------------------------------------------------------------------------------------


def _find_problems(error: ClassValidationError, tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each leaf of a tree of validation errors."""
    noted, others = error.group_exceptions()
    for exception, note in noted:
        name = note.name.rstrip("_") if isinstance(note, AttributeValidationNote) else ""
        child = tree.value[name][1] if isinstance(tree.value, dict) and name in tree.value else tree
        if isinstance(exception, ClassValidationError):
            yield from _find_problems(exception, child)
        elif isinstance(exception, cattrs.IterableValidationError):
            yield from _find_item_problems(exception, child, name)
        elif isinstance(exception, KeyError):
            yield Problem(tree.place, f"{name} is missing")
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
        child = tree
        if isinstance(tree.value, list) and isinstance(index, int):
            child = tree.value[index]
        if isinstance(exception, ClassValidationError):
            yield from _find_problems(exception, child)
        else:
            yield Problem(child.place, f"{name}: {exception}")
    for exception in others:
        yield Problem(tree.place, f"{name}: {exception}")


def _find_faulty_conditions(tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each mistake in a condition, whatever else is wrong."""
    if not isinstance(tree.value, dict) or "filters" not in tree.value:
        return
    filters = tree.value["filters"][1].value
    for each in filters if isinstance(filters, list) else ():
        match = each.value.get("match") if isinstance(each.value, dict) else None
        keys = match[1].value if match is not None else None
        found = keys.get("condition") if isinstance(keys, dict) else None
        if found is None or not isinstance(found[1].value, str) or not found[1].value.strip():
            continue
        for fault in condition.check(found[1].value[: kinds.EXPRESSION_LIMIT]):
            place = locate(found[1], fault.line, fault.column)
            yield Problem(place, f"condition: {fault.message}")


def _find_unknown_keys(error: ForbiddenExtraKeysError, tree: Tree) -> Iterator[Problem]:
    names = [field.name.rstrip("_") for field in attrs.fields(error.cl)]
    known = [name for name in names if name != "origin"]
    if error.cl is Configuration:
        known.append("include")
    assert isinstance(tree.value, dict)
    for name in error.extra_fields:
        place = tree.value[name][0]
        close = difflib.get_close_matches(name, known, 1, 0.6)
        if error.cl is schema.Limits and name.lower().removeprefix("rlimit_") in _LIMITS:
            close = [_LIMITS[name.lower().removeprefix("rlimit_")]]
        elsewhere = [key for key, inside in _SECTIONS.items() if name in inside]
        if close:
            advice = f"did you mean {close[0]!r}?"
        elif elsewhere and error.cl is Configuration:
            advice = f"it belongs below {elsewhere[0]!r}"
        else:
            advice = f"expected {', '.join(sorted(known))}"
        yield Problem(place, f"unknown key {name!r}; {advice}")


_LIMITS: Final = {word: name for name, word in LIMITS.items()}

_SECTIONS: Final = {
    "system": {field.name for field in attrs.fields(schema.System)},
    "network": {field.name for field in attrs.fields(schema.Network)},
    "scripts": {field.name for field in attrs.fields(schema.Scripts)},
    "routes": {field.name for field in attrs.fields(schema.Routes)},
    "debounce": {field.name for field in attrs.fields(schema.Debounce)},
    "api": {field.name for field in attrs.fields(schema.Api)},
    "webhooks": {field.name for field in attrs.fields(schema.Webhooks)},
    "routing": {field.name for field in attrs.fields(schema.Routing)},
    "security": {field.name for field in attrs.fields(schema.Security)},
}


# --- types -----------------------------------------------------------------------------------------


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(bool, read_bool)
    for kind, reader in READERS.items():
        converter.register_structure_hook_func(lambda given, kind=kind: given == kind, reader)  # type: ignore[misc]
    # what stands inside first: cattrs looks up the readers of fields when it makes that of a class
    _accept_mappings(converter, schema.Limits, schema.Limits())
    _accept_mappings(converter, schema.Rule)
    _accept_lists(converter, tuple[schema.Rule, ...])
    _accept_lists(converter, tuple[kinds.AbsolutePath, ...])
    _accept_mappings(converter, schema.Match, schema.Match())
    _accept_mappings(converter, schema.Webhook)
    _accept_lists(converter, tuple[schema.Webhook, ...])
    _accept_mappings(converter, schema.Filter, origin=cattrs.override(omit=True))
    _accept_lists(converter, tuple[schema.Filter, ...])
    _accept_mappings(converter, schema.Override)
    _accept_lists(converter, tuple[schema.Override, ...])
    _accept_mappings(converter, schema.Damping, schema.Damping())
    _accept_mappings(converter, schema.Policy, schema.Policy())
    _accept_mappings(converter, schema.FixedRule, from_=cattrs.override(rename="from"))
    _accept_lists(converter, tuple[schema.FixedRule, ...])
    _accept_mappings(converter, schema.Tls, schema.Tls())
    _accept_mappings(converter, schema.Token)
    _accept_lists(converter, tuple[schema.Token, ...])
    _accept_mappings(converter, schema.Signer)
    _accept_lists(converter, tuple[schema.Signer, ...])
    sections = (
        schema.System, schema.Network, schema.Scripts, schema.Routes, schema.Routing,
        schema.Debounce, schema.AuditLog, schema.Api, schema.Webhooks, schema.Security,
    )  # fmt: skip
    for section in sections:
        _accept_mappings(converter, section, section())
    return converter


def _accept_mappings(
    converter: cattrs.Converter, section: type, empty: object = None, **fields: Any
) -> None:
    """
    Read a mapping as this class; one written with nothing below it is `empty`, if that is given.

    fields: cattrs' overrides of single fields.
    """
    structure: Callable[..., object] = cattrs.gen.make_dict_structure_fn(
        section, converter, **fields
    )

    def read(value: object, kind: Any) -> object:
        if value is None and empty is not None:
            return empty
        if not isinstance(value, dict):
            raise TypeError(f"expected keys and values, found {show(value)}")
        return structure(value, kind)

    converter.register_structure_hook(section, read)


def _accept_lists(converter: cattrs.Converter, kind: object) -> None:
    """Read a list as this kind of tuple, nothing as an empty one."""
    structure: Callable[..., object] = converter.get_structure_hook(kind)

    def read(value: object, kind: Any) -> object:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise TypeError(f"expected a list, found {show(value)}")
        return structure(value, kind)

    converter.register_structure_hook_func(lambda given: given == kind, read)


_converter = _make_converter()
