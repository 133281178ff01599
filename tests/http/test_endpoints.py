"""Every path: what it answers of a daemon as it is, and how it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect, find_socket
from tests.processes.rig import RECORD, Daemon, ip
from tests.processes.test_reload import reload

BAD = "nonsense: 1\n"


def test_status_has_every_field(served: Daemon, client: httpx.Client) -> None:
    """The daemon on one screen, as the log has it."""
    ip("addr add 10.1.1.1/24 dev eth0")
    served.expect(lambda entry: "exited with code 0" in entry["message"])
    wait_for(lambda: "routes" in served.events("eth0") or None, "the last event")

    status = ask(client, "/api/v1/status")

    assert (status["state"], status["mode"], status["backend"]) == (
        "serving",
        "privileged",
        "kernel",
    )
    assert (status["interfaces"], status["generation"], status["last_reload"]) == (3, 1, None)
    assert status["events_processed"] == len(served.announced())
    assert (status["scripts_executed"], status["scripts_failed"]) == (1, 0)
    assert status["runs_by_result"] == {"ok": 1}
    assert status["last_event"]["sequence"] == status["sequence"]
    assert sum(status["interfaces_by_state"].values()) == 3
    assert (status["routing_rules"], status["rules"] > 0) == (0, True)
    assert status["uptime_seconds"] > 0


def test_counts_and_the_last_reload_outlive_reload_and_death(
    served: Daemon, client: httpx.Client
) -> None:
    """What a daemon has done is counted over all its workers; a refused reload is remembered."""
    good = served.config.read_text()
    served.config.write_text(good + BAD)
    refused = client.post("/api/v1/reload")
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert "unknown key 'nonsense'" in problem
    served.kill("worker")
    served.expect_serving(2)

    status = ask(client, "/api/v1/status")
    assert status["last_reload"]["outcome"] == "refused"
    assert status["last_reload"]["problems"] == [problem]
    assert status["events_processed"] == len(served.announced())

    served.config.write_text(good)
    loaded = status["loaded"]
    done = client.post("/api/v1/reload")
    assert done.json() == {"outcome": "in force", "generation": 2}
    served.expect_serving(3)
    served.kill("worker")
    served.expect_serving(4)
    status = ask(client, "/api/v1/status")
    assert (status["generation"], status["last_reload"]["generation"]) == (2, 2)
    assert status["last_reload"] == {
        "time": status["loaded"], "outcome": "in force", "generation": 2, "problems": [],
    }  # fmt: skip
    assert status["loaded"] > loaded
    assert status["events_processed"] == len(served.announced())


def test_an_interface_has_the_fields_that_were_promised(
    served: Daemon, client: httpx.Client
) -> None:
    """Alone and in the list, chosen by state and kind."""
    ip(
        "addr add 10.1.1.1/24 dev eth0",
        "link add br0 type bridge",
        "link set peth0 master br0",
        "route add default via 10.1.1.254 dev eth0",
    )
    wait_for(lambda: "gateway-changed" in served.events("eth0") or None, "gateway")
    wait_for(lambda: "link-changed" in served.events("peth0") or None, "master")

    eth0 = ask(client, "/api/v1/interfaces/eth0")

    wanted = "name index state kind mac_address mtu addresses flags gateways dns statistics master driver"
    assert set(wanted.split()) <= eth0.keys()
    assert (eth0["index"], eth0["kind"], eth0["state"]) == (101, "veth", "routable")
    (address,) = eth0["addresses"]
    assert (address["ip"], address["prefix"], address["family"]) == ("10.1.1.1", 24, "ipv4")
    assert (address["scope"], address["state"]) == ("global", "usable")
    assert eth0["gateways"] == ["10.1.1.254"]
    assert (eth0["watched"], ask(client, "/api/v1/interfaces/lo")["watched"]) == (True, False)
    assert ask(client, "/api/v1/interfaces/peth0")["master"] == "br0"

    def names(**choice: str) -> list[str]:
        found = ask(client, "/api/v1/interfaces", **choice)
        assert found["count"] == len(found["interfaces"])
        return [each["name"] for each in found["interfaces"]]

    assert names() == ["lo", "eth0", "peth0", "br0"] or names() == ["lo", "br0", "eth0", "peth0"]
    assert names(kind="bridge") == ["br0"]
    assert names(kind="") == ["lo"]
    assert names(state="routable", kind="veth") == ["eth0"]


def test_routes_and_rules_are_chosen(make_daemon: Callable[..., Daemon]) -> None:
    """By interface, table and family, and in pages; the number 110 alone does not make them ours."""
    daemon = make_daemon("system: {log_format: json}\nroutes: {tables: all}\n")
    add_pair()
    ip("addr add 10.1.1.1/24 dev eth0", "addr add 10.2.1.1/24 dev peth0")
    daemon.start()
    ip(
        "route add 10.9.0.0/16 via 10.1.1.254 table 77 proto 110",
        "rule add from 10.1.1.1 lookup 77 priority 5077 protocol 110",
        "rule add iif peth0 lookup 78 priority 500",
    )
    with connect(daemon) as client:
        wait_for(
            lambda: ask(client, "/api/v1/routes", table="77")["total"] or None, "route of table 77"
        )
        (route,) = ask(client, "/api/v1/routes", table="77")["routes"]
        assert (route["destination"], route["owned"]) == ("10.9.0.0/16", False)
        assert route["nexthops"] == [
            {"index": 101, "interface": "eth0", "gateway": "10.1.1.254", "weight": 1}
        ]
        main = ask(client, "/api/v1/routes", table="main", family="ipv4")["routes"]
        assert {each["destination"] for each in main} == {"10.1.1.0/24", "10.2.1.0/24"}
        over = ask(client, "/api/v1/routes", interface="peth0", table="main")["routes"]
        assert [each["destination"] for each in over] == ["10.2.1.0/24"]
        whole = ask(client, "/api/v1/routes")
        parts = [
            ask(client, "/api/v1/routes", limit=2, offset=offset)["routes"]
            for offset in range(0, whole["total"], 2)
        ]
        assert [route for part in parts for route in part] == whole["routes"]

        wait_for(lambda: len(ask(client, "/api/v1/rules", table="78")["rules"]) or None, "rule")
        (elsewhere,) = ask(client, "/api/v1/rules", table="77")["rules"]
        assert (elsewhere["owned"], elsewhere["source"]) == (False, "10.1.1.1/32")
        (other,) = ask(client, "/api/v1/rules", interface="peth0")["rules"]
        assert (other["owned"], other["input_interface"], other["table"]) == (False, "peth0", 78)
        six = ask(client, "/api/v1/rules", family="ipv6")["rules"]
        assert {each["family"] for each in six} == {"ipv6"}
        assert ask(client, "/api/v1/status")["routing_rules"] == 0


def test_what_netevd_has_made_is_marked(make_daemon: Callable[..., Daemon]) -> None:
    """The rules and routes of policy routing are owned, those of the kernel beside them are not."""
    daemon = make_daemon(
        "system: {log_format: json}\nrouting: {policy: {enabled: true, families: [ipv4]}}\n"
        "routes: {tables: all}\n"
    )
    add_pair("eth0", 101)
    add_pair("eth1", 103)
    ip("addr add 10.1.1.1/24 dev eth0", "addr add 10.2.1.1/24 dev eth1")
    ip("route add default via 10.1.1.254 metric 100", "route add default via 10.2.1.254 metric 200")
    daemon.start()
    with connect(daemon) as client:

        def default_of_ours() -> dict[str, Any] | None:
            routes = ask(client, "/api/v1/routes", interface="eth1", family="ipv4")["routes"]
            return next(
                (each for each in routes if each["owned"] and each["destination"] == "0.0.0.0/0"),
                None,
            )

        route = wait_for(default_of_ours, "a default route of netevd's")
        assert route["nexthops"][0]["gateway"] == "10.2.1.254"
        main = ask(client, "/api/v1/routes", table="main")["routes"]
        assert not any(each["owned"] for each in main)
        rules = ask(client, "/api/v1/rules", table=str(route["table"]))["rules"]
        assert [(each["owned"], each["source"]) for each in rules] == [(True, "10.2.1.1/32")]
        owned = [each for each in ask(client, "/api/v1/rules")["rules"] if each["owned"]]
        assert ask(client, "/api/v1/status")["routing_rules"] == len(owned) > 1


def test_a_table_of_thousands_comes_whole(make_daemon: Callable[..., Daemon]) -> None:
    """A long list is made while it is sent, and is one JSON object all the same."""
    daemon = make_daemon()
    add_pair()
    ip("addr add 10.1.1.1/24 dev eth0")
    ip(*(f"route add 10.{100 + n // 256}.{n % 256}.0/24 via 10.1.1.9" for n in range(3000)))
    daemon.start()
    with connect(daemon) as client:
        found = ask(client, "/api/v1/routes")
        assert found["count"] == found["total"] == len(found["routes"]) == 3001
        some = ask(client, "/api/v1/routes", limit=1500)
        assert (some["count"], some["total"]) == (1500, 3001)


def test_hooks_are_the_runners_table(served: Daemon, client: httpx.Client) -> None:
    """A script that may run, and one that may not with the reason."""
    bad = served.script("routable", RECORD, "20-open")
    bad.chmod(0o777)
    wait_for(lambda: ask(client, "/api/v1/hooks")["count"] == 2 or None, "both scripts")

    (good,) = ask(client, "/api/v1/hooks", event="address-added")["hooks"]
    assert (good["name"], good["runnable"], good["reason"]) == ("10-test", True, None)
    (refused,) = ask(client, "/api/v1/hooks", event="routable")["hooks"]
    assert (refused["path"], refused["runnable"]) == (str(bad), False)
    assert "writable" in refused["reason"]


def test_events_are_read_page_by_page(served: Daemon, client: httpx.Client) -> None:
    """With `since` the first ones after it, so that a page begins where the last one has ended."""
    ip(*(f"addr add 10.1.1.{number}/32 dev eth0" for number in range(1, 21)))
    wait_for(lambda: served.events("eth0").count("address-usable") == 20 or None, "events")
    whole = ask(client, "/api/v1/events", limit=1000)["events"]
    assert [each["sequence"] for each in whole] == [e["sequence"] for e in served.announced()]

    found, since = [], whole[0]["sequence"]
    while True:
        page = ask(client, "/api/v1/events", since=since, limit=7)
        found += page["events"]
        since = page["events"][-1]["sequence"]
        if not page["more"]:
            break
    assert found == whole[1:]
    latest = ask(client, "/api/v1/events", limit=3)
    assert (latest["events"], latest["more"]) == (whole[-3:], True)
    assert latest["last"] == whole[-1]["sequence"]


def test_runs_are_chosen_by_event_interface_and_result(
    served: Daemon, client: httpx.Client
) -> None:
    """Those that have ended, and one that has not."""
    served.script("address-removed", "#!/bin/sh\nexit 7\n")
    served.script("link-removed", "#!/bin/sh\nsleep 60\n")
    wait_for(lambda: ask(client, "/api/v1/hooks")["count"] == 3 or None, "scripts")
    ip("addr add 10.1.1.1/24 dev eth0", "addr del 10.1.1.1/24 dev eth0", "link del eth0")
    served.expect(lambda entry: "exited with code 7" in entry["message"])

    def look() -> object:
        runs = ask(client, "/api/v1/runs")["runs"]
        return [each for each in runs if each["stage"] == "running"] or None

    (open_run, *_) = wait_for(look, "a run that goes on")
    assert (open_run["result"], open_run["status"]) == (None, None)
    (failed,) = ask(client, "/api/v1/runs", result="failed", interface="eth*")["runs"]
    assert (failed["status"], failed["stage"]) == (7, None)
    assert ask(client, "/api/v1/runs", sequence=failed["sequence"])["runs"] == [failed]
    assert ask(client, f"/api/v1/runs/{failed['run']}")["runs"] == [failed]
    told = ask(client, "/api/v1/explain", sequence=failed["sequence"])
    assert told["runs"] == [failed]
    assert told["explanation"][-1].startswith(f"run {failed['run']}: ")


def test_the_configuration_in_force_is_shown_without_secrets(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Every setting with its value, with an ETag that changes with what it says."""
    hook = "https://hooks.example.net/T0/very-secret?key=geheim"
    filters = f"filters: [{{action: execute, webhooks: [{{url: '{hook}'}}]}}]\n"
    daemon = make_daemon("system: {log_format: json}\n" + filters).start()
    with connect(daemon) as client:
        answer = client.get("/api/v1/config")
        shown = answer.json()["configuration"]
        assert (shown["script_timeout"], shown["system"]["log_format"]) == (30.0, "json")
        assert "geheim" not in answer.text
        assert "very-secret" not in answer.text
        assert "https://hooks.example.net/..." in answer.text
        tag = answer.headers["ETag"]
        again = client.get("/api/v1/config", headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["ETag"]) == (304, tag)
        reload(daemon, 2)
        assert client.get("/api/v1/config").headers["ETag"] == tag
        daemon.config.write_text(daemon.config.read_text() + "script_timeout: 9s\n")
        reload(daemon, 3)
        changed = client.get("/api/v1/config")
        assert changed.headers["ETag"] != tag
        assert changed.json()["configuration"]["script_timeout"] == 9.0


@pytest.mark.parametrize(
    ("method", "path", "accept", "status", "words"),
    [
        ("GET", "/api/v1/nothing", "*/*", 404, "openapi.json has every path"),
        ("GET", "/api/v1/interfaces/eth9", "*/*", 404, "there is no interface 'eth9'"),
        ("GET", "/api/v1/runs/123456", "*/*", 404, "there is no run 123456"),
        ("DELETE", "/api/v1/status", "*/*", 405, "DELETE is not for this path"),
        ("GET", "/api/v1/status", "text/html", 406, "application/json"),
        ("GET", "/api/v1/events", "text/html", 406, "text/event-stream"),
        ("GET", "/api/v1/status?verbose=1", "*/*", 400, "unknown parameter 'verbose'"),
        ("GET", "/api/v1/interfaces?state=fine", "*/*", 400, "expected one of off, no-carrier"),
        ("GET", "/api/v1/routes?table=x", "*/*", 400, "table: expected all, default"),
        ("GET", "/api/v1/routes?limit=-1", "*/*", 400, "expected a number from 0"),
        ("GET", "/api/v1/routes?limit=1&limit=2", "*/*", 400, "given 2 times"),
        ("GET", "/api/v1/events?type=routabel", "*/*", 400, "did you mean routable?"),
        ("GET", "/api/v1/events?since=tomorrow&limit=1", "*/*", 400, "since: expected"),
        ("GET", "/api/v1/explain?sequence=1&event=off", "*/*", 400, "expected sequence, or"),
        ("GET", "/api/v1/live", "*/*", 426, "WebSocket"),
        ("GET", "/api/v1/events?" + "&".join(["a=1"] * 101), "*/*", 400, "at most 100"),
        ("GET", "/api/v1/events?" + "&".join(["type=*"] * 65), "*/*", 400, "at most 64"),
        ("POST", "/api/v1/hooks/resume", "*/*", 400, "path is needed"),
    ],
)  # fmt: skip
def test_refusals_are_problems(
    served: Daemon, client: httpx.Client,
    method: str, path: str, accept: str, status: int, words: str,
) -> None:  # fmt: skip
    """RFC 9457, with what was expected, and an address that the documentation has."""
    answer = client.request(method, path, headers={"Accept": accept})

    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words.lower() in problem["detail"].lower()
    document, _, anchor = problem["type"].partition("#")
    text = (Path(__file__).parent.parent.parent / document).read_text(encoding="utf-8")
    assert f"### {problem['title']}\n" in text
    assert anchor == problem["title"].lower().replace(" ", "-")
    if status == 405:
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_curl_is_answered(served: Daemon) -> None:
    """The client that everybody has."""
    done = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(find_socket(served)), "http://localhost/health"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "healthy"
