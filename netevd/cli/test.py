"""`netevd test`: one thing tried as the daemon would do it."""

from __future__ import annotations

import difflib
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Final

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.lazy import Lazy
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.cli.trials.answers import Identity
from netevd.cli.trials.once import Once, show_problems
from netevd.cli.trials.rehearsal import read_snapshots, rehearse
from netevd.cli.trials.trial import Trial
from netevd.cli.words import Assignment, EventName, InterfaceName, advise
from netevd.config.hooktrees import find_tree
from netevd.config.identities import Identities
from netevd.config.kinds import AbsolutePath
from netevd.config.links import watches
from netevd.config.load import load
from netevd.config.schema import Configuration, Rule
from netevd.core.environment import build_values, find_bad_name
from netevd.kernel.dump import DumpError, snapshot_links
from netevd.model.event import Event, EventType
from netevd.model.inputs import Input
from netevd.model.snapshot import OperationalState, Snapshot
from privsep.protocol import escape

_NO_RULE: Final = Rule(AbsolutePath("/"))
_RULE_KEYS: Final = ("timeout", "detach", "mutex", "retries")
"""What of a rule only the daemon heeds; user, capabilities and limits are the runner's."""


_EVENT: Final = Lazy(
    "event",
    "netevd.cli.trials.foresight:event",
    "Say what would run for an event, and run nothing.",
)


@click.group(commands={"event": _EVENT})
def test() -> None:
    """Try one thing as the daemon would do it."""


@test.command()
@click.argument("path", type=click.Path(readable=False))
@click.option("--interface", type=InterfaceName(ours=True), metavar="NAME",
              help="Interface that the event is of. Default: the first watched one with carrier, else lo.")  # fmt: skip
@click.option("--event", "kind", type=EventName(), metavar="TYPE", default=EventType.ROUTABLE,
              show_default="routable", help="Event type that the script is told.")  # fmt: skip
@click.option("--env", "given", type=Assignment(), metavar="NAME=VALUE", multiple=True,
              help="Set one of the variables that scripts get; may be repeated.")  # fmt: skip
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--observe", is_flag=True, help="Run it as the caller, even when that is root.")
@format_options
@colour_option
def script(
    *,
    path: str,
    interface: str | None,
    kind: EventType,
    given: tuple[tuple[str, str], ...],
    config: str | None,
    observe: bool,
) -> int:
    """
    Run one script exactly as the daemon would: environment, user, limits, timeout.

    PATH may stand outside the script directories, but is held to the same rules of ownership and
    mode. The variables tell of the interface as it is now. The script's output goes where it
    belongs, how it ended to standard error. Exits 0 if the script did, 4 when there is no such
    script or interface, else 1, also when the script was refused.
    """
    path = _find_script(path)
    configuration = _load(config)
    if tree := find_tree(configuration.compat, path):
        advice = "netevd test event TYPE --interface NAME -v shows how it would be called"
        raise Failure(f"{path} is a script of the tree {tree}, called in its convention; {advice}")
    _say_rule(configuration, path)
    event = _make_event(configuration, interface, kind)
    trial = Trial(path, event, configuration, streaming=read_format() == "table")
    values: tuple[tuple[str, str], ...] = ()
    fault = find_bad_name(event.name)
    if fault is not None:
        trial.refuse(fault)
    else:
        built = build_values(event, emit_json=configuration.network.emit_json)
        values = tuple({**dict(built), **dict(given)}.items())
        wanted = (kind.value, path)
        with Once(wanted, config=config, observe=observe, values=values) as answers:
            for answer in answers:
                trial.take(answer)
                if isinstance(answer, Identity) and answer.observe:
                    refusal = Identities(configuration, observe=True).find(path).refusal
                    if refusal:
                        trial.refuse(refusal)
                        break
    if not trial.answered:
        return Exit.FAILED  # the process has said why
    if trial.problems:
        raise show_problems(trial.problems)
    if read_format() == "table":
        trial.say_end()
    else:
        print_shape(trial.shape(values))
    return Exit.FINE if trial.result == "ok" else Exit.FAILED


def _find_script(path: str) -> str:
    """Return a script's path as an absolute one, links and `..` as they are. Raises: Failure."""
    # not os.path.abspath: what `..` means behind a symbolic link is for the kernel to say
    whole = str(pathlib.Path(path).absolute())
    try:
        os.lstat(whole)
    except PermissionError as error:
        raise Failure(f"{path} can't be looked up: {error.strerror}", Exit.DENIED) from None
    except OSError as error:
        directory, name = os.path.split(whole)
        close: list[str] = []
        if os.path.isdir(directory) and os.access(directory, os.R_OK):
            close = difflib.get_close_matches(name, os.listdir(directory), 1, 0.6)
        advice = f"; did you mean {os.path.join(directory, close[0])!r}?" if close else ""
        text = f"there is no script {whole}: {error.strerror}{advice}"
        raise Failure(text, Exit.UNKNOWN) from None
    return whole


def _load(config: str | None) -> Configuration:
    loaded = load(None if config is None else os.path.abspath(config), os.environ)
    if isinstance(loaded, list):
        raise show_problems([str(problem) for problem in loaded])
    return loaded.configuration


def _say_rule(configuration: Configuration, path: str) -> None:
    """Say what the daemon would do otherwise, since it heeds the script's rule."""
    rule = Identities(configuration, observe=False).find(path).rule
    given = [key for key in _RULE_KEYS if getattr(rule, key) != getattr(_NO_RULE, key)]
    if given:
        say(f"its rule ({', '.join(given)}) is for the daemon: here the script runs without it")


def _make_event(configuration: Configuration, name: str | None, kind: EventType) -> Event:
    """Return the event, having said what about it is not as it would be. Raises: Failure."""
    try:
        inputs: Sequence[Input] = snapshot_links()
    except DumpError as error:
        raise Failure(str(error)) from None
    snapshots = read_snapshots(inputs)
    patterns = configuration.network.links
    watched = [
        each
        for each in snapshots
        if watches(patterns, each.link.name, each.link.altnames, loopback=each.link.loopback)
    ]
    chosen = _choose(snapshots, watched) if name is None else _find(snapshots, name)
    link = chosen.link
    shown = escape(link.name)
    if name is None:
        why = (
            "the first watched one with carrier"
            if chosen in watched
            else "no watched one has carrier"
        )
        say(f"interface {shown}: {why}; choose another with --interface")
    elif chosen not in watched:
        say(f"{shown} is not watched by this configuration: the daemon would tell nothing of it")
    event = rehearse(inputs, link.ifindex, kind, time.time_ns(), configuration.routes)
    if kind.value in set(OperationalState) and kind.value != chosen.state.value:
        say(f"{shown} is {chosen.state.value} now; the script is told {kind.value}")
    if kind.startswith("address-") and event.address is None:
        say(f"{shown} has no address, so there is no NETEVD_ADDRESS; give it with --env")
    if kind is EventType.ROUTES and event.route is None:
        say(f"{shown} has no route, so there is no NETEVD_DESTINATION; give it with --env")
    return event


def _choose(snapshots: Sequence[Snapshot], watched: Sequence[Snapshot]) -> Snapshot:
    """Return the first watched link with carrier, else the loopback. Raises: Failure."""
    loopbacks = [each for each in snapshots if each.link.loopback]
    found = [each for each in watched if each.link.carrier] + loopbacks
    if not found:
        raise Failure("there is no interface here at all", Exit.UNKNOWN)
    return found[0]


def _find(snapshots: Sequence[Snapshot], name: str) -> Snapshot:
    """Return the link of this name or alternative name. Raises: Failure."""
    for each in snapshots:
        if name == each.link.name or name in each.link.altnames:
            return each
    advice = advise(name, [each.link.name for each in snapshots])
    raise Failure(f"there is no interface {name!r}; {advice}", Exit.UNKNOWN)
