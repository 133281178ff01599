"""
Which request the helper grants: a pure function of the request and of what was granted before.

Three answers: `Grant` (do it), `Denial` (expected, told to the worker), or ProtocolViolation (a
correct worker never does this, so this is not one).
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from privsep import protocol
from privsep.launch import WritePolicy
from privsep.protocol import VERSION, ProtocolViolation
from privsep.variables import is_ifname
from privsep.wireguard import is_watched

HELD: Final = 65_536
"""Rules and routes that there may be of ours: ten times what 1,000 addresses on each of three links
need. How many more were asked for than taken back: that is counted, whatever became of them."""
WRITES: Final = 65_536
"""Changes within `SPAN`, made or removed."""
SPAN: Final = 10.0
"""Seconds."""
_TUNNELS, _END = 900, 950
"""Rules and tables from the first number above the base on are tunnels', from the second nobody's."""
_TABLES: Final = frozenset({*range(1, _TUNNELS), *range(_TUNNELS + 1, _END)})
_SHORTEST: Final = {4: 8, 6: 16}
"""Prefix length of the widest source that a rule of a link may select: all is not for one link."""


class State(NamedTuple):
    """What the helper remembers of one worker."""

    greeted: bool = False
    """The worker has said hello."""
    dump: int = 0
    """Number of the dump that is under way, 0 for none."""
    last_dump: int = 0
    """Highest number of a dump so far; numbers only grow."""
    last_read: int = 0
    """The same of readings of WireGuard devices and wireless links."""
    held: int = 0
    """Rules and routes that were asked for, and not taken back since."""
    writes: int = 0
    since: float = 0.0
    """Changes granted since this time, monotonic seconds."""


class Grant(NamedTuple):
    """Do it, and remember this."""

    state: State


class Denial(NamedTuple):
    """Don't, and say why."""

    reason: str


Verdict: TypeAlias = Grant | Denial


def judge(request: protocol.Request, state: State, policy: WritePolicy, now: float) -> Verdict:
    """Return what to do with a request. now: monotonic seconds. Raises: ProtocolViolation."""
    if isinstance(request, protocol.Hello):
        if state.greeted or request.version != VERSION:
            raise ProtocolViolation(f"hello of version {request.version}, expected {VERSION}")
        return Grant(state._replace(greeted=True))
    if not state.greeted:
        raise ProtocolViolation("request before hello")
    if isinstance(request, protocol.Ping):
        return Grant(state)
    if isinstance(request, protocol.Wireguard | protocol.Wireless):
        named = isinstance(request, protocol.Wireless) or is_ifname(request.name)
        if request.read <= state.last_read or not named:
            words = f"reading {request.read} after {state.last_read}, or of no name"
            raise ProtocolViolation(words)
        if isinstance(request, protocol.SetEndpoint):
            named = (request.public_key, request.port) in policy.endpoints
            if not named or not is_watched(request.name, policy.devices):
                raise ProtocolViolation(f"no peer whose endpoint may be set: {request}")
        return Grant(state._replace(last_read=request.read))
    if isinstance(request, protocol.Write):
        return _judge_write(request, state, policy, now)
    if request.dump <= state.last_dump:
        raise ProtocolViolation(f"dump {request.dump} after dump {state.last_dump}")
    if state.dump:
        return Denial(f"dump {state.dump} is under way")
    return Grant(state._replace(dump=request.dump, last_dump=request.dump))


def end_dump(state: State) -> State:
    """Return the state after the dump under way has ended."""
    return state._replace(dump=0)


def _judge_write(request: protocol.Write, state: State, policy: WritePolicy, now: float) -> Verdict:
    """Judge each change by itself, and all of them by the quotas."""
    held = state.held
    for change in request.changes:
        adds = isinstance(change, protocol.AddRule | protocol.AddRoute)
        held += 1 if adds else -1
        fault = _find_fault(change, policy)
        place = change.priority if isinstance(change, protocol.AddRule) else change.table
        wanted = policy.tunnels if place - policy.base >= _TUNNELS else policy.adds
        if fault or (adds and not wanted):
            raise ProtocolViolation(f"{fault or 'nothing of ours is wanted'}: {change}"[:1000])
    if now - state.since >= SPAN:
        state = state._replace(writes=0, since=now)
    writes = state.writes + len(request.changes)
    if held > HELD or writes > WRITES:
        return Denial(f"more than {HELD} rules and routes, or {WRITES} changes in {SPAN:.0f} s")
    return Grant(state._replace(held=max(0, held), writes=writes))


def _find_fault(change: protocol.Change, policy: WritePolicy) -> str:
    """Return why a rule or route is none of ours, "" if it may be."""
    in_ours = change.table - policy.base in _TABLES
    tunnel = change.table - policy.base > _TUNNELS
    if isinstance(change, protocol.DeleteRoute):  # of ours whatever it is: the number makes it so
        return "" if in_ours else "its table is not ours"
    if isinstance(change, protocol.DeleteRule):
        return "" if -1000 <= change.priority - policy.base < _END else "its priority is not ours"
    if isinstance(change, protocol.AddRoute):
        one = bool(change.ifindex) != change.refuses
        fits = in_ours and one and bool(change.gateway) + change.refuses < 2 - tunnel
        return "" if fits else "a route of ours leads over one link, or refuses, in a table of ours"
    above, narrow = change.priority - policy.base, change.destination or change.iif
    selects = change.source or change.oif or change.mask
    named = all(map(is_ifname, filter(None, (change.iif, change.oif))))
    if change.mark & ~change.mask or not named:
        return "no interface has such a name, or its mask is less than its mark"
    # main's routes of a prefix length, or tunnels': not for their own packets
    if above >= _TUNNELS:
        marked = bool(change.mark) and change.mask == 0xFFFFFFFF
        plain = not (change.source or change.oif or narrow) and change.invert == bool(change.mask)
        main = change.table == 254 and change.suppress >= 0 and not change.mask
        own = in_ours and tunnel and (marked or (change.suppress >= 0 and not change.mask))
        fits = above < _END and plain and (main or own)
        return "" if fits else "a rule of tunnels looks up main, or routes of theirs"
    if change.invert or change.suppress > 0 or (in_ours and tunnel):
        return "rules of tunnels alone do that"
    if -1000 <= above < 0:  # of the configuration, or of a mark
        marks = in_ours and change.mask != (policy.marks or None)
        fine = change.table and not (change.suppress == 0 or marks) and (selects or narrow)
        return "" if fine else "a rule of the configuration selects, and looks up a table of others"
    if above == 400:
        fits = change.table == 254 and change.suppress == 0 and not (selects or narrow)
        return "" if fits else "it has to look up main, for all"
    one = bool(change.source) != bool(change.oif) and not (narrow or change.mask)
    if not in_ours or change.table != change.priority or not one or change.suppress == 0:
        return "a rule of a link selects a source or a link, and its table is its priority"
    wide = change.source and int(change.source.rpartition("/")[2]) < _SHORTEST[change.family]
    return "its source is too wide for one link" if wide else ""
