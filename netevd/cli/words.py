"""Words on the command line that are ours: event types, interfaces, variables of a script."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem

from netevd.model.event import EventType
from privsep.protocol import VARIABLES

_HARMLESS: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\Z")
"""Names that a shell takes as they are; others are not offered, since Enter would run them."""


def advise(word: str, known: Iterable[str]) -> str:
    """Return which known word was meant, or all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1, 0.6)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(words)}"


def advise_all(word: str, known: Iterable[str]) -> str:
    """Return which known word was meant, if one is close, and all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1, 0.6)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}There are {', '.join(words)}"


def _offer(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in sorted(words) if word.startswith(incomplete)]


class EventName(click.ParamType[EventType]):
    """An event type."""

    name = "type"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> EventType:
        """Return the event type of this name."""
        try:
            return EventType(str(value))
        except ValueError:
            words = [kind.value for kind in EventType]
            self.fail(
                f"{str(value)!r} is no event type; {advise_all(str(value), words)}", param, ctx
            )

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer all event types."""
        return _offer((kind.value for kind in EventType), incomplete)


class InterfaceName(click.ParamType[str]):
    """The name of an interface; whether it exists is for the command to find out."""

    name = "interface"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the interfaces of this network namespace."""
        try:
            names = [name for _, name in socket.if_nameindex()]
        except OSError:
            return []
        return _offer(filter(_HARMLESS.match, names), incomplete)


class DurationValue(click.ParamType[float]):
    """A duration as the configuration writes it."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        from netevd.config.schema import Duration  # noqa: PLC0415 - only for those who give one
        from netevd.config.values import READERS  # noqa: PLC0415

        try:
            seconds = READERS[Duration](str(value), Duration)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        assert isinstance(seconds, float)
        return seconds


class Assignment(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE` for one of the variables that scripts get."""

    name = "assignment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return name and value; whether the value has its type is checked by the runner."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{str(value)!r} is not NAME=VALUE", param, ctx)
        if name not in VARIABLES:
            close = difflib.get_close_matches(name, VARIABLES, 1, 0.6)
            advice = f"did you mean {close[0]}? " if close else ""
            allowed = ", ".join(sorted(VARIABLES))
            text = f"{name!r} is no variable of scripts; {advice}Allowed are {allowed}"
            self.fail(text, param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"the value of {name} has bytes that are not UTF-8", param, ctx)
        return name, text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the names."""
        return _offer((f"{name}=" for name in VARIABLES), incomplete)
