"""`netevd wait`: until an interface has a state, by the daemon's stream."""

from __future__ import annotations

import re
import time

import click

from netevd.cli.client import OPENED, Message, Refusal, ask, follow, quoted
from netevd.cli.failure import Exit, Failure
from netevd.cli.options import daemon_options
from netevd.cli.output import format_options, print_shape, read_format, say
from netevd.cli.words import DurationValue, InterfaceName, StateName, advise


@click.command()
@click.argument("interface", type=InterfaceName())
@click.option(
    "--for",
    "states",
    type=StateName(),
    metavar="STATE",
    required=True,
    multiple=True,
    help="State that is waited for; repeatable: one of these.",
)
@click.option(
    "--timeout",
    type=DurationValue(),
    metavar="TIME",
    default="30s",
    show_default=True,
    help="Give up after this time, with exit code 1.",
)
@format_options
@daemon_options
def wait(*, interface: str, states: tuple[str, ...], timeout: float) -> int:
    """
    Wait until an interface has a state.

    An interface that is not there yet is waited for. Exit code 0 means that it has the state, or
    had it at one moment since; 1 that the time was over.
    """
    begun = time.monotonic()
    state = _wait(interface, states, begun + timeout)
    seconds = time.monotonic() - begun
    reached = state in states
    if read_format() != "table":
        print_shape({
            "interface": interface, "state": state, "reached": reached,
            "seconds": round(seconds, 3),
        })  # fmt: skip
    wanted = " or ".join(states)
    if reached:
        say(f"{interface} is {state}")
        return Exit.FINE
    how = "is not there" if state is None else f"is {state}"
    raise Failure(f"{interface} {how} after {seconds:.3g} s, not {wanted}")


def _wait(interface: str, states: tuple[str, ...], until: float) -> str | None:
    """Return the state that the interface has in the end, None where there is none."""
    state = None
    chosen = {"interface": re.sub(r"([*?[])", r"[\1]", interface)}
    for number, message in enumerate(follow(chosen, until=until)):
        if message.kind == OPENED:
            # the stream tells what happens from here on, so this is asked only now
            state = _ask(interface, states, first=number == 0)
        elif message.kind == "event":
            state = _read(message, interface, state)
        if state in states:
            return state
    return _ask(interface, states, first=False)


def _read(message: Message, interface: str, state: str | None) -> str | None:
    """Return the state after an event."""
    event = message.content
    if event["interface"] != interface:
        return state
    return None if event["type"] == "link-removed" else event["state"]


def _ask(interface: str, states: tuple[str, ...], *, first: bool) -> str | None:
    """Return the present state, None where there is no such interface. Raises: Failure."""
    try:
        found = ask(f"interfaces/{quoted(interface)}")
    except Refusal as refusal:
        if refusal.code is not Exit.UNKNOWN:
            raise
        if first:
            known = [each["name"] for each in ask("interfaces")["interfaces"]]
            say(f"there is no interface {interface!r} yet; {advise(interface, known)}")
        return None
    if not found["watched"] and found["state"] not in states:
        text = (
            f"{interface} is {found['state']}, and not watched (network.links): nobody would tell"
        )
        raise Failure(text)
    return str(found["state"])
