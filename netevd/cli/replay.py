"""`netevd replay`: what a configuration makes of a recording."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TypeAlias, assert_never

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.once import show_problems
from netevd.cli.output import (
    Row,
    Shape,
    colour_option,
    format_options,
    print_shape,
    print_table,
    read_format,
    say,
)
from netevd.cli.playback import Begun, Ended, Entry, Said, Told
from netevd.cli.replayer import Replayer
from netevd.cli.scripttable import list_scripts, take_scripts
from netevd.cli.words import DurationValue
from netevd.config.identities import Identities, Treatment
from netevd.config.load import load
from netevd.config.schema import Configuration
from netevd.kernel.recording import Recording, RecordingError, read
from netevd.model.describe import describe
from netevd.model.shape import printable, shape_event, show_time
from privsep.protocol import escape

_Counts: TypeAlias = dict[str, int]


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
    Say what a configuration makes of a recording: every event, and every script that would run.

    Nothing is run. Time is that of the recording: what would take an hour takes no longer than its
    decisions. FILE is what `netevd record` wrote.
    """
    recording = _read(file)
    configuration = _load(config)
    if directories:
        table = take_scripts(directories, configuration.scripts.directory)
    else:
        table = list_scripts(config, observe=observe)
    replayer = Replayer(
        recording, configuration, table.hooks,
        observe=observe, script_duration_s=script_duration or 0.0,
    )  # fmt: skip
    replayer.run()
    for doubt in recording.doubts:
        say(doubt)
    _print(file, recording, replayer, Identities(configuration, observe=observe), configuration)
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


def _load(config: str | None) -> Configuration:
    """Return the configuration, expanded in the caller's environment. Raises: Failure."""
    loaded = load(None if config is None else os.path.abspath(config), os.environ)
    if isinstance(loaded, list):
        raise show_problems([str(problem) for problem in loaded])
    return loaded.configuration


def _print(
    file: str,
    recording: Recording,
    replayer: Replayer,
    identities: Identities,
    configuration: Configuration,
) -> None:
    entries = replayer.playback.entries
    events = Counter(each.event.type.value for each in entries if isinstance(each, Told))
    runs = Counter(printable(each.action.hook.path) for each in entries if isinstance(each, Begun))
    failed = sum(isinstance(each, Ended) for each in entries)
    if read_format() == "table":
        if entries:
            width = max(len(f"{each.at:.3f}") for each in entries)
            print_table(
                ("SECONDS".rjust(width), "EVENT", "INTERFACE", "TYPE", "WHAT"),
                [make_row(each, identities, configuration, width) for each in entries],
            )
        _say_end(file, recording, replayer, events, runs, failed)
        return
    start_ns = recording.header.time_ns
    shapes = [_shape(each, start_ns, identities, configuration) for each in entries]
    summary = {
        "kind": "summary",
        "seconds": replayer.seconds,
        "datagrams": replayer.datagrams,
        "overruns": replayer.overruns,
        "dumps_missing": replayer.missing,
        "events": events.total(),
        "events_by_type": dict(sorted(events.items())),
        "runs": runs.total(),
        "runs_by_script": dict(sorted(runs.items())),
        "not_run_or_failed": failed,
        "complete": not recording.doubts,
    }
    if read_format() == "jsonl":
        shapes.append(summary)
    header = recording.header
    about = {"file": escape(file), "time": header.time, "kernel": escape(header.kernel),
             "netevd": escape(header.netevd), "commands": [escape(each) for each in header.commands]}  # fmt: skip
    shape = {"recording": about, "entries": shapes, "count": len(shapes), "summary": summary}
    print_shape(shape, "entries")


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
            user = _find_user(identities.find(path), configuration)
            what, style, subject = f"{path} as {user}", "good", "run"
        case Ended(action=action):
            event, path = action.event, action.hook.path
            what = f"{path}: {action.reason}" if action.reason else path
            style, subject = "doubtful", action.result
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
            return {"kind": "event", **moment, **shape_event(event), "what": escape(describe(event))}
        case Begun(action=action):
            treatment = identities.find(action.hook.path)
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
        case Said(note=note):
            return {
                "kind": "note", **moment, "level": note.level, "message": printable(note.message),
                "fields": note.fields,
            }  # fmt: skip
        case _:
            assert_never(entry)


def _say_end(
    file: str,
    recording: Recording,
    replayer: Replayer,
    events: Counter[str],
    runs: Counter[str],
    failed: int,
) -> None:
    """Say in words what there was in all."""
    header = recording.header
    say(f"{file}: {replayer.seconds:.3f} s from {header.time} on, {header.kernel}")
    for command in header.commands:
        say(f"made while: {command}")
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(events.items()))
    say(f"{_count(events.total(), 'event')}{f': {kinds}' if kinds else ''}")
    say(_count(runs.total(), "run"))
    for path, number in sorted(runs.items()):
        say(f"  {number} x {path}")
    if failed:
        say(f"{_count(failed, 'run')} not begun, or not ended well")
    if replayer.overruns:
        say(f"{_count(replayer.overruns, 'overrun')}: messages are missing in the recording")
    if replayer.missing:
        say(
            f"{_count(replayer.missing, 'dump')} that the daemon would make here not in the"
            " recording: IPv4 routes that the kernel dropped without a word count as still there"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
