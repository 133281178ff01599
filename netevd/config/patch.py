"""
A partial change of a file: a JSON merge patch (RFC 7396), put in where ruamel says that values stand.

What is not changed stays octet by octet: comments, order, quotation marks, gaps. Writing the whole file
by ruamel's round trip was rejected: it moves, joins and loses comments around values that come or go.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from netevd.config.tree import Place, Problem, Unreadable, parse

_PLAIN: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/._+-]*\Z")
"""Text that needs no quotation marks; what YAML would read as nothing is none of it."""


class _Edit(NamedTuple):
    """What comes in place of the characters from `start` to before `end`."""

    start: int
    end: int
    text: str


def apply_patch(content: bytes, patch: bytes, path: str) -> bytes:
    """Return the text of a file after a patch. path: of the file. Raises: Unreadable."""
    tree = parse(content, path)  # refuses what a configuration can't be, such as a bomb of aliases
    if tree is not None and tree.value is not None and not isinstance(tree.value, dict):
        raise Unreadable(
            Problem(tree.place, f"expected keys such as 'network:', found {tree.kind}")
        )
    try:
        wanted = msgspec.json.decode(patch)
        json.dumps(wanted).encode()
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Unreadable(Problem(Place("patch"), f"not JSON: {error}")) from None
    if not isinstance(wanted, dict):
        raise Unreadable(Problem(Place("patch"), "expected an object of settings"))
    text = content.decode("utf-8-sig")
    mark = "\ufeff" if content.startswith(b"\xef\xbb\xbf") else ""
    text += "" if text.endswith("\n") or not text else "\n"
    root = YAML(typ="safe", pure=True).compose(text)
    if isinstance(root, MappingNode):
        edits = _merge(text, root, wanted)
        return (mark + _apply(text, edits, 0, len(text))).encode()
    added = [f"{_write(name)}:{_set(value, '')}\n" for name, value in _prune(wanted).items()]
    return (mark + text + "".join(added)).encode()


def _apply(text: str, edits: list[_Edit], start: int, end: int) -> str:
    """Return this part of the text with the edits that lie in it."""
    pieces, place = [], start
    for edit in sorted(edits, key=lambda each: each[:2]):
        pieces += [text[place : edit.start], edit.text]
        place = edit.end
    return "".join([*pieces, text[place:end]])


def _find_end(text: str, node: Node, key: Node | None = None) -> int:
    """Return where a value ends: behind its last character that is no comment. key: if it has one."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return (
            _find_end(text, last[1], last[0]) if isinstance(last, tuple) else _find_end(text, last)
        )
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    if start < end:
        return start + len(text[start:end].rstrip())
    # nothing is written, and YAML takes it to be where the next thing begins
    return len(text[:start].rstrip()) if key is None else _find_colon(text, key)


def _find_colon(text: str, key: Node) -> int:
    """Return where what follows a key's colon begins."""
    return text.index(":", int(key.end_mark.index)) + 1


def _merge(text: str, node: MappingNode, patch: dict[str, Any]) -> list[_Edit]:
    """Return what a patch changes in a mapping."""
    known = {str(key.value): (key, value) for key, value in node.value}
    edits: list[_Edit] = []
    for name, value in patch.items():
        if name in known and value is not None:
            edits += _replace(text, node, known[name], value)
    gone = [name for name in known if name in patch and patch[name] is None]
    new = {name: value for name, value in _prune(patch).items() if name not in known}
    if node.flow_style and (gone or new):
        parts = []
        for name, (key, value) in known.items():
            if name not in gone:
                start, end = int(key.start_mark.index), _find_end(text, value, key)
                inner = [each for each in edits if start <= each.start and each.end <= end]
                parts.append(_apply(text, inner, start, end))
        parts += [f"{_write(name)}: {_write(value)}" for name, value in new.items()]
        start = int(node.start_mark.index)
        return [_Edit(start, _find_end(text, node), f"{{{', '.join(parts)}}}")]
    for name in gone:
        start = text.rfind("\n", 0, known[name][0].start_mark.index) + 1
        edits.append(
            _Edit(start, _find_line_end(text, _find_end(text, known[name][1], known[name][0])), "")
        )
    if new:
        indent = " " * int(node.value[0][0].start_mark.column)
        place = _find_line_end(text, _find_end(text, node))
        lines = [f"{indent}{_write(name)}:{_set(value, indent)}\n" for name, value in new.items()]
        edits.append(_Edit(place, place, "".join(lines)))
    return edits


def _find_line_end(text: str, place: int) -> int:
    """Return where the line after this place begins."""
    return text.index("\n", place) + 1


def _replace(text: str, above: MappingNode, pair: tuple[Node, Node], value: Any) -> list[_Edit]:
    """Return what gives a key another value. above: the mapping that holds both."""
    key, old = pair
    if isinstance(value, dict) and isinstance(old, MappingNode) and old.value and not old.anchor:
        return _merge(text, old, value)
    end, colon = _find_end(text, old, key), _find_colon(text, key)
    if old.anchor or text[colon:].lstrip(" ").startswith(("*", "&", "!")):
        place = Place("patch")
        problem = f"{key.value}: the file gives it an anchor, an alias or a tag; change it there"
        raise Unreadable(Problem(place, problem))
    indent = " " * int(above.value[0][0].start_mark.column)
    new = f" {_write(value)}" if above.flow_style else _set(value, indent)
    return [_Edit(colon, max(end, colon), new)]


def _prune(value: Any) -> Any:
    """Return a value without the nulls of its objects. Source: RFC 7396 section 2."""
    if isinstance(value, dict):
        return {name: _prune(each) for name, each in value.items() if each is not None}
    return value


def _set(value: Any, indent: str) -> str:
    """Return what follows `key:`; elements that are mappings have a line each."""
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "".join(f"\n{indent}  - {_write(each)}" for each in value)
    return f" {_write(_prune(value))}"


def _write(value: Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_write(name)}: {_write(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() != "null":
        return value
    return json.dumps(value, ensure_ascii=False)
