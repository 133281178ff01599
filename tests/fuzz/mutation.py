"""
Octets made of other octets: the strategy that all targets share, and a reader for those that decide by octets.

A seed that is valid and then spoiled in a few places comes deeper into a parser than noise does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import strategies as st

_ODD = [
    b"", b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b'"', b"{", b"[" * 40, b"'" * 3, b"\\", b"${A:-${B}}", b"%s", b"..", b"/",
    b"\xed\xa0\x80", b"\xe2\x80\xae", b"1e999", b"-1", b"0" * 400, b"&a *a", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    *(struct.pack("<Q", each) for each in (0, 2**31, 2**32 - 1, 2**63, 2**64 - 1)),
]  # fmt: skip
"""What parsers have stumbled over before: theirs and others'."""


@st.composite
def spoiled(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw a seed with up to eight changes, or noise."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, len(content)))
        size = draw(st.integers(0, min(16, len(content) - place)))
        match draw(st.integers(0, 5)):
            case 0 if place < len(content):
                content[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                content[place : place + size] = draw(st.sampled_from(_ODD))
            case 2:
                content[place : place + size] = draw(st.binary(max_size=8))
            case 3:
                content[place:place] = content[place : place + size] * draw(st.integers(1, 4))
            case 4:
                del content[place : place + draw(st.sampled_from([1, 2, 4, 64, 4096]))]
            case _:
                other = draw(st.sampled_from(seeds))
                start = draw(st.integers(0, len(other)))
                content[place : place + size] = other[start : start + 64]
    return bytes(content)


class Dice:
    """Decisions read from octets, so that whatever makes octets makes cases; zeros once they are used up."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._place >= len(self._content)

    def number(self, below: int) -> int:
        """Return a number from 0 on."""
        found = self._content[self._place] if not self.over else 0
        self._place += 1
        return found % below

    def octets(self, count: int) -> bytes:
        """Return some octets."""
        found = self._content[self._place : self._place + count]
        self._place += count
        return found
