"""An engine that is told of an event does with it what it does with its own."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.config.schema import Configuration
from netevd.core.makebelieve import MakeBelieveEngine
from netevd.model.actions import Publish, StartRun
from netevd.model.event import Event, EventType
from netevd.model.inputs import HooksListed, Now, RunnerConnected, Tick
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import address, hooks, link, route

NOW = Now(5.0, 7_000)
BEFORE = Snapshot(link("eth0", 2, carrier=False), (), OperationalState.NO_CARRIER)
AFTER = Snapshot(link("eth0", 2), (), OperationalState.CARRIER, gateways=("10.0.0.1",))
EVENT = Event(99, EventType.CARRIER, 1, AFTER, BEFORE, lane=3)


def _engine(*paths: str) -> MakeBelieveEngine:
    engine = MakeBelieveEngine(Configuration(), 40)
    for given in (RunnerConnected(), HooksListed(hooks(*paths))):
        assert engine.handle(given, NOW) == []
    return engine


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        evolve(EVENT, type=EventType.LINK_REMOVED, before=AFTER),
        evolve(EVENT, type=EventType.GATEWAY_CHANGED, family=4),
        evolve(EVENT, type=EventType.ADDRESS_ADDED, address=address("10.0.0.2/24", 2), family=4),
        evolve(EVENT, type=EventType.ROUTES, before=AFTER, route=route("10.0.0.0/8", "@2"), family=4),
        evolve(EVENT, type=EventType.ROUTES, before=AFTER, route=route("10.0.0.0/8", "@2"), family=4,
               gone=True),
        evolve(EVENT, type=EventType.ROUTES, before=None, after=None, lane=0, family=4,
               route=route("10.0.0.0/8", kind=6)),
    ],
    ids=lambda event: f"{event.type.value}{'-gone' * event.gone}{'-host' * (not event.after)}",
)  # fmt: skip
def test_event_is_published_as_it_is(event: Event) -> None:
    """All of it but number and time, which are the engine's and now."""
    (published,) = _engine().tell(event, NOW)

    assert published == Publish(evolve(event, sequence=40, time_ns=7_000))


def test_its_scripts_run() -> None:
    """The scripts of its type start in their order, with the next tick."""
    engine = _engine("/etc/netevd/carrier.d/10-a", "/etc/netevd/off.d/10-b")

    told = engine.tell(EVENT, NOW) + engine.handle(Tick(), NOW)

    (start,) = [action for action in told if isinstance(action, StartRun)]
    assert start.hook.path == "/etc/netevd/carrier.d/10-a"
    assert dict(start.values)["NETEVD_PREVIOUS_STATE"] == "no-carrier"
