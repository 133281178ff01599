"""Where stories of routes begin, and what they read."""

from __future__ import annotations

from netevd.config.schema import Routes
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    HooksListed,
    RoutesDumped,
    RoutesDumpEnded,
    RunnerConnected,
)
from netevd.model.route import Route
from tests.stories.configurations import configure
from tests.stories.playbook import Play, Playbook, seen, show

LAN = "10.0.0.0/8"
ANY = "0.0.0.0/0"


def begin(
    play: Play, *routes: Route, links: tuple[str, ...] = (), settings: Routes | None = None
) -> Playbook:
    """Return a story that begins with eth0 (2) and eth1 (3), both up, and these routes."""
    story = play(configure(links=links, routes=settings or Routes()))
    parts = (seen("eth0", 2, dump=1), seen("eth1", 3, dump=1))
    story.fill(RunnerConnected(), HooksListed(()), HelperConnected(), *parts)
    story.fill(DumpEnded(1, consistent=True), RoutesDumped(tuple(routes), 1))
    return story.fill(RoutesDumpEnded(1, consistent=True))


def last(story: Playbook) -> list[str]:
    """Return the lines of the last input."""
    return show(story.actions).splitlines()
