"""Tables on terminals of all widths, and in pipes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

import click
import pytest

from netevd.cli import output, table
from netevd.cli.table import Row

COLUMNS = ("NAME", "STATE", "ADDRESSES")
ROWS: list[Row] = [
    (("eth0", "bold"), ("routable", "good"), ("192.0.2.1/24 2001:db8::1234:5678/64", "")),
    (("漢字", "bold"), ("off", "faint"), ("", "")),
]


@pytest.fixture
def asked() -> Iterator[click.Context]:
    """Return the context of a command that prints."""
    with click.Context(click.Command("anything")) as ctx:
        yield ctx


def _print(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a terminal of so many columns gets, 0 for a pipe."""
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: bool(width))
        patch.setattr(shutil, "get_terminal_size", lambda: (width, 24))
        patch.setattr(table.shutil, "get_terminal_size", lambda: _Size(width))
        table.print_table(COLUMNS, ROWS)
    return click.unstyle(capsys.readouterr().out)


class _Size:
    def __init__(self, columns: int) -> None:
        self.columns = columns


@pytest.mark.parametrize("width", [20, 30, 40, 50, 80])
def test_table_fits_the_terminal_and_loses_nothing(
    width: int,
    asked: click.Context,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No line of a fitted table is wider than the terminal, and every character is there."""
    got = _print(width, monkeypatch, capsys)

    text = "".join(got.split())
    for row in ROWS:
        for cell, _ in row[:2]:
            assert cell in text
    if got.startswith("NAME:"):
        assert "ADDRESSES: 192.0.2.1/24 2001:db8::1234:5678/64" in got
    else:
        assert max(map(table.measure, got.splitlines())) <= width
        assert "2001:db8:" in text
    assert all(line == line.rstrip() for line in got.splitlines())


def test_narrowest_terminals_get_a_block_a_row(
    asked: click.Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where not even the columns that can't be folded fit, each cell has a line."""
    assert (
        _print(20, monkeypatch, capsys).split("\n\n")[1] == "NAME: 漢字\nSTATE: off\nADDRESSES:\n"
    )


def test_pipes_get_one_line_a_row(
    asked: click.Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However wide."""
    assert len(_print(0, monkeypatch, capsys).splitlines()) == 3


def test_fitted_tables_have_colours_when_wanted(
    asked: click.Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What rich prints says the same with and without."""
    plain = _print(40, monkeypatch, capsys)
    asked.meta[output._COLOUR] = "always"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(table.shutil, "get_terminal_size", lambda: _Size(40))
    table.print_table(COLUMNS, ROWS)
    coloured = capsys.readouterr().out

    assert "\x1b[32mroutable" in coloured
    assert [each.rstrip() for each in click.unstyle(coloured).splitlines()] == plain.splitlines()


def test_columns_are_chosen_and_headings_left_out(
    asked: click.Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order that was asked for, by names in any case."""
    asked.meta["netevd.fields"] = "state, Name"
    asked.meta["netevd.no_header"] = True
    table.print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out == "routable  eth0\noff       漢字\n"

    asked.meta["netevd.fields"] = "stat"
    with pytest.raises(click.UsageError, match="did you mean state?"):
        table.print_table(COLUMNS, ROWS)
