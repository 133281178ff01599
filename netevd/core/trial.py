"""
Which section `routing` is in force: that of the configuration, or, if nobody confirmed that one in
time, the last one that was confirmed.

A dead man's switch: who has cut the host off can't say that all is well. The time is the worker's,
and what it needs is in the memory that outlives it: see docs/decisions/0013.
"""

from __future__ import annotations

import msgspec.json
from attrs import evolve

from netevd.config.schema import Routing
from netevd.model.routing import RoutingMemory


class Trial:
    """The section of now, and the one to fall back to."""

    def __init__(self, wanted: Routing, memory: RoutingMemory, generation: int) -> None:
        """wanted: what the configuration says. generation: its number."""
        self._wanted = wanted
        text = msgspec.json.encode(wanted).decode()
        before = _read(memory.confirmed)
        same = memory.generation == generation
        self._memory = evolve(memory, generation=generation, given_up=same and memory.given_up)
        self._begins = False
        """Whether the trial begins with the first thing that happens."""
        self.impossible = bool(wanted.confirm) and before is not None and not _alike(before, wanted)
        """Whether there would be a trial if what was before could be put back."""
        if before is None or not wanted.confirm or before == wanted or self.impossible:
            self._memory = evolve(self._memory, confirmed=text, trial_until=0.0, given_up=False)
        elif not same:
            self._begins = True
        self._before = before

    @property
    def routing(self) -> Routing:
        """The section that is in force."""
        if self._memory.given_up and self._before is not None:
            return self._before
        return self._wanted

    @property
    def due(self) -> float | None:
        """When the trial is over, in monotonic seconds; None for no trial."""
        return self._memory.trial_until or None

    @property
    def memory(self) -> RoutingMemory:
        """What is to be remembered, but for the slots."""
        return self._memory

    def begin(self, now: float) -> bool:
        """Start the time, if there is a trial that has not begun; tell whether it did."""
        if not self._begins:
            return False
        self._begins = False
        self._memory = evolve(self._memory, trial_until=now + self._wanted.confirm)
        return True

    def give_up(self, now: float) -> bool:
        """Fall back if the time is over; tell whether that was now."""
        if self.due is None or now < self.due:
            return False
        self._memory = evolve(self._memory, trial_until=0.0, given_up=True)
        return True

    def confirm(self) -> bool:
        """Take in that somebody says all is well; tell whether it was on trial."""
        if self.due is None and not self._begins:
            return False
        self._begins = False
        text = msgspec.json.encode(self._wanted).decode()
        self._memory = evolve(self._memory, confirmed=text, trial_until=0.0)
        return True


def _alike(before: Routing, after: Routing) -> bool:
    """Tell whether the helper, which has its policy of the later one, would write the earlier one."""
    one, other = before.policy, after.policy
    return (one.protocol, one.base, one.mark_mask) == (other.protocol, other.base, other.mark_mask)


def _read(text: str) -> Routing | None:
    """Return the section that was confirmed, None if there is none that can be understood."""
    try:
        return msgspec.json.decode(text, type=Routing) if text else None
    except msgspec.MsgspecError:
        return None
