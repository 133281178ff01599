"""`netevd record`: what the kernel tells, kept in a file for `netevd replay`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

import netevd
from netevd.cli.failure import Exit, Failure
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.cli.recordings.recorder import Recorder
from netevd.cli.words import DurationValue
from netevd.kernel.recording import FORMAT, VERSION, Header, encode, show_start
from privsep.protocol import escape

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("file", type=click.Path(readable=False, dir_okay=False))
@click.option("--duration", type=DurationValue(), metavar="TIME",
              help="End after this time, such as 30s. Default: on Ctrl-C or SIGTERM.")  # fmt: skip
@click.option("--dump/--no-dump", "dumps", default=True,
              help="Whether links, addresses, rules and routes are read at the beginning, and again"
                   " whenever the daemon would. Default: --dump.")  # fmt: skip
@click.option("--command", "commands", metavar="TEXT", multiple=True,
              help="A note of what is done meanwhile, kept in FILE; may be repeated.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@format_options
@colour_option
def record(
    *, file: str, duration: float | None, dumps: bool, commands: tuple[str, ...], force: bool
) -> int:
    """
    Keep what the kernel tells, in a file.

    That is of links, addresses, routes and rules of this network namespace. Needs neither daemon nor privilege. FILE is for `netevd replay`; it holds names, addresses and
    hardware addresses of this network namespace.
    """
    started, wall_ns = time.monotonic(), time.time_ns()
    with _catch_signals() as alarm:
        recorder = Recorder(lambda: round(time.monotonic() - started, 6), dumps=dumps)
        output = _Output(file, force=force)
        output.put(encode(_describe(wall_ns, commands)))
        limit = "" if duration is None else f" for {duration:g} s"
        recorder.run(
            lambda line: output.put(encode(line)),
            duration,
            alarm,
            lambda: say(f"recording{limit} into {file}; Ctrl-C ends it"),
            lambda text: say(f"warning: {text}"),
        )
        recorder.close()
        output.close()
    _tell_end(file, output.size, round(time.monotonic() - started, 3), recorder)
    return Exit.FINE


class _Output:
    """The file while it is written: each line is in it at once, so that a crash costs none."""

    def __init__(self, path: str, *, force: bool) -> None:
        """Make the file. Raises: Failure, OSError."""
        self._path = path
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if force else os.O_EXCL)
        try:
            self._descriptor = os.open(path, flags, 0o666)
        except FileExistsError:
            raise Failure(f"{path} exists; give another name, or --force to overwrite it") from None

    def put(self, line: bytes) -> None:
        """Append a line. Raises: OSError, with the file's name."""
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None
        self.size += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


@contextmanager
def _catch_signals() -> Iterator[int]:
    """Have Ctrl-C, SIGTERM and SIGHUP make a descriptor readable instead of ending the process."""
    near, far = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(far)
    kept = {
        number: signal.signal(number, lambda *_: None)
        for number in _ENDING
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup(1) leaves SIGHUP ignored
    }
    try:
        yield near
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(near)
        os.close(far)


def _describe(wall_ns: int, commands: tuple[str, ...]) -> Header:
    """Return the first line."""
    system = os.uname()
    return Header(
        format=FORMAT,
        version=VERSION,
        netevd=netevd.__version__,
        kernel=f"{system.sysname} {system.release} {system.machine}",
        byte_order=sys.byteorder,
        time=show_start(wall_ns),
        commands=[escape(each) for each in commands],
    )


def _tell_end(file: str, size: int, seconds: float, recorder: Recorder) -> None:
    """Say what the file has."""
    if read_format() != "table":
        print_shape({
            "file": escape(file), "bytes": size, "seconds": seconds, "messages": recorder.messages,
            "dumps": recorder.dumps, "overruns": recorder.overruns,
        })  # fmt: skip
        return
    counted = [
        _count(recorder.messages, "message"),
        _count(recorder.dumps, "dump"),
        _count(recorder.overruns, "overrun"),
    ]
    say(f"{file}: {', '.join(counted)} in {seconds:.1f} s, {size} bytes")
    if recorder.overruns:
        say(
            "messages were lost: what came and went between can't be known; with CAP_NET_ADMIN, or a"
            " larger net.core.rmem_max, the kernel keeps more of them"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
