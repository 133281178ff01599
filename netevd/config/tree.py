"""
A YAML file as a tree in which every key and value knows its place.

Belongs here: from bytes to nodes, and what YAML allows but a configuration can't mean. What keys
mean does not.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import Final, TypeAlias

from attrs import field, frozen
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of one file; a configuration of thousands of rules has a tenth of it."""
NODE_LIMIT: Final = 20_000
"""Values after aliases were followed; more is an alias bomb or a mistake."""
DEPTH_LIMIT: Final = 32


@frozen(slots=True, order=True)
class Place:
    """Where something stands. Line and column count from 1; 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


Places: TypeAlias = dict[tuple[str, ...], Place]
"""Place of every setting that a file gives, by its path of keys; in lists the index is one."""


@frozen(slots=True, order=True)
class Problem:
    """Something that is wrong, where, and what to do about it."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@frozen(slots=True)
class Written:
    """Text as it stands in a file."""

    style: str
    """|, >, a quotation mark, or "" for plain."""
    raw: str
    """All of it, quotation marks and indentation included."""


@frozen(slots=True)
class Tree:
    """One value: text, a list, or a mapping of names to places and trees."""

    place: Place
    value: str | list[Tree] | dict[str, tuple[Place, Tree]] | None
    """None: written with nothing, ~ or null."""
    written: Written | None = field(default=None, eq=False, repr=False)
    """How text is written; None where it was changed since, or is no text."""

    @property
    def kind(self) -> str:
        """Return what this is, in words for a message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return "nothing" if self.value is None else f"{self.value[:80]!r}"

    def plain(self) -> object:
        """Return the value without its places."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, (_, child) in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


class Unreadable(Exception):
    """A file has problems of its own."""

    def __init__(self, *problems: Problem) -> None:
        """Hold the problems."""
        super().__init__(*problems)
        self.problems = problems


def read_file(path: str) -> bytes:
    """Return the bytes of a regular file of sensible size. Raises: Unreadable."""
    place = Place(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(Problem(place, _explain_open(path, error))) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise Unreadable(Problem(place, f"expected a YAML file, found {what}"))
        if status.st_size > SIZE_LIMIT:
            size = f"{status.st_size} bytes, more than {SIZE_LIMIT}"
            raise Unreadable(Problem(place, f"the file has {size}; is it a configuration?"))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_LIMIT)
    finally:
        os.close(descriptor)


def _explain_open(path: str, error: OSError) -> str:
    if not isinstance(error, PermissionError):
        return f"can't be read: {error.strerror}"
    blocked = path
    parts = os.path.dirname(os.path.abspath(path)).split("/")
    for end in range(2, len(parts) + 1):
        directory = "/".join(parts[:end])
        if not os.access(directory, os.X_OK, effective_ids=True):
            blocked = directory
            break
    mode = "x" if blocked != path else "r"
    try:
        who = f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        who = f"uid {os.geteuid()}"
    return (
        f"{who} may not {'enter' if mode == 'x' else 'read'} {blocked};"
        f" mend it with: chgrp netevd {blocked} && chmod g+{'rx' if mode == 'x' else 'r'} {blocked}"
    )


def parse(content: bytes, path: str) -> Tree | None:
    """Return the tree of a file's bytes, None for an empty one. Raises: Unreadable."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        byte = content[error.start]
        raise Unreadable(
            Problem(
                Place(path, line, column), f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
            )
        ) from None
    yaml = YAML(typ="safe", pure=True)
    try:
        nodes = list(yaml.compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)
        raise Unreadable(Problem(place, f"not YAML: {error.problem or error.context}")) from None
    except (YAMLError, ValueError) as error:
        raise Unreadable(Problem(Place(path), f"not YAML: {str(error).splitlines()[0]}")) from None
    except RecursionError:
        raise Unreadable(Problem(Place(path), "not YAML: nested too deeply")) from None
    if len(nodes) > 1 and nodes[1] is not None:
        mark = nodes[1].start_mark
        raise Unreadable(
            Problem(Place(path, mark.line + 1, mark.column + 1), "a second document; expected one")
        )
    if not nodes or nodes[0] is None:
        return None
    return _Converter(path, text).convert(nodes[0], 0)


class _Converter:
    """Makes trees of ruamel's nodes, counting them."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._count = 0

    def convert(self, node: object, depth: int) -> Tree:
        """Return the tree of one node. Raises: Unreadable."""
        assert isinstance(node, ScalarNode | SequenceNode | MappingNode)
        place = Place(self._path, node.start_mark.line + 1, node.start_mark.column + 1)
        self._count += 1
        if self._count > NODE_LIMIT:
            message = f"more than {NODE_LIMIT} values once aliases are followed"
            raise Unreadable(Problem(place, message))
        if depth > DEPTH_LIMIT:
            raise Unreadable(
                Problem(place, f"nested deeper than {DEPTH_LIMIT} levels, or an alias of itself")
            )
        tag = str(node.tag)
        if tag.startswith(("!", "tag:yaml.org,2002:python")):
            raise Unreadable(Problem(place, f"tag {tag} is not understood; write plain values"))
        if isinstance(node, SequenceNode):
            return Tree(place, [self.convert(child, depth + 1) for child in node.value])
        if isinstance(node, MappingNode):
            return Tree(place, self._convert_mapping(node, depth))
        null = tag == "tag:yaml.org,2002:null"
        if null:
            return Tree(place, None)
        raw = self._text[node.start_mark.index : node.end_mark.index]
        return Tree(place, str(node.value), Written(str(node.style or ""), raw))

    def _convert_mapping(self, node: MappingNode, depth: int) -> dict[str, tuple[Place, Tree]]:
        found: dict[str, tuple[Place, Tree]] = {}
        for key, value in node.value:
            mark = key.start_mark
            place = Place(self._path, mark.line + 1, mark.column + 1)
            if not isinstance(key, ScalarNode):
                raise Unreadable(Problem(place, "a key must be a word"))
            name = str(key.value)
            if name == "<<":
                raise Unreadable(
                    Problem(place, "merge keys (<<) are not understood; repeat the keys")
                )
            if name in found:
                first = found[name][0].line
                raise Unreadable(
                    Problem(place, f"key {name!r} is given twice, first in line {first}")
                )
            found[name] = (place, self.convert(value, depth + 1))
        return found
