"""Numbers and pauses of dumps; what is merged is told in stories and properties."""

from __future__ import annotations

from netevd.core.observe import Observer
from netevd.core.resync import Resync
from tests.stories.playbook import address, link


def test_numbers_grow_by_one() -> None:
    """Each dump has a number of its own, which voids the one before."""
    resync = Resync()

    assert [resync.begin(), resync.begin()] == [1, 2]
    assert resync.number == 2


def test_failures_wait_longer_each_time_up_to_five_seconds() -> None:
    """The first failure is repeated at once, the others after ever longer pauses."""
    resync = Resync()
    pauses = []

    for _ in range(10):
        resync.begin()
        resync.fail(100.0)
        assert resync.due is not None
        pauses.append(round(resync.due - 100.0, 3))

    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_a_loss_while_a_dump_is_waited_for_changes_nothing() -> None:
    """The pause is not prolonged: what is lost now is covered by the dump to come."""
    resync = Resync()
    resync.begin()
    resync.fail(100.0)
    due, failures = resync.due, resync.backoff.failures

    resync.fail(200.0)

    assert (resync.due, resync.backoff.failures) == (due, failures)


def test_a_new_helper_ends_the_pause() -> None:
    """Whatever failed before is forgotten."""
    resync = Resync()
    for _ in range(5):
        resync.begin()
        resync.fail(100.0)

    resync.restart(101.0)

    assert (resync.due, resync.backoff.failures, resync.number) == (101.0, 0, 0)


def test_a_merge_ends_the_dump() -> None:
    """After it, failures count anew and nothing more is taken for this dump."""
    observer = Observer(lambda _: True)
    resync = Resync()
    resync.fail(0.0)
    number = resync.begin()
    resync.keep_link(link("eth0", 2), number)
    resync.keep_address(address("192.0.2.1/24", 2), number)

    resync.merge(observer)

    assert (resync.number, resync.backoff.failures) == (0, 0)
    (snapshot,) = observer.get_snapshots()
    assert [each.ip for each in snapshot.addresses] == ["192.0.2.1"]
    resync.begin()
    resync.merge(observer)
    assert observer.get_snapshots() == ()


def test_addresses_without_a_link_do_not_wait_for_ever() -> None:
    """A dump's end clears what waits for links that do not exist."""
    observer = Observer(lambda _: True)
    resync = Resync()
    observer.see_address(address("192.0.2.1/24", 7))
    resync.begin()

    resync.merge(observer)

    assert observer.get_addresses() == []
