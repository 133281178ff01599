"""
Filters of the Rust daemon as filters of today: `match_rule`, its conditions, its action log.

What its filters did there is kept wherever the words would mean something else here.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

from netevd.config import condition, kinds, schema
from netevd.config.directories import find_misplacement
from netevd.config.reading import Reading
from netevd.config.steps import Keys, Put, find
from netevd.config.tree import Place, Tree
from netevd.model.event import EventType

_ATOM: Final = re.compile(
    r"""has_gateway|dns_count\s*(>=|<=|>|<)\s*\d+|interface\s*==?\s*"[^"]*"\Z""", re.VERBOSE
)
"""All that a condition could ask there, joined by || and &&."""
_ASSIGNED: Final = re.compile(r'\b(interface\s*)=(\s*")')
_LITERAL: Final = re.compile(r"[?\[]")
"""What is special in a glob here and was not there."""


def read_filters(reading: Reading) -> None:
    """Add what becomes of each filter with `match_rule`."""
    found = find(reading.tree, ("filters",))
    if found is None or not isinstance(found[1].value, list):
        return
    for index, each in enumerate(found[1].value):
        if isinstance(each.value, dict) and "match_rule" in each.value:
            _read_filter(reading, ("filters", str(index)), each)


def _read_filter(reading: Reading, where: Keys, each: Tree) -> None:
    assert isinstance(each.value, dict)
    place, match = each.value["match_rule"]
    if "match" in each.value:
        reading.move((*where, "match_rule"), (*where, "match"), (place, match))
        return
    if reason := _find_idle(each):
        reading.drop(where, place, f"this filter of the Rust daemon is left out: {reason}")
        return
    reading.move(
        (*where, "match_rule"), (*where, "match"), (place, match),
        "here filters are asked for every event, those of routes too",
    )  # fmt: skip
    if isinstance(match.value, dict):
        _read_match(reading, (*where, "match"), match.value)
    _read_scripts(reading, where, each.value)


def _find_idle(each: Tree) -> str:
    """Return why a filter did nothing there and is to do nothing here, "" for one that did."""
    assert isinstance(each.value, dict)
    action = each.value.get("action")
    if action is not None and action[1].value == "log":
        return (
            "action log went on to the next filter there, and every event is logged here anyway; for"
            " one whose scripts do not run write match and action: log"
        )
    match = each.value["match_rule"][1].value
    keys = match if isinstance(match, dict) else {}
    kind = keys["event_type"][1].value if "event_type" in keys else None
    if isinstance(kind, str) and kind and not _find_types(kind):
        return f"event_type {kind!r} is no event, there it never was one either"
    asked = keys["condition"][1].value if "condition" in keys else None
    if isinstance(asked, str) and not _is_known(asked) and condition.check(_translate(asked)):
        return f"condition {asked[:80]!r} was not understood there, so it never matched"
    return ""


def _find_types(kind: str) -> list[str]:
    """Return the event types that are meant: NetworkManager's states have hyphens here."""
    word = kind.replace("_", "-")
    return [each.value for each in EventType if fnmatchcase(each.value, word)]


def _is_known(asked: str) -> bool:
    atoms = [atom.strip() for part in asked.split("||") for atom in part.split("&&")]
    return all(_ATOM.fullmatch(atom) for atom in atoms)


def _translate(asked: str) -> str:
    return _ASSIGNED.sub(r"\1==\2", asked)[: kinds.EXPRESSION_LIMIT]


def _read_match(reading: Reading, where: Keys, keys: dict[str, tuple[Place, Tree]]) -> None:
    """Read the fields whose words mean something else. where: the match as it will be."""
    for name, (place, child) in keys.items():
        text = child.value
        if not isinstance(text, str):
            continue
        if name == "event_type" and "_" in text:
            new = text.replace("_", "-")
            reading.steps.append(Put((*where, name), Tree(child.place, new)))
            reading.note(place, f"event_type {text!r} is {new!r} here")
        elif name == "ip_family" and text == "any":
            reading.drop(
                (*where, name), place, "ip_family any is left out: it is what no ip_family says"
            )
        elif name == "interface_pattern" and _LITERAL.search(text):
            new = _LITERAL.sub(lambda found: f"[{found[0]}]", text)
            reading.steps.append(Put((*where, name), Tree(child.place, new)))
            reading.note(
                place, f"interface_pattern {text!r} is {new!r} here: only * was special there"
            )
        elif name == "condition":
            _read_condition(reading, (*where, name), place, child)


def _read_condition(reading: Reading, where: Keys, place: Place, child: Tree) -> None:
    asked = str(child.value)
    new = _translate(asked)
    if new != asked:
        reading.steps.append(Put(where, Tree(child.place, new)))
    said = []
    if not _is_known(asked):
        said.append("there it was not understood and never true, here it is an expression of CEL")
    if re.search(r"\bhas_gateway\b", asked):
        said.append(
            "has_gateway was the state routable there, here it is a default route with gateway"
        )
    if new != asked:
        said.append("= is == here")
    if said:
        reading.note(place, f"condition: {'; '.join(said)}")


def _read_scripts(reading: Reading, where: Keys, keys: dict[str, tuple[Place, Tree]]) -> None:
    """Read which scripts run, unless that can't be said here: then those of the directory do, as there."""
    if "scripts" not in keys:
        return
    place, scripts = keys["scripts"]
    action = keys["action"][1].value if "action" in keys else None
    paths = scripts.value if isinstance(scripts.value, list) else None
    if paths is None and scripts.value is not None:
        return  # a problem of its own
    source = (*where, "scripts")
    if action == "ignore" or not paths:
        what = "none run anyway" if action == "ignore" else "it names none"
        reading.drop(source, place, f"scripts is left out: {what}")
        return
    found = find(reading.tree, ("scripts", "directory"))
    directory = found[1].value if found else None
    root = directory if isinstance(directory, str) else schema.Scripts().directory
    for each in paths:
        fault = find_misplacement(each.value, root) if isinstance(each.value, str) else ""
        if fault:
            text = f"{each.value} {fault}, so the scripts of the event's directory run, as there"
            reading.drop(source, place, f"scripts is left out: {text}")
            return
    reading.note(
        place, "scripts: there it was never read and the whole directory ran; here only these run"
    )
