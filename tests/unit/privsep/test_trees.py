"""Trees of other dispatchers in the script table: which files, in which order, and what each has to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from privsep.launch import Tree
from privsep.scripts import Table
from privsep.trees import CONVENTIONS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of other owners need root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory that root alone may write, whatever is above it."""
    path = tmp_path / "tree"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def owners() -> frozenset[int]:
    """Return who may own scripts: root."""
    return frozenset({0})


def write(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    """Write a script, with the directories above it."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def scan(
    kind: str, *roots: Path, owners: frozenset[int] = frozenset({0})
) -> list[tuple[str, str, str]]:
    """Return group, name and reason of each file of a tree."""
    table = Table([], [], owners, forest=[Tree(kind, [str(each) for each in roots], 0)])
    table.scan()
    assert all(each.tree == kind for each in table.entries)
    return [(each.event, each.name, each.reason) for each in table.entries]


def runnable(kind: str, *roots: Path) -> list[tuple[str, str]]:
    """Return group and name of those that run."""
    return [(group, name) for group, name, reason in scan(kind, *roots) if not reason]


# --- networkd-dispatcher -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o775, 0o777, 0o555, 0o2755, 0o4755])
def test_networkd_dispatcher_wants_exactly_0755(root: Path, mode: int) -> None:
    """Any other mode is refused, also one that gives less."""
    write(root / "routable.d/a", mode=mode)
    write(root / "routable.d/b")

    assert runnable("networkd-dispatcher", root) == [("routable", "b")]


def test_networkd_dispatcher_wants_root_and_group_root(root: Path) -> None:
    """Another owner or group is refused, and so is a directory that is not exactly so, or a link."""
    os.chown(write(root / "routable.d/uid"), 1, 0)
    os.chown(write(root / "routable.d/gid"), 0, 1)
    write(root / "off.d/a")
    (root / "off.d").chmod(0o750)
    write(root / "real/a")
    (root / "carrier.d").symlink_to("real")

    reasons = {name: reason for _, name, reason in scan("networkd-dispatcher", root)}
    assert runnable("networkd-dispatcher", root) == []
    assert "belongs to uid 1" in reasons["uid"]
    assert "owner 0:1, networkd-dispatcher wants exactly 0755 and root:root" in reasons["gid"]
    assert set(reasons) == {"uid", "gid", "a"}


def test_a_failing_file_gives_way_to_the_next_root(tmp_path: Path) -> None:
    """Of networkd-dispatcher alone: the first root that has a good one supplies it; both are told."""
    first, second = tmp_path / "etc", tmp_path / "usr"
    for each in (first, second):
        write(each / "routable.d/10-same")
        write(each / "routable.d/20-broken")
    (first / "routable.d/20-broken").chmod(0o750)
    write(second / "routable.d/05-vendor")
    table = Table(
        [], [], frozenset({0}), forest=[Tree("networkd-dispatcher", [str(first), str(second)], 0)]
    )
    table.scan()

    assert [
        (Path(each.path).relative_to(tmp_path).as_posix(), each.runnable) for each in table.entries
    ] == [
        ("usr/routable.d/05-vendor", True),
        ("etc/routable.d/10-same", True),
        ("etc/routable.d/20-broken", False),
        ("usr/routable.d/20-broken", True),
    ]


def test_networkd_dispatcher_takes_any_name_and_no_directory(root: Path) -> None:
    """Hidden files, backups and odd bytes too; order is that of the bytes."""
    directory = root / "routable.d"
    for name in ("b~", ".a", "Z.dpkg-old", "ä", "b"):
        write(directory / name)
    write(Path(os.fsdecode(os.fsencode(directory) + b"/\xff\n")))
    (directory / "sub").mkdir()

    names = [name for _, name in runnable("networkd-dispatcher", root)]
    assert names == [".a", "Z.dpkg-old", "b", "b~", "ä", "\\xff\\x0a"]


# --- NetworkManager --------------------------------------------------------------------------------------


def test_networkmanager_names_and_masks(tmp_path: Path) -> None:
    """Leftovers are passed over; an empty file or a link to /dev/null masks; the first root wins even if bad."""
    etc, usr = tmp_path / "etc", tmp_path / "usr"
    for name in (
        ".hidden",
        "a~",
        "b.rpmsave",
        "c.rpmnew",
        "d.swp",
        "e.dpkg-old",
        "f.dpkg-x.y",
        "g.bak",
    ):
        write(etc / name)
    write(usr / "10-empty")
    write(etc / "10-empty", "")
    write(usr / "20-null")
    (etc / "20-null").symlink_to("/dev/null")
    write(usr / "30-writable")
    write(etc / "30-writable", mode=0o775)
    write(usr / "40-vendor")
    write(etc / "50-owner-only", mode=0o700)
    write(etc / "60-setuid", mode=0o4755)
    write(etc / "70-others-only", mode=0o655)
    (etc / "sub").mkdir()

    reasons = {name: reason for _, name, reason in scan("networkmanager", etc, usr)}
    assert {name for name, reason in reasons.items() if not reason} == {
        "40-vendor",
        "50-owner-only",
        "g.bak",
    }
    assert reasons["10-empty"] == "it is masked: an empty file"
    assert reasons["20-null"] == "it is masked: a link to /dev/null"
    assert "writable by group" in reasons["30-writable"]
    assert "setuid" in reasons["60-setuid"]
    assert "owner may not execute" in reasons["70-others-only"]


def test_networkmanager_directories_and_no_wait(root: Path) -> None:
    """pre-up.d and pre-down.d are groups of their own; a link into no-wait.d waits for nothing."""
    write(root / "50-plain")
    write(root / "pre-up.d/10-pre")
    write(root / "pre-down.d/20-pre")
    write(root / "no-wait.d/30-fast")
    (root / "30-fast").symlink_to("no-wait.d/30-fast")
    (root / "pre-up.d/40-fast").symlink_to("../no-wait.d/30-fast")

    assert runnable("networkmanager", root) == [
        ("dispatcher-no-wait", "30-fast"),
        ("dispatcher", "50-plain"),
        ("pre-up", "10-pre"),
        ("pre-up-no-wait", "40-fast"),
        ("pre-down", "20-pre"),
    ]


# --- run-parts -------------------------------------------------------------------------------------------


def test_run_parts_names(root: Path) -> None:
    """Letters, digits, hyphens and underscores; what has a dot is passed over."""
    for name in ("ntp", "10_a-B", "x.sh", "y~", "a b", "z.dpkg-old"):
        write(root / "if-up.d" / name)

    assert runnable("ifupdown", root) == [("if-up", "10_a-B"), ("if-up", "ntp")]


def test_dhclient_hooks_need_not_be_executable(root: Path) -> None:
    """They are sourced; one entry stands for all of them, where there is any."""
    (root / "dhclient-exit-hooks.d").mkdir(mode=0o755)
    assert scan("dhclient-hooks", root) == []

    write(root / "dhclient-exit-hooks.d/debug", mode=0o644)
    write(root / "dhclient-exit-hooks.d/bad.sh", mode=0o644)
    write(root / "dhclient-enter-hooks", mode=0o644)
    write(root / "dhclient-exit-hooks.d/writable", mode=0o666)
    found = scan("dhclient-hooks", root)
    assert [(group, name) for group, name, reason in found if not reason] == [
        ("chain", ""), ("enter", "dhclient-enter-hooks"), ("exit-d", "debug"),
    ]  # fmt: skip


# --- roots -------------------------------------------------------------------------------------------------


def test_a_root_that_others_may_write_runs_nothing(root: Path) -> None:
    """World-writable root, or one above it: each file is refused with its reason."""
    write(root / "routable.d/a")
    root.chmod(0o777)

    ((_, _, reason),) = scan("networkd-dispatcher", root)
    assert "is writable by group and others; mend it with: chmod go-w" in reason


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    """What it leads to is held to the same rule."""
    write(tmp_path / "real/routable.d/a")
    link = tmp_path / "link"
    link.symlink_to("real")
    assert runnable("networkd-dispatcher", link) == [("routable", "a")]

    (tmp_path / "real").chmod(0o1777)
    assert runnable("networkd-dispatcher", link) == [("routable", "a")]
    (tmp_path / "real").chmod(0o775)
    assert runnable("networkd-dispatcher", link) == []


def test_directories_to_watch_include_what_is_above_a_missing_root(tmp_path: Path) -> None:
    """A tree that appears later is noticed where it will appear."""
    missing = tmp_path / "NetworkManager" / "dispatcher.d"
    table = Table([], [], frozenset({0}), forest=[Tree("networkmanager", [str(missing)], 0)])

    assert str(tmp_path) in table.directories()
    missing.mkdir(parents=True)
    assert str(missing / "pre-up.d") in table.directories()


# --- calls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words", "fine"),
    [
        ("networkmanager", ["eth0", "up"], True), ("networkmanager", ["", "dns-change"], True),
        ("networkmanager", ["none", "hostname"], True), ("networkmanager", ["eth0"], False),
        ("networkmanager", ["eth0", "reboot"], False), ("networkmanager", ["../x", "up"], False),
        ("networkmanager", ["a b", "up"], False), ("networkmanager", ["eth0", "up; id"], False),
        ("networkmanager", [], False), ("ifplugd", ["eth0", "down"], True), ("netplug", ["eth0", "in"], True),
        ("ifupdown", [], True), ("ifupdown", ["eth0", "up"], False), ("networkd-dispatcher", ["eth0", "up"], False),
    ],
)  # fmt: skip
def test_arguments_are_from_a_closed_set(
    root: Path, kind: str, words: list[str], fine: bool
) -> None:
    """An interface name and a word that dispatchers have, or nothing."""
    place = {
        "networkmanager": "a",
        "ifplugd": "action.d/a",
        "netplug": "netplug",
        "ifupdown": "if-up.d/a",
    }
    path = write(root / place.get(kind, "routable.d/a"))
    table = Table([], [], frozenset({0}), forest=[Tree(kind, [str(root)], 0)])
    table.scan()
    (entry,) = table.entries

    if fine:
        assert table.build_arguments(entry.id, words) == [str(path), *words]
    else:
        with pytest.raises(ValueError, match="calls no script with"):
            table.build_arguments(entry.id, words)


def test_own_scripts_have_no_arguments(root: Path) -> None:
    """A worker can't give them any."""
    write(root / "routable.d/a")
    table = Table([str(root)], ["routable"], frozenset({0}))
    table.scan()

    with pytest.raises(ValueError, match="netevd calls no script"):
        table.build_arguments(table.entries[0].id, ["eth0", "up"])


def test_every_group_has_a_place_below_its_root() -> None:
    """No convention leads out of its root."""
    for convention in CONVENTIONS.values():
        for place in convention.groups.values():
            assert not place.startswith("/") and ".." not in place
