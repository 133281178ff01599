"""The command line's top: global options, lazy commands, one place for how commands end."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Final

import click

from netevd import __version__
from netevd.cli.exits import Exit
from netevd.cli.output import FORMATS, Output

COMMANDS: Final = {
    "run": ("netevd.cli.run:run", "Run the daemon in the foreground."),
    "validate": ("netevd.cli.validate:validate", "Check a configuration; all problems at once."),
    "list": ("netevd.cli.listing:listing", "List hooks."),
    "test": ("netevd.cli.trial:trial", "Run one script as the daemon would."),
    "completion": ("netevd.cli.completion:completion", "Print completion for bash, zsh or fish."),
}
"""Where each command stands, and what it does; a command is imported when it is called."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that each stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or say which one may be meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            advice = f"; did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"there is no command '{args[0]}'{advice}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="netevd")
@click.option("-o", "--output", "form", type=click.Choice(FORMATS), default="table",
              help="How data is written.", show_default=True)  # fmt: skip
@click.option("-j", "--json", "as_json", is_flag=True, help="The same as --output json.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              help="Colour words; auto: on a terminal, unless NO_COLOR is set.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="The same as 'netevd run --dry-run'.")
@click.pass_context
def cli(ctx: click.Context, *, form: str, as_json: bool, color: str, dry_run: bool) -> None:
    """
    Watch links and addresses of this host and run the administrator's scripts.

    Exit status: 0 fine, 1 the asked thing failed, 2 usage, 3 the daemon does not answer, 4 no such
    interface or script, 5 not allowed.
    """
    ctx.obj = Output("json" if as_json else form, color)
    if ctx.invoked_subcommand is not None:
        if dry_run:
            ctx.fail("--dry-run before a command means nothing; write netevd run --dry-run")
        return
    if not dry_run:
        click.echo(ctx.get_help())
        ctx.exit(Exit.FINE)
    from netevd.cli.run import execute  # noqa: PLC0415 - loaded when called

    execute(config=None, runtime_dir=None, dry_run=True, observe=False)


def main() -> int:
    """Run the command line; return the exit status."""
    try:
        result = cli.main(standalone_mode=False, prog_name="netevd")
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # whoever read our output has enough; Python must not complain of it at its end
        sys.stdout = None
        return Exit.FAILED
    return result if isinstance(result, int) else Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
