"""The manual pages: what they are made of stands in them, and three readers of roff find no fault."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest

from netevd.cli.failure import Exit
from netevd.cli.lazy import Lazy
from netevd.cli.main import root
from netevd.config.schema import Configuration, Damping, Filter, Match, Override, Rule
from netevd.model.event import EventType
from privsep.variables import VARIABLES

MAKER = Path(__file__).resolve().parent.parent.parent / "packaging/manpages"
sys.path.insert(0, str(MAKER))
import markdown  # noqa: E402
import roff  # noqa: E402

sys.path.remove(str(MAKER))

PAGES = {"netevd.1", "netevd.yaml.5", "netevd-scripts.7", "netevd.8"}
READERS = (
    ["mandoc", "-T", "lint", "-W", "warning"],
    ["groff", "-man", "-ww", "-z", "-Tutf8", "-Kutf8"],
    ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the pages, made as `make man` does."""
    directory = tmp_path_factory.mktemp("man")
    subprocess.run(
        [sys.executable, "-B", str(MAKER), str(directory)],
        check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
    )  # fmt: skip
    return directory


def read(manual: Path, number: int, name: str = "netevd") -> str:
    """Return a page as man(1) shows it, with lines as long as they need to be."""
    result = subprocess.run(
        ["man", "-M", str(manual), "-E", "UTF-8", "-P", "cat", str(number), name],
        capture_output=True, text=True, check=True,
        env={**os.environ, "MANWIDTH": "4000", "MAN_KEEP_FORMATTING": "", "GROFF_NO_SGR": "1"},
    )  # fmt: skip
    return re.sub(r".\x08", "", result.stdout).replace("\u2010", "-").replace("\u2212", "-")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
def test_pages_have_no_fault(manual: Path, reader: list[str]) -> None:
    """Every page is read without a warning."""
    if shutil.which(reader[0]) is None:
        pytest.skip(f"{reader[0]} is not installed")
    pages = sorted(path for path in manual.rglob("*") if path.is_file())

    assert {page.name for page in pages} == PAGES
    for page in pages:
        result = subprocess.run([*reader, str(page)], capture_output=True, text=True, check=False)
        assert result.returncode == 0
        said = result.stderr if reader[0] == "man" else result.stdout + result.stderr
        assert said == ""


def leaves(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, by its words."""
    real = command.load() if isinstance(command, Lazy) else command
    if isinstance(real, click.Group):
        for name, child in real.commands.items():
            yield from leaves(child, f"{words} {name}")
    else:
        yield words, real


def test_netevd_1_has_every_command_option_and_exit_code(manual: Path) -> None:
    """The page is the help of all levels."""
    text = read(manual, 1)

    for words, command in leaves(root, "netevd"):
        section = re.split(rf"^   {words}\b.*$", text, flags=re.MULTILINE)[1]
        section = re.split(r"^ {0,3}\S", section, flags=re.MULTILINE)[0]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(name in section for name in option.opts[:1]), (words, option.opts)
    for code in Exit:
        assert re.search(rf"^ +{int(code)} +\S", text, re.MULTILINE)


def test_netevd_yaml_5_has_every_setting(manual: Path) -> None:
    """Each key stands there with the words of the schema."""
    text = read(manual, 5, "netevd.yaml")

    def find(section: object, above: str = "") -> Iterator[str]:
        for each in attrs.fields(type(section)):
            default = getattr(section, each.name)
            if attrs.has(type(default)):
                yield from find(default, f"{above}{each.name}.")
            else:
                yield above + each.name

    names = {*find(Configuration())}
    names |= {field.name for kind in (Rule, Override) for field in attrs.fields(kind)} - {"limits"}
    names |= {f"match.{field.name}" for field in attrs.fields(Match)}
    names |= {field.name for field in attrs.fields(Filter)} - {"origin", "match"}
    for name in names:
        assert re.search(rf"^ +{re.escape(name)}\b", text, re.MULTILINE), name
    assert f"Default: {Damping().suppress}." in text


def test_netevd_scripts_7_has_every_event_and_variable(manual: Path) -> None:
    """Each is a tag of a list."""
    text = read(manual, 7, "netevd-scripts")

    for name in [*EventType, *VARIABLES]:
        assert re.search(rf"^ +(\S+,? )*{name}\b", text, re.MULTILINE), name


def test_netevd_8_has_signals_files_and_users(manual: Path) -> None:
    """What an administrator looks up."""
    text = read(manual, 8)

    for word in ("SIGHUP", "/run/netevd/api.sock", "/var/lib/netevd", "netevd-net", "--state-dir"):
        assert word in text


def test_markdown_is_shown_and_never_taken_for_roff(tmp_path: Path) -> None:
    """Backslashes, dots at the beginning of a line, hyphens and tables come out as they went in."""
    text = (
        "First `--socket` of\n[a page](commands.md#x) with C:\\n and **weight**.\n\n"
        ".TH not a heading\n\n    .SH as it is\n\n      deeper 'quoted'\n\n"
        "- one\n- two\n  goes on\n\n| name | kind | meaning |\n| --- | --- | --- |\n"
        "| `a\\|b` | word | says `x` |\n"
    )
    path = tmp_path / "page.1"
    path.write_text(roff.page("page", 1, "a page", "1", "2026-01-01", [
        *roff.section("Description"), *markdown.convert(text),
    ]))  # fmt: skip

    result = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.strip() for line in re.sub(r".\x08", "", result.stdout).splitlines()]

    assert "First --socket of a page with C:\\n and weight." in lines
    for line in (".TH not a heading", ".SH as it is", "deeper 'quoted'", "Kind: word."):
        assert line in lines
    assert any(line.endswith("two goes on") for line in lines)
    assert any(re.fullmatch(r"a\|b +says x", line) for line in lines)
