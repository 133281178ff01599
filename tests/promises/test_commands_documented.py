"""docs/reference/commands.md says what there is, all of it and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netevd.cli.failure import Exit
from netevd.cli.lazy import Lazy
from netevd.cli.main import root

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def _leaves(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, by its words."""
    real = command.load() if isinstance(command, Lazy) else command
    if isinstance(real, click.Group):
        for name, child in real.commands.items():
            yield from _leaves(child, f"{words} {name}")
    else:
        yield words, real


COMMANDS = dict(_leaves(root, "netevd"))


def _read_sections() -> dict[str, str]:
    """Return the text below each heading of the second level."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _options(command: click.Command) -> set[str]:
    """Return the options that the command's own help shows."""
    with click.Context(command, **command.context_settings) as ctx:
        parameters = command.get_params(ctx)
    found = [each for each in parameters if isinstance(each, click.Option) and not each.hidden]
    return {name for option in found for name in (*option.opts, *option.secondary_opts)}


def _documented_options(section: str) -> set[str]:
    """Return the options named in the first column of a section's tables."""
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `-")]
    return {name for row in rows for name in re.findall(r"`(--?[a-z0-9-]+)`", row)}


def test_every_command_has_a_section_and_no_section_lacks_a_command() -> None:
    """Sections and table of contents name exactly the commands that exist."""
    sections = {name for name in _read_sections() if name.startswith("netevd ")}
    listed = set(re.findall(r"^\| \[`(netevd [a-z -]+)`\]", PAGE.read_text("utf-8"), re.MULTILINE))

    assert sections == set(COMMANDS)
    assert listed == set(COMMANDS)


@pytest.mark.parametrize("words", list(COMMANDS))
def test_every_option_is_documented_and_no_other(words: str) -> None:
    """The table of options of a command's section is what the command takes."""
    assert _documented_options(_read_sections()[words]) == _options(COMMANDS[words]) - {
        "--help",
        "-h",
    }


def test_options_of_the_program_are_documented() -> None:
    """The same for what stands before a command."""
    section = _read_sections()["Options of `netevd` itself"]

    assert _documented_options(section) == _options(root)


@pytest.mark.parametrize("words", list(COMMANDS))
def test_usage_names_every_argument_and_option(words: str) -> None:
    """The usage line of a section holds each long option but those all commands share."""
    section = _read_sections()[words]
    usage = next(line for line in section.splitlines() if line.startswith("    netevd "))
    shared = {"--help", "-h", "-o", "--output", "-j", "--color", "--fields", "--no-header"}

    assert usage.strip().startswith(words)
    wanted = {each for each in _options(COMMANDS[words]) - shared if each.startswith("--")}
    assert set(re.findall(r"--[a-z-]+", usage)) == wanted


@pytest.mark.parametrize("words", list(COMMANDS))
def test_every_command_has_an_example(words: str) -> None:
    """Its section shows a command line and what comes of it; that it does is tested elsewhere."""
    assert re.search(rf"^    \$ {words}\b.*\n    \S", _read_sections()[words], re.MULTILINE)


@pytest.mark.parametrize("code", list(Exit), ids=str)
def test_every_exit_code_is_documented(code: int) -> None:
    """Each code that a command can end with has a line."""
    assert re.search(rf"^\| {int(code)} \| \S", _read_sections()["Exit codes"], re.MULTILINE)
