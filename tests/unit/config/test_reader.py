"""The reader as a process of its own, as the supervisor starts it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from netevd.config.identities import Identities
from netevd.config.schema import Configuration
from netevd.config.sealed import Sealed
from netevd.model.event import EventType
from privsep import spawn
from privsep.channel import Channel
from privsep.launch import READABLE, VERDICT, Identity, Launch, Rejected, Verdict
from privsep.mode import Mode, choose
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


def _unseal(content: bytes) -> Configuration:
    return msgspec.msgpack.decode(content, type=Sealed).configuration


def _read(mode: Mode, path: Path) -> tuple[Verdict, bytes]:
    pid, reply, memory = spawn.start_reader(mode, str(path))
    channel: Channel[Verdict] = Channel(reply, VERDICT)
    verdict, _ = receive(channel)
    channel.close()
    assert os.waitpid(pid, 0)[1] == 0
    content = os.pread(memory.configuration, os.fstat(memory.configuration).st_size, 0)
    for each in memory:
        os.close(each)
    return verdict, content


def test_targets_are_for_the_courier_alone(directory: Path) -> None:
    """Headers are in the second memory and in nothing that the worker gets; without webhooks it is empty."""
    path, headers = directory / "netevd.yaml", directory / "headers"
    headers.write_text("Authorization: 5f0c77\n")
    headers.chmod(0o600)
    path.write_text(
        "filters: [{action: execute, webhooks:"
        f' [{{url: "https://a.example/x", headers_file: {headers}}}]}}]\n'
    )

    pid, reply, memory = spawn.start_reader(choose(force_observe=True), str(path))
    channel: Channel[Verdict] = Channel(reply, VERDICT)
    verdict, _ = receive(channel)
    channel.close()
    os.waitpid(pid, 0)

    assert isinstance(verdict, Launch)
    assert verdict.posts
    contents = [os.pread(each, 1 << 20, 0) for each in memory]
    for each in memory:
        os.close(each)
    assert [b"5f0c77" in each for each in contents] == [False, True]
    assert b"https://a.example/x" in contents[0]


def test_webhooks_come_from_a_file_of_root(directory: Path) -> None:
    """Whoever else may write the configuration can't have netevd speak to the network."""
    if os.geteuid() != 0:
        pytest.skip("needs root to change users")
    path = directory / "netevd.yaml"
    path.write_text(
        'scripts: {user: nobody}\nfilters: [{action: execute, webhooks: [{url: "https://a.example/"}]}]\n'
    )
    path.chmod(0o664)

    verdict, _ = _read(choose(force_observe=False), path)

    assert isinstance(verdict, Rejected)
    problem = f"{path}:2:39: webhooks: only a file that belongs to root"
    assert [each for each in verdict.problems if each.startswith(problem)]


def test_observe_mode_reads_as_the_caller(directory: Path) -> None:
    """The answer has the caller's identity, the directories and every event type."""
    path = directory / "netevd.yaml"
    path.write_text("scripts: {directory: /srv/hooks, user: nobody-here}\nscript_timeout: 3s\n")

    verdict, content = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Launch)
    assert verdict.runners[0].uid == os.getuid()
    assert verdict.directories == ["/srv/hooks", "/usr/lib/netevd"]
    assert verdict.events == [kind.value for kind in EventType]
    assert _unseal(content).script_timeout == 3.0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_privileged_mode_resolves_the_script_user(directory: Path) -> None:
    """The script user becomes numbers, with its groups."""
    path = directory / "netevd.yaml"
    path.write_text("scripts: {user: nobody}\n")

    verdict, _ = _read(choose(force_observe=False), path)

    assert isinstance(verdict, Launch)
    nobody = pwd.getpwnam("nobody")
    assert (verdict.runners[0].uid, verdict.runners[0].gid) == (nobody.pw_uid, nobody.pw_gid)


def test_the_worker_may_read_where_leases_are(directory: Path) -> None:
    """By default what the first worker was given, which starts before; else what was configured."""
    path = directory / "netevd.yaml"
    path.write_text("{}\n")
    verdict, _ = _read(choose(force_observe=True), path)
    assert isinstance(verdict, Launch)
    assert verdict.readable == READABLE

    path.write_text("backends: {dhclient: {lease_files: /data/a/*.leases /data/a/b /data/c/d?}}\n")
    verdict, _ = _read(choose(force_observe=True), path)
    assert isinstance(verdict, Launch)
    assert verdict.readable == ["/data/a", "/data/c", "/run/systemd"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("dhclient.leases", "expected absolute paths such as"),
        ("/dhclient.leases", "expected absolute paths such as"),
        ("/data/leases/", "expected absolute paths such as"),
        ("/data/*/a.leases", "only the last part of a path may be a glob"),
        ("/data/../a.leases", "only the last part of a path may be a glob"),
        (
            " ".join(f"/data/{number}/a" for number in range(33)),
            "expected at most 32 paths, found 33",
        ),
    ],
)
def test_lease_files_that_can_not_be_watched(directory: Path, written: str, problem: str) -> None:
    """Their directories have to be known beforehand."""
    path = directory / "netevd.yaml"
    path.write_text(f"backends: {{dhclient: {{lease_files: {written}}}}}\n")

    verdict, _ = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Rejected)
    assert f"1:36: lease_files: {problem}" in verdict.problems[0]


def test_variables_of_the_supervisor_are_there(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expansion uses the environment that the daemon was started with."""
    path = directory / "netevd.yaml"
    path.write_text('network: {links: "${NETEVD_TEST_LINKS}"}\n')
    monkeypatch.setenv("NETEVD_TEST_LINKS", "wan lan")

    _, content = _read(choose(force_observe=True), path)

    assert _unseal(content).network.links == ("wan", "lan")


def test_thousands_of_problems_fit_into_one_answer(directory: Path) -> None:
    """An answer is bounded: the first problems, and how many more there are."""
    path = directory / "netevd.yaml"
    path.write_text("".join(f"key{n}: {'x' * 50}\n" for n in range(5000)))

    verdict, content = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Rejected)
    assert len(verdict.problems) == 201
    assert verdict.problems[-1] == "and 4800 more problems"
    assert content == b""


RULES = """
scripts:
  user: nobody
  rules:
    - {path: /a, user: root}
    - {path: /b, user: root, capabilities: CAP_NET_ADMIN}
    - {path: /c, limits: {open_files: 64, processes: 32}, mutex: m}
    - {path: /d, user: root}
    - {path: /e, retries: 3}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_each_identity_of_the_rules_is_resolved(directory: Path) -> None:
    """A runner for each identity, with numbers, capabilities, limits and its scripts."""
    path = directory / "netevd.yaml"
    path.write_text(RULES)

    verdict, content = _read(choose(force_observe=False), path)

    assert isinstance(verdict, Launch)
    common, root, admin, limited = verdict.runners
    assert common == Identity("nobody", common.uid, common.gid, common.groups)
    assert (root.uid, root.gid, root.limits, root.scripts) == (0, 0, [], ["/a", "/d"])
    assert len(root.capabilities) == 41, "root has what netevd has"
    assert (admin.uid, admin.capabilities, admin.scripts) == (0, ["CAP_NET_ADMIN"], ["/b"])
    assert limited == Identity(
        "nobody", common.uid, common.gid, common.groups, [], [("nofile", 64), ("nproc", 32)], ["/c"]
    )
    identities = Identities(_unseal(content), observe=False)
    assert [list(identities.list_paths(number)) for number in (1, 2, 3)] == [
        each.scripts for each in verdict.runners[1:]
    ], "the worker comes to the same numbers"


def test_observe_mode_needs_no_user_of_a_rule(directory: Path) -> None:
    """Rules that can't be kept make no runner; limits do, as the caller."""
    path = directory / "netevd.yaml"
    path.write_text(RULES.replace("root", "no-such-user"))

    verdict, _ = _read(choose(force_observe=True), path)

    assert isinstance(verdict, Launch)
    common, limited = verdict.runners
    assert (common.uid, common.scripts) == (os.getuid(), [])
    assert (limited.uid, limited.capabilities, limited.scripts) == (os.getuid(), [], ["/c"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_users_of_rules_must_exist(directory: Path) -> None:
    """A user that is not there is a problem with the place where it is named; root may be named."""
    path = directory / "netevd.yaml"
    path.write_text("scripts:\n  user: nobody\n  rules: [{path: /a, user: no-such-user}]\n")

    verdict, _ = _read(choose(force_observe=False), path)

    advice = "make it with: useradd --system --user-group --no-create-home no-such-user"
    problem = f"{path}:3:28: user: there is no system user 'no-such-user'; {advice}"
    assert verdict == Rejected([problem])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_root_is_for_rules_alone(directory: Path) -> None:
    """scripts.user is never root; the problem says where root may be said."""
    path = directory / "netevd.yaml"
    path.write_text("scripts: {user: root}\n")

    verdict, _ = _read(choose(force_observe=False), path)

    advice = "give them a system user of their own, or single ones a rule with 'user: root'"
    assert verdict == Rejected([f"{path}:1:17: user: scripts don't run as root; {advice}"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
@pytest.mark.parametrize("key", ["user: root", "capabilities: [CAP_NET_ADMIN]"])
def test_privilege_comes_from_a_file_of_root(directory: Path, key: str) -> None:
    """A rule's user and capabilities in a file that others may write are refused; its timeout isn't."""
    included = directory / "more.yaml"
    included.write_text(f"scripts: {{rules: [{{path: /a, timeout: 9s, {key}}}]}}\n")
    path = directory / "netevd.yaml"
    path.write_text("include: more.yaml\nscripts: {user: nobody}\n")
    word = key.split(":", maxsplit=1)[0]

    for mode, owner in ((0o664, 0), (0o644, 1)):
        included.chmod(mode)
        os.chown(included, owner, 0)
        verdict, _ = _read(choose(force_observe=False), path)
        assert isinstance(verdict, Rejected)
        (problem,) = verdict.problems
        place = f"{included}:1:{43 + len(word) + 2}: {word}: only a file that belongs to root"
        assert problem.startswith(place)

    included.write_text("scripts: {rules: [{path: /a, timeout: 9s}]}\n")
    verdict, _ = _read(choose(force_observe=False), path)
    assert isinstance(verdict, Launch)
