"""Commands whose module is imported when they are used, not when they are listed."""

from __future__ import annotations

import importlib

import click


class Lazy(click.Command):
    """Stands in a group for a command of another module, and knows its one line of help."""

    def __init__(self, name: str, place: str, short_help: str) -> None:
        """place: `module:attribute` of the command."""
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, attribute = self._place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        _mention_hidden(command)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """Return a context of the command itself, so that all that follows is its own."""
        return self.load().make_context(info_name, args, parent, **extra)


def _mention_hidden(command: click.Command) -> None:
    """Say in the help of each command that asks a daemon where the options for that are described."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _mention_hidden(child)
    elif any(isinstance(each, click.Option) and each.hidden for each in command.params):
        command.epilog = "Which daemon is asked: --socket or --url, see 'netevd --help'."
