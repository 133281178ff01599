"""Tables and changes where stories do not reach."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.core.observe import Observer
from netevd.model.link import IFF_LOOPBACK, IfIndex, Link
from tests.stories.playbook import address, link


@pytest.fixture
def observer() -> Observer:
    """Tables in which every link is watched, and told so far."""
    observer = Observer(lambda _: True)
    observer.introduce()
    return observer


def test_nothing_is_built_anew_without_a_change(observer: Observer) -> None:
    """An unchanged link keeps the very same snapshot, and its addresses' tuple outlives changes."""
    observer.see_link(link("eth0", 2))
    observer.see_address(address("192.0.2.1/24", 2))
    (first,) = observer.settle()
    observer.see_link(link("eth0", 2))
    observer.see_address(address("192.0.2.1/24", 2))

    assert observer.settle() == []
    observer.see_link(link("eth0", 2, mtu=9000))
    (second,) = observer.settle()
    assert second.before is first.after
    assert second.after.addresses is first.after.addresses


def test_what_is_settled_is_told_once(observer: Observer) -> None:
    """A second call has nothing to say."""
    observer.see_link(link("eth0", 2))

    assert len(observer.settle()) == 1
    assert observer.settle() == []


def test_who_is_watched_is_asked_with_all_names() -> None:
    """A link's alternative names and its being a loopback count, also when they change."""
    asked: list[Link] = []

    def watch(asked_for: Link) -> bool:
        asked.append(asked_for)
        return "x" in asked_for.altnames

    observer = Observer(watch)
    observer.introduce()
    plain = link("eth0", 2, flags=IFF_LOOPBACK)

    observer.see_link(plain)
    assert observer.settle() == []
    observer.see_link(evolve(plain, altnames=("x",)))
    (appeared,) = observer.settle()
    observer.see_link(evolve(plain, altnames=("x",), mtu=9000))
    (changed,) = observer.settle()
    observer.see_link(evolve(plain, mtu=9000))
    (vanished,) = observer.settle()

    assert appeared.before is None
    assert changed.before is appeared.after
    assert vanished.gone
    assert len(asked) == 3
    assert all(each.loopback for each in asked)


def test_a_circle_of_masters_does_not_hang(observer: Observer) -> None:
    """What can't be in one moment may be in what is known after a loss, and mends itself."""
    observer.see_link(link("a", 2, master=3))
    observer.see_link(link("b", 3, master=2))
    observer.see_link(link("a", 2, master=3, carrier=False))
    observer.settle()

    observer.see_link(link("a", 2, master=3))
    observer.see_link(link("b", 3))
    observer.settle()

    assert [each.state for each in observer.get_snapshots()] == ["enslaved", "carrier"]


def test_a_link_that_is_its_own_master_does_not_hang(observer: Observer) -> None:
    """Nor does the shortest circle."""
    observer.see_link(link("a", 2, master=2, carrier=False))
    observer.see_link(link("a", 2))

    assert [each.state for each in observer.get_snapshots()] == ["carrier"]


def test_a_thousand_ports_leave_nothing_behind(observer: Observer) -> None:
    """Counts of weak ports go back to nothing, whatever the order of removal."""
    observer.see_link(link("br0", 1, kind="bridge"))
    for number in range(2, 1002):
        observer.see_link(link(f"p{number}", number, master=1, carrier=number % 2 == 0))
    assert observer.get_snapshots()[0].state == "degraded-carrier"

    for number in range(2, 1002):
        observer.drop_link(IfIndex(number))

    assert observer.get_snapshots()[0].state == "carrier"
    assert observer.get_ifindexes() == [1]


def test_a_displaced_link_keeps_its_addresses_for_its_return(observer: Observer) -> None:
    """They may be newer than the message that made the link doubtful."""
    observer.see_link(link("eth0", 2))
    observer.see_address(address("192.0.2.1/24", 2))
    observer.settle()

    observer.displace_link(IfIndex(2))
    (gone,) = observer.settle()
    observer.see_link(link("lan0", 2))
    (back,) = observer.settle()

    assert gone.gone
    assert [each.ip for each in back.after.addresses] == ["192.0.2.1"]
    assert back.lane != gone.lane


def test_displacing_nothing(observer: Observer) -> None:
    """A link that is not known has no addresses to keep."""
    observer.displace_link(IfIndex(9))

    assert observer.settle() == []
    assert observer.get_addresses() == []


def test_an_address_removed_before_its_link_was_seen(observer: Observer) -> None:
    """Nothing waits for a link any more once the last address is gone, also an unknown one."""
    observer.see_address(address("192.0.2.1/24", 7))
    observer.see_address(address("192.0.2.2/24", 7))
    observer.drop_address(IfIndex(7), address("192.0.2.1/24", 7).key)
    observer.drop_address(IfIndex(7), address("192.0.2.9/24", 7).key)
    assert len(observer.get_addresses()) == 1

    observer.drop_address(IfIndex(7), address("192.0.2.2/24", 7).key)
    observer.drop_address(IfIndex(7), address("192.0.2.2/24", 7).key)

    assert observer.get_addresses() == []


def test_a_link_and_its_master_gone_together(observer: Observer) -> None:
    """A port whose master's removal made it different, and that is removed too, is told once."""
    observer.see_link(link("br0", 5))
    observer.see_link(link("eth0", 2, master=5))
    observer.settle()

    observer.drop_link(IfIndex(5))
    observer.drop_link(IfIndex(2))

    assert [change.after.link.name for change in observer.settle()] == ["br0", "eth0"]
