"""Which number a link has, and for how long."""

from __future__ import annotations

from netevd.core.policyslots import KEPT_NS, assign, find_hints, find_keys
from netevd.model.link import IfIndex, Link
from netevd.model.routing import SLOTS, Ours, Slot
from tests.stories.playbook import route


def make(name: str, ifindex: int, mac: str = "") -> Link:
    """Return a link with this permanent MAC."""
    return Link(IfIndex(ifindex), name, 1, 6, 1500, mac, mac)


def test_an_index_means_nothing() -> None:
    """The same hardware has the same number under another index and name; other hardware another."""
    slots, numbers = assign((), find_keys([make("eth0", 2, "aa"), make("eth1", 3, "bb")]), {}, 1)
    assert numbers == {2: 1, 3: 2}
    _, numbers = assign(slots, find_keys([make("eth0", 2, "cc"), make("eth5", 3, "aa")]), {}, 2)
    assert numbers == {2: 3, 3: 1}


def test_one_mac_on_two_links() -> None:
    """The one with the lower index has it by its MAC, the other by its name."""
    assert find_keys([make("bond0", 9, "aa"), make("eth0", 2, "aa"), make("tun0", 5)]) == {
        2: "mac:aa", 5: "name:tun0", 9: "name:bond0",
    }  # fmt: skip


def test_a_slot_is_kept_for_a_week() -> None:
    """A link that comes back in time has its number, whatever the clock did; later it is free."""
    slots, _ = assign((), {IfIndex(2): "a"}, {}, 10)
    slots, _ = assign(slots, {}, {}, 20)
    assert slots == (Slot("a", 1, 20),)
    slots, numbers = assign(slots, {IfIndex(3): "b"}, {}, 20 + KEPT_NS - 1)
    assert numbers == {3: 2}
    assert assign(slots, {IfIndex(3): "b"}, {}, 5)[0] == slots  # the clock went back
    slots, _ = assign(slots, {IfIndex(3): "b"}, {}, 20 + KEPT_NS)
    assert slots == (Slot("b", 2),)


def test_numbers_are_found_again_in_the_kernel() -> None:
    """Without memory, a link has the number that our routes over it have; nobody gets it twice."""
    routes = [
        route("0.0.0.0/0", "10.0.0.9@3", table=21507, protocol=110),
        route("10.0.1.0/24", "@3", table=21007, protocol=110),
        route("0.0.0.0/0", "10.0.0.9@4", table=21501, protocol=4),
    ]
    hints = find_hints(Ours(), routes)
    assert hints == {3: 7}
    _, numbers = assign((), {IfIndex(2): "a", IfIndex(3): "b"}, hints, 0)
    assert numbers == {2: 1, 3: 7}


def test_when_all_are_used() -> None:
    """One link too many has no number."""
    keys = {IfIndex(number): str(number) for number in range(1, SLOTS + 2)}
    slots, numbers = assign((), keys, {}, 0)

    assert len(slots) == len(numbers) == SLOTS
