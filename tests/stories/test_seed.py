"""The examples that filters and debounce were asked for with, as they stand, in an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from netevd.model.actions import Publish, StartRun
from tests.stories.configurations import NO_ROUTES
from tests.stories.playbook import NOTHING, Play, Playbook, finished, has, seen, show
from tests.unit.config.test_debounce import SEED as DEBOUNCE
from tests.unit.config.test_filters import SEED as FILTERS

QUICK_WINS = """\
script_timeout: 30s  # Kill scripts after 30 seconds
system:
  log_format: "json"  # or "text"
network:
  links: "${MONITOR_INTERFACES:-eth0 eth1}"
include:
  - /etc/netevd/conf.d/*.yaml
"""
"""The examples of timeout, log format, environment and include, one below the other."""


@pytest.mark.parametrize(
    ("environment", "links"),
    [({}, ("eth0", "eth1")), ({"MONITOR_INTERFACES": "wan lan0 lan1"}, ("wan", "lan0", "lan1"))],
)
def test_quick_wins_work(
    tmp_path: Path, environment: dict[str, str], links: tuple[str, ...]
) -> None:
    """They are read as they stand, beside each other, and mean what they say."""
    if any(Path("/etc/netevd/conf.d").glob("*.yaml")):
        pytest.skip("this machine has files that the example includes")
    path = tmp_path / "netevd.yaml"
    path.write_text(QUICK_WINS, encoding="utf-8")

    loaded = load(str(path), environment)

    assert isinstance(loaded, Loaded), loaded
    found = loaded.configuration
    assert (found.script_timeout, found.system.log_format) == (30.0, "json")
    assert found.network.links == links


def read(path: Path, text: str) -> Configuration:
    """Return the configuration of a file with this text, without routes."""
    path.write_text(text, encoding="utf-8")
    loaded = load(str(path), {})
    assert isinstance(loaded, Loaded)
    return evolve(loaded.configuration, routes=NO_ROUTES)


def test_filters_work(play: Play, tmp_path: Path) -> None:
    """eth* with IPv4 runs its one script, docker* nothing, and all others what they have."""
    story = play(read(tmp_path / "netevd.yaml", FILTERS))
    links = ("eth0", "docker0", "wg0")
    story.begin(*(seen(name, index, dump=1) for index, name in enumerate(links, 2)))
    custom, other = "/etc/netevd/routable.d/custom.sh", "/etc/netevd/routable.d/other"
    story.with_scripts(other, custom)

    (
        story
        >> has("192.0.2.1/24", 2)
        << f"""
        4 eth0 address-added 192.0.2.1
        5 eth0 address-usable 192.0.2.1
        6 eth0 routable
        start 1: {custom} for 6
        """
    )
    assert get_reasons(story)[-1] == "filter 1 (netevd.yaml:2): action execute"
    story.fill(finished(1), has("192.0.2.2/24", 3))
    assert set(get_reasons(story)) == {"filter 2 (netevd.yaml:10): action ignore"}
    story.fill(has("192.0.2.3/24", 4))
    assert get_reasons(story)[-1] == "no filter matched: action execute", "there is no gateway"
    assert show(story.actions).splitlines()[-1] == f"start 2: {other} for 12"


def get_reasons(story: Playbook) -> list[str]:
    """Return the reason of the verdict on each event of the last input."""
    return [each.verdict.reason for each in story.actions if isinstance(each, Publish)]


def test_debounce_works(play: Play, tmp_path: Path) -> None:
    """A hundred changes of a flapping link run ten scripts, and a single one runs after 5 s."""
    story = play(read(tmp_path / "netevd.yaml", DEBOUNCE))
    story.begin(seen("eth0", 2, dump=1))
    story.with_scripts("/etc/netevd/link-changed.d/a")
    started = 0
    for number in range(100):
        story.fill(seen("eth0", 2, mtu=1000 + number))
        if any(isinstance(each, StartRun) for each in story.actions):
            started += 1
            story.fill(finished(started))
    assert started == 10

    story.fill(seen("eth0", 2, mtu=999))
    story >> 4.999 << NOTHING
    story >> 0.001 << "start 11: /etc/netevd/link-changed.d/a for 102"
