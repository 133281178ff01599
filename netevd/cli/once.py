"""
The other end of `python -I -m privsep once`: what it is asked, and its answers as values.

It alone takes the script user's identity and runs anything; see privsep/once.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Final, TypeAlias

import msgspec

from netevd.cli.failure import Failure, Interrupted
from netevd.cli.output import say


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all answers share."""


class Identity(_Told, frozen=True, tag="identity"):
    """As whom scripts run and files are checked."""

    user: str
    uid: int
    observe: bool
    """The caller can't or would not change users."""


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


class Started(_Told, frozen=True, tag="started"):
    """The script's first process exists."""

    pid: int


class Output(_Told, frozen=True, tag="output"):
    """A piece of what the script printed; not always a whole line."""

    stream: str
    """out or err."""
    text: str


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


Answer: TypeAlias = Identity | Problems | Entry | Started | Output | Refused | Finished

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_DECODER: Final = msgspec.json.Decoder(Answer)


class Once:
    """
    One process that does one thing, as a context.

    Left by an exception (Ctrl-C, a reader that is gone), it ends the script as the daemon would,
    TERM and 5 s later KILL, and waits for that.
    """

    def __init__(
        self, verb: Sequence[str], *, config: str | None, observe: bool, values: bytes = b""
    ) -> None:
        """verb: `hooks`, or `script`, event type and path; values: msgpack pairs for a script."""
        self._command = [sys.executable, "-I", "-m", "privsep", "once"]
        self._command += [] if config is None else ["--config", os.path.abspath(config)]
        self._command += ["--observe"] if observe else []
        self._command += verb
        self._runs_script = verb[0] == "script"
        self._values = values
        self.status = 0
        """Exit status of the process, once its answers have ended."""

    def __enter__(self) -> Iterator[Answer]:
        """Start the process and return its answers."""
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) leaves SIGHUP ignored
                signal.signal(number, _interrupt)
        memory = os.memfd_create("netevd-values", os.MFD_CLOEXEC)
        os.pwrite(memory, self._values, 0)
        # an own process group: Ctrl-C comes to us, and what follows from it is ours to order
        self._process = subprocess.Popen(
            self._command, stdin=memory, stdout=subprocess.PIPE, process_group=0
        )
        os.close(memory)
        return self._answers()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the end; end it first if we were interrupted."""
        assert self._process.stdout is not None
        with contextlib.suppress(KeyboardInterrupt, Interrupted):
            if kind is not None:
                if kind in {KeyboardInterrupt, Interrupted} and self._runs_script:
                    say("ending the script: TERM, after 5 s KILL; again not to wait for that")
                self._process.terminate()
                # its runner holds the other end until the script is gone
                while self._process.stdout.read(65536):
                    pass
            self._process.wait()
        self._process.stdout.close()
        for number in _ENDING:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)

    def _answers(self) -> Iterator[Answer]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                yield _DECODER.decode(line)
            except msgspec.MsgspecError as error:
                raise Failure(f"privsep once gave an answer that is none: {error}") from None
        self.status = self._process.wait()
        if self.status < 0:
            raise Failure(f"privsep once was ended by signal {-self.status}; nothing more is known")


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


def show_problems(problems: Sequence[str]) -> Failure:
    """Say the problems of a configuration and return the failure that they are."""
    for problem in problems:
        say(problem)
    return Failure("the configuration has problems; see 'netevd validate'")
