"""Health that is true: each check fails for its reason, and passes again once that is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect
from tests.processes.rig import Daemon, ip


def look(client: httpx.Client) -> tuple[int, dict[str, Any]]:
    """Return status and content of /health."""
    answer = client.get("/health")
    return answer.status_code, answer.json()


def wait_status(client: httpx.Client, wanted: str) -> dict[str, Any]:
    """Return the health once it is this one."""

    def find() -> dict[str, Any] | None:
        status, health = look(client)
        assert (status == 503) == (health["status"] == "unhealthy")
        return health if health["status"] == wanted else None

    return wait_for(find, wanted)


def find_troubles(health: dict[str, Any]) -> dict[str, str]:
    """Return the checks that did not pass, each with what was found."""
    for check in health["checks"].values():
        assert ("advice" in check) == (check["status"] != "pass")
    return {
        name: check["detail"]
        for name, check in health["checks"].items()
        if check["status"] != "pass"
    }


def test_a_daemon_that_is_well(served: Daemon, client: httpx.Client) -> None:
    """Every check passes and says what it has found."""
    status, health = look(client)
    assert (status, health["status"]) == (200, "healthy"), health
    assert (health["interfaces"], health["routing_rules"]) == (3, 0)
    assert health["uptime"] > 0
    assert set(health["checks"]) == {
        "netlink", "backend", "backends", "runners", "lanes", "configuration", "journal", "audit", "sandbox",
    }  # fmt: skip
    assert ask(client, "/health/live") == {"status": "alive"}
    assert ask(client, "/health/ready")["status"] == "ready"


def test_a_helper_that_does_not_answer(served: Daemon, client: httpx.Client) -> None:
    """Stopped, then gone, then another one."""
    helper = served.role("helper")
    os.kill(helper, signal.SIGSTOP)
    try:
        health = wait_status(client, "unhealthy")
        assert "the helper has not answered for" in find_troubles(health)["netlink"]
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
    finally:
        os.kill(helper, signal.SIGCONT)
    wait_status(client, "healthy")
    ip("addr add 10.1.1.1/24 dev eth0")  # the answers that came late were nobody else's
    served.wait_event("eth0", "address-usable")
    served.kill("helper")
    wait_status(client, "healthy")


def test_a_runner_that_does_not_answer(served: Daemon, client: httpx.Client) -> None:
    """Scripts wait for it, so it is no health."""
    runner = served.role("runner")
    os.kill(runner, signal.SIGSTOP)
    try:
        health = wait_status(client, "unhealthy")
        assert "the runner 0 has not answered for" in find_troubles(health)["runners"]
    finally:
        os.kill(runner, signal.SIGCONT)
    wait_status(client, "healthy")


def test_a_bad_reload_degrades_until_a_good_one(served: Daemon, client: httpx.Client) -> None:
    """Everything works as before, and somebody has something to mend."""
    good = served.config.read_text()
    served.config.write_text(good + "nonsense: 1\n")
    assert client.post("/api/v1/reload").status_code == 422

    health = wait_status(client, "degraded")
    assert "unknown key 'nonsense'" in find_troubles(health)["configuration"]
    assert client.get("/health/ready").status_code == 200
    served.kill("worker")
    served.expect_serving(2)
    wait_for(
        lambda: find_troubles(look(client)[1]).keys() == {"configuration"} or None,
        "what was lost with the worker is read again, and the reload is not forgotten",
    )
    served.config.write_text(good)
    assert client.post("/api/v1/reload").status_code == 200
    wait_status(client, "healthy")


def test_a_lane_that_drops_runs(daemon: Daemon) -> None:
    """10,000 runs of one link wait: it is said as long as more would be dropped."""
    for number in range(10):
        daemon.script("address-added", "#!/bin/sh\nsleep 60\n", f"{number}-sleeps")
    add_pair()
    daemon.start()
    ip(*("addr add 10.1.1.1/32 dev eth0", "addr del 10.1.1.1/32 dev eth0") * 1001)
    with connect(daemon) as client:
        health = wait_status(client, "degraded")
        assert "1 links have 10,000 runs waiting" in find_troubles(health)["lanes"]
        assert ask(client, "/api/v1/status")["runs_by_result"] == {"dropped": 10}


def test_a_state_directory_that_cant_be_written(make_daemon: Callable[..., Daemon]) -> None:
    """It becomes read-only for the worker: nothing outlives the daemon, which works."""
    daemon = make_daemon()
    daemon.start()
    with connect(daemon) as client:
        wait_status(client, "healthy")
        state = daemon.root / "state"
        for path in [*state.iterdir(), state]:
            os.chown(path, 0, 0)
        assert client.post("/api/v1/reload").status_code == 200
        health = wait_status(client, "degraded")
        assert "nothing outlives the daemon" in find_troubles(health)["journal"]


def test_an_audit_log_that_cant_be_written(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """Its directory is not there; once it is, all is well."""
    path = tmp_path / "not" / "there" / "audit.jsonl"
    daemon = make_daemon(f"system: {{log_format: json}}\naudit: {{enabled: true, path: {path}}}\n")
    daemon.start()
    with connect(daemon) as client:
        health = wait_status(client, "degraded")
        assert find_troubles(health).keys() == {"audit"}
        assert ask(client, "/api/v1/status")["audit_trouble"]
