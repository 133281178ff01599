"""docs/reference/configuration.md names every setting with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from netevd.config.schema import Configuration

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/reference/configuration.md"


def _settings() -> dict[str, object]:
    """Return each setting's dotted name with its default."""
    found: dict[str, object] = {}
    for outer in attrs.fields(Configuration):
        default = getattr(Configuration(), outer.name)
        if attrs.has(type(default)):
            for inner in attrs.fields(type(default)):
                found[f"{outer.name}.{inner.name}"] = getattr(default, inner.name)
        else:
            found[outer.name] = default
    return found


def _show(value: object) -> set[str]:
    """Return the ways in which a default may be written on the page."""
    if isinstance(value, bool):
        return {f"`{str(value).lower()}`"}
    if isinstance(value, tuple):
        return {f"`{' '.join(value)}`"} if value else {"empty"}
    if isinstance(value, float):
        return {f"`{value:g}s`"}
    if isinstance(value, int) and value >= 1024:
        return {f"`{value // 1024}KiB`"}
    return {f"`{value}`"}


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    """The table of settings is the schema."""
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| [^|]+ \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    documented = {name: default.strip() for name, default in rows if name != "include"}

    settings = _settings()
    assert set(documented) == set(settings)
    for name, default in settings.items():
        assert documented[name] in _show(default), name
