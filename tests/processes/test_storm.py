"""The promise in one storm: each event exactly once, in order for each link, values right."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

from tests.boundary.rig import wait_for
from tests.processes.rig import RECORD, Daemon, children, ip

LINKS = 8
FLAPS = 40


def _make_links(names: list[str]) -> None:
    # the two ends have different indexes: with equal ones the kernel may hold a carrier change back
    ip(
        *[
            f"link add name {name} index {100 + n} type veth peer name p{name}"
            for n, name in enumerate(names)
        ],
        *[f"link set {name} up" for name in names],
        *[f"link set p{name} up" for name in names],
    )


def _flap(peers: list[str], times: int) -> None:
    """Take the peers down and up, 30 ms each: what makes carrier changes at the other ends."""
    for _ in range(times):
        ip(*[f"link set {peer} down" for peer in peers])
        time.sleep(0.03)  # the pace of the storm, not a wait for anything
        ip(*[f"link set {peer} up" for peer in peers])
        time.sleep(0.03)


def _told(daemon: Daemon, link: str, *states: str) -> list[list[str]]:
    return [words for words in daemon.record() if words[1] == link and words[2] in states]


def test_flaps_and_addresses_are_told_once_and_in_order(
    make_daemon: Callable[..., Daemon],
) -> None:
    """8 links flap 40 times beside 200 addresses: every run once, in order, with its own facts."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    for event in ("carrier", "no-carrier", "address-added", "routable"):
        daemon.script(event, RECORD)
    names = [f"eth{n}" for n in range(LINKS)]
    _make_links(names)
    daemon.start()

    addresses = [f"10.{n}.{k}.1" for n in range(LINKS) for k in range(25)]
    ip(*[f"addr add {a}/24 dev eth{a.split('.')[1]}" for a in addresses[:100]])
    _flap([f"p{name}" for name in names], FLAPS)
    ip(*[f"addr add {a}/24 dev eth{a.split('.')[1]}" for a in addresses[100:]])

    def done() -> bool:
        carrier = sum(words[2] in {"carrier", "no-carrier"} for words in daemon.record())
        added = sum(words[2] == "address-added" and "." in words[5] for words in daemon.record())
        return carrier >= 2 * FLAPS * LINKS and added >= len(addresses)

    wait_for(lambda: done() or None, "all runs")
    assert daemon.stop() == 0
    for n, name in enumerate(names):
        flaps = _told(daemon, name, "carrier", "no-carrier")
        assert [words[2] for words in flaps] == ["no-carrier", "carrier"] * FLAPS
        assert {words[4] for words in flaps} == {str(100 + n)}
        own = [words for words in daemon.record() if words[1] == name]
        sequences = [int(words[0]) for words in own]
        assert sequences == sorted(set(sequences))
        added = [words for words in own if words[2] == "address-added" and "." in words[5]]
        assert [words[5] for words in added] == [a for a in addresses if a.startswith(f"10.{n}.")]
        # the address of the event is the last one in the snapshot: no later fact is mixed in
        for words in added:
            assert [a for a in words[6:] if "." in a][-1] == words[5]
    sequences = [entry["sequence"] for entry in daemon.announced()]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_slow_script_holds_only_its_own_link(make_daemon: Callable[..., Daemon]) -> None:
    """While one link's script sleeps 30 s, the other links' runs go on, complete and in order."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    slow = RECORD + '[ "$LINK" != eth0 ] || exec sleep 30\n'
    daemon.script("carrier", slow)
    daemon.script("no-carrier", slow)
    names = [f"eth{n}" for n in range(LINKS)]
    _make_links(names)
    daemon.start()

    _flap([f"p{name}" for name in names], 10)

    wait_for(
        lambda: (
            all(len(_told(daemon, name, "carrier", "no-carrier")) == 20 for name in names[1:])
            or None
        ),
        "runs of the other links",
    )
    assert [words[2] for words in _told(daemon, "eth0", "carrier", "no-carrier")] == ["no-carrier"]
    for name in names[1:]:
        told = [words[2] for words in _told(daemon, name, "carrier", "no-carrier")]
        assert told == ["no-carrier", "carrier"] * 10
    assert daemon.stop() == 0


def test_storm_leaves_no_descriptor_and_no_zombie(make_daemon: Callable[..., Daemon]) -> None:
    """After hundreds of runs every role has the descriptors it began with and no child is left."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n", initial=False)
    daemon.script("carrier", RECORD)
    _make_links(["eth0", "eth1"])
    daemon.start()
    _flap(["peth0", "peth1"], 2)
    wait_for(lambda: len(daemon.record()) == 4 or None, "first runs")
    pids = [daemon.pid, *(daemon.role(role) for role in ("helper", "runner", "worker"))]

    def count() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

    wait_for(lambda: not children(daemon.role("runner")) or None, "quiet")
    before = count()
    _flap(["peth0", "peth1"], 40)
    wait_for(lambda: len(daemon.record()) == 84 or None, "all runs")

    wait_for(lambda: not children(daemon.role("runner")) or None, "an end of all scripts")
    wait_for(lambda: count() == before or None, "as few descriptors as before")


def test_thousand_links_are_told_once_each(make_daemon: Callable[..., Daemon]) -> None:
    """500 pairs created at once and deleted: link-added and link-removed once for each."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [v*]}\n")
    daemon.start()

    ip(*[f"link add name va{n} type veth peer name vb{n}" for n in range(500)])
    wait_for(lambda: daemon.events().count("link-added") >= 1000 or None, "link-added")
    ip(*[f"link del va{n}" for n in range(500)])
    wait_for(lambda: daemon.events().count("link-removed") >= 1000 or None, "link-removed")

    assert daemon.stop() == 0
    for kind in ("link-added", "link-removed"):
        names = [e["interface"] for e in daemon.announced() if e["event"] == kind]
        assert len(names) == len(set(names)) == 1000


def test_overrun_ends_in_the_kernels_state(make_daemon: Callable[..., Daemon]) -> None:
    """More changes than the kernel can queue while the helper is stopped: announced, then right."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n")
    _make_links(["eth0", "eth1"])
    daemon.start()
    daemon.wait_event("eth1", "carrier")
    helper = daemon.role("helper")
    os.kill(helper, 19)  # SIGSTOP

    storm = [f"link set peth0 {state}" for _ in range(4000) for state in ("down", "up")]
    ip(*storm, "link set peth0 down", "link set peth1 down", "addr add 10.9.9.9/24 dev eth1")
    ip("link add name eth7 index 207 type veth peer name peth7")
    os.kill(helper, 18)  # SIGCONT

    daemon.expect(lambda entry: entry["level"] == "warn" and "were lost" in entry["message"])
    daemon.wait_event("eth7", "link-added")
    wait_for(lambda: daemon.events("eth1").count("no-carrier") == 1 or None, "eth1's carrier")
    wait_for(lambda: daemon.events("eth1").count("address-added") == 1 or None, "the address")
    states = [event for event in daemon.events("eth0") if event in {"carrier", "no-carrier"}]
    assert states[-1] == "no-carrier"
    assert all(first != second for first, second in itertools.pairwise(states))
