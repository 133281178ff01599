"""
Conditions: CEL expressions of filters, checked when a file is read and asked by the core.

Belongs here: the language, that is the names and types that an expression may use. Which value a
name has for an event is core.variables'. The library is imported when the first condition is made:
it takes 8 MB, and most configurations have none. Source: the CEL specification, cel.dev.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

VARIABLES: Final = {
    "interface": "string",
    "ifindex": "int",
    "kind": "string",
    "event": "string",
    "state": "string",
    "previous_state": "string",
    "backend": "string",
    "family": "string",
    "address": "string",
    "addresses": "list(string)",
    "has_gateway": "bool",
    "gateways": "list(string)",
    "dns": "list(string)",
    "dns_count": "int",
    "domains": "list(string)",
    "mtu": "int",
    "mac": "string",
    "carrier": "bool",
    "up": "bool",
    "master": "string",
    "initial": "bool",
    "hostname": "string",
    "wireguard": "map(string, dyn)",
    "pod": "map(string, dyn)",
    "now": "timestamp",
}
"""Every name that an expression may use, with its type in CEL's words."""

_FUNCTIONS: Final = (
    "size", "contains", "startsWith", "endsWith", "matches", "has", "all", "exists", "exists_one",
    "filter", "map", "duration", "timestamp", "getHours", "getMinutes", "getDayOfWeek",
)  # fmt: skip
"""What is meant most likely by a name that is like it. Source: the CEL specification, langdef.md."""

_ERROR: Final = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(\d+):(\d+): (.*)$", re.MULTILINE)
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_NAME: Final = re.compile(r"[a-z_]+")


class Fault(NamedTuple):
    """Something that is wrong with an expression, and where in its text."""

    line: int
    """Counts from 1."""
    column: int
    """Characters, counts from 1."""
    message: str


class Unanswered(Exception):
    """An expression had no answer for these values, as after a division by zero."""


class Condition:
    """An expression that can be asked."""

    def __init__(self, text: str) -> None:
        """Raises: RuntimeError for one of which `check` tells faults."""
        self._program = _make_environment().compile(text)
        self.names: tuple[str, ...] = tuple(sorted(VARIABLES.keys() & set(_NAME.findall(text))))
        """The variables that its answer can depend on."""

    def holds(self, values: Mapping[str, object]) -> bool:
        """Tell whether it is exactly true. values: of all its `names`. Raises: Unanswered."""
        try:
            answer = self._program.eval(data=values)
        except (RuntimeError, TypeError, ValueError) as error:  # such as bytes that are not UTF-8
            raise Unanswered(_shorten(str(error))) from None
        if answer.type() == _get_types().ERROR:
            raise Unanswered(_shorten(str(answer.value())))
        return answer.value() is True


def check(text: str) -> list[Fault]:
    """Return what is wrong with an expression: nothing if it can be asked."""
    try:
        program = _make_environment().compile(text)
    except RuntimeError as error:
        return _read_faults(str(error))
    types = _get_types()
    found = program.return_type()
    if found not in (types.BOOL, types.DYN):  # no set: these types have no hash
        name = str(found.name()).lower()
        return [
            Fault(1, 1, f"expected an expression that is true or false, found one of type {name}")
        ]
    return []


def _read_faults(text: str) -> list[Fault]:
    """Return the faults that the library tells as text."""
    faults = [
        Fault(int(match[1]), int(match[2]), _explain(match[3])) for match in _ERROR.finditer(text)
    ]
    return faults or [Fault(1, 1, _shorten(text))]


def _explain(message: str) -> str:
    message = _shorten(message).partition(" (in container")[0].partition(" expecting ")[0]
    undeclared = _UNDECLARED.match(message)
    if undeclared is None:
        return message.replace("mismatched input '<EOF>'", "the expression ends too early")
    close = difflib.get_close_matches(undeclared[1], [*VARIABLES, *_FUNCTIONS], 1, 0.6)
    advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(VARIABLES)}"
    return f"{undeclared[1]} is neither a variable nor a function; {advice}"


def _shorten(message: str) -> str:
    """Return a message without the library's status codes."""
    message = re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]\Z", "", message.strip())
    return message.splitlines()[0][:300] if message else "it can't be read"


@cache
def _get_types() -> Any:
    from cel_expr_python import cel  # noqa: PLC0415  see the module's docstring

    return cel.Type


@cache
def _make_environment() -> Any:
    from cel_expr_python import cel  # noqa: PLC0415  see the module's docstring

    types = {
        "string": cel.Type.STRING,
        "int": cel.Type.INT,
        "bool": cel.Type.BOOL,
        "timestamp": cel.Type.TIMESTAMP,
        "list(string)": cel.Type.List(cel.Type.STRING),
        "map(string, dyn)": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    return cel.NewEnv(variables={name: types[kind] for name, kind in VARIABLES.items()})
