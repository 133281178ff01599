"""debounce and scripts.damping in a file: what is read, what is refused and where."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration, Damping, Debounce, Override, Scripts

Write = Callable[..., str]

SEED = """\
debounce:
  enabled: true
  window: 5s        # Wait 5s after first event
  max_events: 10    # Or until 10 events
"""
"""The example that the feature was asked for with."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file below a directory of the test and returns its path."""

    def write_file(text: str, name: str = "netevd.yaml") -> str:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write_file


def _configuration(path: str) -> Configuration:
    loaded = load(path, {})
    assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
    return loaded.configuration


def _problems(path: str) -> list[str]:
    """Return the problems of a file without its directory."""
    loaded = load(path, {})
    assert isinstance(loaded, list), loaded
    return [str(problem).replace(os.path.dirname(path) + "/", "") for problem in loaded]


def test_the_seed_example_is_read(write: Write) -> None:
    """It loads as it stands, and is no default."""
    assert _configuration(write(SEED)).debounce == Debounce(True, 5.0, 10, True, ())
    assert not Configuration().debounce.enabled


def test_every_key_is_read(write: Write) -> None:
    """All keys with all their spellings become one value, which survives the way to the worker."""
    configuration = _configuration(
        write("""
            debounce:
              enabled: true
              window: 250ms
              max_events: 3
              net_effect: false
              overrides:
                - {interface_pattern: "wlan*", event_type: [carrier, "address-*"], window: 0s}
                - {max_events: 1, net_effect: true, up: 0ms, down: 1.5s}
                - {}
            scripts:
              damping: {enabled: true, half_life: 15s, suppress: 3000, reuse: 750, max_suppress: 1m}
            """)
    )

    assert configuration == Configuration(
        debounce=Debounce(
            True, 0.25, 3, False,
            (
                Override("wlan*", ("carrier", "address-*"), 0.0),
                Override(max_events=1, net_effect=True, up=0.0, down=1.5), Override(),
            ),
        ),
        scripts=Scripts(damping=Damping(True, 15.0, 3000, 750, 60.0)),
    )  # fmt: skip
    packed = msgspec.msgpack.encode(configuration)
    assert msgspec.msgpack.decode(packed, type=Configuration) == configuration


def test_overrides_of_all_files_are_one_list(write: Write) -> None:
    """The including file's come first; other keys of debounce are replaced."""
    write("debounce: {window: 1s, overrides: [{window: 2s}]}", "other.yaml")
    path = write("include: other.yaml\ndebounce: {window: 9s, overrides: [{window: 3s}]}")

    found = _configuration(path).debounce

    assert (found.window, [each.window for each in found.overrides]) == (1.0, [3.0, 2.0])


@pytest.mark.parametrize("text", ["debounce: ", "debounce: {overrides: }", "scripts: {damping: }"])
def test_nothing_is_the_default(write: Write, text: str) -> None:
    """What is written with nothing below it changes nothing."""
    assert _configuration(write(text)) == Configuration()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("debounce: 5s", "1:11: debounce: expected keys and values, found '5s'"),
        ("debounce: {windw: 5s}", "1:12: unknown key 'windw'; did you mean 'window'?"),
        ("debounce: {window: 0s}",
         "1:20: window: expected a duration from 1ms to one year, found '0s'"),
        ("debounce: {window: 5}", "1:20: window: the unit is missing; write 5s for seconds"),
        ("debounce: {max_events: 0}", "1:24: max_events: expected a number from 1 to 1000, found '0'"),
        ("debounce: {overrides: {}}", "1:23: overrides: expected a list, found a mapping"),
        ("debounce: {overrides: [{up: fast}]}",
         "1:29: up: expected a duration such as 250ms, 30s, 5m or 1h, found 'fast'"),
        ("debounce: {overrides: [{down: 0}]}", "1:31: down: the unit is missing; write 0s for seconds"),
        ("debounce: {overrides: [{event_type: carier}]}",
         "1:37: event_type: 'carier' is no event type; did you mean carrier?"),
        ("scripts: {damping: {reuse: 5000}}",
         "1:28: reuse: expected less than suppress, 5000, found 5000"),
        ("scripts: {damping: {suppress: 1000}}",
         "1:20: reuse: expected less than suppress, 1000, found 1500"),
        ("scripts: {damping: {half_life: 1h}}",
         ("1:20: max_suppress: the penalty never passes suppress, 5000, since more than 1684 would take"
          " longer than that to decay to reuse; make half_life shorter or max_suppress longer")),
    ],
)  # fmt: skip
def test_problem_has_place_and_advice(write: Write, text: str, expected: str) -> None:
    """What can't be meant is told with line, column, what was expected and what was found."""
    assert _problems(write(text)) == [f"netevd.yaml:{expected}"]
