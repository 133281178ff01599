"""docs/reference/metrics.md names every metric with type, labels and meaning, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from netevd.report.families import FAMILIES, RESULTS, ROLES

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/reference/metrics.md"

PRESCRIBED = {
    "netevd_events_total": ("type", "interface", "backend"),
    "netevd_event_duration_seconds": ("type",),
    "netevd_script_duration_seconds": ("script",),
    "netevd_script_failures_total": ("script",),
    "netevd_interfaces_total": ("state",),
    "netevd_routing_rules_total": (),
}
"""Names and labels that never change."""


def test_every_metric_stands_on_the_page() -> None:
    """The tables are the code's, with type, labels and the text that Prometheus gets."""
    rows = re.findall(
        r"^\| `(netevd_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, labels, text in rows
    }

    assert documented == {
        each.name: ("gauge" if each.kind == "info" else each.kind, each.labels, each.help)
        for each in FAMILIES
    }


def test_every_label_stands_on_the_page() -> None:
    """So do the labels, and the words that some of them are limited to."""
    text = PAGE.read_text(encoding="utf-8")
    labels = {label for each in FAMILIES for label in each.labels}
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))

    told_by_name = {"ifindex", "kind", "version", "python", "mode"}
    assert labels - told_by_name == set(rows) - {each.name for each in FAMILIES}
    assert all(f"`{word}`" in rows["result"] for word in RESULTS)
    assert all(f"`{word}`" in rows["role"] for word in ROLES)


def test_prescribed_names_are_there() -> None:
    """Six metrics have the names and labels that they always had."""
    labels = {each.name: each.labels for each in FAMILIES}

    assert {name: labels.get(name) for name in PRESCRIBED} == PRESCRIBED
