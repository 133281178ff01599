"""
The Markdown of docs/reference as man(7): headings, paragraphs, lists, tables and examples, no more.

What these pages do not use is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import roff


def read_sections(path: Path) -> dict[str, str]:
    """Return the text below each heading of the second level; what stands before the first is ""."""
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    top = re.sub(r"^# .+\n", "", parts[0])
    return {"": top, **dict(zip(parts[1::2], parts[2::2], strict=True))}


def convert(text: str, *, leave_out: str = "|||") -> list[str]:
    """Return Markdown as lines of a page. leave_out: how tables begin that are said elsewhere."""
    lines: list[str] = []
    for block in _split(text):
        first = block[0]
        if first.startswith("#"):
            lines += roff.subsection(roff.inline(first.lstrip("# ")))
        elif first.startswith(leave_out):
            continue
        elif first.startswith("|"):
            lines += _convert_table(block)
        elif first.startswith("    "):
            lines += roff.example(each[4:] for each in block)
        elif first.startswith(("- ", "* ")):
            for each in re.split(r"\n(?=[-*] )", "\n".join(block)):
                lines += roff.bullet(each[2:])
        else:
            lines += roff.paragraph("\n".join(block))
    return lines


def _split(text: str) -> Iterator[list[str]]:
    """Yield the lines of each block: of one kind, with blank lines inside examples only."""
    block: list[str] = []
    for line in [*text.expandtabs().splitlines(), ""]:
        if (
            block
            and (not line.strip() or _kind(line) != _kind(block[0]))
            and not _goes_on(block, line)
        ):
            while not block[-1].strip():
                block.pop()
            yield block
            block = []
        if line.strip() or block:
            block.append(line)


def _goes_on(block: list[str], line: str) -> bool:
    """Tell whether a line belongs to a block although it looks otherwise."""
    kind = _kind(block[0])
    if kind == "example":
        return not line.strip()
    return kind == "list" and bool(line.strip()) and _kind(line) in {"text", "example"}


def _kind(line: str) -> str:
    if line.startswith("    "):
        return "example"
    if line.startswith("|"):
        return "table"
    if line.startswith(("- ", "* ")):
        return "list"
    return "heading" if line.startswith("#") else "text"


def _convert_table(block: list[str]) -> list[str]:
    """Return a table as tags with what is said of them."""
    rows = [[cell.replace("\\|", "|").strip() for cell in _cells(each)] for each in block]
    names, lines = rows[0], []
    for first, *middle, last in rows[2:]:
        more = [
            f"{name.capitalize()}: {cell}."
            for name, cell in zip(names[1:-1], middle, strict=True)
            if cell
        ]
        text = last + (f"\n\n{' '.join(more)}" if more else "")
        lines += roff.tagged(roff.inline(first), text)
    return lines


def _cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip().strip("|"))
