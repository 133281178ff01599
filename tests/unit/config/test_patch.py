"""Partial changes of a file: what is asked for changes, what people wrote stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netevd.config.patch import apply_patch
from netevd.config.tree import Unreadable, parse

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([1, True, "x", "30s", "${A:-b}", "# no comment", "no", "", "a: b"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
FILES = st.dictionaries(NAMES, VALUES, max_size=3)
PATCHES = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def merge(target: Any, patch: Any) -> Any:
    """Return what RFC 7396 makes of two values."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def write(value: Any, depth: int = 0, *, flow: bool) -> list[str]:
    """Return lines of YAML with a comment of its own before each key of a mapping."""
    lines: list[str] = []
    for number, (name, inner) in enumerate(value.items()):
        lines.append(f"{'  ' * depth}# C{depth}{name}{number}")
        if isinstance(inner, dict) and inner and not flow:
            lines += [f"{'  ' * depth}{name}:", *write(inner, depth + 1, flow=flow)]
        elif isinstance(inner, list) and inner and not flow:
            lines.append(f"{'  ' * depth}{name}:")
            lines += [f"{'  ' * depth}- {json.dumps(each)}" for each in inner]
        else:
            lines.append(f"{'  ' * depth}{name}: {json.dumps(inner)}  # E{name}")
    return lines


def settle(value: Any) -> Any:
    """Return a value as the configuration reads it: text, and nothing for what is empty."""
    if isinstance(value, dict):
        found = {name: settle(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not None} or None
    if isinstance(value, list):
        return [settle(each) for each in value]
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else str(value)


@given(FILES, st.dictionaries(NAMES, PATCHES, max_size=3), st.booleans())
def test_values_are_those_of_the_rfc_and_comments_stay(
    file: dict[str, Any], patch: dict[str, Any], flow: bool
) -> None:
    """Whatever a file holds and a patch wants: values as RFC 7396 has them, comments that stay."""
    text = "\n".join(write(file, flow=flow)) + "\n# the end"

    patched = apply_patch(text.encode(), json.dumps(patch).encode(), "f")

    tree = parse(patched, "f")
    assert settle(None if tree is None else tree.plain()) == settle(merge(file, patch))
    lines = patched.decode().splitlines()
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        line for line in lines if line.startswith("# ")
    ]
    for number, line in enumerate(text.splitlines()):
        if line.startswith("# C0") and line[4] not in patch:
            assert "\n".join(text.splitlines()[number : number + 2]) in patched.decode()


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ("", {"a": 1}, "a: 1\n"),
        ("# head\n", {"a": 1}, "# head\na: 1\n"),
        ("# head", {}, "# head\n"),
        ("\ufeffa: 1\n", {"a": 2}, "\ufeffa: 2\n"),
        ("a: 1\r\nb: 2\r\n", {"a": 3}, "a: 3\r\nb: 2\r\n"),
        ("# head\n\na: 1 # one\nb: 2\n", {"a": None}, "# head\n\nb: 2\n"),
        ("a: 1   # one\n# two\nb: 2\n", {"a": 3}, "a: 3   # one\n# two\nb: 2\n"),
        ("a: [x, y] # both\n", {"a": ["z"]}, "a: [z] # both\n"),
        ("a: [x,\n  y] # both\n", {"a": "z"}, "a: z # both\n"),
        ("a:\n- x # x\n- y # y\n# b\nb: 1\n", {"a": "z"}, "a: z # y\n# b\nb: 1\n"),
        ("a: 'x' # x\n", {"a": "y z"}, 'a: "y z" # x\n'),
        ("a: {b: 1, c: 2} # d\n", {"a": {"b": 3}}, "a: {b: 3, c: 2} # d\n"),
        ("a: {b: 1, 'c': \"2\"}\n", {"a": {"b": None, "d": 3}}, "a: {'c': \"2\", d: 3}\n"),
        (
            "a: {b: {c: 1, d: 2}, e: 3}\n",
            {"a": {"b": {"c": 9}, "e": None}},
            "a: {b: {c: 9, d: 2}}\n",
        ),
        ("a:\n  b: 1\n\n# of c\nc: 2\n", {"a": {"b": None}}, "a:\n\n# of c\nc: 2\n"),
        ("a:  # nothing\nb: 1\n", {"a": {"c": 2}}, "a: {c: 2}  # nothing\nb: 1\n"),
        ("a:  # nothing\nb: 1\n", {"a": None}, "b: 1\n"),
        ("a:\n  - x\n  - # no\nb: 1\n", {"a": "y", "b": None}, "a: y # no\n"),
        ("a:\n    b: 1 # b\n\nc: 2\n", {"a": {"d": 3}}, "a:\n    b: 1 # b\n    d: 3\n\nc: 2\n"),
        ("a: 1\n", {"b": {"c": None, "d": [{"e": 1}]}}, "a: 1\nb: {d: [{e: 1}]}\n"),
        ("a: 1\n", {"b": [{"e": 1}, {"f": "g h"}]}, 'a: 1\nb:\n  - {e: 1}\n  - {f: "g h"}\n'),
        ("a: |\n  x\n  y\n# z\nb: 1\n", {"a": "q"}, "a: q\n# z\nb: 1\n"),
        ("a: x\n  y # z\nb: 1\n", {"a": None}, "b: 1\n"),
        ("a: 1\n", {"a": "null"}, 'a: "null"\n'),
        ("a: 1\n", {"a": "${X:-y}"}, 'a: "${X:-y}"\n'),
        ("'a': 1 # :\n", {"a": 2}, "'a': 2 # :\n"),
        ("--- # start\na: 1\n", {"a": 2}, "--- # start\na: 2\n"),
        ("{a: 1}\n", {"a": 2, "b": 3}, "{a: 2, b: 3}\n"),
    ],
)
def test_what_people_wrote_stays(before: str, patch: dict[str, Any], after: str) -> None:
    """Comments, gaps, quotation marks, the way lists are written."""
    patched = apply_patch(before.encode(), json.dumps(patch).encode(), "f").decode()

    assert patched == after
    assert parse(patched.encode(), "f") is not None or not patch


@pytest.mark.parametrize(
    ("text", "patch", "problem"),
    [
        (b"a: [", b"{}", "not YAML"),
        (b"a: 1\n", b"{", "not JSON"),
        (b"a: 1\n", b"\xff", "not JSON"),
        (b"a: 1\n", b"[1]", "expected an object"),
        (b"- a\n", b"{}", "expected keys"),
        (b"a: &x 1\nb: *x\n", b'{"a": 2}', "an anchor, an alias or a tag"),
        (b"a: &x 1\nb: *x\n", b'{"b": 2}', "an anchor, an alias or a tag"),
        (b"a: 1\n", b'{"b": "\\ud800"}', "not JSON"),
        (b"a: 1\n", b'{"b":' * 5000 + b"1" + b"}" * 5000, "not JSON"),
    ],
)
def test_what_is_no_patch_or_no_file_is_refused(text: bytes, patch: bytes, problem: str) -> None:
    """With a problem, not with an exception that nobody expects."""
    with pytest.raises(Unreadable) as raised:
        apply_patch(text, patch, "f")

    assert problem in str(raised.value.problems[0])
