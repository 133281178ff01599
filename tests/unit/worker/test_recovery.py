"""What outlives a worker: whole or not at all, and never another machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from netevd.config.schema import Configuration
from netevd.core.engine import Engine
from netevd.model.inputs import DumpEnded, HelperConnected, Input, LinkSeen, Now
from netevd.report.journal import EventEntry, Journal
from netevd.worker.recovery import Place, Recovery
from netevd.worker.slate import Memory
from tests.stories.configurations import configure
from tests.stories.playbook import link

HERE = Place("boot", 1)
ROUTES = Configuration().routes
SIZE = 8 << 20


class Life:
    """One worker's engine with its recovery."""

    def __init__(
        self, slates: tuple[int, int], directory: Path | None = None, place: Place = HERE
    ) -> None:
        self.journal = Journal()
        self.recovery = Recovery(Memory(slates), self.journal, ROUTES, place)
        if directory is not None:
            self.recovery.open_disk(str(directory))
        self.found = self.recovery.read()
        state = None if self.found is None else self.found.state
        first = 1 if self.found is None else self.found.numbers.sequence
        self.engine = Engine(configure(), first, state=state)

    def handle(self, *inputs: Input) -> None:
        """Hand inputs to the engine and keep what is decided."""
        for each in inputs:
            actions = self.engine.handle(each, Now(1.0, 1))
            entries = [EventEntry(a.event) for a in actions if hasattr(a, "verdict")]
            self.recovery.write(self.engine, self.engine.take_record(), list(entries))

    def begin(self, name: str = "eth0") -> None:
        """Announce one link."""
        self.handle(HelperConnected(), LinkSeen(link(name, 2), 1), DumpEnded(1, consistent=True))


@pytest.fixture
def slates() -> Iterator[tuple[int, int]]:
    """Return two memfds as the supervisor makes them."""
    made = (os.memfd_create("a"), os.memfd_create("b"))
    for each in made:
        os.ftruncate(each, SIZE)
    yield made
    for each in made:
        os.close(each)


def renew(slates: tuple[int, int]) -> None:
    """Forget what is in memory, as at the start of a daemon."""
    for each in slates:
        os.ftruncate(each, 0)
        os.ftruncate(each, SIZE)


def test_a_worker_goes_on_where_another_stopped(slates: tuple[int, int]) -> None:
    """State and journal are what the last one had, also over many snapshots."""
    life = Life(slates)
    life.begin()
    for mtu in range(1000, 8000):
        life.handle(LinkSeen(link("eth0", 2, mtu=mtu)))

    later = Life(slates)

    assert later.found is not None
    assert not later.found.in_order
    assert later.engine.get_state() == life.engine.get_state()
    assert [each.event for each in later.journal if isinstance(each, EventEntry)] == [
        each.event for each in life.journal if isinstance(each, EventEntry)
    ]
    life.recovery.end(life.engine)
    assert Life(slates).found == evolve(later.found, in_order=True, since=())


def test_a_torn_record_was_not_acted_on(slates: tuple[int, int]) -> None:
    """Whatever octet of the last record is missing, what was before it is there."""
    life = Life(slates)
    life.begin()
    before = life.engine.get_state()
    life.handle(LinkSeen(link("eth0", 2, mtu=9000)))
    used = next(each for each in slates if os.pread(each, 6, 0) == b"netevd")
    whole = os.pread(used, SIZE, 0)
    end = len(whole.rstrip(b"\0"))

    for cut in range(1, 200):
        os.pwrite(used, bytes(cut), end - cut)
        found = Life(slates).found
        assert found is not None
        assert found.state == before


def test_a_name_that_is_no_text_is_remembered(slates: tuple[int, int]) -> None:
    """Octets that are not UTF-8 come back as they were."""
    life = Life(slates)
    life.begin("eth\udcff0")

    assert Life(slates).engine.get_state() == life.engine.get_state()


def test_a_daemon_goes_on_from_its_disk(slates: tuple[int, int], tmp_path: Path) -> None:
    """Another daemon in the same place knows what users know; numbers go on."""
    life = Life(slates, tmp_path)
    life.begin()
    life.handle(LinkSeen(link("eth0", 2, mtu=9000)))
    renew(slates)

    later = Life(slates, tmp_path)

    assert later.engine.get_state() == life.engine.get_state()
    later.handle(LinkSeen(link("eth0", 2, mtu=1400)))
    renew(slates)
    assert Life(slates, tmp_path).engine.get_state() == later.engine.get_state()


def test_power_loss_leaves_whole_records(slates: tuple[int, int], tmp_path: Path) -> None:
    """Wherever the file on disk ends, what is read is what was so after one of the records."""
    life = Life(slates, tmp_path)
    life.begin()
    states = [life.engine.get_state()]
    for mtu in range(1000, 1010):
        life.handle(LinkSeen(link("eth0", 2, mtu=mtu)))
        states.append(life.engine.get_state())
    used = max(tmp_path.glob("journal.*"), key=lambda each: each.stat().st_size)
    whole = used.read_bytes()
    found = []
    for end in range(len(whole), 0, -37):  # a record is longer
        renew(slates)
        used.write_bytes(whole[:end])
        later = Life(slates, tmp_path).found
        found.append(None if later is None else later.state)

    assert found[0] == states[-1]
    known = [each for each in found if each is not None]
    places = [states.index(each) for each in known]
    assert places == sorted(places, reverse=True)
    assert set(places) == set(range(len(states)))
    assert found[len(known) :] == [None] * (len(found) - len(known)), "a torn snapshot is none"


def test_disk_is_tried_again(slates: tuple[int, int], tmp_path: Path) -> None:
    """A full disk is said once and hurts nothing; once it can be written, it has all that memory has."""
    life = Life(slates, tmp_path)
    life.begin()
    life.recovery.retry_s = 0.0
    opened = {Path(each).resolve(): int(each.name) for each in Path("/proc/self/fd").iterdir()}
    files = {number: path for path, number in opened.items() if path.parent == tmp_path}
    full = os.open("/dev/full", os.O_RDWR)
    for number in files:
        os.dup2(full, number)
    os.close(full)

    life.handle(LinkSeen(link("eth0", 2, mtu=9000)))

    (said,) = life.recovery.news
    assert said.startswith("the journal can't be written to disk: No space left on device; until")
    assert Life(slates).engine.get_state() == life.engine.get_state()
    for number, path in files.items():
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    life.handle(LinkSeen(link("eth0", 2, mtu=9002)))
    assert life.recovery.news == [said, "the journal is written to disk again"]
    renew(slates)
    assert Life(slates, tmp_path).engine.get_state() == life.engine.get_state()


@pytest.mark.parametrize("place", [Place("another boot", 1), Place("boot", 2)])
def test_elsewhere_only_numbers_and_journal_go_on(
    slates: tuple[int, int], tmp_path: Path, place: Place
) -> None:
    """After a boot, or in another namespace, it is a first start, without a number used twice."""
    life = Life(slates, tmp_path)
    life.begin()
    life.recovery.end(life.engine)
    last = life.engine.numbers.sequence
    renew(slates)

    later = Life(slates, tmp_path, place)

    assert later.found is not None
    assert later.found.state is None
    assert later.engine.numbers.sequence == last
    assert len(list(later.journal)) == 1
    later.begin()
    renew(slates)
    again = Life(slates, tmp_path, place)
    assert again.engine.get_state() == later.engine.get_state()


def test_after_power_loss_no_number_is_used_twice(slates: tuple[int, int], tmp_path: Path) -> None:
    """Where the last records may be missing, numbers jump over all that were reserved."""
    life = Life(slates, tmp_path)
    life.begin()
    for mtu in range(1000, 1100):
        life.handle(LinkSeen(link("eth0", 2, mtu=mtu)))
    used = life.engine.numbers.sequence
    renew(slates)

    later = Life(slates, tmp_path, Place("another boot", 1))

    assert later.found is not None
    assert later.found.gap > 0
    assert later.engine.numbers.sequence > used
    assert later.engine.numbers.sequence == used + later.found.gap


def test_two_daemons_do_not_share_a_directory(slates: tuple[int, int], tmp_path: Path) -> None:
    """The second one, another process, is refused."""
    Life(slates, tmp_path)
    child = os.fork()
    if not child:
        try:
            Life(slates, tmp_path)
        except BlockingIOError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_entries_that_are_none_are_not_kept(slates: tuple[int, int]) -> None:
    """A worker that was taken over could leave millions of empty ones, which count nothing against the limit."""
    life = Life(slates)
    life.begin()
    whole = len([*life.journal])
    life.journal.add([b""] * 1000 + [b"\x91"] * 1000)

    assert len(life.journal.get_packed()) == whole
    assert all(len(each) > 8 for each in life.journal.get_packed())
