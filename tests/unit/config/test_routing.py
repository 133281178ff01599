"""The section `routing`: what is wrong is told with its place, what can hardly be meant by validate."""

from __future__ import annotations

from pathlib import Path

import pytest

from netevd.config.load import Loaded, load
from netevd.config.routing import find_routing_doubts
from netevd.config.schema import Routing


def read(tmp_path: Path, text: str) -> Loaded | list[str]:
    """Return what a file says, or its problems with line and column."""
    path = tmp_path / "netevd.yaml"
    path.write_text(text)
    loaded = load(str(path), {})
    if isinstance(loaded, Loaded):
        return loaded
    return [str(each).removeprefix(f"{path}:") for each in loaded]


def test_all_of_it(tmp_path: Path) -> None:
    """What stands in the reference is understood; without it nothing is wanted."""
    text = (
        "routing:\n  policy: {enabled: true, interfaces: up*, families: ipv6, base: 31000, mark_mask: 0xf0,\n"
        "    return_path: conntrack-mark, on_exit: remove}\n  confirm: 90s\n"
        "  rules:\n    - {priority: 30010, from: 10.8.0.0/16, to: any, fwmark: 0x10/0xff, table: main}\n"
    )
    loaded = read(tmp_path, text)
    assert isinstance(loaded, Loaded), loaded
    routing = loaded.configuration.routing
    assert (routing.confirm, routing.policy.mark_mask, routing.rules[0].table) == (90.0, 0xF0, 254)
    assert routing.wanted
    assert not Routing().wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policy: {return_path: conntrack-mark}", "2:25: return_path: conntrack-mark needs mark_mask"),
        ("policy: {return_path: conntrack-mark, mark_mask: 0x5}", "2:52: mark_mask: expected bits side by side"),
        ("policy: {base: 21500}", "2:18: base: expected a multiple of 1000"),
        ("policy: {protocol: 186}", "2:22: protocol: 186 is what bgp"),
        ("policy: {families: []}", "2:22: families: expected ipv4, ipv6 or both"),
        ("rules: [{priority: 21000, from: 10.0.0.1, table: 7}]", "2:22: priority: expected 20000 to 20999"),
        ("rules: [{priority: 20000, from: 10.0.0.1, table: 21501}]", "2:52: table: 21501 is one of netevd's own"),
        ("rules: [{priority: 20000, from: 10.0.0.1, table: all}]", "2:52: table: a rule looks one table up"),
        ("rules: [{priority: 20000, from: 10.0.0.1/8, table: 7}]", "2:35: from: 10.0.0.1/8 has bits beyond"),
        ("rules: [{priority: 20000, from: 10.0.0.1, to: 2001:db8::/32, table: 7}]", "to: is of another family"),
        ("rules: [{priority: 20000, from: 10.0.0.1, family: ipv6, table: 7}]", "family: ipv6 is not that"),
        ("rules: [{priority: 20000, iif: averyveryverylongname, table: 7}]", "2:34: iif: expected the name"),
        ("rules: [{priority: 20000, table: 7}]", "2:11: rules: it selects nothing"),
        ("rules: [{priority: 20000, fwmark: 0/0, table: 7}]", "rules: it selects nothing"),
        ("rules: [{priority: 20000, fwmark: 0x1ff/0xff, table: 7}]", "fwmark: the mark has bits"),
        ("rules: [{priority: 20000, from: any, table: 7}]", "rules: it selects nothing"),
        ("rules: [{table: 7}]", "priority is missing"),
        ("rules: [{priority: 20000, from: a, table: 7}]", "from: expected an address"),
        ("rules: [{priority: 20000, iif: a, table: 7}, {priority: 20000, iif: a, table: 7}]", "the same rule stands at"),
        ("policy: {return_path: conntrack-mark, mark_mask: 0xf0}\n  rules: [{priority: 20950, iif: a, table: 7}]",
         "priority: expected 20000 to 20899"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    """Whatever the helper would take for an attack is told before, by line and column."""
    found = read(tmp_path, f"routing:\n  {text}\n")

    assert isinstance(found, list)
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("policy: {primary: include}", "has no effect without routing.policy.enabled: true"),
        ("policy: {enabled: true, mark_mask: 0xf}", "no effect without return_path"),
        (
            "policy: {enabled: true, return_path: conntrack-mark, mark_mask: 0xff00}",
            "kube-proxy uses 0xc000",
        ),
        ("confirm: 60s", "confirm: has no effect"),
        (
            "rules: [{priority: 20000, iif: a, table: main}, {priority: 20001, iif: a, table: 7}]",
            "never asked",
        ),
    ],
)
def test_what_can_hardly_be_meant(tmp_path: Path, text: str, doubt: str) -> None:
    """It is no problem, and validate says it."""
    loaded = read(tmp_path, f"routing:\n  {text}\n")

    assert isinstance(loaded, Loaded), loaded
    found = list(find_routing_doubts(loaded.configuration.routing, loaded.places))
    assert any(doubt in str(each) for each in found), found
