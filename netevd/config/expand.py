"""Variables in values: ${VAR}, ${VAR:-default}, and $${ for a literal ${."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netevd.config.tree import Place, Problem, Tree

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?\Z", re.DOTALL)


def expand(tree: Tree, environment: Mapping[str, str], problems: list[Problem]) -> Tree:
    """Return the tree with every value expanded; keys stay as they are."""
    if isinstance(tree.value, str):
        text = _expand_text(tree.value, tree.place, environment, problems)
        return tree if text == tree.value else Tree(tree.place, text)
    if isinstance(tree.value, list):
        return Tree(tree.place, [expand(child, environment, problems) for child in tree.value])
    if isinstance(tree.value, dict):
        return Tree(
            tree.place,
            {
                name: (place, expand(child, environment, problems))
                for name, (place, child) in tree.value.items()
            },
        )
    return tree


def _expand_text(
    text: str, place: Place, environment: Mapping[str, str], problems: list[Problem]
) -> str:
    def replace(match: re.Match[str]) -> str:
        whole = match.group()
        if whole == "$${":
            return "${"
        inner = _NAME.match(match.group(1) or "")
        if inner is None:
            problems.append(
                Problem(place, f"{whole!r} is no variable; expected ${{NAME}} or ${{NAME:-default}}, "
                        "or $${ for a literal ${")
            )  # fmt: skip
            return whole
        name, _, default = inner.groups()
        # as in a shell, ":-" stands in for an empty variable too
        value = environment.get(name, "")
        if default is not None:
            return value or default
        if name not in environment:
            problems.append(
                Problem(place, f"variable {name} is not set; set it, or give ${{{name}:-default}}")
            )
        return value

    return _VARIABLE.sub(replace, text)
