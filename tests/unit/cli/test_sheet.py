"""A file whose keys move keeps its comments, and comes to the same as the tree whose keys moved."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netevd.cli.migrations.rewrite import rewrite
from netevd.cli.migrations.sheet import NotUnderstood, make_sheet, read_sheet, write_sheet
from netevd.config import legacy
from netevd.config.steps import apply
from netevd.config.tree import Unreadable, parse


def migrate(text: str) -> tuple[str, list[str]]:
    """Return a file in today's keys and the comments that are gone."""
    tree = parse(text.encode(), "f")
    assert tree is not None
    sheet = read_sheet(text)
    lost = rewrite(sheet, legacy.read(tree).steps)
    return write_sheet(sheet), lost


BEFORE = """\
# of my host
---
system:
    log_level: info   # or debug

# What is watched

# (two uplinks)
monitoring:  # by name
    # names
    interfaces:
    - eth0  # A
    -   eth1
# and they
# are routed
routing: {policy_rules: [eth1,
   eth2]}
# sources
backends:
  networkmanager: {}
  # of networkd
  systemd_networkd:
    emit_json: false
# apart

# old
audit: {retention_days: 9}
filters:
  # containers
  - match_rule: {interface_pattern: "docker*"}
    action: ignore  # never
  # logged
  - match_rule:
      # any
      event_type: routable
    action: log
script_timeout: >-
  30s
# the end
"""

AFTER = """\
# of my host
---
system:
  log_level: info   # or debug

# What is watched

# (two uplinks)
network:  # by name
  # names
  links:
    - eth0  # A
    - eth1
  # sources
  # of networkd
  emit_json: false
# and they
# are routed
routing:
  policy:
    interfaces: [eth1,
       eth2]
    enabled: true
    primary: include
# apart

filters:
  # containers
  - match: {interface_pattern: "docker*"}
    action: ignore  # never
script_timeout: >-
  30s
# the end
"""


def test_comments_go_with_their_keys() -> None:
    """Those of what is gone are told, and paragraphs that an empty line sets apart stay."""
    assert migrate(BEFORE) == (AFTER, ["# old", "# logged", "# any"])


@pytest.mark.parametrize("text", [BEFORE, AFTER, "", "# only\n\n# comments\n", "a:\n- b:\n  - c\n"])
def test_what_is_read_is_written(text: str) -> None:
    """Without any step a file comes to the same, with each of its lines."""
    written = write_sheet(read_sheet(text))

    before, after = parse(text.encode(), "f"), parse(written.encode(), "f")
    assert (before and before.plain()) == (after and after.plain())
    assert [line.split() for line in written.splitlines()] == [
        line.replace("-   eth1", "- eth1").split() for line in text.splitlines()
    ] or text.startswith("a:")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x\n", "line 1 has an anchor"),
        ("a: &x\n  b: 1\nc: *x\n", "anchor"),
        ("{monitoring: {interfaces: [a]}}", "it is not a mapping in block style"),
        ("monitoring: {interfaces: [a], # first\n b: c}\n", "line 1 has a comment between braces"),
    ],
)
def test_what_is_not_understood_is_said(text: str, reason: str) -> None:
    """Nothing is guessed of what can't be moved line by line."""
    with pytest.raises(NotUnderstood, match=reason):
        migrate(text)


KEYS = (
    "monitoring", "interfaces", "network", "links", "routing", "policy_rules", "policy", "backends",
    "dhclient", "use_dns", "systemd_networkd", "emit_json", "filters", "match_rule", "event_type",
    "ip_family", "action", "audit", "retention_days",
)  # fmt: skip
"""Few enough that they stand below each other as they should, now and then."""

PIECES = st.sampled_from(
    ["a", '"b: # c"', "'d'", "~", "", "true", "[e, f]", "{match_rule: {ip_family: any}}", "log"]
)


def _indent(text: str) -> str:
    return textwrap.indent(text, "  ")


BLOCKS = st.recursive(
    PIECES.map(lambda text: (f" {text}", False)),
    lambda inner: (
        st.lists(st.tuples(st.sampled_from(KEYS), inner), min_size=1, max_size=4, unique_by=lambda each: each[0])
        .map(lambda pairs: ("".join(
            f"\n{'# ' + name if len(name) % 2 else ''}\n{name}:{value if not block else chr(10) + _indent(value)}"
            for name, (value, block) in pairs), True))
        | st.lists(inner, min_size=1, max_size=3)
        .map(lambda items: ("".join(
            f"\n-{value if not block else chr(10) + _indent(value)}" for value, block in items), True))
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(KEYS), BLOCKS), max_size=5, unique_by=lambda each: each[0])
)
def test_a_sheet_is_changed_as_a_tree_is(pairs: list[tuple[str, tuple[str, bool]]]) -> None:
    """Whatever stands there: the same values come of both, and those of the tree without comments too."""
    text = "".join(
        f"\n# {name}\n{name}:{value if not block else chr(10) + _indent(value)}  "
        for name, (value, block) in pairs
    )
    try:
        tree = parse(text.encode(), "f")
    except Unreadable:
        return
    if tree is None or not isinstance(tree.value, dict):
        return
    reading = legacy.read(tree)
    sheet = read_sheet(text)
    try:
        lost = rewrite(sheet, reading.steps)
    except NotUnderstood as error:
        assert str(error).endswith("is no mapping")  # which no configuration has there
        return
    apply(tree, reading.steps)
    written = write_sheet(sheet)
    after = parse(written.encode(), "f")

    def prune(value: object) -> object:
        """Return a value without mappings that hold nothing, which a sheet leaves out."""
        if isinstance(value, dict):
            pruned = {name: prune(each) for name, each in value.items()}
            return {name: each for name, each in pruned.items() if each not in ({}, None, [])}
        return [prune(each) for each in value] if isinstance(value, list) else value

    assert prune({} if after is None else after.plain() or {}) == prune(tree.plain())
    for name, _ in pairs:
        assert f"# {name}" in written or f"# {name}" in lost
    if tree.value:
        plain = parse(write_sheet(make_sheet(tree)).encode(), "f")
        assert plain is not None
        assert plain.plain() == tree.plain()
