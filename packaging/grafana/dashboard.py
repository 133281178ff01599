"""
Writes netevd.json, the dashboard for Grafana: `python3 packaging/grafana/dashboard.py`.

The JSON of one panel is long and says little; what differs between panels stands here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("netevd.json")
WIDTH = 24
"""Columns of Grafana's grid."""

CHOSEN = 'instance=~"$instance"'
LINKS = f'{CHOSEN},interface=~"$interface"'
INTERFACES = (
    f"netevd_interface_state{{{LINKS}}} * on (instance, interface)"
    f" group_left (kind, ifindex) netevd_interface_info{{{LINKS}}}"
)
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Query = tuple[str, str]
"""PromQL, and the legend of each of its series."""
Panel = dict[str, Any]


def _panel(kind: str, title: str, text: str, queries: list[Query], unit: str, width: int) -> Panel:
    instant = kind in {"stat", "table"}
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "gridPos": {"w": width, "h": 4 if kind == "stat" else 8},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "exemplar": "_bucket" in expression,
                **({"format": "table"} if kind == "table" else {}),
            }
            for place, (expression, legend) in enumerate(queries)
        ],
    }


def _stat(title: str, text: str, expression: str, unit: str = "none", legend: str = "") -> Panel:
    panel = _panel("stat", title, text, [(expression, legend)], unit, 4)
    panel["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    if legend:
        panel["options"]["textMode"] = "name"
    return panel


def _graph(title: str, text: str, *queries: Query, unit: str = "short") -> Panel:
    return _panel("timeseries", title, text, list(queries), unit, 12)


def _rate(metric: str, labels: str, chosen: str = CHOSEN) -> str:
    return f"sum by ({labels}) (rate({metric}{{{chosen}}}[$__rate_interval]))"


def _share(share: float, metric: str, labels: str = "") -> str:
    by = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', by)})"


ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Now",
        [
            _stat("Uptime", "Since the daemon was started; reloads do not count.",
                  f"time() - netevd_start_time_seconds{{{CHOSEN}}}", "s"),
            _stat("Version", "Of the worker that answers.",
                  f"netevd_build_info{{{CHOSEN}}}", legend="{{version}}"),
            _stat("Configuration", "1: the file that was read last is in force.",
                  f"min(netevd_config_last_reload_successful{{{CHOSEN}}})"),
            _stat("Health", "Checks that pass, in per cent.",
                  f'avg(sum by (instance, check) (netevd_health_check{{{CHOSEN},status="pass"}})'
                  f" or 0 * sum by (instance, check) (netevd_health_check{{{CHOSEN}}}))", "percentunit"),
            _stat("Scripts that wait", "For their interface, their mutex or their next attempt.",
                  f"sum(netevd_runs_waiting{{{CHOSEN}}})"),
            _stat("Scripts paused", "Since they failed too often in a row.",
                  f"sum(netevd_scripts_paused{{{CHOSEN}}})"),
        ],
    ),
    (
        "Network",
        [
            _panel("table", "Interfaces", "Each with its operational state.",
                   [(INTERFACES, "")], "none", 12),
            _graph("Interfaces by state", "All of them, also those without series of their own.",
                   (f"sum by (state) (netevd_interfaces_total{{{CHOSEN}}})", "{{state}}")),
            _graph("Events by type", "A second.",
                   (_rate("netevd_events_total", "type", LINKS), "{{type}}"), unit="ops"),
            _graph("Events by interface", "A second.",
                   (_rate("netevd_events_total", "interface", LINKS), "{{interface}}"), unit="ops"),
            _graph("Routes and rules", "Routes of the tables that are watched; rules whoever made them.",
                   (f"sum(netevd_routes{{{CHOSEN}}})", "routes"),
                   (f"sum(netevd_rules{{{CHOSEN}}})", "rules"),
                   (f"sum(netevd_routing_rules_total{{{CHOSEN}}})", "rules of netevd")),
            _graph("Policy routing", "What it has told, within an hour.",
                   (f"sum by (result) (increase(netevd_routing_reconciles_total{{{CHOSEN}}}[1h]))", "{{result}}")),
            _graph("WireGuard peers", "By what their handshakes say.",
                   (f"sum by (state) (netevd_wireguard_peers{{{LINKS}}})", "{{state}}")),
            _graph("Verdicts and debounce", "What filters said, and what debounce held back, a second.",
                   (_rate("netevd_filter_verdicts_total", "verdict"), "{{verdict}}"),
                   (_rate("netevd_debounced_events_total", "result"), "{{result}}"), unit="ops"),
        ],
    ),
    (
        "Scripts",
        [
            _graph("Runs by result", "A second.",
                   (_rate("netevd_runs_total", "result"), "{{result}}"), unit="ops"),
            _graph("Failures by script", "Attempts a second; retries are attempts too.",
                   (_rate("netevd_script_failures_total", "script"), "{{script}}"),
                   (_rate("netevd_run_retries_total", "instance"), "retries on {{instance}}"), unit="ops"),
            _graph("Duration by script", "Half of the attempts are shorter, and 99 of 100.",
                   (_share(0.5, "netevd_script_duration_seconds", "script"), "{{script}} p50"),
                   (_share(0.99, "netevd_script_duration_seconds", "script"), "{{script}} p99"), unit="s"),
            _graph("Scripts at the same time", "Those that run, and those that wait.",
                   (f"sum(netevd_scripts_running{{{CHOSEN}}})", "run"),
                   (f"sum(netevd_runs_waiting{{{CHOSEN}}})", "wait")),
            _graph("Leftovers", "Processes that scripts left behind and that were killed, a second.",
                   (_rate("netevd_script_leftover_processes_total", "instance"), "{{instance}}"), unit="ops"),
            _graph("Event to script", "From the kernel's message to the script's start.",
                   (_share(0.5, "netevd_event_to_script_seconds"), "p50"),
                   (_share(0.99, "netevd_event_to_script_seconds"), "p99"), unit="s"),
        ],
    ),
    (
        "The daemon",
        [
            _graph("Event to decision", "By type, for 99 of 100 events.",
                   (_share(0.99, "netevd_event_duration_seconds", "type"), "{{type}}"), unit="s"),
            _graph("Processes that died", "Within an hour.",
                   (f"sum by (role) (increase(netevd_process_restarts_total{{{CHOSEN}}}[1h]))", "{{role}}")),
            _graph("Overruns and resyncs", "Messages that the kernel dropped, and what was read again; within an hour.",
                   (f"sum by (source) (increase(netevd_netlink_overruns_total{{{CHOSEN}}}[1h]))", "overruns of {{source}}"),
                   (f"sum by (source) (increase(netevd_netlink_resyncs_total{{{CHOSEN}}}[1h]))", "resyncs of {{source}}")),
            _graph("Requests to the helper", "A second.",
                   (_rate("netevd_helper_requests_total", "verb, result"), "{{verb}} {{result}}"), unit="ops"),
            _graph("Reloads", "Within an hour.",
                   (f"sum by (result) (increase(netevd_config_reloads_total{{{CHOSEN}}}[1h]))", "{{result}}")),
            _graph("Clients", "Connections that are open, and readers of the stream.",
                   (f"sum by (listener) (netevd_http_connections{{{CHOSEN}}})", "{{listener}}"),
                   (f"sum(netevd_stream_clients{{{CHOSEN}}})", "stream")),
            _graph("Answers", "By status, a second; scrapes are not among them.",
                   (_rate("netevd_http_requests_total", "code"), "{{code}}"), unit="ops"),
            _graph("Series that had no place", "A second; see metrics.max_series.",
                   (_rate("netevd_metrics_series_dropped_total", "group"), "{{group}}"), unit="ops"),
        ],
    ),
]  # fmt: skip


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # whenever the range of time changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def make() -> dict[str, Any]:
    """Return the dashboard."""
    panels: list[Panel] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {"type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        )
        y, x = y + 1, 0
        for panel in row:
            place = panel["gridPos"]
            if x + place["w"] > WIDTH:
                y, x = y + place["h"], 0
            panels.append({**panel, "gridPos": {"x": x, "y": y, **place}})
            x += place["w"]
        y += row[-1]["gridPos"]["h"]
    return {
        "uid": "netevd",
        "title": "netevd",
        "tags": ["netevd", "network"],
        "schemaVersion": 38,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "graphTooltip": 1,  # one line over all graphs
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("instance", "Host", "label_values(netevd_build_info, instance)"),
                _variable("interface", "Interface",
                          f"label_values(netevd_interface_info{{{CHOSEN}}}, interface)"),
            ]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }  # fmt: skip


def write_out() -> str:
    """Return the file's text."""
    return json.dumps(make(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(write_out(), encoding="utf-8")
