"""Trees of other dispatchers as a worker and as scripts know their runner: real processes, real uids."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privsep.launch import Tree
from privsep.protocol import Finished, Refused, Run, Started
from tests.boundary.rig import RunnerRig, script_identity, wait_for, write_script

Start = Callable[..., RunnerRig]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Return a function that starts a runner of one tree below `root`."""
    rigs: list[RunnerRig] = []

    def begin(kind: str) -> RunnerRig:
        rigs.append(RunnerRig([], [], trees=[Tree(kind, [str(root)], 0)]))
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.close()


def run(
    rig: RunnerRig, id_: int, name: str, values: list[tuple[str, str]], *words: str
) -> Started | Refused:
    """Ask for a run; return what the runner says of it."""
    rig.scripts.send(Run(id_, rig.entry(name).id, values, words=[*words]))
    return rig.expect((Started, Refused))  # type: ignore[arg-type]


def test_a_hook_has_two_arguments_and_its_own_variables(root: Path, start: Start) -> None:
    """Nothing of netevd's is in the environment of NetworkManager's hooks, not even the run's marker."""
    write_script(root, "10-show", '#!/bin/sh\necho "$#|$1|$2"\nenv | sort\npwd\n')
    rig = start("networkmanager")

    assert isinstance(run(rig, 1, "10-show", [("DEVICE_IFACE", "eth0")], "eth0", "up"), Started)
    assert rig.finish().status == 0
    assert rig.output(1).splitlines() == [
        "2|eth0|up", "DEVICE_IFACE=eth0",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/", "/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words", "expected"),
    [
        ([("CONNECTION_ID", "Home\nLD_PRELOAD=/tmp/x.so")], ("eth0", "up"), "CONNECTION_ID is not one line of text"),
        ([("CONNECTION_ID", "a\0b")], ("eth0", "up"), "CONNECTION_ID is not one line of text"),
        ([("LD_PRELOAD", "/tmp/x.so")], ("eth0", "up"), "LD_PRELOAD is not a variable of other dispatchers"),
        ([("PATH", "/tmp")], ("eth0", "up"), "PATH is not a variable"),
        ([("IFS", "x")], ("eth0", "up"), "IFS is not a variable"),
        ([("NETEVD_RUN", "x.1")], ("eth0", "up"), "NETEVD_RUN is not a variable"),
        ([("LINK", "eth0")], ("eth0", "up"), "LINK is not a variable"),
        ([("DHCP4_X\nY", "1")], ("eth0", "up"), "is not a variable"),
        ([("new_x=y", "1")], ("eth0", "up"), "is not a variable"),
        ([("IP4_ADDRESS_0", "192.0.2.1/24 $(id)")], ("eth0", "up"), "IP4_ADDRESS_0 is not an address with"),
        ([("DEVICE_IFACE", "../eth0")], ("eth0", "up"), "DEVICE_IFACE is not an interface name"),
        ([("DHCP4_A", "x" * 98304)], ("eth0", "up"), "more than 98304"),
        ([], ("eth0", "up" ), ""),
        ([], ("eth0\n", "up"), "calls no script with"),
        ([], ("eth0", "reboot"), "calls no script with"),
        ([], (), "calls no script with"),
    ],
)  # fmt: skip
def test_a_hostile_worker_gives_a_hook_nothing_else(
    root: Path, start: Start, values: list[tuple[str, str]], words: tuple[str, ...], expected: str
) -> None:
    """Unknown variables, values of a wrong type and other arguments refuse the run with a reason."""
    write_script(root, "10-any", f"#!/bin/sh\ntouch {root}/ran\n")
    rig = start("networkmanager")

    answer = run(rig, 1, "10-any", values, *words)

    if expected:
        assert isinstance(answer, Refused) and expected in answer.reason
    else:
        assert isinstance(answer, Started)


def test_a_hook_is_checked_again_just_before_it_runs(root: Path, start: Start) -> None:
    """With the checks of its own dispatcher too."""
    path = write_script(root / "routable.d", "x", "#!/bin/sh\n")
    rig = start("networkd-dispatcher")
    entry = rig.entry("x").id
    path.chmod(0o755 | 0o001)
    path.chmod(0o555)

    assert "wants exactly 0755 and root:root" in rig.refuse(1, entry)


def test_dhclient_hooks_share_one_shell(root: Path, start: Start) -> None:
    """Enter hooks first, then exit hooks; what one sets, later ones see; each status counts; one run."""
    for name, text in (
        (
            "dhclient-enter-hooks",
            'make_resolv_conf() { echo "resolv $new_domain_name"; }\nnew_domain_name=changed\n',
        ),
        ("dhclient-enter-hooks.d/10a", 'echo "enter $reason $interface $$"\nreturn 4\n'),
        ("dhclient-exit-hooks", 'make_resolv_conf\necho "exit $exit_status $$"\n'),
        ("dhclient-exit-hooks.d/b", "set_hostname\nfalse\n"),
        ("dhclient-exit-hooks.d/bad.sh", "echo never\n"),
        ("dhclient-exit-hooks.d/writable", "echo never\n"),
    ):
        path = root / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
        path.chmod(0o666 if name.endswith("writable") else 0o644)
    rig = start("dhclient-hooks")
    values = [("reason", "BOUND"), ("interface", "eth0"), ("new_domain_name", "example.org")]

    started = run(rig, 1, "", values)

    assert isinstance(started, Started)
    assert rig.finish().status == 5
    assert rig.output(1).splitlines() == [
        f"enter BOUND eth0 {started.pid}", "resolv changed", f"exit 4 {started.pid}",
    ]  # fmt: skip


def test_exit_with_hooks_runs_the_exit_hooks_and_ends(root: Path, start: Start) -> None:
    """As in dhclient-script: later enter hooks are passed over, the status is what was said."""
    for name, text in (
        ("dhclient-enter-hooks", "exit_with_hooks 3\n"), ("dhclient-enter-hooks.d/x", "echo never\n"),
        ("dhclient-exit-hooks.d/y", 'echo "y $exit_status"\n'),
    ):  # fmt: skip
        path = root / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(text)
    rig = start("dhclient-hooks")

    run(rig, 1, "", [("reason", "BOUND"), ("interface", "eth0")])

    assert rig.finish().status == 3
    assert rig.output(1) == "y 3\n"


def test_paths_with_blanks_are_sourced_whole(root: Path, start: Start) -> None:
    """A root whose name has blanks and wild cards is one word."""
    odd = root / "a b * $(id)"
    odd.mkdir(mode=0o755)
    (odd / "dhclient-exit-hooks").write_text("echo here\n")
    rig = RunnerRig([], [], trees=[Tree("dhclient-hooks", [str(odd)], 0)])
    try:
        run(rig, 1, "", [("reason", "BOUND"), ("interface", "eth0")])
        assert rig.finish().status == 0
        assert rig.output(1) == "here\n"
    finally:
        rig.close()


def test_escapees_without_a_marker_die_with_their_run(root: Path, start: Start) -> None:
    """By setsid, double fork and an empty environment; what another run started lives on."""
    write_script(
        root,
        "10-escape",
        "#!/bin/sh\nsetsid env -i setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2\n",
    )
    rig = start("networkmanager")

    assert isinstance(run(rig, 1, "10-escape", [], "eth0", "up"), Started)
    ended = rig.finish()
    (pid,) = [int(word) for word in rig.output(1).split()]

    assert ended.leftovers >= 1
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or None, "the end of the escapee")
    assert script_identity().uid != 0 or os.geteuid() != 0
    assert isinstance(ended, Finished)


def test_a_runner_of_a_tree_has_no_script_of_netevd(root: Path) -> None:
    """What runs with the user of a tree is that tree alone."""
    write_script(root / "routable.d", "own", "#!/bin/sh\n")
    (root / "tree").mkdir(mode=0o755)
    write_script(root / "tree", "10-its", "#!/bin/sh\n")
    rig = RunnerRig(
        [str(root)], ["routable"], trees=[Tree("networkmanager", [str(root / "tree")], 1)], number=1
    )
    try:
        assert [(each.tree, each.name) for each in rig.entries()] == [("networkmanager", "10-its")]
    finally:
        rig.close()
