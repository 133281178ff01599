"""`netevd test`: try one thing exactly as the daemon would do it."""

from __future__ import annotations

import difflib
import os
import time
from typing import Any

import click
import msgspec
from attrs import evolve

from netevd.cli.exits import Exit
from netevd.cli.once import tell_once
from netevd.cli.output import Output, say
from netevd.config.links import watches
from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.core.environment import build_values, find_bad_name
from netevd.kernel.dump import DumpError, snapshot_links
from netevd.model.actions import RequestDump
from netevd.model.event import Event, EventType
from netevd.model.inputs import AddressSeen, DumpEnded, HelperConnected, LinkSeen, Now
from netevd.model.snapshot import Snapshot
from privsep.protocol import VARIABLES, escape


@click.group("test")
def trial() -> None:
    """Try something without the daemon."""


def _complete_interface(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    names = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
    return [name for name in names if name.startswith(incomplete)]


@trial.command("script")
@click.argument("path", type=click.Path())
@click.option("--interface", metavar="NAME", shell_complete=_complete_interface,
              help="Link to tell of; default the first watched one with a carrier, else lo.")  # fmt: skip
@click.option("--event", type=click.Choice([kind.value for kind in EventType]), default="routable",
              show_default=True, metavar="TYPE", help="Event type to tell.")  # fmt: skip
@click.option("--env", "pairs", multiple=True, metavar="K=V",
              help="Give a variable of the environment another value; may be repeated.")  # fmt: skip
@click.option("--config", type=click.Path(), metavar="FILE", help="Configuration to run with.")
@click.pass_obj
def test_script(
    output: Output, *, path: str, interface: str | None, event: str, pairs: tuple[str, ...],
    config: str | None,
) -> int:  # fmt: skip
    """
    Run the script PATH as the daemon would: user, environment, checks, limits, timeout.

    The link is described as it is now. Prints what the script prints, then how it ended. Without
    root it runs as the caller.
    """
    path = os.path.abspath(path)
    if not os.path.lexists(path):
        say(f"there is no script {path}")
        return Exit.NOT_FOUND
    given = _read_pairs(pairs)
    loaded = load(config, os.environ)
    if not isinstance(loaded, Loaded):
        for problem in loaded:
            say(str(problem))
        return Exit.FAILED
    try:
        snapshots = look_at_links()
    except DumpError as error:
        say(str(error))
        return Exit.FAILED
    chosen = _choose(snapshots, interface, loaded.configuration)
    if chosen is None:
        names = [snapshot.link.name for snapshot in snapshots]
        close = difflib.get_close_matches(interface or "", names, 1)
        advice = (
            f"; did you mean {close[0]}?"
            if close
            else f"; there are {', '.join(map(escape, names))}"
        )
        say(f"there is no interface {escape(interface or '')}{advice}")
        return Exit.NOT_FOUND
    if interface is None:
        say(f"telling of {escape(chosen.link.name)}; choose another with --interface")
    if fault := find_bad_name(chosen.link.name):
        say(fault)
        return Exit.FAILED
    values = make_values(chosen, EventType(event), loaded.configuration) | given
    packed = msgspec.msgpack.encode(list(values.items()))
    told = tell_once("script", event, path, config=config, values=packed, quiet=not output.is_table)
    return _report(output, path, values, told)


def _read_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in VARIABLES:
            raise click.UsageError(
                f"--env {pair!r}: expected NAME=VALUE with NAME one of {', '.join(VARIABLES)}"
            )
        given[name] = value
    return given


def look_at_links() -> tuple[Snapshot, ...]:
    """Return every link of this network namespace as the daemon would know it. Raises: DumpError."""
    now = Now(time.monotonic(), time.time_ns())
    engine = Engine(Configuration(), first_sequence=1)
    asked = [a for a in engine.handle(HelperConnected(), now) if isinstance(a, RequestDump)]
    for part in snapshot_links():
        if isinstance(part, LinkSeen | AddressSeen):
            engine.handle(evolve(part, dump=asked[0].dump), now)
    engine.handle(DumpEnded(asked[0].dump, consistent=True), now)
    return engine.get_snapshots()


def _choose(
    snapshots: tuple[Snapshot, ...], interface: str | None, configuration: Configuration
) -> Snapshot | None:
    if interface is not None:
        named = [s for s in snapshots if interface in {s.link.name, *s.link.altnames}]
        return named[0] if named else None
    patterns = configuration.network.links
    watched = [
        s for s in snapshots
        if watches(patterns, s.link.name, s.link.altnames, loopback=s.link.loopback)
    ]  # fmt: skip
    ranked = sorted(watched, key=lambda s: not s.link.carrier)
    return next(iter([*ranked, *snapshots]), None)


def make_values(
    snapshot: Snapshot, kind: EventType, configuration: Configuration
) -> dict[str, str]:
    """Return the variables of a script for this event of a link that did not change."""
    subject = (
        snapshot.addresses[0] if kind.value.startswith("address-") and snapshot.addresses else None
    )
    event = Event(
        sequence=1, type=kind, time_ns=time.time_ns(), after=snapshot, before=snapshot, lane=0,
        address=subject,
    )  # fmt: skip
    return dict(build_values(event, emit_json=configuration.network.emit_json))


def _report(output: Output, path: str, values: dict[str, str], told: Any) -> int:
    """Pass on what a run tells; return the exit status."""
    whole: dict[str, Any] = {"script": path, "environment": values, "stdout": "", "stderr": ""}
    status = Exit.FAILED
    for item in told:
        match item["kind"]:
            case "output":
                whole["stdout" if item["stream"] == "out" else "stderr"] += item["text"]
                if output.is_table:
                    click.echo(item["text"], nl=False, err=item["stream"] == "err")
            case "refused":
                whole["refused"] = item["reason"]
                if output.is_table:
                    say(f"Script {escape(path)} was not run: {item['reason']}")
            case "finished":
                whole |= {key: value for key, value in item.items() if key != "kind"}
                status = Exit.FINE if item["status"] == 0 and not item["timeout"] else Exit.FAILED
                if output.is_table:
                    say(_describe_end(path, item))
    if not output.is_table:
        output.write(whole)
    return status


def _describe_end(path: str, end: dict[str, Any]) -> str:
    code = end["status"]
    how = f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"
    extra = " after its time was over" if end["timeout"] else ""
    left = f", {end['leftovers']} of its processes were killed" if end["leftovers"] else ""
    return (
        f"Script {escape(path)} {how}{extra} ({end['duration']:.3f} s,"
        f" {end['cpu']:.3f} s of CPU{left})"
    )
