"""docs/reference/recordings.md says what the lines of a recording are, all of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from netevd.kernel.recording import FORMAT, VERSION, Header, Kind, Line, Source

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "recordings.md").read_text("utf-8")


def _read_rows(heading: str) -> dict[str, list[str]]:
    """Return the cells of the table below a heading by the word in their first one."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[1:] for row in rows}


def test_keys_of_the_first_line_are_documented() -> None:
    """Each key has a row, in its order, and no other."""
    rows = _read_rows("The first line")

    assert list(rows) == list(Header.__struct_fields__)
    assert rows["format"] == [f"`{FORMAT}` |"]
    assert rows["version"][0].startswith(f"{VERSION}. ")


def test_every_kind_of_line_is_documented() -> None:
    """Each kind has a row, and no other."""
    assert set(_read_rows("The other lines")) == {
        kind.__struct_config__.tag for kind in get_args(Line)
    }


@pytest.mark.parametrize("kind", get_args(Line), ids=lambda kind: kind.__struct_config__.tag)
def test_keys_of_a_line_are_documented(kind: type) -> None:
    """The row of a kind names its keys, in their order."""
    row = _read_rows("The other lines")[kind.__struct_config__.tag]  # type: ignore[attr-defined]
    keys = ["at", *re.findall(r"`([a-z_]+)`", row[0])]

    assert keys == list(kind.__struct_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", [*get_args(Source), *get_args(Kind)])
def test_every_word_is_documented(word: str) -> None:
    """Sources and parts are named."""
    assert f"`{word}`" in TEXT.partition("## The other lines")[2]
