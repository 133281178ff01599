"""
What checks give, findings, and what they get: what the daemon would decide here.

It is asked of `privsep once`, so that doctor can't say otherwise. Judging it is the checks'.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Final, Literal, NamedTuple, TypeAlias

from netevd.cli.failure import Failure
from netevd.cli.trials.answers import Entry, Identity, Problems
from netevd.cli.trials.once import Once
from netevd.config.load import DEFAULT_PATH, Loaded, load
from netevd.config.tree import Problem

Level: TypeAlias = Literal["ok", "note", "warning", "problem"]
"""note: good to know, or not to be looked at by this caller. warning: netevd works, but not as
meant. problem: it does not work."""

_LEADS: Final = re.compile(r";?\s(?:[Mm]end|make) (?:it|all of them) with:\s")
"""How messages of the daemon lead to the command that mends."""


class Finding(NamedTuple):
    """One thing looked at, and what to do about it."""

    level: Level
    check: str
    """Name of the check, one word."""
    subject: str
    """What was looked at: a user, a file, a setting of the kernel."""
    message: str
    """What was found and what it means; no line ends."""
    command: str = ""
    """What to do, to be pasted into a shell; "" where there is nothing, or only words help."""


def read_finding(level: Level, check: str, subject: str, text: str) -> Finding:
    """Return what a message of the daemon says, its command apart."""
    parts = _LEADS.split(text, maxsplit=1)
    return Finding(level, check, subject, parts[0], as_root(parts[1]) if len(parts) > 1 else "")


# --- case ----------------------------------------------------------------------------------------


class Case(NamedTuple):
    """One configuration on this machine, for this caller."""

    config: str | None
    """The file that was given."""
    path: str
    """The file that counts; it need not exist."""
    loaded: Loaded | list[Problem]
    """As the caller reads it."""
    identity: Identity | None
    """As whom scripts run, None when the daemon would not start."""
    entries: list[Entry]
    """Every script file with the runner's verdict."""
    problems: list[str]
    """What the daemon's reader says of the configuration, `file:line:column: text` each."""
    refusal: str
    """Why the daemon would not start whatever the configuration is, "" when it would."""

    @property
    def privileged(self) -> bool:
        """Tell whether each role would have a user of its own."""
        return self.identity is not None and not self.identity.observe

    @property
    def ask_as_root(self) -> str:
        """Return the command that looks at all that this caller can't."""
        given = f" --config {shlex.quote(self.path)}" if self.config else ""
        return f"sudo netevd doctor{given}"


def open_case(config: str | None) -> Case:
    """Ask the daemon about a configuration file (absolute path, None: the default one)."""
    identity: Identity | None = None
    entries: list[Entry] = []
    problems: list[str] = []
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    broken = ""
    try:
        with Once(None, config=config, observe=False, errors=writing) as answers:
            for answer in answers:
                match answer:
                    case Identity():
                        identity = answer
                    case Entry():
                        entries.append(answer)
                    case Problems():
                        problems = answer.problems
    except Failure as failure:
        broken = str(failure)
    os.close(writing)
    words = _read_words(reading)
    refusal = words or broken or ("" if problems else "it ended without a word")
    refusal = "" if identity and not broken else refusal
    path = config or DEFAULT_PATH
    return Case(config, path, load(config, os.environ), identity, entries, problems, refusal)


def _read_words(descriptor: int) -> str:
    """Return what was said, at most what a pipe holds; a traceback is its last line."""
    with open(descriptor, "rb", buffering=0) as pipe:
        text = (pipe.read(65536) or b"").decode("utf-8", "backslashreplace").strip()
    lines = text.removeprefix("netevd: ").splitlines()
    return lines[-1] if text.startswith("Traceback") else "\n".join(lines)


def as_root(command: str) -> str:
    """Return a command as this caller has to give it, for what only root may do."""
    if os.geteuid() == 0:
        return command
    return f"sudo sh -c {shlex.quote(command)}" if "&&" in command else f"sudo {command}"


def name_caller() -> str:
    """Return the caller as messages call it."""
    return "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
