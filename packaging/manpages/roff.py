"""
Text as man(7) wants it: a page is a list of lines, made by a few functions. Standard library only.

Words here are plain text; `inline` knows what Markdown marks within a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS = re.compile(
    r"(?P<code>`[^`]+`)|(?P<bold>\*\*[^*]+\*\*)|(?P<stress>(?<!\w)\*[^*\s][^*]*\*(?!\w))"
    r"|\[(?P<text>(?:[^\[\]]|`[^`]*`)+)\]\((?P<target>[^)]*)\)"
)
_PAGES = {"configuration.md": ("netevd.yaml", 5), "events.md": ("netevd-scripts", 7)}
"""Which page has what a page of the reference says."""


def escape(text: str) -> str:
    """Return text so that roff shows it as it is; a hyphen stays one that can be searched for."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("^", "\\(ha")
    return shown.replace("~", "\\(ti").replace("`", "\\(ga").replace("'", "\\(aq")


def bold(text: str) -> str:
    """Return text in bold, nothing for nothing."""
    return f"\\fB{escape(text)}\\fR" if text else ""


def inline(text: str) -> str:
    """Return a line of Markdown: code in bold, links as their text."""
    found, at = [], 0
    for match in _MARKS.finditer(text):
        found.append(escape(text[at : match.start()]))
        at = match.end()
        if match["code"]:
            found.append(bold(match["code"][1:-1]))
        elif match["bold"]:
            found.append(bold(match["bold"][2:-2]))
        elif match["stress"]:
            found.append(f"\\fI{escape(match['stress'][1:-1])}\\fR")
        elif match["target"] in _PAGES:
            name, number = _PAGES[match["target"]]
            found.append(f"{bold(name)}({number})")
        else:
            found.append(inline(match["text"]))
    return "".join(found) + escape(text[at:])


def line(text: str) -> str:
    """Return a line of roff that is not taken for a request."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def paragraph(text: str) -> list[str]:
    """Return a paragraph of Markdown."""
    return [".PP", line(inline(" ".join(text.split())))]


def tagged(tag: str, text: str) -> list[str]:
    """Return a tag (roff) with its paragraphs (Markdown) beside it."""
    first, *rest = text.split("\n\n") or [""]
    lines = [".TP 8", line(tag), line(inline(" ".join(first.split())) or "\\&")]
    for each in rest:
        lines += [".IP", line(inline(" ".join(each.split())))]
    return lines


def bullet(text: str) -> list[str]:
    """Return an entry of a list."""
    return [".IP \\(bu 2", line(inline(" ".join(text.split())))]


def example(lines: Iterable[str]) -> list[str]:
    """Return lines that stay as they are."""
    return [".PP", ".RS 4", ".EX", *(line(escape(each)) or "\\&" for each in lines), ".EE", ".RE"]


def section(title: str) -> list[str]:
    """Return the heading of a section."""
    return [f".SH {_quote(title.upper())}"]


def subsection(title: str) -> list[str]:
    """Return the heading below one; title: roff."""
    return [f".SS {_quote(title)}"]


def _quote(text: str) -> str:
    return '"' + text.replace('"', "\\(dq") + '"'


def page(name: str, number: int, summary: str, version: str, date: str, body: Iterable[str]) -> str:
    """Return a whole page."""
    head = [
        '.\\" Made by packaging/manpages of the same sources as the help and the reference.',
        f'.TH {_quote(name.upper())} {number} "{date}" "netevd {version}" "{_TITLES[number]}"',
        *section("Name"),
        f"{escape(name)} \\- {escape(summary)}",
    ]
    lines = [*head, *body]
    # a heading begins a paragraph already
    kept = [
        text
        for before, text in zip(["", *lines], lines, strict=False)
        if text != ".PP" or not before.startswith((".SH", ".SS"))
    ]
    return "\n".join(kept) + "\n"


_TITLES = {
    1: "User Commands",
    5: "File Formats",
    7: "Miscellaneous Information",
    8: "System Administration",
}
