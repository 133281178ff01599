"""Metrics of a real daemon, read by Prometheus' own programs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable

import httpx
import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect, stream
from tests.processes.rig import Daemon, ip

Samples = dict[str, float]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not there (Debian package prometheus)"
)


def scrape(client: httpx.Client, accept: str = "text/plain") -> Samples:
    """Return the samples of GET /metrics by what stands before their value."""
    answer = client.get("/metrics", headers={"Accept": accept, "Connection": "close"})
    assert answer.status_code == 200, answer.text
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def expect(client: httpx.Client, sample: str, value: float | None) -> Samples:
    """Return the samples once one of them has this value."""

    def look() -> Samples | None:
        with contextlib.suppress(httpx.TransportError):  # of a worker that was killed
            found = scrape(client)
            return found if found.get(sample) == value else None
        return None

    return wait_for(look, f"{sample} {value}")


def count_events(samples: Samples) -> float:
    """Return how many events were counted."""
    return sum(value for name, value in samples.items() if name.startswith("netevd_events_total"))


def told(daemon: Daemon) -> int:
    """Return how many events the log tells of."""
    return len(daemon.announced())


def test_metrics_tell_what_happened(served: Daemon, client: httpx.Client) -> None:
    """An address, its script, and the interface's new state."""
    ip("addr add 10.1.1.1/24 dev eth0")
    served.wait_event("eth0", "routable")
    found = expect(client, 'netevd_runs_total{result="ok"}', 1)

    event = 'netevd_events_total{backend="kernel",interface="eth0",type="address-added"}'
    assert found[event] == 1
    assert found['netevd_interface_state{interface="eth0",state="routable"}'] == 1
    assert found['netevd_interface_info{ifindex="101",interface="eth0",kind="veth"}'] == 1
    assert found['netevd_script_duration_seconds_count{script="10-test"}'] == 1
    assert found["netevd_event_to_script_seconds_count"] == 1
    assert found["netevd_rules"] >= 2
    assert found["netevd_routing_rules_total"] == 0
    assert found['netevd_helper_requests_total{result="done",verb="hello"}'] == 1
    assert count_events(found) == told(served)


def test_numbers_go_on_over_reload_and_death(served: Daemon, client: httpx.Client) -> None:
    """Reload: all of them. Death: what is written; the rest begins at 0. Both are counted."""
    ip("addr add 10.1.1.1/24 dev eth0")
    before = expect(client, 'netevd_runs_total{result="ok"}', 1)

    os.kill(served.pid, signal.SIGHUP)
    served.expect_serving(2)
    after = expect(client, 'netevd_config_reloads_total{result="success"}', 1)
    kept = re.compile(r"netevd_(events|runs|script|filter|event_)")
    unlike = {name for name in before if kept.match(name) and after.get(name) != before[name]}
    assert not {name for name in unlike if after[name] < before[name]}
    assert count_events(after) == told(served)
    assert after["netevd_config_last_reload_successful"] == 1

    served.kill("worker")
    served.expect_serving(3)
    ip("addr add 10.1.1.2/24 dev eth0")
    dead = expect(client, 'netevd_runs_total{result="ok"}', 2)
    assert dead['netevd_process_restarts_total{role="worker"}'] == 1
    assert dead["netevd_event_to_script_seconds_count"] == 1
    assert count_events(dead) == told(served)
    assert dead["netevd_start_time_seconds"] == before["netevd_start_time_seconds"]

    served.kill("helper")
    expect(client, 'netevd_process_restarts_total{role="helper"}', 1)
    served.kill("runner")
    again = expect(client, 'netevd_process_restarts_total{role="runner"}', 1)
    assert again['netevd_process_restarts_total{role="worker"}'] == 1


def test_a_reload_that_fails_is_told_also_by_the_next_worker(
    served: Daemon, client: httpx.Client
) -> None:
    """Until a good one follows."""
    good = served.config.read_text(encoding="utf-8")
    loaded = scrape(client)["netevd_config_last_reload_success_timestamp_seconds"]
    served.config.write_text("script_timeout: never\n", encoding="utf-8")
    os.kill(served.pid, signal.SIGHUP)
    expect(client, "netevd_config_last_reload_successful", 0)

    served.kill("worker")
    served.expect_serving(2)
    found = expect(client, 'netevd_config_reloads_total{result="failed"}', 1)
    assert found["netevd_config_last_reload_successful"] == 0
    assert found["netevd_config_last_reload_success_timestamp_seconds"] == loaded

    served.config.write_text(good, encoding="utf-8")
    os.kill(served.pid, signal.SIGHUP)
    found = expect(client, "netevd_config_last_reload_successful", 1)
    assert found['netevd_config_reloads_total{result="failed"}'] == 1
    assert found["netevd_config_last_reload_success_timestamp_seconds"] > loaded


def test_cached_answers_are_never_old(served: Daemon, client: httpx.Client) -> None:
    """304 as long as nothing has happened; then the new body, the API's own."""
    for path in ("/metrics", "/api/v1/interfaces", "/api/v1/routes"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    tag = client.get("/api/v1/interfaces").headers["ETag"]

    ip("link set eth0 mtu 1400")
    served.wait_event("eth0", "link-changed")
    fresh = client.get("/api/v1/interfaces", headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    by_name = {each["name"]: each for each in fresh.json()["interfaces"]}
    assert by_name["eth0"]["mtu"] == 1400
    assert by_name["eth0"] == ask(client, "/api/v1/interfaces/eth0")


def test_clients_and_health_are_told(served: Daemon, client: httpx.Client) -> None:
    """Open connections, answers by status, readers of the stream; checks as GET /health has them."""
    before = scrape(client)
    assert before["netevd_stream_clients"] == 0
    checks = client.get("/health").json()["checks"]
    assert client.get("/nowhere").status_code == 404
    with connect(served) as other, stream(other):
        found = expect(client, "netevd_stream_clients", 1)
        assert found['netevd_http_connections{listener="local"}'] == 2
    answered = 'netevd_http_requests_total{code="%d",listener="local"}'
    assert (found[answered % 404], found[answered % 200]) == (1, 2)
    told = {name for name in found if name.startswith("netevd_health_check")}
    assert told == {
        f'netevd_health_check{{check="{name}",status="{check["status"]}"}}'
        for name, check in checks.items()
    }
    expect(client, "netevd_stream_clients", 0)
    expect(client, 'netevd_http_connections{listener="local"}', 1)


def test_a_helper_that_hangs_is_told(served: Daemon, client: httpx.Client) -> None:
    """Its check fails as long as it does not answer."""
    helper = served.role("helper")
    os.kill(helper, signal.SIGSTOP)
    try:
        expect(client, 'netevd_health_check{check="netlink",status="fail"}', 1)
    finally:
        os.kill(helper, signal.SIGCONT)
    expect(client, 'netevd_health_check{check="netlink",status="pass"}', 1)


def test_series_of_a_link_that_is_gone_end(served: Daemon, client: httpx.Client) -> None:
    """What tells of now goes at once."""
    ip("link del eth0")
    expect(client, 'netevd_interface_state{interface="eth0",state="carrier"}', None)


def test_settings_say_which_interfaces_have_series_and_whether_there_are_any(
    make_daemon: Callable[..., Daemon],
) -> None:
    """metrics.interfaces and metrics.enabled."""
    settings = "system: {log_format: json}\nmetrics: {interfaces: [eth0]}\n"
    daemon = make_daemon(settings)
    add_pair()
    daemon.start()
    with connect(daemon) as client:
        found = scrape(client)
        assert not any('"peth0"' in name for name in found)
        assert any('interface="_other"' in name for name in found)
        text = daemon.config.read_text(encoding="utf-8")
        daemon.config.write_text(text.replace("interfaces: [eth0]", "enabled: false"))
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.expect_serving(2)
        assert client.get("/metrics").status_code == 404


@needs_promtool
def test_promtool_complains_of_the_two_prescribed_names_alone(
    served: Daemon, client: httpx.Client
) -> None:
    """Two gauges end in _total, and always did."""
    served.wait_event("eth0", "carrier")
    text = client.get("/metrics").text
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    said = sorted(done.stderr.split("\n")[:-1])
    complaint = 'non-counter metrics should not have "_total" suffix'
    assert said == [
        f"netevd_interfaces_total {complaint}",
        f"netevd_routing_rules_total {complaint}",
    ]
