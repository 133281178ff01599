"""
The grammar of ISC dhclient's lease files: statements of words that end with ; or have a block.

Pure and bounded: any octets give a tree and a list of faults, and nothing is raised. What the
statements mean is the business of `leasefile`. Source: dhclient.leases(5), dhcp-eval(5).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from attrs import frozen

SIZE_LIMIT: Final = 1 << 20
"""Octets of a file at most. dhclient itself begins a file anew after 20 leases."""
STATEMENT_LIMIT: Final = 20_000
"""Statements of a file at most."""
DEPTH_LIMIT: Final = 4
"""Blocks inside each other at most; an address of a lease6 has three."""
WORD_LIMIT: Final = 8192
"""Octets of one word or string at most: four for each of the longest option, RFC 3396."""
WORDS_LIMIT: Final = 4096
"""Words of one statement at most: a list of octets as long as the longest option, and more."""
FAULT_LIMIT: Final = 20
"""Faults of one file that are told."""

BEGINNINGS: Final = frozenset((b"lease", b"lease6", b"default-duid"))
"""What only the outermost level has, so that a file can be understood again after a fault."""

_TOKEN = re.compile(
    rb'(?P<blank>[ \t\r\n\f\v]+|\#[^\n]*)|(?P<text>"(?:[^"\\\n]|\\[^\n])*")|(?P<mark>[{};,=])'
    rb'|(?P<word>[!$-+\--:<>-z|~?@A-Z]+)'
)  # fmt: skip
"""A word is printable ASCII without blanks, marks, quotes and #."""
_NEXT = re.compile(rb"^(?:lease6?[ \t]*\{|default-duid[ \t]+\")", re.MULTILINE)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|[^\n])")
_CONTROLS: Final = {b"t": b"\t", b"r": b"\r", b"n": b"\n", b"b": b"\b"}
"""Source: read_string() of the lexer behind dhclient.leases(5)."""


@frozen(slots=True)
class Fault:
    """Something in a file that is not understood."""

    line: int
    column: int
    """Both count from 1."""
    text: str


@frozen(slots=True)
class Word:
    """One word, string or comma of a statement."""

    value: bytes
    """Of a string what it stands for, without quotes and escapes."""
    offset: int
    quoted: bool = False


@frozen(slots=True)
class Statement:
    """Words up to ; or a block."""

    words: tuple[Word, ...]
    block: tuple[Statement, ...] | None
    offset: int

    @property
    def head(self) -> bytes:
        """Its first word, b"" if that is a string."""
        return b"" if self.words[0].quoted else self.words[0].value


@frozen(slots=True)
class Tree:
    """The whole statements of a file, and what is wrong with the rest."""

    statements: tuple[Statement, ...]
    faults: tuple[Fault, ...]
    unfinished: Fault | None
    """Where the last statement begins whose end is not there: the file may still be written."""


class _Bad(Exception):
    def __init__(self, offset: int, text: str, again: int | None = None) -> None:
        super().__init__(text)
        self.offset = offset
        self.text = text
        self.again = again
        """Where to go on; None: at the next line that begins a lease."""


class _Unfinished(Exception):
    """The octets end within a statement."""


class Positions:
    """Lines and columns of octets."""

    def __init__(self, content: bytes) -> None:
        self._starts = [0, *(match.end() for match in re.finditer(b"\n", content))]

    def find(self, offset: int) -> tuple[int, int]:
        """Return line and column of an octet, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def read_tree(content: bytes, positions: Positions) -> Tree:
    """Return what can be understood of a file, and where it can't be."""
    if len(content) > SIZE_LIMIT:
        text = f"{len(content)} octets, more than {SIZE_LIMIT}: no lease file of dhclient's grows so large"
        return Tree((), (Fault(1, 1, text),), None)
    reader = _Reader(content)
    statements: list[Statement] = []
    faults: list[Fault] = []
    while True:
        begin = reader.skip_blanks()
        if begin == len(content):
            return Tree(tuple(statements), tuple(faults), None)
        try:
            statements.append(reader.read_statement(0))
        except _Unfinished:
            line, column = positions.find(begin)
            text = "what begins here has no end yet"
            return Tree(tuple(statements), tuple(faults), Fault(line, column, text))
        except _Bad as bad:
            if len(faults) < FAULT_LIMIT:
                faults.append(Fault(*positions.find(bad.offset), bad.text))
            if not reader.go_on(begin, bad.again):
                return Tree(tuple(statements), tuple(faults), None)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._offset = 0
        self._statements = 0

    def skip_blanks(self) -> int:
        """Pass blanks and comments; return the offset of what follows."""
        while match := _TOKEN.match(self._content, self._offset):
            if match.lastgroup != "blank":
                break
            self._offset = match.end()
        return self._offset

    def go_on(self, begin: int, again: int | None) -> bool:
        """Pass over a statement that began there; tell whether anything comes after it."""
        if self._statements >= STATEMENT_LIMIT:
            return False
        if again is None:
            match = _NEXT.search(self._content, begin + 1)
            again = len(self._content) if match is None else match.start()
        self._offset = again
        return True

    def read_statement(self, depth: int) -> Statement:
        """Return the next statement. Raises: _Bad, _Unfinished."""
        words: list[Word] = []
        begin = self._offset
        self._statements += 1
        if self._statements > STATEMENT_LIMIT:
            raise _Bad(begin, f"more than {STATEMENT_LIMIT} statements")
        while True:
            token = self._read_token()
            if token.quoted or token.value not in {b"{", b"}", b";"}:
                self._check_place(token, words, depth)
                words.append(token)
                if len(words) > WORDS_LIMIT:
                    raise _Bad(begin, f"a statement of more than {WORDS_LIMIT} words")
                continue
            if token.value == b";" and words:
                return Statement(tuple(words), None, begin)
            if token.value == b"{" and words:
                return Statement(tuple(words), self._read_block(words, token, depth), begin)
            raise _Bad(token.offset, f"expected a statement, found {token.value.decode()}")

    def _check_place(self, token: Word, words: list[Word], depth: int) -> None:
        """Find a lease that begins where none can, since what is before it was never ended."""
        is_first = token.offset == 0 or self._content[token.offset - 1 : token.offset] == b"\n"
        inside = depth > 0 or words
        if inside and is_first and not token.quoted and _NEXT.match(self._content, token.offset):
            found = token.value.decode()
            raise _Bad(token.offset, f"{found} begins where }} or ; is missing", token.offset)

    def _read_block(self, words: list[Word], brace: Word, depth: int) -> tuple[Statement, ...]:
        if depth >= DEPTH_LIMIT:
            raise _Bad(brace.offset, f"more than {DEPTH_LIMIT} blocks inside each other")
        if words[0].value in {b"option", b"renew", b"rebind", b"expire"}:
            head = words[0].value.decode()
            raise _Bad(brace.offset, f"expected ; after {head}, found {{")
        statements: list[Statement] = []
        while True:
            begin = self.skip_blanks()
            if self._content[begin : begin + 1] == b"}":
                self._offset = begin + 1
                return tuple(statements)
            statements.append(self.read_statement(depth + 1))

    def _read_token(self) -> Word:
        begin = self.skip_blanks()
        match = _TOKEN.match(self._content, begin)
        if match is None:
            raise self._refuse(begin)
        end = match.end()
        self._offset = end
        if end - begin > WORD_LIMIT:
            raise _Bad(begin, f"a word of {end - begin} octets, more than {WORD_LIMIT}")
        if match.lastgroup == "text":
            return Word(_unescape(match.group()[1:-1]), begin, quoted=True)
        if match.lastgroup == "word" and end == len(self._content):
            raise _Unfinished  # more of it may come
        return Word(match.group(), begin)

    def _refuse(self, begin: int) -> _Bad | _Unfinished:
        """Return what is wrong where there is no token."""
        rest = self._content[begin : begin + WORD_LIMIT]
        if not rest or (rest.startswith(b'"') and b"\n" not in rest and len(rest) < WORD_LIMIT):
            return _Unfinished()
        if rest.startswith(b'"'):
            return _Bad(begin, "a string without end in its line")
        return _Bad(begin, f"octet 0x{rest[0]:02x}, which no lease file has here")


def _unescape(text: bytes) -> bytes:
    return text if b"\\" not in text else _ESCAPE.sub(_resolve, text)


def _resolve(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if escape[:1] in b"01234567":
        return bytes((int(escape, 8) & 0xFF,))
    if escape[:1] == b"x" and len(escape) > 1:
        return bytes((int(escape[1:], 16),))
    return _CONTROLS.get(escape, escape)
