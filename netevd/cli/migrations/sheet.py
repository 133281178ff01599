"""
A YAML file as lines that can be moved: keys with the comments above and behind them.

ruamel's round trip hangs a comment on what stands before it, so that it stays behind when its key
moves; here it goes with its key. What is written in other ways than plain blocks and flows (anchors,
aliases, tags) is not understood, and said to be so.
"""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

from attrs import define, field
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from netevd.config.tree import Tree

_COMMENT: Final = re.compile(r"(?:^|\s)#")
_INDENT: Final = 2
"""Spaces by which what is inside stands further right."""


class NotUnderstood(Exception):
    """A file is written in a way that can't be changed line by line."""


@define(slots=True)
class Raw:
    """Text of a value as it was written."""

    text: str
    column: int = 0
    """Of its key or dash: by as much as that moves its further lines move too."""
    node: Node | None = field(default=None, repr=False)
    """What YAML makes of it; None: it is new."""


@define(slots=True)
class Entry:
    """One key with its value, or one element of a list."""

    name: str
    """What the key says, "" in lists."""
    key: str
    """The key as it is written."""
    value: Value
    before: list[str] = field(factory=list)
    """Lines above it without their indentation: comments and empty ones."""
    after: str = ""
    """The comment that ends its first line, and the gap before it."""

    def take_comment(self) -> list[str]:
        """Take away the comment right above it and the one behind it, and return their lines."""
        count = 0
        while count < len(self.before) and self.before[-1 - count].startswith("#"):
            count += 1
        taken = self.before[len(self.before) - count :]
        del self.before[len(self.before) - count :]
        taken += [self.after.strip()] if self.after else []
        self.after = ""
        return taken


@define(slots=True)
class Group:
    """A mapping or a list in block style."""

    entries: list[Entry] = field(factory=list)
    is_list: bool = False

    def index(self, name: str) -> int | None:
        """Return where an entry stands; in lists the name is a number."""
        if self.is_list:
            return int(name) if name.isdigit() and int(name) < len(self.entries) else None
        return next((at for at, each in enumerate(self.entries) if each.name == name), None)


Value: TypeAlias = Raw | Group


@define(slots=True)
class Sheet:
    """A whole file."""

    root: Group = field(factory=Group)
    tail: list[str] = field(factory=list)
    """Lines behind the last value."""


def read_sheet(text: str) -> Sheet:
    """Return a file that YAML has read before. Raises: NotUnderstood."""
    text += "" if text.endswith("\n") or not text else "\n"
    root = YAML(typ="safe", pure=True).compose(text)
    if root is None or isinstance(root, ScalarNode):
        return Sheet(tail=text.splitlines())
    if not isinstance(root, MappingNode) or root.flow_style:
        raise NotUnderstood("it is not a mapping in block style")
    reader = _Reader(text)
    group = reader.read_group(root)
    return Sheet(group, [line.strip() for line in text[reader.cursor :].splitlines()])


def write_sheet(sheet: Sheet) -> str:
    """Return the text of a file."""
    lines = _write_group(sheet.root, 0)
    return "".join(f"{line}\n" for line in [*lines, *sheet.tail])


def write_value(value: object) -> str:
    """Return a plain value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {write_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write_value, value)) + "]"
    if isinstance(value, str) and re.match(r"[A-Za-z0-9/][A-Za-z0-9/._+*-]*\Z", value):
        return value if value.lower() != "null" else json.dumps(value)
    if isinstance(value, str) and '"' in value and value.isprintable() and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def make_sheet(tree: Tree) -> Sheet:
    """Return a file of the same values without any comment."""
    return Sheet(_make_group(tree))


def _make_group(tree: Tree) -> Group:
    if isinstance(tree.value, dict):
        return Group(
            [
                Entry(name, write_value(name), _make_value(each))
                for name, (_, each) in tree.value.items()
            ]
        )
    assert isinstance(tree.value, list)
    return Group([Entry("", "", _make_value(each)) for each in tree.value], is_list=True)


def _make_value(tree: Tree) -> Value:
    if isinstance(tree.value, dict | list) and tree.value:
        return _make_group(tree)
    return Raw(write_value(tree.plain()))


# --- reading ---------------------------------------------------------------------------------------


class _Reader:
    """Takes a text apart, from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.cursor = 0
        """What stands before it was taken."""

    def read_group(self, node: MappingNode | SequenceNode) -> Group:
        """Return what stands in a mapping or list in block style."""
        _refuse(node)
        if isinstance(node, SequenceNode):
            return Group([self._read_element(child) for child in node.value], is_list=True)
        return Group([self._read_pair(key, value) for key, value in node.value])

    def _read_pair(self, key: Node, value: Node) -> Entry:
        start, end = int(key.start_mark.index), int(key.end_mark.index)
        if not isinstance(key, ScalarNode) or start < self.cursor:
            raise NotUnderstood(f"line {key.start_mark.line + 1} has a key that is no plain word")
        before = self._take_lines(start)
        written = self._text[start:end].rstrip()
        self.cursor = self._text.index(":", start + len(written)) + 1
        entry = Entry(str(key.value), written, Raw(""), before)
        self._read_value(entry, value, int(key.start_mark.column))
        return entry

    def _read_element(self, node: Node) -> Entry:
        found = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*-").match(self._text, self.cursor)
        if found is None:
            raise NotUnderstood("a list is neither in block style nor in one of brackets")
        dash = found.end() - 1
        entry = Entry("", "", Raw(""), self._take_lines(dash))
        self.cursor = dash + 1
        self._read_value(entry, node, dash - self._text.rfind("\n", 0, dash) - 1)
        return entry

    def _take_lines(self, end: int) -> list[str]:
        """Return the whole lines from the cursor on; what stands before `end` is indentation."""
        return [line.strip() for line in self._text[self.cursor : end].split("\n")[:-1]]

    def _read_value(self, entry: Entry, node: Node, column: int) -> None:
        """Read what follows a colon or dash into its entry."""
        if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
            if "\n" in self._text[self.cursor : _find_start(node)]:
                entry.after = self._take_rest()
            entry.value = self.read_group(node)
            return
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        if start < self.cursor and start != end:
            raise NotUnderstood("it has aliases")
        _refuse(node)
        if start != end:
            if self._text[self.cursor : start].strip():
                raise NotUnderstood(f"line {node.start_mark.line + 1} has an anchor or a tag")
            text = self._text[start:end].rstrip()
            self.cursor = start + len(text)
            entry.value = Raw(text, column, node)
        entry.after = self._take_rest()

    def _take_rest(self) -> str:
        """Return the comment in the rest of this line, and go on to the next one."""
        end = self._text.find("\n", self.cursor)
        rest = self._text[self.cursor : end].rstrip()
        if rest and not rest.lstrip().startswith("#"):
            raise NotUnderstood(f"{rest.strip()[:40]!r} is an anchor, an alias or a tag")
        self.cursor = end + 1
        return rest


def _refuse(node: Node) -> None:
    if node.anchor:
        raise NotUnderstood(f"line {node.start_mark.line + 1} has an anchor")


def _find_start(node: MappingNode | SequenceNode) -> int:
    """Return where the first key or element begins."""
    first = node.value[0]
    return int((first[0] if isinstance(first, tuple) else first).start_mark.index)


def open_flow(entry: Entry) -> Group | None:
    """
    Return the value of an entry as a group, one of braces or brackets taken apart; None for a word.
    """
    value = entry.value
    if isinstance(value, Group):
        return value
    node = value.node
    if not isinstance(node, MappingNode | SequenceNode):
        if value.text.strip() not in {"", "~", "null", "{}"}:
            return None
        entry.value = Group()
        return entry.value
    if _COMMENT.search(value.text):
        raise NotUnderstood(f"line {node.start_mark.line + 1} has a comment between braces")
    offset = int(node.start_mark.index)

    def cut(child: Node) -> Raw:
        _refuse(child)
        start, end = int(child.start_mark.index) - offset, int(child.end_mark.index) - offset
        if start < 0 or (start == end and child.value):
            raise NotUnderstood("it has aliases")
        return Raw(value.text[start:end].rstrip(), value.column, child)

    group = Group(is_list=isinstance(node, SequenceNode))
    for each in node.value:
        if isinstance(each, tuple):
            group.entries.append(Entry(str(each[0].value), cut(each[0]).text, cut(each[1])))
        else:
            group.entries.append(Entry("", "", cut(each)))
    entry.value = group
    return group


# --- writing ---------------------------------------------------------------------------------------


def _write_group(group: Group, indent: int) -> list[str]:
    lines: list[str] = []
    for entry in group.entries:
        lines += [" " * indent + line if line else "" for line in entry.before]
        lines += _write_entry(entry, indent, is_element=group.is_list)
    return lines


def _write_entry(entry: Entry, indent: int, *, is_element: bool) -> list[str]:
    lead = " " * indent + ("-" if is_element else f"{entry.key}:")
    after = entry.after
    value = entry.value
    if isinstance(value, Raw):
        first, *rest = _shift(value, indent)
        text = f"{lead} {first}" if first else lead
        if rest and not first.startswith(("|", ">")):
            rest[-1] += after
            return [text, *rest]
        return [text + after, *rest]
    if not value.entries:
        return [f"{lead} {'[]' if value.is_list else '{}'}{after}"]
    inner = _write_group(value, indent + _INDENT)
    if is_element and not after and not value.is_list and not value.entries[0].before:
        return [lead + " " + inner[0].lstrip(), *inner[1:]]
    return [lead + after, *inner]


def _shift(value: Raw, indent: int) -> list[str]:
    """Return the lines of a value whose key stands at another column than it did."""
    first, *rest = value.text.split("\n")
    by = indent - value.column
    return [first, *(_move(line, by) for line in rest)]


def _move(line: str, by: int) -> str:
    if not line.strip():
        return ""
    return " " * by + line if by >= 0 else line[min(-by, len(line) - len(line.lstrip())) :]
