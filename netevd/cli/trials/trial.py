"""One test run: what is told of it while it goes on, and at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from signal import Signals
from typing import assert_never

import click

from netevd.cli.output import Shape, say, show_text
from netevd.cli.trials.answers import (
    Answer,
    Cut,
    Entry,
    Finished,
    Identity,
    Output,
    Problems,
    Refused,
    Started,
)
from netevd.config.identities import Identities
from netevd.config.schema import Configuration
from netevd.model.event import Event
from privsep.protocol import escape


class Trial:
    """A run of one script for one event, from what `privsep once` answers."""

    def __init__(
        self, path: str, event: Event, configuration: Configuration, *, streaming: bool
    ) -> None:
        """streaming: whether output is passed on as it comes, or kept for `shape`."""
        self.problems: list[str] = []
        self.answered = False
        self._path = path
        self._event = event
        self._configuration = configuration
        self._streaming = streaming
        self._identity: Identity | None = None
        self._finished: Finished | None = None
        self._reason = ""
        self._output: dict[str, list[str]] = {"out": [], "err": []}
        self._open_line = False
        """The cursor of the terminal stands behind what the script printed."""

    @property
    def result(self) -> str:
        """The daemon's word for how it ended: ok, failed, timeout, refused or lost."""
        ended = self._finished
        if ended is None:
            return "refused" if self._reason else "lost"
        if ended.timeout:
            return "timeout"
        return "failed" if ended.status else "ok"

    def refuse(self, reason: str) -> None:
        """Take in that the script must not be run."""
        self.answered = True
        self._reason = reason

    def take(self, answer: Answer) -> None:
        """Take in one answer."""
        self.answered = True
        match answer:
            case Identity():
                self._identity = answer
                self._say_identity(answer)
            case Problems(problems=problems):
                self.problems = problems
            case Output(stream=stream, text=text):
                self._relay(stream, text)
            case Refused(reason=reason):
                self.refuse(reason)
            case Finished():
                self._finished = answer
            case Cut():
                limit = self._configuration.scripts.output_limit
                say(
                    f"it printed more than {limit} bytes (scripts.output_limit); the rest is dropped"
                )
            case Started() | Entry():
                pass
            case _:
                assert_never(answer)

    def _say_identity(self, identity: Identity) -> None:
        rule = Identities(self._configuration, observe=False).find(self._path).rule
        user = rule.user or self._configuration.scripts.user
        if identity.observe:
            say(
                f"observe mode: the script runs as the caller, {identity.user} (uid {identity.uid});"
                f" a daemon started as root runs it as {user}"
            )

    def _relay(self, stream: str, text: str) -> None:
        if not self._streaming:
            self._output[stream].append(text)
            return
        target = sys.stdout if stream == "out" else sys.stderr
        if target.isatty():
            text = show_text(text)
            self._open_line = not text.endswith("\n")
        click.echo(text, nl=False, err=stream == "err", color=True)

    # --- the end ---------------------------------------------------------------------------------

    def say_end(self) -> None:
        """Say on standard error how it ended."""
        if self._open_line:
            click.echo(err=True)
        name = f"Script {self._path}"
        ended = self._finished
        if ended is None:
            lost = "is lost: what ran it ended without telling how it did"
            say(f"{name} {f'was not run: {self._reason}' if self._reason else lost}")
            return
        used = f"after {ended.duration:.3f} s, {ended.cpu:.3f} s of CPU time"
        if ended.timeout:
            limit = self._configuration.script_timeout
            say(f"{name} ran for {limit:g} s, its limit (script_timeout), and got TERM")
        if ended.status < 0:
            say(f"{name} was ended by signal {_show_signal(-ended.status)} {used}")
        else:
            say(f"{name} exited with code {ended.status} {used}")
        if ended.leftovers:
            few = "1 process behind, which was" if ended.leftovers == 1 else ""
            say(f"{name} left {few or f'{ended.leftovers} processes behind, which were'} killed")

    def shape(self, values: Sequence[tuple[str, str]]) -> Shape:
        """Return the whole run as one object. values: the script's variables."""
        identity, ended = self._identity, self._finished
        status = None if ended is None else ended.status
        return {
            "script": escape(self._path),
            "event": self._event.type.value,
            "interface": escape(self._event.name),
            "user": None if identity is None else identity.user,
            "uid": None if identity is None else identity.uid,
            "observe": None if identity is None else identity.observe,
            "environment": {name: escape(value) for name, value in values},
            "result": self.result,
            "reason": escape(self._reason) or None,
            "exit_code": status if status is not None and status >= 0 else None,
            "signal": _show_signal(-status) if status is not None and status < 0 else None,
            "duration_seconds": None if ended is None else round(ended.duration, 6),
            "cpu_seconds": None if ended is None else round(ended.cpu, 6),
            "leftovers": None if ended is None else ended.leftovers,
            "stdout": "".join(self._output["out"]),
            "stderr": "".join(self._output["err"]),
        }


def _show_signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return str(number)
