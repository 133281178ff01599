"""The privileged package stays small enough to be read in a morning."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import privsep

BUDGET = 4200
"""Lines without comments, docstrings and blanks. Source: privsep/__init__.py, clause 1."""


def count_lines(source: str) -> int:
    """Return how many lines of a module hold code."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", [])
        for child in body if isinstance(body, list) else []:  # a lambda's body is an expression
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if is_text and isinstance(child.value.value, str):
                documented.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    code: set[int] = set()
    passed = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
              tokenize.ENDMARKER}  # fmt: skip
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in passed:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documented)


def test_counting_passes_over_what_is_no_code() -> None:
    """Comments, docstrings and blank lines cost nothing, statements of two lines cost two."""
    source = '"""Doc."""\n\n# why\nX = (1,\n     2)\n"""Of X."""\n\ndef f():\n    """Do.\n\n    More.\n    """\n    return X\n'

    assert count_lines(source) == 4


def test_privileged_package_is_within_its_budget() -> None:
    """privsep has at most 4,200 lines of code, all modules together."""
    modules = sorted(Path(privsep.__file__).parent.glob("**/*.py"))

    assert len(modules) > 10
    assert sum(count_lines(module.read_text(encoding="utf-8")) for module in modules) <= BUDGET
