"""Which events somebody wants to hear of."""

from __future__ import annotations

from fnmatch import fnmatchcase

from attrs import frozen

from netevd.model.event import Event
from netevd.model.history import RunOutcome
from netevd.model.shape import printable


@frozen(slots=True)
class Choice:
    """A choice of events, and of the runs that belong to them."""

    types: tuple[str, ...] = ()
    """Globs of event types; none: all."""
    interfaces: tuple[str, ...] = ()
    """Globs of names; none: all, those of the host included."""
    since: int = 0
    """Only those with a higher sequence number."""
    since_ns: int = 0
    """Only those from this wall-clock time on, nanoseconds since 1970."""

    def takes(self, event: Event) -> bool:
        """Tell whether an event is among them."""
        if event.sequence <= self.since or event.time_ns < self.since_ns:
            return False
        return self.names(event.type.value, event.name)

    def takes_run(self, outcome: RunOutcome) -> bool:
        """Tell whether a run is one of such an event, whenever that was."""
        return self.names(outcome.event, outcome.interface)

    def names(self, event: str, interface: str) -> bool:
        """Tell whether events of this type and interface are among them, whenever they were."""
        if self.types and not any(fnmatchcase(event, each) for each in self.types):
            return False
        name = printable(interface)
        return not self.interfaces or any(fnmatchcase(name, each) for each in self.interfaces)
