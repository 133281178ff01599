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


def _doubts_of(place: Place, text: str) -> list[str]:
    """Return the doubts about these top-level settings, by line within them."""
    loaded = load(place.configure(f"  concurrency: 8\n{text}"), {})
    assert isinstance(loaded, Loaded), loaded
    before = place.config.read_text().split(text, maxsplit=1)[0].count("\n")
    return [
        f"{doubt.place.line - before}: {doubt.message}".replace(str(place.path), "DIR")
        for doubt in find_doubts(loaded, str(place.config))
        if doubt.place.line > before
    ]


CHANGES_NOTHING = "filters: changes nothing: an event that no filter matches executes too"


def test_filters_that_say_something_are_not_doubted(place: Place) -> None:
    """Exceptions before a rule, scripts of their own, different matches."""
    path = place.script("#!/bin/sh\n")

    assert (
        _doubts_of(
            place,
            f"""filters:
- {{match: {{interface: a}}, action: execute}}
- {{match: {{interface_pattern: a*}}, action: ignore}}
- {{match: {{interface: b, condition: up}}, action: log}}
- {{match: {{interface: b}}, action: execute, scripts: [{path}]}}
""",
        )
        == []
    )


@pytest.mark.parametrize(
    ("text", "doubts"),
    [
        ("filters:\n- {action: log}\n- {match: {kind: veth}, action: ignore}\n",
         ["3: filters: never asked: the filter at DIR/netevd.yaml:5 matches all of its events"]),
        ("filters:\n- {match: {kind: a}, action: log}\n- {match: {kind: a, condition: up}, action: ignore}\n",
         ["3: filters: never asked: the filter at DIR/netevd.yaml:5 matches all of its events"]),
        ("filters:\n- {match: {kind: a}, action: execute}\n", [f"2: {CHANGES_NOTHING}"]),
        ("filters:\n- {match: {kind: a}, action: log}\n- {match: {kind: b}, action: execute}\n",
         [f"3: {CHANGES_NOTHING}"]),
        ("filters:\n- action: execute\n  scripts: [/usr/lib/netevd/off.d/no-such-script]\n",
         ["3: scripts: /usr/lib/netevd/off.d/no-such-script is not there"]),
        ("debounce: {window: 3s}\n", ["1: debounce: has no effect without debounce.enabled: true"]),
        ("debounce: {window: 3s, enabled: false}\n", []),
        ("debounce: {window: 3s, enabled: true}\n", []),
    ],
)  # fmt: skip
def test_settings_that_can_not_be_meant_are_doubted(
    place: Place, text: str, doubts: list[str]
) -> None:
    """What changes no outcome, and scripts that are not there."""
    place.script("#!/bin/sh\n")

    assert _doubts_of(place, text) == doubts
