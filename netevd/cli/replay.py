"""`netevd replay`: what a configuration makes of a recording."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import NamedTuple, assert_never

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.output import (
    Shape,
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
)
from netevd.cli.recordings.playback import Begun, Ended, Entry, Posted, Said, Told
from netevd.cli.recordings.replayer import Replayer
from netevd.cli.table import Row, print_table
from netevd.cli.trials.once import show_problems
from netevd.cli.trials.scripttable import list_scripts, take_scripts
from netevd.cli.words import DurationValue
from netevd.config.identities import Identities, Treatment
from netevd.config.load import load
from netevd.config.schema import Configuration
from netevd.kernel.recording import Recording, RecordingError, read
from netevd.model.describe import describe
from netevd.model.shape import printable, shape_event, show_time
from privsep.protocol import escape


@click.command()
@click.argument("file", type=click.Path(readable=False))
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--scripts", "directories", type=click.Path(readable=False), metavar="DIR",
              multiple=True,
              help="Take the scripts of DIR, unchecked, as if they stood in scripts.directory; may be"
                   " repeated.")  # fmt: skip
@click.option("--script-duration", type=DurationValue(), metavar="TIME", default=None,
              help="How long each script takes, such as 2s. Default: no time at all.")  # fmt: skip
@click.option("--observe", is_flag=True, help="Decide as a daemon that can't change users.")
@format_options
@colour_option
def replay(
    *,
    file: str,
    config: str | None,
    directories: tuple[str, ...],
    script_duration: float | None,
    observe: bool,
) -> int:
    """
    Say what a configuration makes of a recording.

    Every event, and every script that would run and when; nothing is run. Time is that of the
    recording, so that an hour takes no longer than its decisions. FILE is what `netevd record` wrote.
    """
    recording = _read(file)
    configuration = load_configuration(config)
    if directories:
        table = take_scripts(directories, configuration.scripts.directory)
    else:
        identities = Identities(configuration, observe=observe)
        table = list_scripts(config, identities, observe=observe)
    replayer = Replayer(
        recording, configuration, table.hooks,
        observe=observe, script_duration_s=script_duration or 0.0,
    )  # fmt: skip
    replayer.run()
    for doubt in recording.doubts:
        say(doubt)
    _print(file, recording, replayer, configuration, observe=observe)
    return Exit.FINE


def _read(file: str) -> Recording:
    """Return what a file holds. Raises: Failure, OSError."""
    try:
        with open(file, "rb") as lines:
            recording = read(lines, escape(file))
    except RecordingError as error:
        raise Failure(str(error)) from None
    if recording.header.byte_order != sys.byteorder:
        raise Failure(
            f"{file}:1: byte_order: made on a {recording.header.byte_order} endian machine, this one"
            f" is {sys.byteorder} endian and can't read it"
        )
    return recording


def load_configuration(config: str | None) -> Configuration:
    """Return the configuration, expanded in the caller's environment. Raises: Failure."""
    loaded = load(None if config is None else os.path.abspath(config), os.environ)
    if isinstance(loaded, list):
        raise show_problems([str(problem) for problem in loaded])
    return loaded.configuration


class _Summary(NamedTuple):
    """What there was in all."""

    events: Counter[str]
    """By type."""
    runs: Counter[str]
    """By script."""
    failed: int
    """Runs that were not begun, or did not end well."""
    posts: int
    """Events that were posted, each once for each webhook."""

    @classmethod
    def of(cls, entries: list[Entry]) -> _Summary:
        """Count entries."""
        return cls(
            Counter(each.event.type.value for each in entries if isinstance(each, Told)),
            Counter(
                printable(each.action.hook.path) for each in entries if isinstance(each, Begun)
            ),
            sum(isinstance(each, Ended) for each in entries),
            sum(isinstance(each, Posted) for each in entries),
        )


def _print(
    file: str,
    recording: Recording,
    replayer: Replayer,
    configuration: Configuration,
    *,
    observe: bool,
) -> None:
    entries = replayer.playback.entries
    summary = _Summary.of(entries)
    identities = Identities(configuration, observe=observe)
    if read_format() == "table":
        if entries:
            width = max(len("SECONDS"), *(len(f"{each.at:.3f}") for each in entries))
            print_table(
                ("SECONDS".rjust(width), "EVENT", "INTERFACE", "TYPE", "WHAT"),
                [make_row(each, identities, configuration, width) for each in entries],
            )
        _say_end(file, recording, replayer, summary)
        return
    start_ns = recording.header.time_ns
    shapes = [_shape(each, start_ns, identities, configuration) for each in entries]
    whole = {
        "kind": "summary",
        "seconds": replayer.seconds,
        "datagrams": replayer.datagrams,
        "overruns": replayer.overruns,
        "dumps_missing": replayer.missing,
        "events": summary.events.total(),
        "events_by_type": dict(sorted(summary.events.items())),
        "runs": summary.runs.total(),
        "runs_by_script": dict(sorted(summary.runs.items())),
        "not_run_or_failed": summary.failed,
        "posts": summary.posts,
        "complete": not recording.doubts,
    }
    count = len(shapes)
    if read_format() == "jsonl":
        shapes.append(whole)
    header = recording.header
    about = {
        "file": escape(file),
        "time": header.time,
        "kernel": escape(header.kernel),
        "netevd": escape(header.netevd),
        "commands": [escape(each) for each in header.commands],
    }
    print_shape(
        {"recording": about, "entries": shapes, "count": count, "summary": whole}, "entries"
    )


def make_row(
    entry: Entry, identities: Identities, configuration: Configuration, width: int = 0
) -> Row:
    """Return an entry as cells: when, sequence of its event, interface, type, what."""
    at = f"{entry.at:{width}.3f}"
    match entry:
        case Told(event=event):
            what = describe(event) + (" (at the start)" if event.initial else "")
            return (
                (at, ""), (str(event.sequence), ""), (event.name or "-", ""),
                (event.type.value, "bold"), (what, ""),
            )  # fmt: skip
        case Begun(action=action):
            event, path = action.event, action.hook.path
            user = _find_user(
                identities.find(path, action.hook.tree, action.hook.event), configuration
            )
            what, style, subject = f"{path} as {user}", "good", "run"
        case Ended(action=action):
            event, path = action.event, action.hook.path
            what = f"{path}: {action.reason}" if action.reason else path
            style, subject = "doubtful", action.result
        case Posted(action=post):
            event = post.event
            what, style, subject = f"to {post.target.shown}", "good", "post"
        case Said(note=note):
            sequence = str(note.fields.get("sequence", "-"))
            name = str(note.fields.get("interface", "-"))
            return (
                (at, ""), (sequence, ""), (name, ""), (note.level, "doubtful"), (note.message, ""),
            )  # fmt: skip
        case _:
            assert_never(entry)
    return (
        (at, ""), (str(event.sequence), ""), (event.name or "-", ""), (subject, style), (what, "")
    )  # fmt: skip


def _find_user(treatment: Treatment, configuration: Configuration) -> str:
    return treatment.rule.user or configuration.scripts.user


def _shape(
    entry: Entry, start_ns: int, identities: Identities, configuration: Configuration
) -> Shape:
    moment = {"at": round(entry.at, 6), "time": show_time(start_ns + round(entry.at * 1e9))}
    match entry:
        case Told(event=event):
            return {
                "kind": "event",
                **moment,
                **shape_event(event),
                "what": escape(describe(event)),
            }
        case Begun(action=action):
            treatment = identities.find(action.hook.path, action.hook.tree, action.hook.event)
            timeout = treatment.rule.timeout
            return {
                "kind": "run", **moment, "sequence": action.event.sequence,
                "interface": printable(action.event.name) or None, "run": action.run,
                "script": printable(action.hook.path),
                "user": _find_user(treatment, configuration),
                "timeout_seconds": configuration.script_timeout if timeout is None else timeout,
            }  # fmt: skip
        case Ended(action=action):
            return {
                "kind": "end", **moment, "sequence": action.event.sequence,
                "interface": printable(action.event.name) or None, "run": action.run,
                "script": printable(action.hook.path), "result": action.result,
                "reason": printable(action.reason) or None,
            }  # fmt: skip
        case Posted(action=post):
            return {
                "kind": "post", **moment, "sequence": post.event.sequence,
                "interface": printable(post.event.name) or None,
                "webhook": printable(post.target.shown),
            }  # fmt: skip
        case Said(note=note):
            return {
                "kind": "note", **moment, "level": note.level, "message": printable(note.message),
                "fields": note.fields,
            }  # fmt: skip
        case _:
            assert_never(entry)


def _say_end(file: str, recording: Recording, replayer: Replayer, summary: _Summary) -> None:
    """Say in words what there was in all."""
    header = recording.header
    say(f"{file}: {replayer.seconds:.3f} s from {header.time} on, {header.kernel}")
    for command in header.commands:
        say(f"done meanwhile: {command}")
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(summary.events.items()))
    say(f"{_count(summary.events.total(), 'event')}{f': {kinds}' if kinds else ''}")
    say(_count(summary.runs.total(), "run"))
    for path, number in sorted(summary.runs.items()):
        say(f"  {number} x {path}")
    if summary.failed:
        say(f"{_count(summary.failed, 'run')} not begun, or not ended well")
    if summary.posts:
        say(f"{_count(summary.posts, 'post')} to webhooks")
    if replayer.overruns:
        say(f"{_count(replayer.overruns, 'overrun')}: messages are missing in the recording")
    if replayer.missing:
        say(
            f"{_count(replayer.missing, 'dump')} that the daemon would make here not in the"
            " recording: IPv4 routes that the kernel dropped without a word count as still there"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
