"""What stands for what a restarted manager says, and how long."""

from __future__ import annotations

from attrs import evolve

from netevd.backends.returning import PATIENCE_S, Returning
from netevd.model.backend import HostReport, LinkReport
from netevd.model.link import IfIndex

UP = LinkReport("NetworkManager", IfIndex(2), device_state="activated", dns=("192.0.2.53",))
HOST = HostReport("NetworkManager", (("state", "connected-global"),))


def begin(now: float = 10.0) -> Returning:
    """Return what stands after a manager was lost and is back, and is starting."""
    returning = Returning()
    returning.keep([UP], HOST)
    returning.begin(now, is_starting=True)
    return returning


def test_what_was_said_before_stands_while_it_starts() -> None:
    """States on the way back are not told; one that is reached again is told with all that comes with it."""
    returning = begin()

    for state in ("unmanaged", "unavailable", "prepare", "secondaries"):
        assert returning.choose(evolve(UP, device_state=state, dns=())) == UP
    again = evolve(UP, dns=("192.0.2.54",))
    assert returning.choose(again) == again
    assert returning.choose_host(HostReport("NetworkManager")) == HOST
    new = evolve(UP, ifindex=IfIndex(3), device_state="prepare")
    assert returning.choose(new) == new


def test_its_start_is_over_by_its_word_or_by_time() -> None:
    """Then everything is told as it says."""
    returning = begin()

    assert not returning.is_over(11.0, is_starting=True)
    assert returning.is_over(11.0, is_starting=False)
    assert returning.is_over(10.0 + PATIENCE_S, is_starting=True)
    returning.end()
    down = evolve(UP, device_state="unavailable")
    assert returning.choose(down) == down
    assert not returning.is_over(99.0, is_starting=False)


def test_one_that_is_lost_again_while_it_starts() -> None:
    """What is not told yet does not count: what stood goes on standing."""
    returning = begin()
    returning.keep([], None)
    returning.begin(20.0, is_starting=True)

    assert returning.choose(evolve(UP, device_state="config")) == UP


def test_one_that_has_started_long_ago() -> None:
    """Whoever is on a new bus, and was not restarted, is told as it is."""
    returning = Returning()
    returning.keep([UP], HOST)
    returning.begin(10.0, is_starting=False)
    down = evolve(UP, device_state="unavailable")

    assert returning.choose(down) == down
