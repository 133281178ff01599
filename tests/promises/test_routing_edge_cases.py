"""docs/routing-edge-cases.md has each of the 44 cases, and each names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "routing-edge-cases.md"
CASES = 44


def test_every_case_has_a_test_that_exists() -> None:
    """Numbers are 1 to 44; what stands in the last column is a test of this repository."""
    rows = re.findall(r"^\| (\d+) \| .* \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)

    assert [int(number) for number, _ in rows] == list(range(1, CASES + 1))
    for number, column in rows:
        names = re.findall(r"`([^`]+)`", column)
        assert names, number
        for name in names:
            path, _, function = name.partition("::")
            text = (TOP / "tests" / path).read_text(encoding="utf-8")
            assert f"def {function}" in text, name
