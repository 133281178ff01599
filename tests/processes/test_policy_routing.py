"""Policy routing of a whole daemon: two uplinks, two families, real connections from outside."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon
from tests.processes.uplinks import Uplinks

MakeDaemon = Callable[..., Daemon]

POLICY = """
system: {log_format: json}
network: {links: [eth0, eth1]}
routing: {policy: {enabled: true, resync: 5s}}
"""


def show_ours() -> list[str]:
    """Return every rule and route that is netevd's, as ip shows them."""
    found = []
    for family in ("-4", "-6"):
        for words in (["rule", "show"], ["route", "show", "table", "all"]):
            text = subprocess.run(
                ["ip", "-N", family, *words], check=True, capture_output=True, text=True
            ).stdout
            found += [
                f"{family} {' '.join(line.split())}"
                for line in text.splitlines()
                if "proto 110" in line
            ]
    return sorted(found)


def show_others() -> str:
    """Return every rule and route that is not netevd's."""
    text = ""
    for family in ("-4", "-6"):
        for words in (["rule", "show"], ["route", "show", "table", "all"]):
            shown = subprocess.run(
                ["ip", "-N", family, *words], check=True, capture_output=True, text=True
            ).stdout
            text += "".join(line + "\n" for line in shown.splitlines() if "proto 110" not in line)
    return text


@pytest.fixture
def uplinks(make_daemon: MakeDaemon) -> Iterator[Uplinks]:
    """Return two uplinks of this namespace, in different subnets."""
    with Uplinks() as made:
        wait_for(lambda: made.reached() == made.primary or None, "answers of the primary alone")
        yield made


def wait_complete(uplinks: Uplinks) -> list[str]:
    """Return the rules and routes of netevd once both uplinks answer from outside."""
    wait_for(lambda: len(show_ours()) >= 10 or None, "rules and routes")
    return show_ours()


def test_nothing_is_left_behind_where_that_is_wanted(
    make_daemon: MakeDaemon, uplinks: Uplinks
) -> None:
    """With on_exit: remove, the kernel is after the daemon as it was before it."""
    before = show_others()
    daemon = make_daemon(POLICY.replace("resync: 5s", "on_exit: remove")).start()
    wait_for(lambda: len(show_ours()) >= 10 or None, "rules and routes")

    assert daemon.stop() == 0
    assert show_ours() == []
    assert show_others() == before


def test_both_addresses_answer_from_outside(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """
    Connections to either address are answered by the link they came over, in both families; before
    netevd only those of the primary were.
    """
    daemon = make_daemon(POLICY).start()
    before = show_others()

    wait_for(lambda: uplinks.reached() == uplinks.all or None, "answers over both uplinks")
    assert daemon.stop() == 0
    assert show_others() == before
    assert uplinks.reached() == uplinks.all  # on_exit: keep
