"""Which links a list of patterns names."""

from __future__ import annotations

import pytest

from netevd.config.links import watches


@pytest.mark.parametrize(
    ("patterns", "name", "watched"),
    [
        ([], "eth0", True), ([], "lo", False), (["*"], "lo", False), (["lo"], "lo", True),
        (["l?"], "lo", False), (["eth*"], "eth0", True), (["eth*"], "wan", False),
        (["eth*", "!eth1"], "eth1", False), (["!docker*"], "docker0", False),
        (["!docker*"], "eth0", True), (["!docker*"], "lo", False), (["lo", "!lo"], "lo", False),
        (["eth[0-1]"], "eth1", True), (["eth[0-1]"], "eth2", False), (["ETH0"], "eth0", False),
    ],
)  # fmt: skip
def test_patterns_name_links(patterns: list[str], name: str, watched: bool) -> None:
    """Names and globs include, "!" excludes, lo counts only when it is named."""
    assert watches(patterns, name) is watched


def test_alternative_names_count() -> None:
    """A link is watched, or left out, by any of its names."""
    assert watches(["enp*"], "eth0", ["enp3s0"])
    assert not watches(["!enp*"], "eth0", ["enp3s0"])


def test_every_loopback_link_counts_as_lo() -> None:
    """A renamed loopback link is still one that must be named."""
    assert not watches([], "loop", loopback=True)
    assert watches(["loop"], "loop", loopback=True)
