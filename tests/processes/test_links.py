"""Links with hostile names, links that move, vanish and come back: as the kernel does it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, ip


@pytest.mark.parametrize("name", ["<b>$(id)", "0123456789abcde", "a;b|c&d", "'\"`\\", "ütf8-é"])
def test_odd_name_reaches_a_script_unchanged(daemon: Daemon, name: str) -> None:
    """Markup, shell characters and 15 bytes are a name like any other, in variables and logs."""
    daemon.script("link-added", '#!/bin/sh\nprintf "%s\\n" "$LINK" >> DIRECTORY/names\n')
    daemon.start()

    subprocess.run(
        ["ip", "link", "add", "name", name, "index", "101", "type", "veth", "peer", "name", "p0"],
        check=True,
    )

    names = daemon.scripts / "data" / "names"
    wait_for(
        lambda: (names.exists() and name in names.read_text().splitlines()) or None, "the name"
    )
    daemon.expect(lambda entry: entry.get("interface") == name)


def test_name_that_is_not_utf8_is_refused_and_shown_escaped(daemon: Daemon) -> None:
    """A name of other bytes is announced escaped; its script is refused with the reason."""
    daemon.script("link-added", RECORD)
    daemon.start()

    subprocess.run(
        [b"ip", b"link", b"add", b"name", b"x\xff\xfe", b"index", b"101", b"type", b"veth",
         b"peer", b"name", b"p0"],
        check=True,
    )  # fmt: skip

    daemon.expect(lambda entry: entry.get("interface") == "x\\xff\\xfe")
    daemon.expect(lambda entry: "UTF-8" in str(entry) and entry["level"] == "warn")
    wait_for(lambda: [words for words in daemon.record() if words[1] == "p0"] or None, "p0's run")
    assert [words[1] for words in daemon.record()] == ["p0"]


def test_link_deleted_before_its_script_runs(daemon: Daemon) -> None:
    """A script sees the link as it was at its event, though the link is gone already."""
    daemon.script(
        "link-added",
        "#!/bin/sh\n[ $LINK = eth0 ] || exit 0\nread line < DIRECTORY/gate\n",
        name="00-wait",
    )
    daemon.script("link-added", RECORD)
    gate = daemon.scripts / "data" / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    daemon.start()
    ip("link add name eth0 index 101 type veth peer name p0", "link del eth0")
    daemon.wait_event("eth0", "link-removed")

    with gate.open("w") as opened:
        opened.write("go\n")

    wait_for(lambda: [words for words in daemon.record() if words[1] == "eth0"] or None, "run")
    told = next(words for words in daemon.record() if words[1] == "eth0")
    assert told[2:5] == ["link-added", "-", "101"]


def test_same_name_and_index_again_is_another_link(daemon: Daemon) -> None:
    """Delete and recreate under one name and index: removed, then added, each in order."""
    daemon.start()

    for _ in range(5):
        ip("link add name eth0 index 101 type veth peer name p0 index 102", "link del eth0")

    wait_for(lambda: daemon.events("eth0").count("link-removed") == 5 or None, "five removals")
    kinds = [e for e in daemon.events("eth0") if e in {"link-added", "link-removed"}]
    assert kinds == ["link-added", "link-removed"] * 5


@pytest.fixture
def other_namespace() -> Iterator[int]:
    """Return the pid of a process in another network namespace."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo there; exec sleep 1000"],
                              stdout=subprocess.PIPE)  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    yield holder.pid
    holder.kill()
    holder.wait()
    holder.stdout.close()


def test_link_moved_away_is_removed_and_back_is_added(daemon: Daemon, other_namespace: int) -> None:
    """A move to another namespace is a removal here; the way back is an addition."""
    daemon.start()
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.wait_event("eth0", "link-added")

    ip(f"link set eth0 netns {other_namespace}")
    daemon.wait_event("eth0", "link-removed")
    subprocess.run(
        ["nsenter", "-t", str(other_namespace), "-n", "ip", "link", "set", "eth0", "netns",
         str(os.getpid())],
        check=True,
    )  # fmt: skip

    daemon.wait_event("eth0", "link-added", 2)


def test_bridge_port_comes_and_goes(daemon: Daemon) -> None:
    """Enslaving is link-changed and enslaved; a port that leaves its bridge is not removed."""
    daemon.start()
    ip(
        "link add name br0 type bridge",
        "link add name eth0 index 101 type veth peer name p0",
        "link set br0 up", "link set p0 up", "link set eth0 up", "link set eth0 master br0",
    )  # fmt: skip
    daemon.wait_event("eth0", "enslaved")

    ip("link set eth0 nomaster")
    ip("addr add 10.1.1.1/24 dev eth0")

    daemon.wait_event("eth0", "routable")
    assert "link-removed" not in daemon.events("eth0")


def test_rename_keeps_the_lane_and_names_both(daemon: Daemon) -> None:
    """A rename is one event under the new name."""
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.start()
    ip("link set eth0 name lan0")

    record = daemon.expect(lambda entry: entry.get("event") == "link-renamed")

    assert record["interface"] == "lan0"
    assert "eth0" in record["message"]


def test_lo_counts_only_when_named(make_daemon: Callable[..., Daemon]) -> None:
    """lo is watched when it is named, and not because everything is."""
    everything = make_daemon().start()
    named = make_daemon("system: {log_format: json}\nnetwork: {links: [lo]}\n").start()

    ip("link set lo down", "link set lo up")

    named.wait_event("lo", "no-carrier")
    named.wait_event("lo", "carrier", 2)
    assert everything.events("lo") == []


def test_address_waits_for_duplicate_detection(daemon: Daemon) -> None:
    """An IPv6 address is added first and usable once its detection is over."""
    ip("link add name eth0 index 101 type veth peer name p0", "link set eth0 up", "link set p0 up")
    daemon.start()
    ip("addr add fd00::1/64 dev eth0")

    daemon.expect(lambda e: e.get("event") == "address-usable" and e.get("ip") == "fd00::1")
    kinds = [e["event"] for e in daemon.announced() if e.get("ip") == "fd00::1"]
    assert kinds.index("address-added") < kinds.index("address-usable")
