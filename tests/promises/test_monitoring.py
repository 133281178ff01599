"""What is shipped for Prometheus and Grafana speaks of metrics that exist, and does what it says."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from netevd.report.families import FAMILIES

PACKAGING = Path(__file__).resolve().parent.parent.parent / "packaging"
PROMETHEUS = PACKAGING / "prometheus"

NAMES = {each.name for each in FAMILIES}
LABELS = {label for each in FAMILIES for label in each.labels} | {"instance", "job", "le"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not there (Debian package prometheus)"
)


def load_dashboard() -> Any:
    """Return the module that makes the dashboard."""
    path = PACKAGING / "grafana/dashboard.py"
    spec = importlib.util.spec_from_file_location("dashboard", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_names(expression: str) -> set[str]:
    """Return the metrics that an expression names, without the suffixes of a histogram's series."""
    found = re.findall(r"(?<![\w:])netevd_\w+", expression)
    histograms = {each.name for each in FAMILIES if each.kind == "histogram"}
    bare = {name: re.sub(r"_(bucket|count|sum)$", "", name) for name in found}
    return {bare[name] if bare[name] in histograms else name for name in found}


def find_labels(expression: str) -> set[str]:
    """Return the labels that an expression groups or chooses by."""
    grouped = re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expression)
    chosen = re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", expression)
    return {word.strip() for each in grouped for word in each.split(",")} | set(chosen)


def list_rules(file: str) -> list[dict[str, Any]]:
    """Return the rules of a file of Prometheus."""
    content = YAML(typ="safe").load(PROMETHEUS / file)
    return [rule for group in content["groups"] for rule in group["rules"]]


EXPRESSIONS = [
    *(target["expr"] for panel in load_dashboard().make()["panels"] for target in panel.get("targets", ())),
    *(rule["expr"] for file in ("alerts.yaml", "recording.yaml") for rule in list_rules(file)),
]  # fmt: skip


def test_the_dashboard_is_what_its_script_makes() -> None:
    """Nobody has edited the JSON by hand."""
    dashboard = load_dashboard()

    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.write_out()


def test_every_metric_and_label_exists() -> None:
    """In each panel, alert and recording rule, and in the dashboard's variables."""
    variables = [
        each["query"]["query"]
        for each in load_dashboard().make()["templating"]["list"]
        if each["type"] == "query"
    ]
    assert len(EXPRESSIONS) > 40
    for expression in [*EXPRESSIONS, *variables]:
        assert find_names(expression) <= NAMES, expression
        assert find_labels(expression) <= LABELS, expression


def test_a_name_that_does_not_exist_would_be_found() -> None:
    """The two functions that the test above stands on."""
    expression = 'sum by (host, le) (rate(netevd_no_such_seconds_bucket{nic="a"}[5m]))'
    assert find_names(expression) == {"netevd_no_such_seconds_bucket"}
    assert find_labels(expression) == {"host", "le", "nic"}


def test_every_alert_is_tested() -> None:
    """Silent once and firing once at least, by the names in alerts_test.yaml."""
    tests = YAML(typ="safe").load(PROMETHEUS / "alerts_test.yaml")["tests"]
    cases = [case for each in tests for case in each["alert_rule_test"]]
    alerts = {rule["alert"] for rule in list_rules("alerts.yaml")}

    assert {case["alertname"] for case in cases if "exp_alerts" in case} == alerts
    assert {case["alertname"] for case in cases if "exp_alerts" not in case} == alerts


def test_every_alert_stands_on_the_page() -> None:
    """docs/prometheus.md says when each fires, in the order of the file."""
    text = (PACKAGING.parent / "docs/prometheus.md").read_text(encoding="utf-8")

    named = re.findall(r"^\| (Netevd\w+) \|", text, re.MULTILINE)
    assert named == [rule["alert"] for rule in list_rules("alerts.yaml")]


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ["check", "config", "prometheus.yaml"],
        ["check", "rules", "alerts.yaml", "recording.yaml"],
        ["test", "rules", "alerts_test.yaml"],
    ],
    ids=" ".join,
)
def test_promtool_is_content(words: list[str]) -> None:
    """Files are valid, and each alert fires when it should and not before."""
    done = subprocess.run(
        ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
