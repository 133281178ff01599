"""
The manual pages, made of what help, reference and schema are made of.

    python packaging/manpages DIRECTORY    writes man1/netevd.1, man5/netevd.yaml.5,
                                           man7/netevd-scripts.7 and man8/netevd.8; prints their paths

Needs an environment that has netevd. SOURCE_DATE_EPOCH sets the date.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP))  # the pages are of this clone, whatever the environment has

import commands  # noqa: E402
import roff  # noqa: E402
import settings  # noqa: E402
from markdown import convert, read_sections  # noqa: E402

import netevd  # noqa: E402
from netevd.cli.main import root  # noqa: E402

REFERENCE = TOP / "docs/reference"
PAGES = {
    ("netevd", 1): "see and steer the network event daemon",
    ("netevd.yaml", 5): "configuration of the network event daemon",
    ("netevd-scripts", 7): "events of netevd, and the scripts that they run",
    ("netevd", 8): "network event daemon",
}


def make_pages(date: str) -> dict[str, str]:
    """Return the text of each page by its path."""
    bodies = {
        ("netevd", 1): describe_command(),
        ("netevd.yaml", 5): describe_file(),
        ("netevd-scripts", 7): describe_scripts(),
        ("netevd", 8): describe_daemon(),
    }
    return {
        f"man{number}/{name}.{number}": roff.page(
            name, number, PAGES[name, number], netevd.__version__, date,
            [*body, *refer((name, number))],
        )
        for (name, number), body in bodies.items()
    }  # fmt: skip


def refer(own: tuple[str, int]) -> list[str]:
    """Return where to read on."""
    others = [
        f"\\fB{roff.escape(name)}\\fR({number})" for name, number in PAGES if (name, number) != own
    ]
    return [*roff.section("See also"), ",\n".join(others)]


def describe_command() -> list[str]:
    """Return netevd(1)."""
    sections = read_sections(REFERENCE / "commands.md")
    lines = roff.section("Synopsis")
    lines.append(f"{roff.bold('netevd')} [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")
    lines += roff.section("Description") + commands.describe_help(root)
    lines += convert(sections[""].split("\n| command |")[0])
    lines += roff.section("Options")
    for option in commands.find_options(root):
        lines += commands.describe_option(option, root)
    lines += convert(sections["Options of tables"])
    lines += roff.section("Commands")
    for words, command in commands.walk(root, "netevd"):
        lines += commands.describe(words, command)
    for title in ("Which daemon is asked", "Exit codes"):
        lines += roff.section(title) + convert(sections[title])
    return lines


def describe_file() -> list[str]:
    """Return netevd.yaml(5)."""
    sections = read_sections(REFERENCE / "configuration.md")
    lines = [*roff.section("Synopsis"), roff.bold("/etc/netevd/netevd.yaml")]
    lines += roff.section("Description") + convert(sections.pop(""))
    lines += roff.section("Settings") + settings.describe_settings()
    for title, text in sections.items():
        if title != "Settings":
            # what keys mean has been said by the schema
            lines += roff.section(title) + convert(text, leave_out="| key ")
    return lines


def describe_scripts() -> list[str]:
    """Return netevd-scripts(7)."""
    sections = read_sections(REFERENCE / "events.md")
    lines = roff.section("Description") + convert(sections.pop(""))
    for title, text in sections.items():
        lines += roff.section(title) + convert(text)
    return lines


def describe_daemon() -> list[str]:
    """Return netevd(8)."""
    run = dict(commands.walk(root, "netevd"))["netevd run"]
    text = read_sections(REFERENCE / "commands.md")["netevd run"]
    usage, _, rest = text.strip().partition("\n\n")
    lines = [*roff.section("Synopsis"), roff.escape(usage.strip())]
    lines += roff.section("Description") + commands.describe_help(run) + convert(rest)
    for title, said in read_sections(REFERENCE / "daemon.md").items():
        lines += (roff.section(title) if title else []) + convert(said)
    return lines


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit("usage: python packaging/manpages DIRECTORY")
    moment = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    for name, text in make_pages(time.strftime("%Y-%m-%d", moment)).items():
        path = Path(sys.argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
