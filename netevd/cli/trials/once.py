"""
A runner lent by `python -I -m privsep once`, and what comes of the one thing it is asked.

It alone takes the script user's identity and runs anything; see privsep/once.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Final

import msgspec

from netevd.cli.failure import Failure, Interrupted
from netevd.cli.output import say
from netevd.cli.trials.answers import Answer, Entry, Identity, Problems, Refused
from netevd.cli.trials.dialogue import Dialogue

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_DECODER: Final = msgspec.json.Decoder(Identity | Problems)


class Once:
    """
    One process that does one thing, as a context.

    Left by an exception (Ctrl-C, a reader that is gone), it ends the script as the daemon would,
    TERM and 5 s later KILL, and waits for that.
    """

    def __init__(
        self,
        script: tuple[str, str] | None,
        *,
        config: str | None,
        observe: bool,
        values: Sequence[tuple[str, str]] = (),
        errors: int | None = None,
    ) -> None:
        """
        script: event type and path of the one to run with `values`; None: list all of them.
        errors: descriptor of what the process says to people; None: our standard error.
        """
        self._errors = errors
        self._script = script
        self._values = values
        self._options = [] if config is None else ["--config", os.path.abspath(config)]
        self._options += ["--observe"] if observe else []

    def __enter__(self) -> Iterator[Answer]:
        """Start the process and return what comes of it."""
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) leaves SIGHUP ignored
                signal.signal(number, _interrupt)
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._dialogue = Dialogue(near)
        command = [sys.executable, "-I", "-m", "privsep", "once", *self._options]
        command += ["--scripts", str(far.fileno()), *(self._script or ())]
        with far:
            # an own process group: Ctrl-C comes to us, and what follows from it is ours to order
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=(far.fileno(),),
                process_group=0,
            )
        return self._converse()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the end; end it first if we were interrupted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(KeyboardInterrupt, Interrupted):
            if kind in {KeyboardInterrupt, Interrupted} and self._script:
                say("ending the script: TERM, after 5 s KILL; again not to wait for that")
            self._dialogue.close()  # the runner waits for nobody to read its last word
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()  # which ends the runner and what it runs
            self._process.wait()
        self._process.stdout.close()
        for number in _ENDING:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)

    def _converse(self) -> Iterator[Answer]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return  # it has said why on standard error
        try:
            found = _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            raise Failure(f"privsep once gave an answer that is none: {error}") from None
        yield found
        if isinstance(found, Problems):
            return
        entries = self._dialogue.list_entries()
        if self._script is None:
            for each in entries:
                yield Entry(each.event, each.name, each.path, each.runnable, each.reason, each.tree)
        elif not entries[0].runnable:
            yield Refused(entries[0].reason)
        else:
            limits = (found.script_timeout, found.output_limit)
            yield from self._dialogue.run(entries[0].id, self._values, *limits)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


def show_problems(problems: Sequence[str]) -> Failure:
    """Say the problems of a configuration and return the failure that they are."""
    for problem in problems:
        say(problem)
    return Failure("the configuration has problems; see 'netevd validate'")
