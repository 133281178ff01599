"""
The file of tokens: one a line, NAME ROLE HASH and when it was made. Of the secrets only hashes are kept.

A secret is 256 random bits, so a plain SHA-256 of it can't be guessed, however quickly one can try.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, cast, get_args

from attrs import frozen

from netevd.config.kinds import RoleName, TokenHash, TokenName
from netevd.config.schema import Token
from netevd.config.tree import Place, Problem

PREFIX: Final = "netevd_"
"""Begins every secret, so that one that went astray is found."""
LIMIT: Final = 256
"""Tokens of one file."""
_SHAPE: Final = "NAME ROLE sha256:HASH [WHEN]"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HEAD: Final = "# Tokens of netevd: " + _SHAPE + "; see `netevd token --help`.\n"


@frozen(slots=True)
class Entry:
    """One line."""

    token: Token
    made: str = ""
    """RFC 3339 date, "" for one that somebody has written by hand."""


def make_secret(random: bytes) -> str:
    """Return a secret of 32 random bytes."""
    return PREFIX + random.hex()


def hash_secret(secret: str) -> TokenHash:
    """Return what is kept of a secret."""
    return TokenHash(f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}")


def parse(path: str, content: bytes) -> tuple[list[Entry], list[Problem]]:
    """Return the tokens of a file and what is wrong with it. A problem never tells what is in a line."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        place = Place(path, number, 1)
        if (
            not 3 <= len(words) <= 4 or not _NAME.match(words[0]) or not _HASH.match(words[2])
        ):  # fmt: skip
            text = f"a line with a token is {_SHAPE}; make one with `netevd token create`"
            problems.append(Problem(place, text))
        elif words[1] not in get_args(RoleName):
            text = f"a role is one of {', '.join(get_args(RoleName))}"
            problems.append(Problem(place, text))
        elif any(words[0] == each.token.name for each in entries):
            problems.append(Problem(place, f"there are two tokens {words[0]}; revoke one of them"))
        else:
            token = Token(TokenName(words[0]), cast(RoleName, words[1]), TokenHash(words[2]))
            entries.append(Entry(token, words[3] if len(words) > 3 else ""))
    if len(entries) > LIMIT:
        problems.append(Problem(Place(path), f"{len(entries)} tokens; expected at most {LIMIT}"))
    return entries, problems


def write(entries: list[Entry]) -> bytes:
    """Return the content of a file with these tokens."""
    lines = [
        " ".join(filter(None, (each.token.name, each.token.role, each.token.hash, each.made)))
        for each in entries
    ]
    return (_HEAD + "".join(f"{line}\n" for line in lines)).encode()
