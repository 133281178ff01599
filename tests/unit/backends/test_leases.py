"""Which leases hold, by files, addresses and time."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from netevd.backends.leasefile import Record
from netevd.backends.leases import CHANGE_NS, Leases, Source
from netevd.model.backend import Lease
from netevd.model.link import IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import address, link

FILE = "/var/lib/dhcp/dhclient.eth0.leases"
S = 10**9
DHCLIENT = ("dhclient", IfIndex(2))


def make(ip: str = "192.0.2.50", at: int = 100, lasts: int = 60, **more: object) -> Record:
    """Return a lease of eth0 that was granted at a second."""
    family = "ipv6" if ":" in ip else "ipv4"
    options = (("subnet_mask", "255.255.255.0"),)
    lease = Lease("dhclient", family, ip, 24, options=options, lifetime_s=lasts, obtained_ns=at * S)
    record = Record("eth0", lease, (at + lasts) * S, at * S, released=False, line=1)
    return evolve(record, **more)  # type: ignore[arg-type]


class World:
    """Leases, and the only link."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.addresses: list[str] = []
        self.name = "eth0"
        self.index = 2
        self.due: int | None = None

    def write(self, *records: Record, at: int = 100, path: str = FILE) -> None:
        """Have a file say this."""
        self.leases.take(path, Source(records, at * S))

    def tell(self, at: float) -> list[tuple[str, int | None]]:
        """Return address and time of each lease that holds at a second."""
        addresses = tuple(address(f"{each}/24", self.index) for each in self.addresses)
        snapshot = Snapshot(link(self.name, self.index), addresses, OperationalState.ROUTABLE)
        judgement = self.leases.judge(
            int(at * S), lambda name: snapshot if name == self.name else None
        )
        self.due = None if judgement.due_ns is None else judgement.due_ns // S
        leases = [lease for each in judgement.reports.values() for lease in each.leases]
        return [(each.address, (each.obtained_ns or 0) // S) for each in leases]


def test_a_lease_holds_once_its_address_is_there() -> None:
    """The client may write first; what a file kept over a boot is no lease."""
    world = World()
    world.write(make())
    assert world.tell(101) == []
    assert world.due is None

    world.addresses = ["192.0.2.50"]
    assert world.tell(102) == [("192.0.2.50", 100)]
    assert world.due == 160


def test_a_lease_ends_with_its_time_or_its_address() -> None:
    """Expired at the second of its end; gone before with the address."""
    world = World()
    world.write(make())
    world.addresses = ["192.0.2.50"]
    assert world.tell(159.9) == [("192.0.2.50", 100)]
    assert world.tell(160) == []

    world.write(make(at=170))
    assert world.tell(171) == [("192.0.2.50", 170)]
    world.addresses = []
    assert world.tell(172) == []


def test_a_client_with_another_clock() -> None:
    """An address that is removed at the end, by a client that is a little early, has expired."""
    world = World()
    world.write(make())
    world.addresses = ["192.0.2.50"]
    world.tell(101)
    world.addresses = []
    assert world.tell(158.5) == [("192.0.2.50", 100)]
    assert world.due == 160
    assert world.tell(160) == []


def test_the_last_lease_of_a_file_counts() -> None:
    """A renewal counts, and a lease that was given back is none, though its address is there still."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make(), make(at=130))
    assert world.tell(131) == [("192.0.2.50", 130)]

    world.write(make(), make(at=130), make(at=140, lasts=0))
    assert world.tell(140) == []
    world.write(make(), make(at=150))
    assert world.tell(151) == [("192.0.2.50", 150)]
    world.write(make(), make(at=150), make(at=150, released=True))
    assert world.tell(152) == []


def test_another_address() -> None:
    """The lease of before counts until the new address is there, for a while even without its own."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make())
    assert world.tell(101) == [("192.0.2.50", 100)]

    world.write(make(), make("192.0.2.51", at=110))
    assert world.tell(110) == [("192.0.2.50", 100)]
    world.addresses = []
    assert world.tell(111) == [("192.0.2.50", 100)]
    assert world.due == 111 + CHANGE_NS // S
    world.addresses = ["192.0.2.51"]
    assert world.tell(112) == [("192.0.2.51", 110)]


def test_another_address_that_never_comes() -> None:
    """Then there is no lease."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make(lasts=600))
    world.tell(101)
    world.write(make(lasts=600), make("192.0.2.51", at=110, lasts=600))
    world.addresses = []
    assert world.tell(111) == [("192.0.2.50", 100)]
    assert world.tell(121) == []
    assert world.due is None


def test_a_file_that_is_being_written_anew() -> None:
    """It is empty, then has its oldest lease first: nothing was taken back."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make(lasts=600), make(at=130, lasts=600))
    assert world.tell(131) == [("192.0.2.50", 130)]

    world.write()
    assert world.tell(132) == [("192.0.2.50", 130)]
    world.write(make("192.0.2.9", at=10))
    assert world.tell(132) == [("192.0.2.50", 130)]
    world.write(make("192.0.2.9", at=10), make(lasts=600))
    assert world.tell(132) == [("192.0.2.50", 130)]
    world.write(make("192.0.2.9", at=10), make(lasts=600), make(at=131, lasts=600))
    assert world.tell(132) == [("192.0.2.50", 131)]


def test_a_file_that_is_removed() -> None:
    """The lease counts as long as it lasts and its address is there; then nothing is left of it."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make())
    world.tell(101)
    world.leases.take(FILE, None)
    assert world.tell(102) == [("192.0.2.50", 100)]
    assert world.tell(160) == []
    world.leases.take(FILE, None)
    assert world.leases.clients == frozenset()


def test_a_clock_that_was_set_back() -> None:
    """A lease from the future does not hide those that are granted now."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make(at=10_000))
    assert world.tell(10_001) == [("192.0.2.50", 10_000)]
    world.write(make(at=10_000), make(at=200))
    assert world.tell(201) == [("192.0.2.50", 200)]


def test_several_files_of_a_link() -> None:
    """The one that was written last counts; another client's lease stands beside it."""
    world = World()
    world.addresses = ["192.0.2.50", "192.0.2.60"]
    world.write(make(), at=105)
    world.write(make("192.0.2.60", at=90), at=101, path="/var/lib/dhcp/dhclient.leases")
    assert world.tell(110) == [("192.0.2.50", 100)]

    theirs = make("192.0.2.60", at=95)
    theirs = evolve(theirs, lease=evolve(theirs.lease, backend="dhcpcd"))
    world.write(theirs, path="/run/netevd-leases/dhcpcd.eth0.leases")
    assert world.tell(110) == [("192.0.2.50", 100), ("192.0.2.60", 95)]


def test_both_families_make_one_report() -> None:
    """A client says all that it knows of a link at once."""
    world = World()
    world.addresses = ["192.0.2.50", "2001:db8::50"]
    world.write(make(), make("2001:db8::50", at=101))

    judgement = world.leases.judge(110 * S, _find(world))

    assert list(judgement.reports) == [DHCLIENT]
    assert len(judgement.reports[DHCLIENT].leases) == 2


def test_a_lease_without_mask_has_the_prefix_of_its_address() -> None:
    """What the kernel has is what was set."""
    world = World()
    world.addresses = ["192.0.2.50"]
    record = make()
    world.write(evolve(record, lease=evolve(record.lease, options=(), prefix=32)))

    judgement = world.leases.judge(110 * S, _find(world))

    assert judgement.reports[DHCLIENT].leases[0].prefix == 24


def test_a_link_that_is_another_now() -> None:
    """A link of the same name is told anew by its own index, once it has the address."""
    world = World()
    world.addresses = ["192.0.2.50"]
    world.write(make())
    assert list(world.leases.judge(101 * S, _find(world)).reports) == [DHCLIENT]
    world.index = 3
    assert list(world.leases.judge(102 * S, _find(world)).reports) == [("dhclient", IfIndex(3))]
    world.name = "eth9"
    assert world.tell(103) == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 80)),
        st.tuples(st.just("renew"), st.just(0)),
        st.tuples(st.just("move"), st.integers(51, 53)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("rewrite"), st.integers(0, 3)),
    ),
    max_size=14,
)
"""What a client does: its lease is granted again, is one of another address, is given back; it begins its
file anew, of which only so many records are seen at first."""


@given(STEPS)
def test_what_a_client_has_is_what_is_told(steps: list[tuple[str, int]]) -> None:
    """After each step its lease is told, and while it writes it is never told to have none."""
    world = World()
    now, written = 100, [make()]
    world.addresses, held = ["192.0.2.50"], make()
    world.write(*written, at=now)
    assert world.tell(now) == [("192.0.2.50", 100)]
    for step, number in steps:
        now += 1
        lives = held is not None and now < (held.ends_ns or 0) // S
        before = [(held.lease.address, held.written_ns // S)] if held and lives else []
        match step:
            case "wait":
                now += number
            case "rewrite":
                # dhclient writes each address once, that of its lease last
                once = {each.lease.address: each for each in written}
                if held is not None:
                    once.pop(held.lease.address, None)
                    once[held.lease.address] = held
                written = list(once.values())
                for seen in range(min(number, len(written)) + 1):
                    world.write(*written[:seen], at=now)
                    assert world.tell(now) == before
            case "release" if held is not None:
                written.append(make(held.lease.address, at=now, lasts=0))
                held, world.addresses = None, []
            case "renew" if held is not None and lives:
                held = make(held.lease.address, at=now)
                written.append(held)
            case "renew" | "move":
                address_ = f"192.0.2.{number or 50}"
                held = make(address_, at=now)
                written.append(held)
                world.write(*written, at=now)
                if address_ not in world.addresses:
                    assert world.tell(now) == before
                world.addresses = [address_]
        if step != "wait":
            world.write(*written, at=now)
        lives = held is not None and now < (held.ends_ns or 0) // S
        expected = [(held.lease.address, held.written_ns // S)] if held and lives else []
        assert world.tell(now) == expected


def _find(world: World):
    addresses = tuple(address(f"{each}/24", world.index) for each in world.addresses)
    snapshot = Snapshot(link(world.name, world.index), addresses, OperationalState.ROUTABLE)
    return lambda name: snapshot if name == world.name else None
