"""docs/reference/http.md and the API are about the same paths, parameters and problems."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from netevd.http.endpoints import ENDPOINTS, LIVE, OTHERS, Endpoint
from netevd.http.openapi import COMMON
from netevd.http.problem import find_address

TOP = Path(__file__).resolve().parent.parent.parent
DOCUMENT = (TOP / "docs/reference/http.md").read_text(encoding="utf-8")
EVERY = (*ENDPOINTS, *OTHERS, LIVE)


def find_row(endpoint: Endpoint) -> str:
    """Return the row of a path in the table of paths, "" for none."""
    path = re.sub(r"<(\w+)>", r"{\1}", endpoint.path)
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    return next(
        (row for row in rows if f"{endpoint.method} {path}`" in row or f"`{path}`" in row), ""
    )


@pytest.mark.parametrize("endpoint", EVERY, ids=lambda each: each.name)
def test_each_path_is_documented_with_its_parameters(endpoint: Endpoint) -> None:
    """A row of the table names both."""
    row = find_row(endpoint)
    assert row, endpoint.path
    for parameter in endpoint.parameters:
        assert f"`{parameter.name}`" in row or f"{{{parameter.name}}}" in row, parameter.name


def test_each_problem_has_a_heading() -> None:
    """The address in `type` leads somewhere."""
    statuses = {*COMMON, 408, 414, 431, 503, 505}
    statuses |= {status for each in EVERY for status in each.problems}
    headings = {line.removeprefix("### ") for line in DOCUMENT.splitlines()}
    for status in sorted(statuses):
        phrase = HTTPStatus(status).phrase
        assert phrase in headings
        assert find_address(HTTPStatus(status)).endswith("#" + phrase.lower().replace(" ", "-"))
