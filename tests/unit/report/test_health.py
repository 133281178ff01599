"""What vital signs amount to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve

from netevd.core.backends import Presence
from netevd.core.insight import StuckRun
from netevd.report.health import Silence, Vitals, find_status, judge, show_readiness
from netevd.report.view import View

WELL = Vitals(started=True, runners=2)
REFERENCE = Path(__file__).resolve().parents[3] / "docs/reference"


class _View:
    """What `judge` asks."""

    backends: tuple[Presence, ...] = ()
    refusals: list[str] = []

    def get_uptime(self) -> float:
        return 1.5

    def count_interfaces(self) -> int:
        return 3

    def count_owned_rules(self) -> int:
        return 0

    def get_backends(self) -> tuple[Presence, ...]:
        return self.backends

    def get_refusals(self) -> list[str]:
        return self.refusals


def check(vitals: Vitals) -> tuple[str, dict[str, str]]:
    """Return the status, and the status of each check that did not pass."""
    view: View = _View()  # type: ignore[assignment]
    health = judge(view, vitals)
    found = {name: each["status"] for name, each in health["checks"].items()}
    assert find_status(health["checks"]) == health["status"]
    return health["status"], {name: each for name, each in found.items() if each != "pass"}


@pytest.mark.parametrize(
    ("vitals", "status", "troubles"),
    [
        (WELL, "healthy", {}),
        (evolve(WELL, started=False), "unhealthy", {"backend": "fail"}),
        (evolve(WELL, loss="the receive buffer was full"), "degraded", {"netlink": "warn"}),
        (evolve(WELL, silences=(Silence("helper", None),)), "unhealthy", {"netlink": "fail"}),
        (evolve(WELL, silences=(Silence("runner 3", 4.0),)), "unhealthy", {"runners": "fail"}),
        (evolve(WELL, stuck=(StuckRun(7, "/a", "its end after KILL"),)), "unhealthy",
         {"lanes": "fail"}),
        (evolve(WELL, full_lanes=1), "degraded", {"lanes": "warn"}),
        (evolve(WELL, problems=("a:1:1: b", "c")), "degraded", {"configuration": "warn"}),
        (evolve(WELL, storage="no space"), "degraded", {"journal": "warn"}),
        (evolve(WELL, truncated=True), "degraded", {"journal": "warn"}),
        (evolve(WELL, audit="no space"), "degraded", {"audit": "warn"}),
        (evolve(WELL, sandbox="log"), "degraded", {"sandbox": "warn"}),
        (evolve(WELL, sandbox="off"), "degraded", {"sandbox": "warn"}),
        (evolve(WELL, landlock=7), "healthy", {}),
    ],
)  # fmt: skip
def test_each_sign_has_its_check(vitals: Vitals, status: str, troubles: dict[str, str]) -> None:
    """One that fails is no health, one that warns is less than it should be."""
    assert check(vitals) == (status, troubles)


def test_every_check_stands_on_both_pages() -> None:
    """The table of health and the values of the metric's label are the checks, in their order."""
    view: View = _View()  # type: ignore[assignment]
    names = list(judge(view, WELL)["checks"])
    health = (REFERENCE / "http.md").read_text(encoding="utf-8").partition("\n## Health\n")[2]
    metrics = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    label = re.search(r"^\| `check` \| a check of `GET /health`: ([^;]+);", metrics, re.MULTILINE)

    assert re.findall(r"^\| `(\w+)` \|", health.partition("\n## ")[0], re.MULTILINE) == names
    assert label is not None
    assert re.findall(r"`(\w+)`", label[1]) == names


def test_readiness_is_about_events_alone() -> None:
    """Ready is whoever tells of changes, however its scripts fare."""
    assert show_readiness(WELL)["status"] == "ready"
    assert show_readiness(evolve(WELL, full_lanes=9, problems=("x",)))["status"] == "ready"
    assert show_readiness(evolve(WELL, started=False))["status"] == "not ready"
    assert show_readiness(evolve(WELL, silences=(Silence("helper", 3.0),)))["status"] == "not ready"


@pytest.mark.parametrize(
    ("backends", "refusals", "status"),
    [
        ((Presence("systemd-networkd", True, "252", "", False),), [], "pass"),
        (
            (Presence("systemd-networkd", False, "", "it is not on the system bus", False),),
            [],
            "pass",
        ),
        (
            (Presence("systemd-networkd", False, "", "it is not on the system bus", True),),
            [],
            "warn",
        ),
        ((Presence("systemd-networkd", False, "252", "it has left the bus", False),), [], "warn"),
        ((), ["systemd-resolved was not told: no"], "warn"),
    ],
)
def test_backends(backends: tuple[Presence, ...], refusals: list[str], status: str) -> None:
    """One that is wanted, or was there, is missed; a service that refuses is told of."""
    view = _View()
    view.backends, view.refusals = backends, refusals

    assert judge(view, WELL)["checks"]["backends"]["status"] == status  # type: ignore[arg-type]
