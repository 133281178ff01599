"""Formats, tables and what is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest

from netevd.cli import output, table


@pytest.fixture
def asked() -> Iterator[click.Context]:
    """Return the context of a command that prints."""
    with click.Context(click.Command("anything")) as ctx:
        yield ctx


def test_columns_stand_below_each_other(
    asked: click.Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wide letters count two columns and accents none, and no line has blanks at its end."""
    rows = [[("a", ""), ("x", "")], [("漢字", ""), ("y", "")], [("e\u0301", ""), ("", "")]]

    table.print_table(("N", "V"), rows)

    assert capsys.readouterr().out.split("\n") == ["N     V", "a     x", "漢字  y", "e\u0301", ""]


def test_style_never_says_what_the_text_does_not(
    asked: click.Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """With colours a table has the same text and the same columns."""
    rows = [[("a", "good"), ("b", "")], [("long", "doubtful"), ("c", "")]]
    table.print_table(("N", "V"), rows)
    plain = capsys.readouterr().out

    asked.meta[output._COLOUR] = "always"
    table.print_table(("N", "V"), rows)
    coloured = capsys.readouterr().out

    assert coloured != plain
    assert click.unstyle(coloured) == plain


def test_cells_can_not_forge_lines(
    asked: click.Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters and undecodable bytes of a cell are shown escaped."""
    table.print_table(("N",), [[("a\nb\x1b[1m\udcff", "")]])

    assert capsys.readouterr().out == "N\na\\x0ab\\x1b[1m\\xff\n"


def test_text_keeps_its_lines_and_tabs() -> None:
    """Output of scripts keeps what makes it readable and loses what moves a cursor."""
    assert output.show_text("a\tb\nc\rd\x1b]0;x\x07\n") == "a\tb\nc\\x0dd\\x1b]0;x\\x07\n"


def test_words_have_our_name_on_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Words for people go to standard error, escaped, none without a name."""
    output.say("first\nsecond \x1b[2J")

    assert capsys.readouterr() == ("", "netevd: first\nnetevd: second \\x1b[2J\n")


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_is_valid_whatever_it_holds(
    form: str, asked: click.Context, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Even a text that can't be encoded comes out as JSON in UTF-8."""
    asked.meta[output.FORMAT] = form

    output.print_shape({"name": "é\udcff\x1b"})

    assert json.loads(capfdbinary.readouterr().out) == {"name": "é\udcff\x1b"}
