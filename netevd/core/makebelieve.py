"""
An engine that can be told of an event as if it had found it itself, for commands that only try.

Whatever the engine does with an event, it does with this one; what the kernel says plays no part.
"""

from __future__ import annotations

from netevd.core.classify import Finding
from netevd.core.engine import Engine
from netevd.core.observe import Change
from netevd.core.routes import RouteChange
from netevd.core.routewatch import RouteNews
from netevd.model.actions import Action
from netevd.model.event import Event
from netevd.model.inputs import Now


class MakeBelieveEngine(Engine):
    """An engine that takes events."""

    def tell(self, event: Event, now: Now) -> list[Action]:
        """
        Return what is to be done about an event. A `Tick` has to follow, as after an input.

        It gets the engine's next number, and its time is `now`.
        """
        actions: list[Action] = []
        if event.route is not None:
            old, new = (event.route, None) if event.gone else (None, event.route)
            news = RouteNews(event.lane, event.after, RouteChange(old, new))
            self._publisher.tell_route(news, now, actions)
        else:
            assert event.after is not None, "only an event of a route has no link"
            finding = Finding(event.type, event.address, event.family)
            change = Change(event.lane, event.before, event.after, ())
            self._publisher.tell(finding, change, now, actions)
        return actions
