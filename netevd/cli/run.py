"""`netevd run`: leaves this process to the daemon, so nothing of the CLI is in the supervisor."""

from __future__ import annotations

import os
import sys

import click

from netevd.cli.output import colour_option, read_colour, refuse_format


@click.command()
@click.option(
    "--config",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Configuration file; it must exist.",
)
@click.option("--dry-run", is_flag=True, help="Decide and log everything, run and write nothing.")
@click.option(
    "--runtime-dir", type=click.Path(readable=False), metavar="DIR", help="Where the lock is kept."
)
@click.option(
    "--state-dir",
    type=click.Path(readable=False),
    metavar="DIR",
    help="Where the journal is kept over restarts.",
)
@click.option(
    "--observe", is_flag=True, help="Run everything as the caller, even when that is root."
)
@colour_option
@click.pass_context
def run(
    ctx: click.Context,
    *,
    config: str | None = None,
    dry_run: bool = False,
    runtime_dir: str | None = None,
    state_dir: str | None = None,
    observe: bool = False,
) -> None:
    """
    Run the daemon in the foreground.

    Without root it runs as the caller, scripts included, and says so. SIGTERM and Ctrl-C stop it.
    """
    refuse_format()
    command = [sys.executable, "-I", "-m", "privsep", "run"]
    if config is not None:
        command += ["--config", os.path.abspath(config)]
    if runtime_dir is not None:
        command += ["--runtime-dir", os.path.abspath(runtime_dir)]
    if state_dir is not None:
        command += ["--state-dir", os.path.abspath(state_dir)]
    command += ["--dry-run"] if dry_run or ctx.obj else []
    command += ["--observe"] if observe else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, _environment())  # noqa: S606 - no shell is the point


def _environment() -> dict[str, str]:
    """Return our environment, in which `--color` is said as the daemon hears it."""
    environment = dict(os.environ)
    choice = read_colour()
    if choice != "auto":
        environment.pop("NO_COLOR", None)
        environment.pop("FORCE_COLOR", None)
        environment["FORCE_COLOR" if choice == "always" else "NO_COLOR"] = "1"
    return environment
