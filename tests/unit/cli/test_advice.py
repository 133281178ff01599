"""What `netevd validate` doubts about rules."""

from __future__ import annotations

import pytest

from netevd.cli.advice import find_doubts
from netevd.config.load import Loaded, load
from tests.unit.cli.rig import Place, place

__all__ = ["place"]


def _doubts(place: Place, rules: str) -> list[str]:
    """Return the doubts about rules, without file and directory."""
    loaded = load(place.configure(f"  rules: {rules}"), {})
    assert isinstance(loaded, Loaded), loaded
    return [
        f"{doubt.place.column}: {doubt.message}".replace(str(place.scripts), "DIR")
        for doubt in find_doubts(loaded, str(place.config))
        if doubt.place.line == 3
    ]


def test_a_rule_that_fits_is_not_doubted(place: Place) -> None:
    """A script that is there and a rule that says something are fine."""
    path = place.script("#!/bin/sh\n")

    assert _doubts(place, f"[{{path: {path}, mutex: m, user: root}}]") == []


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ("", "path: this rule changes nothing about DIR/routable.d/10-test"),
        (", capabilities: ~, limits: {}", "path: this rule changes nothing about"),
        (", retry_delay: 1s", "path: this rule changes nothing about"),
        (", mutex: m, retry_delay: 1s", "retry_delay: nothing is tried again without retries"),
        (", user: no-such-user", "user: there is no system user 'no-such-user'; make it with"),
    ],
)  # fmt: skip
def test_a_rule_that_can_not_be_meant_is_doubted(place: Place, more: str, doubt: str) -> None:
    """What changes nothing, or names what is not there, is told."""
    path = place.script("#!/bin/sh\n")

    (found,) = _doubts(place, f"[{{path: {path}{more}}}]")

    assert found.split(": ", maxsplit=1)[1].startswith(doubt)


@pytest.mark.parametrize(
    ("path", "doubt"),
    [
        ("DIR/routable.d/20-other", "is not there"),
        ("DIR/routeable.d/10-test",
         "is never run: 'routeable.d' is no directory of an event type; did you mean routable.d?"),
        ("DIR/xyzzy.d/10-test", "is never run: 'xyzzy.d' is no directory of an event type"),
        ("/opt/routable.d/10-test",
         "is never run: scripts stand in DIR/TYPE.d and /usr/lib/netevd/TYPE.d"),
        ("DIR/10-test", "is never run: scripts stand in DIR/TYPE.d and /usr/lib/netevd/TYPE.d"),
        ("/usr/lib/netevd/routable.d/no-such-script", "is not there"),
    ],
)  # fmt: skip
def test_a_rule_for_a_script_that_no_event_runs_is_doubted(
    place: Place, path: str, doubt: str
) -> None:
    """A rule's path is held against the script directories."""
    place.script("#!/bin/sh\n")

    found = _doubts(place, f"[{{path: {path.replace('DIR', str(place.scripts))}, mutex: m}}]")

    assert found == [f"18: path: {path} {doubt}"]


@pytest.mark.parametrize(
    ("beside", "command"),
    [
        (False, "mv DIR/routeable.d DIR/routable.d"),
        (True, "mv -n DIR/routeable.d/* DIR/routable.d && rmdir DIR/routeable.d"),
    ],
)
def test_scripts_of_a_mistyped_directory_are_moved(
    place: Place, beside: bool, command: str
) -> None:
    """The command that is told never moves one directory into the other."""
    (place.scripts / "routeable.d").mkdir()
    if beside:
        (place.scripts / "routable.d").mkdir()
    loaded = load(place.configure(user="nobody"), {})
    assert isinstance(loaded, Loaded), loaded

    (doubt,) = find_doubts(loaded, str(place.config))

    assert doubt.message.endswith(
        f"did you mean routable.d? Mend it with: {command}".replace("DIR", str(place.scripts))
    )
