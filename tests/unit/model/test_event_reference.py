"""docs/reference/events.md says of event types and variables what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from netevd.model.event import EventType
from privsep.variables import VARIABLES

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "events.md").read_text()


def read_table(head: str) -> list[str]:
    """Return the first column of the table with this heading, without its marks."""
    table = PAGE.split(f"\n{head}\n")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)


def test_every_event_type_is_explained() -> None:
    """The table of types has each type once, and no other."""
    assert sorted(read_table("| type | fires when |")) == sorted(EventType)


def test_every_variable_is_explained() -> None:
    """The table of variables has each that the runner takes, those it adds, and no other."""
    added_by_the_runner = {"NETEVD_SCRIPT_PATH", "NETEVD_RUN", "PATH"}

    assert sorted(read_table("| variable | content | there |")) == sorted(
        VARIABLES.keys() | added_by_the_runner
    )
