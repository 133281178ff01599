"""The scripts: the daemon's verdict on each, what starts it, and sudo, which gains nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from typing import Final

from netevd.cli.checks.case import Case, Finding, as_root, read_finding
from netevd.cli.checks.processes import read_file
from netevd.cli.trials.answers import Entry
from netevd.config.identities import Identities, Treatment
from netevd.config.load import Loaded

_MASKED: Final = "it is masked"
_USER_MAY_NOT: Final = "the script user"
"""How the verdicts begin on a file masked on purpose, and on one that scripts.user may not execute.
Source: privsep/scripts.py."""

_SUDO: Final = r"(?:/\S*/)?(sudo|su|doas|pkexec)"
_COMMAND: Final = re.compile(
    r"(?:^|[;&|({`!]|\b(?:then|do|else|if|elif|while|until|exec|time|nohup)\s)\s*(?:\w+=\S*\s+)*"
    rf"{_SUDO}(?=\s|$)"
)
"""A word where a shell looks for a command."""
_STRING: Final = re.compile(rf"[\"']{_SUDO}(?=[\"'\s])")
"""The same where other languages start programs: a string, or its first word."""
_HARMLESS: Final = re.compile(r"'[^']*'|\"[^\"$`]*\"|(?:^|(?<=\s))#.*")
"""What a shell takes as text: quoted without substitution, and comments."""


def check_scripts(case: Case) -> Iterator[Finding]:
    """Yield what keeps scripts from running, or from doing what they hope to do."""
    if case.identity is None or not isinstance(case.loaded, Loaded):
        if case.refusal:  # else the configuration says enough
            yield Finding("note", "scripts", "scripts", "not looked at: netevd run would not start")
        return
    configuration = case.loaded.configuration
    identities = Identities(configuration, observe=case.identity.observe)
    fine = 0
    for entry in case.entries:
        if entry.runnable:
            findings = list(
                _judge_runnable(
                    entry.path, identities.find(entry.path, entry.tree, entry.event), case.path
                )
            )
        else:
            findings = list(
                _judge_skipped(entry, identities.find(entry.path, entry.tree, entry.event))
            )
        fine += entry.runnable and not findings
        yield from findings
    if fine:
        many = f"{fine} script{'s' * (fine > 1)}"
        yield Finding("ok", "scripts", many, f"run as {case.identity.user}, or as their rules say")
    directory = configuration.scripts.directory
    if not case.entries and os.path.isdir(directory):
        yield Finding("note", "scripts", directory, "there are no scripts yet; put executable files into"
                      " the directory of an event type", as_root(f"mkdir -p {shlex.quote(directory)}/routable.d"))  # fmt: skip


def _judge_skipped(entry: Entry, treatment: Treatment) -> Iterator[Finding]:
    if entry.reason.startswith(_MASKED):
        return
    if entry.tree and treatment.runner and entry.reason.startswith(_USER_MAY_NOT):
        return  # it was checked for scripts.user, not for its tree's
    if treatment.rule.user is not None and entry.reason.startswith(_USER_MAY_NOT):
        yield Finding("note", "scripts", entry.path, f"was checked for scripts.user, not for"
                      f" {treatment.rule.user}, the user of its rule; run it", f"netevd test script {shlex.quote(entry.path)}")  # fmt: skip
        return
    found = read_finding("warning", "scripts", entry.path, f"is skipped: {entry.reason}")
    yield found if found.command else found._replace(command=_advise(entry.reason, entry.path))


def _advise(reason: str, path: str) -> str:
    """Return a command for a verdict that comes without one; what else fails, is shown by namei."""
    foreign = re.match(r"it(?:s directory (.+))? belongs to uid ", reason)
    name = shlex.quote(foreign[1] or path) if foreign else shlex.quote(path)
    return as_root(f"chown root {name}") if foreign else f"namei -l {name}"


def _judge_runnable(path: str, treatment: Treatment, config: str) -> Iterator[Finding]:
    """config: path of the configuration."""
    if treatment.refusal:
        text = f"does not run: {treatment.refusal}"
        yield Finding("warning", "scripts", path, text, "sudo netevd run")
        return
    if not os.access(path, os.R_OK):
        text = "its text was not looked at: the caller may not read it"
        yield Finding("note", "scripts", path, text)
        return
    content = read_file(path)
    used = {} if treatment.rule.user == "root" else find_sudo(content)
    if fault := find_start_fault(content, path):
        yield read_finding("warning", "scripts", path, f"can't be started: {fault}")
    elif used:
        places = " and ".join(f"{name} in line {line}" for name, line in used.items())
        rule = f"{{path: {json.dumps(path)}, user: root}}"
        yield Finding(
            "warning", "scripts", path,
            f"{places} gains nothing: scripts run with no_new_privs; take it out, and have the whole"
            f" script run as root by an entry of scripts.rules in {config}: {rule}",
        )  # fmt: skip


def find_start_fault(content: bytes, path: str) -> str:
    """Return why the kernel can't start a script, "" when it can. Source: execve(2)."""
    name = shlex.quote(path)
    line = content.partition(b"\n")[0]
    if content.startswith(b"\x7fELF"):
        return ""
    if not content:
        return f"it is empty; mend it with: rm {name}"
    words = line.removeprefix(b"#!").split()
    if not line.startswith(b"#!") or not words:
        return f"its first line names no interpreter; mend it with: sed -i '1i #!/bin/sh' {name}"
    if line.endswith(b"\r"):
        return f"its lines end with CR LF; mend it with: sed -i 's/\\r$//' {name}"
    interpreter = os.fsdecode(words[0])
    if not os.access(interpreter, os.X_OK):
        return f"its interpreter {interpreter} is not there, or can't be executed; install it"
    return ""


def find_sudo(content: bytes) -> dict[str, int]:
    """Return each program of a script that is there to become root, with its first line."""
    lines = content.decode("utf-8", "replace").splitlines()
    if not content.startswith(b"#!"):
        return {}  # a compiled program
    shell = re.search(r"\b(?:ba|da|a|k|mk|z)?sh\b", lines[0])
    found: dict[str, int] = {}
    for number, line in enumerate(lines[1:], 2):
        if shell:
            names = _COMMAND.findall(_HARMLESS.sub("", line))
        else:
            names = [] if line.lstrip().startswith("#") else _STRING.findall(line)
        for name in names:
            found.setdefault(name, number)
    return found
