"""`netevd test event`: what a configuration would do with an event, without doing it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
)
from netevd.cli.recordings.playback import Begun, Ended, Playback, Posted, Said
from netevd.cli.replay import load_configuration
from netevd.cli.table import Row, print_table
from netevd.cli.trials.rehearsal import read_snapshots, rehearse
from netevd.cli.trials.scripttable import ScriptTable, list_scripts
from netevd.cli.words import EventName, InterfaceName, advise_all
from netevd.config.directories import VENDOR_DIRECTORY
from netevd.config.identities import Identities
from netevd.config.links import watches
from netevd.config.schema import Configuration
from netevd.core.makebelieve import MakeBelieveEngine
from netevd.kernel.dump import DumpError, snapshot_links
from netevd.model.actions import RequestDump, RequestRoutes
from netevd.model.event import Event, EventType
from netevd.model.inputs import Input
from netevd.model.shape import Json, printable, shape_event, shape_interface
from netevd.model.snapshot import Snapshot
from privsep.protocol import escape

_PATIENCE_S = 86400.0
"""Seconds of the virtual clock for which what is due later is awaited at most."""


class _Script:
    """What would become of one script."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.verdict = "skipped"
        self.reason = ""
        self.after_s = 0.0
        self.user = ""
        self.capabilities: tuple[str, ...] | None = None
        self.timeout_s = 0.0
        self.words: tuple[str, ...] = ()
        self.values: dict[str, str] = {}

    def shape(self) -> dict[str, Json]:
        """Return the script as an object."""
        runs = self.verdict == "run"
        return {
            "script": printable(self.path),
            "verdict": self.verdict,
            "reason": printable(self.reason) or None,
            "after_seconds": round(self.after_s, 6) if runs else None,
            "user": self.user if runs else None,
            "capabilities": list(self.capabilities or ()) if runs else None,
            "timeout_seconds": self.timeout_s if runs else None,
            "arguments": [printable(each) for each in self.words] if runs else None,
            "environment": {k: printable(v) for k, v in self.values.items()} if runs else None,
        }


@click.command()
@click.argument("kind", type=EventName(), metavar="TYPE")
@click.option("--interface", type=InterfaceName(ours=True), metavar="NAME", required=True,
              help="Interface that the event would be of, by name or alternative name.")  # fmt: skip
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--observe", is_flag=True, help="Decide as a daemon that can't change users.")
@click.option("-v", "--verbose", is_flag=True, help="Show the environment of each script too.")
@format_options
@colour_option
def event(
    *, kind: EventType, interface: str, config: str | None, observe: bool, verbose: bool
) -> int:
    """
    Say what would run for an event, and run nothing.

    The event is one of TYPE that happens now: which scripts would run, in which order, as whom, with which timeout; which would not, and why.
    The event tells of the interface as it is now. Needs no daemon.
    """
    configuration = load_configuration(config)
    snapshots, inputs = _look()
    chosen = _find(snapshots, interface)
    link = chosen.link
    watched = watches(configuration.network.links, link.name, link.altnames, loopback=link.loopback)
    made = rehearse(inputs, link.ifindex, kind, time.time_ns(), configuration.routes)
    table = list_scripts(config, Identities(configuration, observe=observe), observe=observe)
    playback = _play(configuration, table, made, observe=observe) if watched else None
    scripts = _judge(configuration, table, kind, playback, observe=observe)
    notes = [] if playback is None else _read_notes(playback)
    posts = (
        [] if playback is None else [each for each in playback.entries if isinstance(each, Posted)]
    )
    if read_format() == "table":
        _print(configuration, made, scripts, notes, watched=watched, verbose=verbose)
        for each in posts:
            when = f"after {each.at:g} s" if each.at else "at once"
            say(f"would post to {escape(each.action.target.shown)}, {when}")
    else:
        shape = {
            "event": shape_event(made),
            "interface": shape_interface(chosen),
            "watched": watched,
            "scripts": [each.shape() for each in scripts],
            "webhooks": [
                {"webhook": printable(each.action.target.shown), "after_seconds": round(each.at, 6)}
                for each in posts
            ],
            "notes": [escape(each) for each in notes],
            "count": sum(each.verdict == "run" for each in scripts),
        }
        print_shape(shape, "scripts")
    return Exit.FINE


def _look() -> tuple[tuple[Snapshot, ...], Sequence[Input]]:
    """Return the links there are, and the dump that tells of them. Raises: Failure."""
    try:
        inputs = snapshot_links()
    except DumpError as error:
        raise Failure(str(error)) from None
    return read_snapshots(inputs), inputs


def _find(snapshots: Sequence[Snapshot], name: str) -> Snapshot:
    """Return the link of this name or alternative name. Raises: Failure."""
    for each in snapshots:
        if name == each.link.name or name in each.link.altnames:
            return each
    advice = advise_all(name, [each.link.name for each in snapshots])
    raise Failure(f"there is no interface {name!r}; {advice}", Exit.UNKNOWN)


def _play(
    configuration: Configuration, table: ScriptTable, made: Event, *, observe: bool
) -> Playback:
    """Return what comes of the event, also later."""

    def refuse(_: RequestDump | RequestRoutes) -> None:
        """Nothing is dumped, since the engine was connected to no helper."""

    engine = MakeBelieveEngine(configuration, 1, observe=observe)
    playback = Playback(engine, made.time_ns, 0.0, refuse)
    playback.connect(configuration, table.hooks, observe=observe)
    playback.entries.clear()  # notes of every file that is skipped, whatever its event
    playback.tell(engine, made)
    playback.advance(_PATIENCE_S)
    return playback


def _judge(
    configuration: Configuration,
    table: ScriptTable,
    kind: EventType,
    playback: Playback | None,
    *,
    observe: bool,
) -> list[_Script]:
    """Return what becomes of each script: those that run in their order, then the others."""
    identities = Identities(configuration, observe=observe)
    found: dict[str, _Script] = {}
    for entry in () if playback is None else playback.entries:
        if isinstance(entry, Begun | Ended):
            hook = entry.action.hook
            path = hook.path
            each = found.setdefault(path, _Script(path))
        if isinstance(entry, Begun):
            treatment = identities.find(path, hook.tree, hook.event)
            identity = identities.all[treatment.runner]
            timeout = treatment.rule.timeout
            each.verdict, each.after_s = "run", entry.at
            each.user, each.capabilities = identity.user, identity.capabilities
            each.timeout_s = configuration.script_timeout if timeout is None else timeout
            each.words, each.values = entry.action.words, dict(entry.action.values)
        elif isinstance(entry, Ended):
            each.verdict, each.reason = entry.action.result, entry.action.reason
    for hook in table.hooks:
        if not hook.tree and hook.event == kind.value and hook.path not in found:
            each = found[hook.path] = _Script(hook.path)
            each.reason = hook.reason if not hook.runnable else _find_reason(playback)
            if playback is None and hook.runnable:
                each.reason = "network.links does not match the interface"
    return list(found.values())


def _find_reason(playback: Playback | None) -> str:
    """Return why a script that may be run is not run by the event."""
    notes = [] if playback is None else _read_notes(playback)
    return notes[-1] if notes else "the event does not come to run it"


def _read_notes(playback: Playback) -> list[str]:
    return [entry.note.message for entry in playback.entries if isinstance(entry, Said)]


def _print(
    configuration: Configuration,
    made: Event,
    scripts: list[_Script],
    notes: list[str],
    *,
    watched: bool,
    verbose: bool,
) -> None:
    shown = escape(made.name)
    if scripts:
        print_table(
            ("SCRIPT", "VERDICT", "WHEN", "USER", "TIMEOUT", "WHY"), list(map(_row, scripts))
        )
    if verbose:
        for each in scripts:
            for name, value in each.values.items():
                click.echo(f"{escape(each.path)}: {name}={escape(value)}")
    if not watched:
        words = " ".join(configuration.network.links) or "all but lo"
        say(f"{shown} is not watched (network.links: {words}): the daemon tells nothing of it")
    elif not scripts:
        directory = configuration.scripts.directory
        below = f"{made.type.value}.d"
        say(
            f"nothing would run: there is no script in {directory}/{below}, nor in"
            f" {VENDOR_DIRECTORY}/{below}"
        )
    for note in notes:
        say(note)


def _row(script: _Script) -> Row:
    runs = script.verdict == "run"
    user = script.user
    if runs and script.capabilities:
        user += f" +{','.join(script.capabilities)}"
    return (
        (" ".join((script.path, *script.words)), ""),
        (script.verdict, "good" if runs else "doubtful"),
        ((f"after {script.after_s:g} s" if script.after_s else "at once") if runs else "-", ""),
        (user or "-", ""),
        (f"{script.timeout_s:g} s" if runs else "-", ""),
        (script.reason, ""),
    )
