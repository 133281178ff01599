"""`netevd run`: become the supervisor; nothing of the command line stays in it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click


@click.command()
@click.option("--config", type=click.Path(), metavar="FILE",
              help="Configuration; default /etc/netevd/netevd.yaml if it is there.")  # fmt: skip
@click.option("--runtime-dir", type=click.Path(), metavar="DIR",
              help="Directory of the lock; default /run/netevd, without root"
              " $XDG_RUNTIME_DIR/netevd or /tmp/netevd-UID.")  # fmt: skip
@click.option("--dry-run", is_flag=True,
              help="Decide and log everything, run nothing, write nothing.")  # fmt: skip
@click.option("--observe", is_flag=True,
              help="Run everything as the caller, also as root.")  # fmt: skip
def run(*, config: str | None, runtime_dir: str | None, dry_run: bool, observe: bool) -> NoReturn:
    """
    Run the daemon in the foreground.

    As root it separates its parts into users of their own; otherwise everything runs as the caller.
    SIGTERM or Ctrl-C stops it in good order, twice at once.
    """
    execute(config=config, runtime_dir=runtime_dir, dry_run=dry_run, observe=observe)


def execute(
    *, config: str | None, runtime_dir: str | None, dry_run: bool, observe: bool
) -> NoReturn:
    """Replace this process by the supervisor."""
    command = [sys.executable, "-I", "-m", "privsep", "run"]
    if config is not None:
        command += ["--config", os.path.abspath(config)]
    if runtime_dir is not None:
        command += ["--runtime-dir", os.path.abspath(runtime_dir)]
    command += ["--dry-run"] * dry_run + ["--observe"] * observe
    os.execv(sys.executable, command)  # noqa: S606 - no shell is the point
