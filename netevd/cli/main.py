"""
Entry of the `netevd` command: the tree of commands, and how any outcome becomes an exit status.

Imports what every command needs and nothing else; see `lazy`.
"""

from __future__ import annotations

import os
import sys
import traceback
from functools import partial
from typing import Final

import click
from click.shell_completion import shell_complete

import netevd
from netevd.cli.failure import Exit, Failure, Interrupted
from netevd.cli.lazy import Lazy
from netevd.cli.options import daemon_options, family_options
from netevd.cli.output import colour_option, format_options, guard_streams, say

NAME: Final = "netevd"
COMPLETION_VARIABLE: Final = "_NETEVD_COMPLETE"
_BY_SIGNAL: Final = 128
"""Added to a signal's number in an exit status. Source: bash(1), EXIT STATUS."""
_SIGINT: Final = 2
_SIGPIPE: Final = 13

_RUN: Final = Lazy("run", "netevd.cli.run:run", "Run the daemon in the foreground.")
_COMMANDS: Final = (
    Lazy(
        "apply",
        "netevd.cli.apply:apply",
        "Write a file into the daemon's configuration file and put it in force.",
    ),
    Lazy(
        "completion", "netevd.cli.completion:completion", "Print the completion script of a shell."
    ),
    Lazy(
        "confirm",
        "netevd.cli.apply:confirm",
        "Keep the configuration that was applied with --confirm.",
    ),
    Lazy(
        "diff",
        "netevd.cli.diff:diff",
        "Tell what a file would change in the configuration that is in force.",
    ),
    Lazy("doctor", "netevd.cli.doctor:doctor", "Check this machine, and say what to do."),
    Lazy("events", "netevd.cli.events:events", "Show events, the oldest first."),
    Lazy(
        "explain",
        "netevd.cli.events:explain",
        "Tell what became of an event: which scripts ran or did not, and why.",
    ),
    Lazy("list", "netevd.cli.list:list_", "List what netevd knows."),
    Lazy(
        "migrate",
        "netevd.cli.migrate:migrate",
        "Print a configuration made of that of another program.",
    ),
    Lazy("record", "netevd.cli.record:record", "Keep what the kernel tells, in a file."),
    Lazy("replay", "netevd.cli.replay:replay", "Say what a configuration makes of a recording."),
    Lazy(
        "reload",
        "netevd.cli.steer:reload",
        "Have the daemon read its configuration again, and wait for the outcome.",
    ),
    Lazy(
        "resume",
        "netevd.cli.steer:resume",
        "Let a script run again that was paused since it failed too often in a row.",
    ),
    Lazy(
        "rollback",
        "netevd.cli.apply:rollback",
        "Take the configuration back that was applied with --confirm, now.",
    ),
    Lazy(
        "routing",
        "netevd.cli.routing:routing",
        "See and steer the rules and routes that the daemon makes.",
    ),
    _RUN,
    Lazy("show", "netevd.cli.show:show", "Show one thing in detail."),
    Lazy(
        "sign",
        "netevd.cli.sign:sign",
        "Sign scripts, and see what a daemon makes of the signatures.",
    ),
    Lazy("status", "netevd.cli.status:status", "Show the state of the daemon on one screen."),
    Lazy("test", "netevd.cli.test:test", "Try one thing as the daemon would do it."),
    Lazy(
        "token",
        "netevd.cli.token:token",
        "Make, list and revoke the tokens by which clients may do something over TCP.",
    ),
    Lazy("wait", "netevd.cli.wait:wait", "Wait until an interface has a state."),
    Lazy("validate", "netevd.cli.validate:validate", "Check a configuration file."),
)


class _Root(click.Group):
    """The group of all commands; knows what a bare `--dry-run` means."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `netevd --dry-run ...` as `netevd run --dry-run ...`."""
        if args[:1] == ["--dry-run"] and not self.commands.keys() & set(args):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    NAME,
    cls=_Root,
    commands={command.name: command for command in _COMMANDS if command.name},
    invoke_without_command=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@format_options
@colour_option
@family_options
@partial(daemon_options, hidden=False)
@click.option("--dry-run", is_flag=True, help="The same as 'netevd run --dry-run'.")
@click.version_option(netevd.__version__, message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context, *, dry_run: bool) -> object:
    """Turn changes of network interfaces into runs of your scripts."""
    if dry_run and ctx.invoked_subcommand not in {None, "run"}:
        raise click.UsageError(f"--dry-run belongs to 'run', not to {ctx.invoked_subcommand!r}.")
    ctx.obj = dry_run
    if ctx.invoked_subcommand is None:
        if not dry_run:
            raise click.UsageError("Missing command.")
        return ctx.invoke(_RUN.load())
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run one command line (None: that of the process); return the exit status."""
    guard_streams()
    status = _run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        _forget_stdout()
        if not status:
            status = _judge(error)
    return status


def _run(arguments: list[str]) -> int:
    """Run one command line and say what went wrong; return the exit status."""
    try:
        if instruction := os.environ.get(COMPLETION_VARIABLE):
            return shell_complete(root, {}, NAME, COMPLETION_VARIABLE, instruction)
        with root.make_context(NAME, arguments) as ctx:
            return int(root.invoke(ctx) or 0)
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except Failure as failure:
        say(str(failure))
        return failure.code
    except (KeyboardInterrupt, click.Abort):
        return _BY_SIGNAL + _SIGINT
    except Interrupted as interrupted:
        return _BY_SIGNAL + interrupted.number
    except OSError as error:
        return _judge(error)
    except Exception as error:  # the composition root: one line, never a traceback
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"
        say(f"this is a mistake in netevd ({type(error).__name__} at {place}): {error}")
        return Exit.FAILED


def _judge(error: OSError) -> int:
    """Say what the system refused; return the exit status."""
    if isinstance(error, BrokenPipeError):
        return _BY_SIGNAL + _SIGPIPE  # as of a program that the signal ends, and as silent
    say(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
    return Exit.DENIED if isinstance(error, PermissionError) else Exit.FAILED


def _show(error: click.ClickException) -> None:
    """Write a usage error: the usage, where to find help, what is wrong."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help' for help.", err=True)
    say(error.format_message())


def _forget_stdout() -> None:
    """Have what is still buffered go nowhere: nobody reads it, and nobody needs to hear so."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
