"""The daemon's routes against the kernel's: what was told, added up, is what `ip route` shows."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip

CONFIGURATION = "system: {log_format: json}\nnetwork: {links: [eth0, eth1]}\n"

MakeDaemon = Callable[..., Daemon]


def make_links() -> None:
    """Make eth0 and eth1, up and with addresses of both families."""
    ip(
        "link add name eth0 index 100 type veth peer name p0",
        "link add name eth1 index 102 type veth peer name p1",
        *[f"link set {name} addrgenmode none" for name in ("eth0", "eth1", "p0", "p1")],
        *[f"link set {name} up" for name in ("eth0", "eth1", "p0", "p1")],
        "addr add 10.0.0.1/24 dev eth0",
        "addr add 10.0.1.1/24 dev eth1",
        "addr add 2001:db8::1/64 dev eth0 nodad",
        "addr add 2001:db8:1::1/64 dev eth1 nodad",
    )


def show_kernel() -> Counter[str]:
    """Return the kernel's routes of the main table, each as netevd's log writes it."""
    found: Counter[str] = Counter()
    for family in ("-4", "-6"):
        output = subprocess.run(
            ["ip", "-json", "-details", family, "route", "show", "table", "main"],
            check=True, capture_output=True, text=True, timeout=60,
        ).stdout  # fmt: skip
        for route in json.loads(output or "[]"):
            # IPv6 may have a route twice, which is told once
            found[_describe(route, "128" if family == "-6" else "32")] = 1
    return found


def _describe(route: dict[str, Any], longest: str) -> str:
    kind = route.get("type", "unicast")
    words = [] if kind == "unicast" else [kind]
    destination = route["dst"]
    plain = destination == "default" or "/" in destination
    words.append(destination if plain else f"{destination}/{longest}")
    hops = route.get("nexthops", [route])
    texts = []
    for hop in hops:
        gateway = hop.get("gateway") or hop.get("via", {}).get("host")
        # a route that refuses stands on lo in IPv6, which the message says and ip shows
        texts.append(
            (f"via {gateway} " if gateway else "") + f"dev {hop['dev']}" if "dev" in hop else ""
        )
    if len(texts) > 1:
        texts = sorted(f"nexthop {text}" for text in texts)
    words += [text for text in texts if text]
    words.append(f"proto {route.get('protocol', 'boot')}")
    if "prefsrc" in route:
        words.append(f"src {route['prefsrc']}")
    if route.get("metric"):
        words.append(f"metric {route['metric']}")
    return " ".join(words)


class Told:
    """What somebody knows who hears nothing but the events of routes."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._names = {"if1": "lo", "if100": "eth0", "if102": "eth1"}
        self._read = 0
        self.routes: Counter[str] = Counter()

    def hear(self) -> Counter[str]:
        """Return the routes by all that was told until now; fail if one goes that was not there."""
        log = self._daemon.log
        while self._read < len(log):
            entry = log[self._read]
            self._read += 1
            if entry.get("event") != "routes" or "sequence" not in entry:
                continue
            change, _, text = entry["message"].partition(" ")
            text = self._order(text)
            if change == "new":
                self.routes[text] += 1
            else:
                assert self.routes[text] > 0, f"told as gone and never there: {text}"
                self.routes[text] -= 1
                if not self.routes[text]:
                    del self.routes[text]
        return self.routes

    def _order(self, text: str) -> str:
        words = [self._names.get(word, word) for word in text.split(" ")]
        text = " ".join(words)
        head, *hops = text.split(" nexthop ")
        if not hops:
            return text
        last, _, tail = hops[-1].partition(" proto ")
        ways = " ".join(sorted(f"nexthop {hop}" for hop in [*hops[:-1], last]))
        return f"{head} {ways} proto {tail}"


def expect_equal(told: Told) -> None:
    """Return once what was told is what the kernel has."""

    def look() -> bool | None:
        return told.hear() == show_kernel() or None

    try:
        wait_for(look, "the kernel's routes", seconds=30)
    except AssertionError:
        kernel = show_kernel()
        missing, spare = kernel - told.hear(), told.hear() - kernel
        text = f"never told: {list(missing)[:9]}; told and not there: {list(spare)[:9]}"
        raise AssertionError(text) from None


def test_a_storm_of_routes_while_the_worker_is_stopped(make_daemon: MakeDaemon) -> None:
    """
    50,000 routes while the worker stands still: all of them are known afterwards, and a carrier
    change in the middle was announced.
    """
    daemon = make_daemon(CONFIGURATION, initial=False).start()
    told = Told(daemon)
    make_links()
    expect_equal(told)
    lines = [
        f"route add 10.{100 + n // 256 // 64}.{n // 64 % 256}.{n % 64 * 4}/30 via 10.0.0.2"
        for n in range(50_000)
    ]
    batch = daemon.root / "routes"
    batch.write_text("\n".join(lines[:25_000]))
    later = daemon.root / "later"
    later.write_text("\n".join(lines[25_000:]))
    worker = daemon.role("worker")
    before = daemon.events("eth1").count("no-carrier")

    os.kill(worker, signal.SIGSTOP)
    stopped = time.monotonic()
    subprocess.run(["ip", "-batch", batch], check=True, timeout=120)
    ip("link set p1 down")
    subprocess.run(["ip", "-batch", later], check=True, timeout=120)
    time.sleep(max(0.0, stopped + 2 - time.monotonic()))  # how long it stands still
    os.kill(worker, signal.SIGCONT)

    wait_for(
        lambda: daemon.events("eth1").count("no-carrier") > before or None, "carrier", seconds=60
    )
    wait_for(lambda: sum(told.hear().values()) >= 50_000 or None, "50,000 routes", seconds=120)
    expect_equal(told)
    sequences = [entry["sequence"] for entry in daemon.announced()]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    lost = [e["message"] for e in daemon.log if "messages were lost" in e["message"]]
    assert all("reading all routes again" in each for each in lost), "links were lost by routes"


def test_a_link_with_500_routes_goes_down_and_up(make_daemon: MakeDaemon) -> None:
    """What the kernel drops without a word is told, at each step."""
    daemon = make_daemon(CONFIGURATION, initial=False).start()
    told = Told(daemon)
    make_links()
    ip(*[f"route add 10.{50 + n // 250}.{n % 250}.0/24 via 10.0.0.2" for n in range(500)])
    ip(*[f"route add 2001:db8:{n + 16:x}::/48 via 2001:db8::2" for n in range(50)])
    expect_equal(told)
    assert sum(told.hear().values()) == 554

    ip("link set eth0 down")
    expect_equal(told)
    assert sum(told.hear().values()) == 2
    ip("link set eth0 up")
    expect_equal(told)
    ip(*[f"route add 10.{50 + n // 250}.{n % 250}.0/24 via 10.0.0.2" for n in range(500)])
    expect_equal(told)
    ip("addr del 10.0.0.1/24 dev eth0")
    expect_equal(told)
    assert sum(told.hear().values()) < 10


def test_a_preferred_source_that_leaves(make_daemon: MakeDaemon) -> None:
    """Routes that prefer an address go with it, over whatever link they lead."""
    daemon = make_daemon(CONFIGURATION, initial=False).start()
    told = Told(daemon)
    make_links()
    ip("addr add 10.0.0.9/24 dev eth0", "route add 10.7.0.0/16 via 10.0.1.2 src 10.0.0.9")
    expect_equal(told)
    assert any("10.7.0.0/16" in each for each in told.hear())

    ip("addr del 10.0.0.9/24 dev eth0")
    expect_equal(told)
    assert not any("10.7.0.0/16" in each for each in told.hear())


def test_nexthop_objects_that_go(make_daemon: MakeDaemon) -> None:
    """Routes go with the nexthop object that they use, and change with it."""
    daemon = make_daemon(CONFIGURATION, initial=False).start()
    told = Told(daemon)
    make_links()
    ip(
        "nexthop add id 7 via 10.0.0.7 dev eth0",
        "nexthop add id 8 via 2001:db8::8 dev eth0",
        "route add 10.8.0.0/16 nhid 7",
        "route add 2001:db8:8::/48 nhid 8",
    )
    expect_equal(told)
    ip("nexthop replace id 7 via 10.0.0.77 dev eth0")
    expect_equal(told)
    assert any("via 10.0.0.77" in each for each in told.hear())
    ip("nexthop del id 7", "nexthop del id 8")
    expect_equal(told)
    assert not any("2001:db8:8::/48" in each or "10.8.0.0" in each for each in told.hear())


@pytest.mark.parametrize("seed", range(1, 7))
def test_whatever_is_done_to_routes(make_daemon: MakeDaemon, seed: int) -> None:
    """Adding, appending, replacing and removing routes of all kinds ends with the kernel's table."""
    daemon = make_daemon(CONFIGURATION, initial=False).start()
    told = Told(daemon)
    make_links()
    chance = random.Random(seed)
    for _ in range(6):
        lines = [_choose(chance) for _ in range(120)]
        text = "\n".join(lines)
        subprocess.run(
            ["ip", "-force", "-batch", "-"], input=text, text=True, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        expect_equal(told)


def _choose(chance: random.Random) -> str:
    """Return a command about few destinations, so that many of them meet."""
    if chance.random() < 0.04:
        return f"link set {chance.choice(('eth0', 'eth1'))} {chance.choice(('up', 'up', 'down'))}"
    if chance.random() < 0.04:
        return f"addr {chance.choice(('add', 'del'))} 10.0.{chance.randrange(2)}.5/24 dev eth0"
    six = chance.random() < 0.5
    verb = chance.choice(("add", "append", "prepend", "replace", "change", "del", "del", "del"))
    end = chance.randrange(3)
    lan = f"2001:db8:{end + 5}::/48" if six else f"10.{end + 5}.0.0/16"
    gateways = (
        [
            f"2001:db8:{link or ''}::{n}".replace("db8:::", "db8::")
            for link in (0, 1)
            for n in (2, 3)
        ]
        if six
        else [f"10.0.{link}.{n}" for link in (0, 1) for n in (2, 3)]
    )
    what = chance.randrange(8)
    if six:
        # below one key IPv6 hides in its dumps what stands between the ways of a route
        what = chance.randrange(2) if end == 0 else chance.randrange(2, 8)
    if what == 0:
        way = ""
        lan = f"{chance.choice(('blackhole', 'unreachable'))} {lan}"
    elif what == 1:
        way = f"dev {chance.choice(('eth0', 'eth1'))}"
    elif what == 2:
        way = " ".join(f"nexthop via {each}" for each in chance.sample(gateways, 2))
    else:
        way = f"via {chance.choice(gateways)}"
    metric = chance.choice(("", "", "metric 7"))
    return f"route {verb} {lan} {metric} {way}"
