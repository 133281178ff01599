"""
Which request the helper grants: a pure function of the request and of what was granted before.

Three answers: `Grant` (do it), `Denial` (expected, told to the worker), or ProtocolViolation (a
correct worker never does this, so this is not one).
"""

from __future__ import annotations

from typing import NamedTuple

from privsep.protocol import VERSION, Hello, Ping, ProtocolViolation, Request, Wireguard, is_ifname


class State(NamedTuple):
    """What the helper remembers of one worker."""

    greeted: bool = False
    """The worker has said hello."""
    dump: int = 0
    """Number of the dump that is under way, 0 for none."""
    last_dump: int = 0
    """Highest number of a dump so far; numbers only grow."""
    last_read: int = 0
    """The same of readings of WireGuard devices."""


class Grant(NamedTuple):
    """Do it, and remember this."""

    state: State


class Denial(NamedTuple):
    """Don't, and say why."""

    reason: str


def judge(request: Request, state: State) -> Grant | Denial:
    """Return what to do with a request. Raises: ProtocolViolation."""
    if isinstance(request, Hello):
        if state.greeted or request.version != VERSION:
            raise ProtocolViolation(
                f"hello of version {request.version}, expected one of {VERSION}"
            )
        return Grant(state._replace(greeted=True))
    if not state.greeted:
        raise ProtocolViolation("request before hello")
    if isinstance(request, Ping):
        return Grant(state)
    if isinstance(request, Wireguard):
        if request.read <= state.last_read or not is_ifname(request.name):
            raise ProtocolViolation(
                f"reading {request.read} after {state.last_read}, or of no name"
            )
        return Grant(state._replace(last_read=request.read))
    if request.dump <= state.last_dump:
        raise ProtocolViolation(f"dump {request.dump} after dump {state.last_dump}")
    if state.dump:
        return Denial(f"dump {state.dump} is under way")
    return Grant(state._replace(dump=request.dump, last_dump=request.dump))


def end_dump(state: State) -> State:
    """Return the state after the dump under way has ended."""
    return state._replace(dump=0)
