"""The task that follows lease files, with real files and the real inotify."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
from structlog.testing import CapturingLogger

from netevd.backends import leasewatch
from netevd.backends.leasewatch import LeaseWatch
from netevd.model.backend import LinkReport
from netevd.model.inputs import (
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendSaid,
    Input,
)
from netevd.model.link import IfIndex
from netevd.model.snapshot import OperationalState, Snapshot
from tests.stories.playbook import address, link

LEASE = """lease {
  interface "eth0";
  fixed-address 192.0.2.50;
  option subnet-mask 255.255.255.0;
  renew never;
  rebind never;
  expire never;
}
"""


class World:
    """One link with the address of the lease, and what was said."""

    def __init__(self) -> None:
        self.known = True
        self.begun = False
        self.addresses = ["192.0.2.50"]
        self.reported: list[LinkReport] = []
        self.inputs: list[Input] = []
        self.asked = 0
        self.captured = CapturingLogger()

    def is_known(self) -> bool:
        return self.known

    def has_begun(self) -> bool:
        return self.begun

    def find(self, name: str) -> Snapshot | None:
        addresses = tuple(address(f"{each}/24", 2) for each in self.addresses)
        return (
            Snapshot(link("eth0", 2), addresses, OperationalState.ROUTABLE)
            if name == "eth0"
            else None
        )

    def list_reported(self) -> Iterable[LinkReport]:
        return self.reported

    def ask(self) -> None:
        self.asked += 1

    def take(self) -> list[str]:
        """Return in words what was told since the last call."""
        words = [_show(each) for each in self.inputs]
        self.inputs.clear()
        return words

    @property
    def log(self) -> list[str]:
        return [f"{call.method_name}: {call.args[0]}" for call in self.captured.calls]

    def watch(self, *patterns: str, **more: object) -> LeaseWatch:
        log = structlog.wrap_logger(
            self.captured, processors=[lambda _, __, record: ((record["event"],), {})]
        )
        return LeaseWatch(patterns, self.inputs.extend, self, log, self.ask, **more)  # type: ignore[arg-type]


def _show(given: Input) -> str:
    match given:
        case BackendFound(backend=backend, reports=reports):
            return f"found {backend} {len(reports)}"
        case BackendLost(backend=backend, wanted=wanted):
            return f"lost {backend}{' wanted' if wanted else ''}"
        case BackendForgot(backend=backend, ifindex=ifindex):
            return f"forgot {backend} {ifindex}"
        case BackendSaid(report=report):
            return f"said {report.backend} {' '.join(each.address for each in report.leases)}"
    raise AssertionError(given)


@asynccontextmanager
async def running(watch: LeaseWatch):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - the kernel sets no event
            await trio.sleep(0.005)


@pytest.mark.trio
async def test_what_there_is_and_what_comes(tmp_path: Path) -> None:
    """First which clients there are, with their leases; then each change."""
    (tmp_path / "dhclient.leases").write_text(LEASE)
    world = World()
    watch = world.watch(f"{tmp_path}/*.leases")
    async with running(watch):
        await until(lambda: world.inputs)
        assert world.take() == ["found dhclient 1", "lost dhcpcd"]

        (tmp_path / "other").write_text(LEASE)
        (tmp_path / "new").write_text(LEASE.replace("{", '{ client "dhcpcd";', 1))
        (tmp_path / "new").rename(tmp_path / "dhcpcd.leases")
        await until(lambda: world.inputs)
        assert world.take() == ["found dhcpcd 0", "said dhcpcd 192.0.2.50"]

        world.addresses = []
        watch.look()
        assert world.take() == ["forgot dhclient 2", "forgot dhcpcd 2"]


@pytest.mark.trio
async def test_nothing_is_told_before_links_are_known(tmp_path: Path) -> None:
    """What is told first has to be all there is."""
    (tmp_path / "dhclient.leases").write_text(LEASE)
    world = World()
    world.known = False
    watch = world.watch(f"{tmp_path}/*.leases", wanted=True)
    async with running(watch):
        await trio.testing.wait_all_tasks_blocked()
        watch.look()
        assert world.take() == []
        world.known = True
        watch.look()
        assert world.take() == ["found dhclient 1", "lost dhcpcd"]


def test_nothing_is_told_before_files_are_read(tmp_path: Path) -> None:
    """Links may be known before the task has begun: then nothing is known to be gone."""
    world = World()
    world.reported = [LinkReport("dhclient", IfIndex(2))]
    world.watch(f"{tmp_path}/*.leases").look()
    assert world.take() == []


@pytest.mark.trio
async def test_what_was_said_before_is_taken_back(tmp_path: Path) -> None:
    """A lease that a worker before has told, and that no file has any more."""
    world = World()
    world.reported = [LinkReport("dhcpcd", IfIndex(2)), LinkReport("systemd-networkd", IfIndex(3))]
    async with running(world.watch(f"{tmp_path}/*.leases", wanted=True)):
        await until(lambda: world.inputs)
        assert world.take() == ["lost dhclient wanted", "forgot dhcpcd 2", "lost dhcpcd"]


@pytest.mark.trio
@pytest.mark.parametrize(("age", "news"), [(5, True), (50, False), (500, False)])
async def test_what_could_not_be_read_before(tmp_path: Path, age: int, *, news: bool) -> None:
    """A lease that was granted just now is news to the first worker that can read it, an old one is none."""
    granted = int(time.time()) - age
    times = (
        f"renew epoch {granted + 300}; rebind epoch {granted + 500}; expire epoch {granted + 600}"
    )
    text = LEASE.replace("renew never;\n  rebind never;\n  expire never;", f"{times};")
    (tmp_path / "dhclient.leases").write_text(text)
    world = World()
    world.begun = True
    watch = world.watch(f"{tmp_path}/*.leases", started_ns=(int(time.time()) - 100) * 10**9)
    async with running(watch):
        await until(lambda: world.inputs)
    told = ["found dhclient 0", "lost dhcpcd", "said dhclient 192.0.2.50"]
    assert world.take() == (told if news else ["found dhclient 1", "lost dhcpcd"])


def test_without_inotify(tmp_path: Path) -> None:
    """Files are looked at every now and then, and that is said."""
    if os.geteuid() != 0:
        pytest.skip("the limit is that of all processes of a user, so this needs another one")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chown(tmp_path, 54322, 54322)
            os.chdir(tmp_path)
            os.setresuid(54322, 54322, 54322)
            trio.run(look_without_inotify, Path("dhclient.leases"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def look_without_inotify(file: Path) -> None:
    """Let a watch run in this directory when there is not one inotify descriptor left."""
    instances = []
    with contextlib.suppress(OSError):
        while True:
            instances.append(leasewatch.Inotify())
    leasewatch.LOOK_S = 0.05
    world = World()
    async with running(world.watch("./*.leases")):
        await until(lambda: world.inputs)
        assert world.take() == ["lost dhclient", "lost dhcpcd"]
        await trio.Path(file).write_text(LEASE)
        await until(lambda: world.inputs)
        assert world.take()[:2] == ["found dhclient 0", "said dhclient 192.0.2.50"]
    assert "warning: lease files are looked at every" in world.log[0]
    assert instances


@pytest.mark.trio
async def test_what_can_not_be_read_is_said_once(tmp_path: Path) -> None:
    """A directory that nobody has asked for only when everything is said."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "a.leases").symlink_to(tmp_path / "a.leases")
    world = World()
    watch = world.watch(f"{tmp_path}/*.leases", f"{tmp_path}/loop/*", quiet=True)
    async with running(watch):
        await until(lambda: world.inputs)
        (tmp_path / "b.leases").write_text("")
        (tmp_path / "c.leases").write_text(LEASE)
        await until(lambda: "found dhclient 0" in world.take())
    told = [each for each in world.log if "can't be read" in each]
    assert [each.partition(":")[0] for each in told] == ["debug", "warning"]


@pytest.mark.trio
async def test_too_many_files(tmp_path: Path) -> None:
    """Those that are beyond the limit are named, as many as there is room for."""
    for number in range(leasewatch.FILES_LIMIT + 2):
        (tmp_path / f"dhclient{number:03}.leases").write_text("")
    world = World()
    async with running(world.watch(f"{tmp_path}/*.leases")):
        await until(lambda: world.inputs)
    assert [each for each in world.log if "not read" in each] == [
        f"warning: {tmp_path}/dhclient{number}.leases: not read, since there are 256 lease files already"
        for number in (256, 257)
    ]
