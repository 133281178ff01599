"""A real Prometheus scrapes a real daemon and is asked for what it has."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, connect_tcp
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import RECORD, Daemon, ip
from tests.promises.test_monitoring import PROMETHEUS, load_dashboard

PORT = 9095
SCRAPED = 9091
FAR = "10.9.9.9"

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not there (Debian package prometheus)"
)


class Prometheus:
    """Prometheus with the configuration that is shipped, but for the target and the interval."""

    def __init__(self, directory: Path) -> None:
        shipped = (PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8")
        file = directory / "prometheus.yaml"
        changed = shipped.replace("127.0.0.1:9191", f"127.0.0.1:{SCRAPED}").replace("15s", "200ms")
        file.write_text(changed, encoding="utf-8")
        for name in ("alerts.yaml", "recording.yaml"):
            shutil.copy(PROMETHEUS / name, directory)
        self.output = (directory / "output").open("w+")
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{PORT}", "--enable-feature=exemplar-storage",
            ],
            stdout=self.output, stderr=self.output,
        )  # fmt: skip
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}", trust_env=False)

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return what an endpoint of its API has, None as long as it does not answer."""
        try:
            answer = self._client.get(f"/api/v1/{path}", params=parameters)
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None  # it begins
        content = answer.json()
        assert content["status"] == "success", content
        return content["data"]

    def find(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression yields now."""
        found = self.ask("query", query=expression)
        return [] if found is None else list(found["result"])

    def expect(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression yields, once that is anything."""
        return wait_for(lambda: self.find(expression) or None, expression)

    def close(self) -> None:
        """End it."""
        self._client.close()
        self.process.terminate()
        self.process.wait(timeout=20)
        self.output.close()


@pytest.fixture
def prometheus(namespace: None, tmp_path: Path) -> Iterator[Prometheus]:
    """Return a Prometheus in this namespace."""
    made = Prometheus(tmp_path)
    yield made
    made.close()


@pytest.fixture
def measured(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon with a port for metrics of its own."""
    daemon = make_daemon(f"{JSON_LOG}metrics: {{port: {SCRAPED}}}\n")
    daemon.script("address-added", RECORD)
    add_pair()
    return daemon.start()


@needs_prometheus
def test_prometheus_has_series_and_exemplars(measured: Daemon, prometheus: Prometheus) -> None:
    """It scrapes, knows the types, and leads from a slow script to the event."""
    ip("addr add 10.1.1.1/24 dev eth0")
    measured.wait_event("eth0", "address-added")
    sequence = next(e["sequence"] for e in measured.announced() if e["event"] == "address-added")

    event = 'netevd_events_total{type="address-added",interface="eth0",backend="kernel"} == 1'
    (found,) = prometheus.expect(event)
    assert found["metric"]["job"] == "netevd"
    prometheus.expect('netevd_script_duration_seconds_count{script="10-test"} == 1')
    named = prometheus.ask(
        "query_exemplars",
        query="netevd_event_to_script_seconds_bucket",
        start=time.time() - 60,
        end=time.time() + 60,
    )
    assert {each["labels"]["sequence"] for one in named for each in one["exemplars"]} == {
        str(sequence)
    }
    metadata = prometheus.ask("metadata")
    assert metadata["netevd_interfaces_total"][0]["type"] == "gauge"
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


@needs_prometheus
def test_what_the_dashboard_asks_can_be_answered(measured: Daemon, prometheus: Prometheus) -> None:
    """Every panel has something to show of a daemon to which a little has happened."""
    measured.wait_event("eth0", "carrier")
    with connect_tcp() as client:
        assert client.get("/api/v1/status").status_code == 200
    ip("addr add 10.1.1.1/24 dev eth0")
    prometheus.expect('netevd_runs_total{result="ok"} == 1')
    wait_for(
        lambda: prometheus.find("count_over_time(netevd_http_requests_total[1m]) > 5") or None,
        "scrapes",
    )

    empty = set()
    for panel in load_dashboard().make()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in {
                "$instance": ".*", "$interface": ".*", "$__rate_interval": "1m",
            }.items():  # fmt: skip
                expression = expression.replace(name, value)
            if not prometheus.find(expression):
                empty.add(panel["title"])
    assert empty == {"WireGuard peers"}  # there is no device here


def test_the_port_for_metrics_serves_nothing_else(measured: Daemon) -> None:
    """Not even to whoever may read; and it stays what it is over a reload."""
    with connect_tcp(SCRAPED) as client, connect_tcp() as api:
        assert re.findall(r"^# HELP.*", client.get("/metrics").text, re.MULTILINE) == re.findall(
            r"^# HELP.*", api.get("/metrics").text, re.MULTILINE
        )
        assert client.get("/api/v1/status").status_code == 404
        assert client.post("/metrics").status_code in {401, 405}


def test_the_metrics_may_be_shown_to_other_hosts_as_the_page_says(
    make_daemon: Callable[..., Daemon],
) -> None:
    """The settings of docs/prometheus.md: the port for metrics is reachable, the API is not."""
    page = (PROMETHEUS.parent.parent / "docs/prometheus.md").read_text(encoding="utf-8")
    block = re.search(r"^    metrics: .*0\.0\.0\.0.*\n    api: .*$", page, re.MULTILINE)
    assert block is not None
    add_pair()
    ip(f"addr add {FAR}/24 dev eth0")
    make_daemon(JSON_LOG + textwrap.dedent(block[0])).start()

    with httpx.Client(base_url=f"http://{FAR}:9191", trust_env=False) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/api/v1/status").status_code == 404
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://{FAR}:9090/metrics")
