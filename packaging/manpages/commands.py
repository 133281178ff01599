"""The tree of commands as man(7), from what `--help` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import roff

from netevd.cli.lazy import Lazy

SHARED = {"-o", "-j", "--color", "--fields", "--no-header", "-4", "-6"}
"""First names of options that are described once."""


def walk(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, by its words."""
    real = command.load() if isinstance(command, Lazy) else command
    if isinstance(real, click.Group):
        for name in sorted(real.commands):
            yield from walk(real.commands[name], f"{words} {name}")
    else:
        yield words, real


def find_options(command: click.Command) -> list[click.Option]:
    """Return the options that the help of a command shows, but --help."""
    context = click.Context(command, **command.context_settings)
    return [
        each
        for each in command.get_params(context)
        if isinstance(each, click.Option) and not each.hidden and "--help" not in each.opts
    ]


def describe(words: str, command: click.Command) -> list[str]:
    """Return what there is to say of one command."""
    options = find_options(command)
    own = [each for each in options if each.opts[0] not in SHARED]
    shared = [each for each in options if each.opts[0] in SHARED]
    usage = [roff.bold(words), *(_use_argument(each, command) for each in command.params)]
    usage += [_use_option(each, command) for each in own]
    lines = roff.subsection(" ".join(filter(None, usage)))
    lines += describe_help(command)
    for each in own:
        lines += describe_option(each, command)
    if shared:
        names = ", ".join(f"`{each.opts[0]}`" for each in shared)
        lines += roff.paragraph(f"It also takes {names}, see **Options**.")
    return lines


def describe_help(command: click.Command) -> list[str]:
    """Return the text of a command's help."""
    lines: list[str] = []
    for text in re.split(r"\n\s*\n", (command.help or "").replace("\f", "")):
        if text.lstrip().startswith("\b"):
            lines += roff.example(text.replace("\b", "").strip("\n").splitlines())
        elif text.strip():
            lines += roff.paragraph(text)
    return lines


def describe_option(option: click.Option, command: click.Command) -> list[str]:
    """Return an option with its help."""
    metavar = _find_metavar(option, command)
    tag = ", ".join(roff.bold(name) for name in (*option.opts, *option.secondary_opts))
    text = option.help or ""
    context = click.Context(command)
    if option.show_default and isinstance(default := option.get_default(context), (str, int)):
        text += f" Default: {default}."
    return roff.tagged(tag + (f" \\fI{roff.escape(metavar)}\\fR" if metavar else ""), text)


def _find_metavar(option: click.Option, command: click.Command) -> str:
    if option.is_flag or option.count:
        return ""
    return option.make_metavar(click.Context(command)).strip()


def _use_option(option: click.Option, command: click.Command) -> str:
    name = next((each for each in option.opts if each.startswith("--")), option.opts[0])
    metavar = _find_metavar(option, command)
    shown = roff.bold(name) + (f" \\fI{roff.escape(metavar)}\\fR" if metavar else "")
    more = "..." if option.multiple else ""
    return f"{shown}{more}" if option.required else f"[{shown}]{more}"


def _use_argument(parameter: click.Parameter, command: click.Command) -> str:
    if not isinstance(parameter, click.Argument):
        return ""
    return f"\\fI{roff.escape(parameter.make_metavar(click.Context(command)))}\\fR"
