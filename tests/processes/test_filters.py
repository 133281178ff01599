"""Filters and conditions in a whole daemon, whose worker is confined."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.boundary.rig import wait_for
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import RECORD, Daemon, ip

Make = Callable[..., Daemon]


def make_links(*names: str) -> None:
    """Make pairs of links; those of these names are down and without addresses."""
    for number, name in enumerate(names):
        ip(
            f"link add name {name} index {101 + number} type veth"
            f" peer name p-{name} index {201 + number}"
        )


def configure(daemon: Daemon, **settings: Any) -> None:
    """Add top-level settings to a daemon's configuration, which JSON can express."""
    text = daemon.config.read_text(encoding="utf-8")
    lines = [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
    daemon.config.write_text("\n".join([text, *lines, ""]), encoding="utf-8")


def find_line(daemon: Daemon, text: str) -> int:
    """Return the number of the first line of the configuration that holds this text."""
    lines = daemon.config.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def record_of(daemon: Daemon, link: str) -> list[str]:
    """Return the event types that a link's recording scripts were run for."""
    return [line[2] for line in daemon.record() if line[1] == link]


def test_filters_decide_which_scripts_run(make_daemon: Make) -> None:
    """One ignored, one with scripts of its own, one with a condition, one that nothing matches."""
    daemon = make_daemon(JSON_LOG + "network: {links: [dock0, own0, cond0, plain0]}")
    daemon.script("address-added", RECORD)
    other = daemon.script("routable", RECORD.replace("$STATE", "other"), "20-other")
    (daemon.scripts / "routable.d" / "20-other").chmod(0o755)
    configure(
        daemon,
        filters=[
            {"match": {"interface_pattern": "dock*"}, "action": "ignore"},
            {"match": {"interface": "own0", "event_type": "address-added"},
             "action": "execute", "scripts": [str(other)]},
            {"match": {"interface": "cond0", "condition": "mtu > 1400 && addresses[0] == '10.1.3.1'"},
             "action": "log"},
        ],
    )  # fmt: skip
    make_links("dock0", "own0", "cond0", "plain0")
    daemon.start()
    for name in ("own0", "cond0", "plain0"):
        daemon.wait_event(name, "off")

    ip(
        "addr add 10.1.1.1/24 dev dock0",
        "addr add 10.1.2.1/24 dev own0",
        "addr add 10.1.3.1/24 dev cond0",
        "addr add 10.1.4.1/24 dev plain0",
    )
    wait_for(lambda: record_of(daemon, "plain0") or None, "the script of plain0")
    wait_for(lambda: record_of(daemon, "own0") or None, "the script of own0")
    ip("link set cond0 mtu 1300", "addr add 10.1.3.2/24 dev cond0")
    wait_for(lambda: record_of(daemon, "cond0") or None, "the script of cond0")

    assert record_of(daemon, "own0") == ["other"]
    assert [line[5] for line in daemon.record() if line[1] == "cond0"] == ["10.1.3.2"]
    assert record_of(daemon, "plain0") == ["address-added"]
    assert record_of(daemon, "dock0") == []
    verdicts = {
        entry["interface"]: entry.get("verdict")
        for entry in daemon.announced()
        if entry["event"] == "address-added" and entry.get("ip") != "10.1.3.2"
    }
    name = Path(daemon.config).name
    line = find_line(daemon, "filters:")
    assert verdicts == {
        "own0": f"filter 2 ({name}:{line}): action execute",
        "cond0": f"filter 3 ({name}:{line}): action log",
        "plain0": None,
    }, "an ignored event is told at level debug only"
    unanswered = [each for each in daemon.log if each.get("kind") == "condition-failed"]
    assert len(unanswered) == 1
    assert unanswered[0]["level"] == "warn"
    assert daemon.stop() == 0


def test_a_faulty_condition_keeps_the_daemon_from_starting(make_daemon: Make) -> None:
    """The problem has its file, line and column."""
    daemon = make_daemon()
    configure(daemon, filters=[{"action": "log", "match": {"condition": "has_gatway"}}])
    daemon.start(ready=False)
    assert daemon.process is not None

    assert daemon.process.wait(timeout=20) == 1
    daemon._collector.join(timeout=5)
    line = find_line(daemon, "has_gatway")
    column = daemon.config.read_text().splitlines()[line - 1].index("has_gatway") + 1
    expected = f"{daemon.config}:{line}:{column}: condition: has_gatway is neither a variable"
    assert any(expected in each for each in daemon.raw)


TELL = RECORD + 'printf %s "$JSON" > DIRECTORY/json-$LINK\n'
"""A script that records what it was told, and keeps the whole of it."""


def flap(daemon: Daemon, name: str, times: int) -> None:
    """Have a link lose and regain its carrier so often, each change told before the next."""
    for _ in range(times):
        for state, kind in (("down", "no-carrier"), ("up", "carrier")):
            count = daemon.events(name).count(kind)
            ip(f"link set p-{name} {state}")
            daemon.wait_event(name, kind, count + 1)


def test_a_flapping_link_runs_its_scripts_once_or_not_at_all(make_daemon: Make) -> None:
    """Four events in one window: one run with net_effect false, else none, and all are told."""
    daemon = make_daemon(JSON_LOG + "network: {links: [eth0, eth1, eth2]}", initial=False)
    for kind in ("carrier", "no-carrier", "link-changed"):
        daemon.script(kind, TELL)
    configure(
        daemon,
        debounce={
            "enabled": True, "window": "1h", "max_events": 4,
            "overrides": [
                {"event_type": "link-changed", "window": "0s"},
                {"interface_pattern": "eth0", "net_effect": False},
                {"interface_pattern": "eth2", "window": "300ms"},
            ],
        },
    )  # fmt: skip
    make_links("eth0", "eth1", "eth2")
    ip(*(f"link set {side}eth{number} up" for side in ("", "p-") for number in range(3)))
    daemon.start()
    for name in ("eth0", "eth1", "eth2"):
        daemon.wait_event(name, "carrier")

    flap(daemon, "eth0", 2)
    flap(daemon, "eth1", 2)
    unchanged = daemon.expect(
        lambda entry: "left carrier state of eth1 as it was" in entry["message"]
    )
    for name in ("eth0", "eth1"):
        ip(f"link set {name} mtu 1400")
        wait_for(lambda name=name: "link-changed" in record_of(daemon, name) or None, "mtu script")  # type: ignore[misc]
    ip("link set p-eth2 down")
    wait_for(lambda: record_of(daemon, "eth2") or None, "the script of eth2")

    assert record_of(daemon, "eth0") == ["carrier", "link-changed"]
    assert record_of(daemon, "eth1") == ["link-changed"]
    assert record_of(daemon, "eth2") == ["no-carrier"]
    assert daemon.events("eth0").count("no-carrier") == 2, "every event is told at once"
    assert unchanged["sequence"] == [
        entry["sequence"] for entry in daemon.announced()
        if entry["interface"] == "eth1" and entry["event"] == "carrier"
    ][-1]  # fmt: skip
    told = json.loads((daemon.scripts / "data" / "json-eth2").read_text())
    assert told["event"]["coalesced"] == 1
    assert told["before"]["carrier"] is True
    assert daemon.stop() == 0


def test_damping_holds_back_what_flaps_and_lets_it_go(make_daemon: Make) -> None:
    """What was held back is run when the penalty has decayed, if it tells anything new."""
    damping = {
        "enabled": True, "half_life": "200ms", "suppress": 1500, "reuse": 1000,
        "max_suppress": "10s",
    }  # fmt: skip
    daemon = make_daemon(JSON_LOG + "network: {links: [eth0]}", initial=False, damping=damping)
    daemon.script("link-changed", TELL)
    make_links("eth0")
    daemon.start()
    daemon.wait_event("eth0", "off")

    ip(*(f"link set eth0 mtu {1400 - number}" for number in range(20)))

    daemon.expect(lambda entry: entry.get("kind") == "events-suppressed")
    daemon.expect(lambda entry: entry.get("kind") == "events-reused")
    path = daemon.scripts / "data" / "json-eth0"

    def read_mtu() -> int:
        return int(json.loads(path.read_text() or "{}").get("interface", {}).get("mtu", 0))

    wait_for(lambda: (path.exists() and read_mtu() == 1381) or None, "the last change")
    assert len(daemon.record()) < 20
    kinds = [entry["kind"] for entry in daemon.announced() if entry["event"] == "link-changed"]
    assert kinds.count("event") == 20
