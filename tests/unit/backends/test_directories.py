"""Directories that come, go and change, by the real inotify."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from netevd.backends.directories import Directories
from netevd.backends.inotify import Inotify


@pytest.fixture
def watch() -> Iterator[Inotify]:
    it = Inotify()
    yield it
    it.close()


def begin(watch: Inotify, *paths: Path) -> Directories:
    found = Directories(watch, map(str, paths))
    found.arm()
    assert found.read() == set()
    return found


def test_what_is_written_is_named(watch: Inotify, tmp_path: Path) -> None:
    """Appended to by who keeps it open, moved into place, removed; also in two directories."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    directories = begin(watch, one, two)

    with (one / "a").open("w") as file:
        directories.read()
        file.write("x")
        file.flush()
        assert directories.read() == {str(one / "a")}
    directories.read()
    (two / "b.new").write_text("y")
    directories.read()
    (two / "b.new").rename(two / "b")
    assert directories.read() == {str(two / "b.new"), str(two / "b")}
    (two / "b").unlink()
    assert directories.read() == {str(two / "b")}


def test_a_directory_that_is_made_later(watch: Inotify, tmp_path: Path) -> None:
    """It is noticed with all above it, and what is written in it from then on."""
    place = tmp_path / "var/lib/dhcp"
    directories = begin(watch, place)

    (tmp_path / "other").mkdir()
    assert directories.read() == set()
    place.mkdir(parents=True)
    (place / "early").write_text("x")
    assert str(place) in directories.read()
    directories.read()
    (place / "a").write_text("x")
    assert directories.read() == {str(place / "a")}


def test_a_directory_that_is_made_step_by_step(watch: Inotify, tmp_path: Path) -> None:
    """Each step is waited for."""
    place = tmp_path / "var/lib/dhcp"
    directories = begin(watch, place)
    for each in (place.parent.parent, place.parent):
        each.mkdir()
        directories.read()
    place.mkdir()
    assert str(place) in directories.read()


def test_a_directory_that_goes_and_comes_again(watch: Inotify, tmp_path: Path) -> None:
    """Removed, or moved away and another one put in its place."""
    place = tmp_path / "dhcp"
    place.mkdir()
    directories = begin(watch, place)

    shutil.rmtree(place)
    assert str(place) in directories.read()
    place.mkdir()
    assert str(place) in directories.read()
    place.rename(tmp_path / "away")
    assert str(place) in directories.read()
    place.mkdir()
    assert str(place) in directories.read()
    directories.read()
    (tmp_path / "away/a").write_text("x")
    assert directories.read() == set()
    (place / "a").write_text("x")
    assert directories.read() == {str(place / "a")}


def test_two_paths_to_one_directory(watch: Inotify, tmp_path: Path) -> None:
    """Both are told."""
    place, other = tmp_path / "dhcp", tmp_path / "other"
    place.mkdir()
    other.symlink_to(place)
    directories = begin(watch, place, other)

    (place / "a").write_text("x")
    assert directories.read() == {str(place / "a"), str(other / "a")}


def test_what_is_overlooked_is_looked_at_again(watch: Inotify, tmp_path: Path) -> None:
    """After an overflow every directory counts as touched."""
    directories = begin(watch, tmp_path)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 4 + 1):
        path = tmp_path / f"f{number % 50}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        path.unlink()
        path.touch()
        path.unlink()

    assert str(tmp_path) in directories.read()


def test_no_descriptor_left(watch: Inotify) -> None:
    """Where the system grants no more, that is an error with its reason."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if os.geteuid() != 0:
        pytest.skip("the limit is that of all processes of a user")
    pid = os.fork()
    if pid == 0:
        os.setresuid(54321, 54321, 54321)
        try:
            for _ in range(int(limit.read_text()) + 1):
                Inotify()
        except OSError as error:
            os._exit(0 if error.strerror else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
