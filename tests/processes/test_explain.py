"""`netevd explain` answers for every fate that an event can have."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect
from tests.processes.rig import RECORD, Daemon, ip

GATED = "#!/bin/sh\necho $LINK >> DIRECTORY/begun\nread line < DIRECTORY/gate\n"
"""Runs until somebody writes a line into the gate."""


class Place:
    """A daemon, its links and what it says of their events."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.gate = daemon.scripts / "data" / "gate"
        os.mkfifo(self.gate)
        self.gate.chmod(0o666)

    def explain(self, link: str, event: str) -> dict[str, Any]:
        """Return what became of the last such event of a link."""
        with connect(self.daemon) as client:
            found: dict[str, Any] = ask(client, "/api/v1/explain", interface=link, event=event)
        return found

    def expect(self, link: str, event: str, words: str) -> dict[str, Any]:
        """Return what became of an event once it says so, which it has to do in the end."""
        last: list[str] = []

        def look() -> dict[str, Any] | None:
            found = self.explain(link, event)
            last[:] = found["explanation"]
            return found if any(words in line for line in last) else None

        try:
            return wait_for(look, words)
        except AssertionError:
            raise AssertionError(f"{words!r} is not said, but:\n" + "\n".join(last)) from None

    def wait_begun(self, link: str) -> None:
        """Return once a gated script of a link runs."""
        begun = self.daemon.scripts / "data" / "begun"
        wait_for(lambda: (begun.exists() and link in begun.read_text()) or None, "gated script")

    def open_gate(self) -> None:
        """Let one gated script end."""
        with self.gate.open("w") as opened:
            opened.write("go\n")


@pytest.fixture
def place(make_daemon: Callable[..., Daemon]) -> Place:
    """Return a daemon that was not started yet."""
    return Place(make_daemon("", initial=False))


def start(place: Place, **settings: object) -> None:
    """Start a daemon that watches eth*, with these settings."""
    scripts = {"directory": str(place.daemon.scripts), "initial": False}
    scripts |= settings.pop("scripts", {})  # type: ignore[operator]
    whole = {
        "system": {"log_format": "json"}, "network": {"links": ["eth*"]}, "scripts": scripts, **settings,
    }  # fmt: skip
    place.daemon.config.write_text(json.dumps(whole), encoding="utf-8")
    add_pair()
    place.daemon.start()


def test_it_ran(place: Place) -> None:
    """Which script, and how it ended; that of a file beside it which may not be run too."""
    script = place.daemon.script("address-added", RECORD)
    other = place.daemon.script("address-added", RECORD, name="20-open")
    other.chmod(0o777)
    start(place)
    ip("addr add 10.1.1.1/24 dev eth0")

    found = place.expect("eth0", "address-added", f"{script} ok (exit code 0")

    assert found["runs"][0]["result"] == "ok"
    (line,) = (each for each in found["explanation"] if str(other) in each)
    assert "is not run: it is writable by group and others; mend it with: chmod go-w" in line


def test_it_was_filtered(place: Place) -> None:
    """By which filter, and where that is written."""
    place.daemon.script("address-added", RECORD)
    start(place, filters=[{"match": {"event_type": "address-*"}, "action": "ignore"}])
    ip("addr add 10.1.1.1/24 dev eth0")
    place.daemon.script("off", RECORD)  # an ignored event is not in the log: another one is
    ip("link set eth0 down")
    place.daemon.wait_event("eth0", "off")

    found = place.explain("eth0", "address-added")

    assert found["verdict"]["action"] == "ignore"
    assert found["explanation"] == ["filter 1 (netevd.yaml:1): action ignore"]
    assert found["runs"] == []


def test_it_was_debounced(place: Place) -> None:
    """Into which event, whose run is told; and that nothing ran where nothing had changed in the end."""
    place.daemon.script("link-changed", RECORD)
    place.daemon.script("address-added", RECORD)
    start(place, debounce={"enabled": True, "window": "1h", "max_events": 2})
    ip("link set eth0 mtu 1400", "link set eth0 mtu 1300")
    place.daemon.wait_event("eth0", "link-changed", 2)
    first = next(e for e in place.daemon.announced() if e["event"] == "link-changed")
    last = place.expect("eth0", "link-changed", "ok (exit code 0")

    with connect(place.daemon) as client:
        found = ask(client, "/api/v1/explain", sequence=first["sequence"])
    assert [each["result"] for each in found["decisions"]] == ["coalesced"]
    assert found["decisions"][0]["into"] == last["event"]["sequence"]
    assert any("ok (exit code 0" in line for line in found["explanation"])
    assert any(line.startswith("coalesced: ") for line in found["explanation"])

    ip("addr add 10.1.1.1/24 dev eth0")
    place.expect("eth0", "address-added", "waits with 0 others for the end of its window")
    ip("addr del 10.1.1.1/24 dev eth0")
    place.expect("eth0", "address-added", "unchanged: ")


def test_it_was_obsolete(place: Place) -> None:
    """A later event of its group was waiting when its turn came."""
    place.daemon.script("no-carrier", GATED)
    place.daemon.script("carrier", RECORD)
    start(place, scripts={"obsolete": "skip"})
    ip("link set peth0 down")
    place.wait_begun("eth0")
    had = place.daemon.events("eth0").count("carrier")
    ip("link set peth0 up")
    place.daemon.wait_event("eth0", "carrier", had + 1)
    ip("link set peth0 down")
    place.daemon.wait_event("eth0", "no-carrier", 2)
    place.open_gate()

    found = place.expect("eth0", "carrier", "did not run: obsolete: ")

    assert found["runs"][0]["result"] == "obsolete"
    place.open_gate()


def test_it_was_refused_for_a_bad_mode(place: Place) -> None:
    """Neither a file that never may be run nor one that changed while it waited is passed over in silence."""
    script = place.daemon.script("no-carrier", RECORD)
    place.daemon.script("carrier", RECORD).chmod(0o777)
    gated = place.daemon.script("address-added", GATED)
    start(place)
    ip("link set peth0 down")
    place.expect("eth0", "no-carrier", "ok (exit code 0")
    ip("link set peth0 up")

    place.expect("eth0", "carrier", "no script: there is none in carrier.d that may be run")
    found = place.expect("eth0", "carrier", "is not run: it is writable by group and others")
    assert found["runs"] == []

    ip("addr add 10.1.1.1/24 dev eth0")
    place.wait_begun("eth0")
    ip("link set peth0 down")
    place.daemon.wait_event("eth0", "no-carrier", 2)
    script.chmod(0o777)
    place.daemon.expect(lambda e: f"Script {script} is skipped" in e["message"])
    place.open_gate()
    place.expect("eth0", "no-carrier", f"{script} did not run: refused: it is writable by group")
    place.expect("eth0", "address-added", f"{gated} ok (exit code 0")


def test_it_timed_out(place: Place) -> None:
    """After how long, and how it ended then."""
    place.daemon.script("address-added", "#!/bin/sh\nexec sleep 1000\n")
    start(place, script_timeout="200ms")
    ip("addr add 10.1.1.1/24 dev eth0")

    found = place.expect("eth0", "address-added", " timeout (signal 15, ")

    assert found["runs"][0]["result"] == "timeout"


def test_it_was_dropped(place: Place) -> None:
    """Too many runs of its link were waiting: the event stays, and says so."""
    place.daemon.script("no-carrier", GATED)
    many = [place.daemon.script("carrier", "#!/bin/sh\n", name=f"{n:03}") for n in range(100)]
    match = {"event_type": "address-usable"}
    start(place, filters=[
        {"match": match, "action": "execute", "scripts": [str(each) for each in many]},
    ])  # fmt: skip
    ip("link set peth0 down")
    place.wait_begun("eth0")
    ip(*[f"addr add 10.1.1.{number}/32 dev eth0" for number in range(1, 102)])

    found = place.expect("eth0", "address-usable", "did not run: dropped: ")

    assert {each["result"] for each in found["runs"]} == {"dropped"}


def test_it_is_lost(place: Place) -> None:
    """Its runner died with it."""
    script = place.daemon.script("no-carrier", GATED)
    start(place)
    ip("link set peth0 down")
    place.wait_begun("eth0")

    place.daemon.kill("runner")

    found = place.expect("eth0", "no-carrier", f"{script} is lost")
    assert found["runs"][0]["result"] == "lost"
