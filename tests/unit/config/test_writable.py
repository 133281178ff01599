"""Which settings may be changed by who is not root: a list, and everything else may not."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from netevd.config.schema import Configuration
from netevd.config.tree import parse
from netevd.config.writable import WRITABLE, find_forbidden

PATH = "/etc/netevd/netevd.yaml"
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration-over-http.md"


def find(before: str, after: str) -> list[str]:
    """Return what is wrong with this change."""
    found = find_forbidden(parse(before.encode(), PATH), parse(after.encode(), PATH), PATH)
    return [str(problem).removeprefix(PATH) for problem in found]


@pytest.mark.parametrize(
    "after",
    [
        "system: {log_level: debug, log_format: json}",
        "network: {links: eth0, emit_json: false}",
        "script_timeout: 5s",
        "scripts: {concurrency: 1, output_limit: 1, initial: false, obsolete: skip, pause_after: 3}",
        "scripts: {damping: {enabled: true}}",
        "routes: {tables: all}",
        "debounce: {enabled: true, overrides: [{window: 0s}]}",
        "filters: [{action: log, match: {interface: a}, scripts: [/a]}]",
        "",
        "# nothing",
        "scripts:",
        "scripts: {}",
        "include:",
    ],
)
def test_what_the_worker_decides_anyway_may_change(after: str) -> None:
    """It may come, and go again."""
    assert find("", after) == find(after, "") == []


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ("scripts: {user: root}", ":1:11: scripts.user is changed"),
        ("scripts:\n  rules: []", ":2:3: scripts.rules is changed"),
        ("scripts: [user]", ":1:1: scripts is changed"),
        ("scripts: root", ":1:1: scripts is changed"),
        ("include: a.yaml", ":1:1: include is changed"),
        ("network: {use_dns: true}", ":1:11: network.use_dns is changed"),
        ("api: {tls: {key_file: /a}}", ":1:13: api.tls.key_file is changed"),
        ("future: 1", ":1:1: future is changed"),
        ("filters: [{action: log, webhooks: []}]", ":1:1: filters: of an element only"),
        ("filters: 3", ":1:1: filters: of an element only"),
        ("filters: [3]", ":1:1: filters: of an element only"),
    ],
)
def test_anything_else_may_not(after: str, problem: str) -> None:
    """Neither come nor go nor become something else; the place is that of the key."""
    found = find("", after)

    assert len(found) == 1
    assert found[0].startswith(problem)
    assert len(find(after, "")) == 1
    assert find(after, after) == []


def test_what_is_left_out_is_told_where_it_was_expected() -> None:
    """At the mapping that lacks it, or the file."""
    assert find("scripts: {user: a}", "scripts: {initial: true}")[0].startswith(
        ":1:1: scripts.user is missing"
    )
    assert find("include: a", "")[0].startswith(": include is missing")


def test_it_is_the_text_that_counts() -> None:
    """A variable is not what it stands for today."""
    assert find("scripts: {user: a}", "scripts: {user: '${A:-a}'}")
    assert not find("scripts: {user: '${A:-a}'}", 'scripts: {"user": "${A:-a}"} # quoted otherwise')


def test_what_filters_have_beside_stays_in_order() -> None:
    """Filters may come and go around those that say more."""
    one, two = "{action: log, x: 1}", "{action: execute, x: 2}"
    before = f"filters: [{one}, {two}]"

    assert not find(before, f"filters: [{{action: ignore}}, {one}, {{action: log, x: 2}}]")
    assert find(before, f"filters: [{two}, {one}]")
    assert find(before, f"filters: [{one}]")


def test_the_list_names_settings_that_there_are_and_the_page_names_them_all() -> None:
    """A name that is no setting would be a door for one to come."""
    section = PAGE.read_text("utf-8").split("## What may be changed\n")[1].split("\n## ")[0]
    for name, permission in WRITABLE.items():
        field = getattr(attrs.fields(Configuration), name)
        assert f"`{name}" in section
        if isinstance(permission, dict):
            keys = {each.name for each in attrs.fields(type(field.default.factory()))}
            assert set(permission) <= keys, name
            for key in permission:
                assert f"`{key}`" in section or f"`{name}.{key}`" in section, key
