"""docs/reference/configuration.md names every setting with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from netevd.config.condition import VARIABLES
from netevd.config.hooktrees import CUSTOMS
from netevd.config.identities import LIMITS
from netevd.config.schema import (
    CarrierTree,
    Compat,
    Configuration,
    Filter,
    FixedRule,
    HookTree,
    Match,
    Override,
    Rule,
    StateTree,
    Webhook,
    WireguardPeer,
)

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/reference/configuration.md"


def _settings(section: object = Configuration(), above: str = "") -> dict[str, object]:
    """Return each setting's dotted name with its default."""
    found: dict[str, object] = {}
    for each in attrs.fields(type(section)):
        default = getattr(section, each.name)
        if attrs.has(type(default)):
            found |= _settings(default, f"{above}{each.name}.")
        else:
            found[above + each.name] = default
    return found


def _show(value: object) -> set[str]:
    """Return the ways in which a default may be written on the page."""
    if isinstance(value, bool):
        return {f"`{str(value).lower()}`"}
    if value is None:
        return {"none"}
    if isinstance(value, tuple):
        return {f"`{' '.join(value)}`"} if value else {"empty"}
    if isinstance(value, float):
        return {f"`{value:g}s`"}
    if isinstance(value, int) and value >= 1024:
        return {f"`{value >> 20}MiB`", f"`{value >> 10}KiB`", f"`{value}`"}
    return {f"`{value}`"}


def _read_rows(heading: str) -> dict[str, tuple[str, str]]:
    """Return the second and third column of each row below a heading, by the name in the first."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    return {name: (second, third) for name, second, third in rows}


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    """The table of settings is the schema."""
    rows = _read_rows("Settings")
    documented = {name: default for name, (_, default) in rows.items() if name != "include"}

    settings = {name: each for name, each in _settings().items() if not name.startswith("compat.")}
    assert set(documented) == set(settings)
    for name, default in settings.items():
        assert documented[name] in _show(default), name


def test_every_key_of_a_rule_stands_on_the_page_with_its_default() -> None:
    """The tables of a rule's keys and limits are the schema; limits are named as in setrlimit(2)."""
    rows = _read_rows("Rules for single scripts")
    keys = {field.name: field for field in attrs.fields(Rule)}

    assert set(rows) == {*keys, *LIMITS}
    for name, word in LIMITS.items():
        assert rows[name][1] == f"`RLIMIT_{word.upper()}`"
    for name in ("detach", "retries", "retry_delay"):
        assert rows[name][1] in _show(keys[name].default), name


def test_every_key_of_a_tree_stands_on_the_page_with_its_default() -> None:
    """The tables of trees and of a tree's keys are the schema; default roots are those that are used."""
    rows = _read_rows("Trees of other dispatchers")
    keys = {
        each.name: each
        for kind in (HookTree, StateTree, CarrierTree)
        for each in attrs.fields(kind)
    }

    assert set(rows) == {*keys, *(f"compat.{each.name}" for each in attrs.fields(Compat))}
    for name in ("enabled", "assume_configured", "delay_up", "delay_down"):
        assert rows[name][1] in _show(keys[name].default), name
    for name, custom in CUSTOMS.items():
        roots = rows[f"compat.{name.replace('-', '_')}"][0]
        assert roots == " ".join(f"`{each}`" for each in custom.roots)


def test_every_key_of_a_filter_stands_on_the_page() -> None:
    """The tables of a filter's and a match's keys are the schema."""
    keys = [field.name for kind in (Filter, Match) for field in attrs.fields(kind)]

    assert {*_read_rows("Filters")} == {*keys} - {"origin"}


def test_every_key_of_a_webhook_stands_on_the_page() -> None:
    """The table of a webhook's keys is the schema."""
    assert {*_read_rows("Webhooks")} == {field.name for field in attrs.fields(Webhook)}
    assert _read_rows("Webhooks")["retries"][1] == f"`{attrs.fields(Webhook).retries.default}`"


def test_every_key_of_an_override_stands_on_the_page() -> None:
    """The table of an override's keys is the schema."""
    assert {*_read_rows("Debounce")} == {field.name for field in attrs.fields(Override)}


def test_every_variable_of_a_condition_stands_on_the_page_with_its_type() -> None:
    """The table of variables is what expressions are checked against."""
    rows = _read_rows("Conditions")

    assert {name: kind for name, (kind, _) in rows.items()} == VARIABLES


def test_every_key_of_a_fixed_rule_stands_on_the_page() -> None:
    """The table of a policy rule's keys is the schema."""
    keys = {field.name.rstrip("_") for field in attrs.fields(FixedRule)}

    assert {*_read_rows("Fixed policy rules")} == keys


def test_every_key_of_a_peer_stands_on_the_page() -> None:
    """The table of a WireGuard peer's keys is the schema."""
    assert {*_read_rows("WireGuard")} == {field.name for field in attrs.fields(WireguardPeer)}
