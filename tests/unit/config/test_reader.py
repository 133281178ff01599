"""The reader as a process of its own, as the supervisor starts it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from netevd.config.schema import Configuration
from netevd.model.event import EventType
from privsep import spawn
from privsep.channel import Channel
from privsep.mode import Mode, choose
from privsep.protocol import VERDICT, Launch, Rejected, Verdict
from tests.boundary.rig import receive


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory that every user can enter."""
    import shutil
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _read(mode: Mode, path: Path) -> tuple[Verdict, bytes]:
    pid, reply, memory = spawn.start_reader(mode, str(path))
    channel: Channel[Verdict] = Channel(reply, VERDICT)
    verdict, _ = receive(channel)
    channel.close()
    assert os.waitpid(pid, 0)[1] == 0
    content = os.pread(memory, os.fstat(memory).st_size, 0)
    os.close(memory)
    return verdict, content


def test_observe_mode_reads_as_the_caller(directory: Path) -> None:
    """The answer has the caller's identity, the directories and every event type."""
    path = directory / "netevd.yaml"
    path.write_text("scripts: {directory: /srv/hooks, user: nobody-here}\nscript_timeout: 3s\n")

    verdict, content = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Launch)
    assert verdict.runners[0].uid == os.getuid()
    assert verdict.directories == ["/srv/hooks", "/usr/lib/netevd"]
    assert verdict.events == [kind.value for kind in EventType]
    assert msgspec.msgpack.decode(content, type=Configuration).script_timeout == 3.0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_privileged_mode_resolves_the_script_user(directory: Path) -> None:
    """The script user becomes numbers, with its groups."""
    path = directory / "netevd.yaml"
    path.write_text("scripts: {user: nobody}\n")

    verdict, _ = _read(choose(force_observe=False), path)

    assert isinstance(verdict, Launch)
    nobody = pwd.getpwnam("nobody")
    assert (verdict.runners[0].uid, verdict.runners[0].gid) == (nobody.pw_uid, nobody.pw_gid)


def test_variables_of_the_supervisor_are_there(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expansion uses the environment that the daemon was started with."""
    path = directory / "netevd.yaml"
    path.write_text('network: {links: "${NETEVD_TEST_LINKS}"}\n')
    monkeypatch.setenv("NETEVD_TEST_LINKS", "wan lan")

    _, content = _read(choose(force_observe=True), path)

    assert msgspec.msgpack.decode(content, type=Configuration).network.links == ("wan", "lan")


def test_thousands_of_problems_fit_into_one_answer(directory: Path) -> None:
    """An answer is bounded: the first problems, and how many more there are."""
    path = directory / "netevd.yaml"
    path.write_text("".join(f"key{n}: {'x' * 50}\n" for n in range(5000)))

    verdict, content = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Rejected)
    assert len(verdict.problems) == 201
    assert verdict.problems[-1] == "and 4800 more problems"
    assert content == b""
