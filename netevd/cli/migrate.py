"""`netevd migrate`: what another program was told, as a configuration, and what will differ."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from netevd.cli.failure import Exit, Failure
from netevd.cli.migrations.remark import Migration
from netevd.cli.output import (
    colour_option,
    format_options,
    print_shape,
    read_format,
    say,
    show_text,
)
from netevd.config.load import DEFAULT_PATH, Loaded, load
from netevd.config.tree import Unreadable
from privsep.protocol import escape


@click.group()
def migrate() -> None:
    """
    Print a configuration made of that of another program.

    The configuration goes to standard output, what will differ to standard error; nothing is written
    and nothing is changed.
    """


@migrate.command("rust-netevd")
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@format_options
@colour_option
def rust_netevd(*, paths: tuple[str, ...]) -> int:
    """
    From the Rust daemon of the same name.

    PATHS are its configuration, /etc/netevd/netevd.yaml if no file is given, and the directory that has
    its script directories, /etc/netevd if none is.
    """
    from netevd.cli.migrations import rust  # noqa: PLC0415 - reads YAML, help does not

    file, roots = _sort(paths)
    root = _pick_root(roots)
    if file is None and not os.path.exists(DEFAULT_PATH):
        raise Failure(f"{DEFAULT_PATH} is not there; give the path of the configuration")
    return _print(lambda: rust.migrate(file or DEFAULT_PATH, root, os.environ))


@migrate.command("networkd-dispatcher")
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@format_options
@colour_option
def networkd_dispatcher(*, paths: tuple[str, ...]) -> int:
    """
    From networkd-dispatcher.

    PATHS are its trees, of which the first wins, and the file with its options; without a tree those of
    its option --script-dir, else /etc/networkd-dispatcher and /usr/lib/networkd-dispatcher; without a
    file /etc/default/networkd-dispatcher, if no tree is given either.
    """
    from netevd.cli.migrations import dispatcher  # noqa: PLC0415 - reads YAML, help does not

    file, roots = _sort(paths)
    if file is None and not roots and os.path.exists(dispatcher.OPTIONS_FILE):
        file = dispatcher.OPTIONS_FILE
    return _print(lambda: dispatcher.migrate(roots, file))


@migrate.command("network-event-broker")
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@format_options
@colour_option
def network_event_broker(*, paths: tuple[str, ...]) -> int:
    """
    From network-event-broker.

    PATHS are its configuration, network-broker.toml in the directory if no file is given, and the
    directory that has its script directories, /etc/network-broker if none is.
    """
    from netevd.cli.migrations import broker  # noqa: PLC0415 - reads YAML, help does not

    file, roots = _sort(paths)
    root = _pick_root(roots) or broker.ROOT
    default = f"{root}/{broker.FILE}"
    if file is None and os.path.exists(default):
        file = default
    if file is None and not os.path.isdir(root):
        raise Failure(
            f"{root} is not there; give the path of the configuration or of the directory"
        )
    return _print(lambda: broker.migrate(file, root))


def _sort(paths: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """Return the file among these paths, and the directories. Raises: UsageError."""
    whole = [os.path.abspath(path) for path in paths]
    files = [path for path in whole if not os.path.isdir(path)]
    if len(files) > 1:
        raise click.UsageError(f"One configuration at a time, not {len(files)}.")
    return (files[0] if files else None), [path for path in whole if path not in files]


def _pick_root(roots: list[str]) -> str | None:
    if len(roots) > 1:
        raise click.UsageError(f"One directory of script directories at a time, not {len(roots)}.")
    return roots[0] if roots else None


def _print(make: Any) -> int:
    """Print what a migration makes, once our own loader has found no fault with it."""
    try:
        made: Migration = make()
    except Unreadable as unreadable:
        for problem in unreadable.problems:
            say(str(problem))
        raise Failure("what is there has problems, so nothing was made of it") from None
    loaded = load(made.file, os.environ, made.text.encode())
    if not isinstance(loaded, Loaded):
        for problem in loaded:
            say(str(problem))
        raise Failure("what would come of it has these problems; mend what they come from")
    if read_format() == "table":
        click.echo(show_text(made.text), nl=False)
        sys.stdout.flush()  # in this order also where both go to the same place
        for remark in made.remarks:
            say(str(remark))
    else:
        remarks = [
            {
                "file": escape(each.place.file),
                "line": each.place.line or None,
                "severity": each.severity,
                "message": escape(each.text),
            }
            for each in made.remarks
        ]
        shape = {"configuration": made.text, "remarks": remarks, "count": len(remarks)}
        print_shape(shape, "remarks")
    return Exit.FINE
