"""Rigs as fixtures: each test gets its own directory and its own processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boundary.rig import HelperRig, RunnerRig


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a directory that every user can reach and only the caller can write."""
    path = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
    path.chmod(0o755)
    (path / "routable.d").mkdir(mode=0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def directory(root: Path) -> Path:
    """Return the script directory of the event type routable."""
    return root / "routable.d"


@pytest.fixture
def start_runner(root: Path) -> Iterator[Callable[[], RunnerRig]]:
    """Return a function that starts a runner over `root`, once its scripts are written."""
    rigs: list[RunnerRig] = []

    def start() -> RunnerRig:
        rigs.append(RunnerRig([str(root)], ["routable", "carrier"]))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


@contextlib.contextmanager
def enter_namespace() -> Iterator[None]:
    """Have this thread, and what it starts, in a network namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.unshare(0x40000000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNET
    try:
        yield
    finally:
        assert libc.setns(home, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        os.close(home)


@pytest.fixture
def namespace() -> Iterator[None]:
    """Put the test, and what it starts, into a network namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace and come back from it")
    with enter_namespace():
        yield


@pytest.fixture
def helper(namespace: None) -> Iterator[HelperRig]:
    """Return a helper in a network namespace of its own."""
    rig = HelperRig()
    yield rig
    rig.close()
