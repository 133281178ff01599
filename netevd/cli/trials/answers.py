"""
What the command line is told of a runner that was lent to it, and of the one thing it does there.

The first two come from `privsep once` as JSON, the others from the conversation with the runner.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all answers share."""


class Identity(_Told, frozen=True, tag="identity"):
    """As whom the runner runs scripts and checks files, and within which limits."""

    user: str
    uid: int
    observe: bool
    """The caller can't or would not change users."""
    script_timeout: float
    """Seconds."""
    output_limit: int
    """Bytes."""


class Problems(_Told, frozen=True, tag="problems"):
    """The configuration was refused; one line each."""

    problems: list[str]


class Entry(_Told, frozen=True, tag="entry"):
    """One file of a script directory."""

    event: str
    name: str
    path: str
    runnable: bool
    reason: str
    tree: str = ""
    """Of another dispatcher's script its tree."""


class Started(_Told, frozen=True, tag="started"):
    """The script's first process exists."""

    pid: int


class Output(_Told, frozen=True, tag="output"):
    """A piece of what the script printed; not always a whole line."""

    stream: str
    """out or err."""
    text: str


class Cut(_Told, frozen=True, tag="cut"):
    """The script printed more than is kept; the rest is read and dropped."""


class Refused(_Told, frozen=True, tag="refused"):
    """The script was not started, and why."""

    reason: str


class Finished(_Told, frozen=True, tag="finished"):
    """The script and everything it started is gone."""

    status: int
    """Exit code, or minus the signal number."""
    duration: float
    """Seconds."""
    cpu: float
    """Seconds."""
    leftovers: int
    timeout: bool


Answer: TypeAlias = Identity | Problems | Entry | Started | Output | Cut | Refused | Finished
