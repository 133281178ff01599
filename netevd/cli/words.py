"""Words on the command line that are ours: event types, interfaces, variables of a script."""

from __future__ import annotations

import difflib
import fnmatch
import re
import socket
from collections.abc import Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem

from netevd.cli.offers import offer
from netevd.model.event import EventType
from netevd.model.route import TABLE_NAMES, read_table
from netevd.model.snapshot import OperationalState
from privsep.variables import VARIABLES

_LATEST: Final = 20
"""Events or runs that are offered."""

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


class EventGlob(click.ParamType[str]):
    """An event type, or a glob of some."""

    name = "type"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the same, if an event type could be meant."""
        text = str(value)
        words = [kind.value for kind in EventType]
        if not fnmatch.filter(words, text):
            what = "matches no event type" if set("*?[") & set(text) else "is no event type"
            self.fail(f"{text!r} {what}; {advise_all(text, words)}", param, ctx)
        return text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer all event types."""
        return _offer((kind.value for kind in EventType), incomplete)


class StateName(click.ParamType[str]):
    """An operational state."""

    name = "state"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the state of this name."""
        words = [state.value for state in OperationalState]
        if value not in words:
            advice = advise_all(str(value), words)
            self.fail(f"{str(value)!r} is no operational state; {advice}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the scale."""
        return _offer((state.value for state in OperationalState), incomplete)


class InterfaceName(click.ParamType[str]):
    """The name of an interface; whether it exists is for the command to find out."""

    name = "interface"

    def __init__(self, *, ours: bool = False) -> None:
        """ours: those of this network namespace are meant, not those that a daemon knows."""
        self._ours = ours

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the interfaces that the daemon knows, without one those of this namespace."""
        names = (
            []
            if self._ours
            else [str(each["name"]) for each in offer(ctx, "interfaces", "interfaces")]
        )
        if not names:
            try:
                names = [name for _, name in socket.if_nameindex()]
            except OSError:
                return []
        return _offer(filter(_HARMLESS.match, names), incomplete)


class TableName(click.ParamType[str]):
    """A routing table."""

    name = "table"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return its number."""
        try:
            return str(read_table(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer those that have names."""
        return _offer(TABLE_NAMES.values(), incomplete)


class SequenceNumber(click.IntRange):
    """The number of an event."""

    name = "sequence"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the latest events."""
        found = offer(ctx, "events", "events", limit=_LATEST)
        return [
            CompletionItem(number, help=f"{each['interface'] or 'host'} {each['type']}")
            for each in reversed(found)
            if (number := str(each["sequence"])).startswith(incomplete)
        ]


class RunNumber(click.IntRange):
    """The number of a run."""

    name = "run"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the latest runs."""
        found = offer(ctx, "runs", "runs", limit=_LATEST)
        return [
            CompletionItem(number, help=f"{each['script']} {each['result'] or 'has not ended'}")
            for each in reversed(found)
            if (number := str(each["run"])).startswith(incomplete)
        ]


class DurationValue(click.ParamType[float]):
    """A duration as the configuration writes it."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        from netevd.config.kinds import Duration  # noqa: PLC0415 - only for those who give one
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
