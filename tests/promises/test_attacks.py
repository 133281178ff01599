"""tests/attacks/cases.toml has each of the 75 attacks, and each names tests that exist and run."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]
CASES = tomllib.loads((TOP / "tests" / "attacks" / "cases.toml").read_text(encoding="utf-8"))


@cache
def parse(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the functions of a module, by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}


def find_function(node_id: str) -> ast.FunctionDef | None:
    """Return a test by its id, None if there is none."""
    path, _, name = node_id.partition("::")
    return parse(TOP / path).get(name) if (TOP / path).is_file() else None


def test_each_of_the_75_is_there() -> None:
    """Numbers are 1 to 75; each case is tried somewhere, or says why not, and what is expected."""
    assert [case["number"] for case in CASES["case"]] == list(range(1, 76))
    for case in [*CASES["case"], *CASES["more"]]:
        assert case["tries"], case
        assert bool(case.get("not_here")) != bool(case.get("where")), case
        assert bool(case.get("where")) == bool(case.get("expected")), case


def test_each_names_tests_that_exist() -> None:
    """What stands in `where` is a function of a test module, of `make test` or of `make lab`."""
    for case in [*CASES["case"], *CASES["more"]]:
        for node_id in case.get("where", []):
            assert find_function(node_id), node_id
            name = Path(node_id.partition("::")[0]).name
            assert name.startswith(("test_", "lab_")), node_id


def test_each_of_the_suite_is_named() -> None:
    """No test of tests/attacks stands beside the table."""
    named = {
        node_id for case in [*CASES["case"], *CASES["more"]] for node_id in case.get("where", [])
    }
    for path in sorted((TOP / "tests" / "attacks").glob("test_*.py")):
        for name in parse(path):
            if name.startswith("test_"):
                assert f"tests/attacks/{path.name}::{name}" in named


def test_none_is_skipped_without_a_reason() -> None:
    """Every skip of what is named says why, and none is unconditional."""
    for case in CASES["case"]:
        for node_id in case.get("where", []):
            function = find_function(node_id)
            assert function is not None
            for mark in map(ast.unparse, function.decorator_list):
                assert not mark.startswith(("pytest.mark.skip(", "pytest.mark.xfail")), node_id
                assert "skipif" not in mark or "reason=" in mark, node_id
