"""A configuration as the API shows it, as a file has it, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from netevd.cli.failure import Failure
from netevd.cli.output import format_yaml
from netevd.cli.settings import Change, compare, restore, veil, write
from netevd.config.hiding import hide
from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration

TEXT = """
system: {log_level: debug}
network: {links: "eth* !eth9"}
script_timeout: 250ms
scripts:
  output_limit: 128KiB
  rules:
    - {path: /etc/netevd/routable.d/vpn, user: root, timeout: 90s, limits: {memory: 1GiB}}
    - {path: /etc/netevd/off.d/note, retries: 3}
routing:
  policy: {enabled: true, families: ipv6, resync: 90s, mark_mask: 0xff00}
  rules: [{priority: 20010, from: 10.8.0.0/16, fwmark: 0x10/0xff, table: 200}, {priority: 20011, iif: eth0, table: main}]
debounce: {enabled: true, overrides: [{event_type: carrier, window: 0s}]}
filters:
  - {match: {interface_pattern: "eth*", condition: "mtu > 1500"}, action: ignore}
  - {action: log}
"""


def _load(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "netevd.yaml"
    path.write_text(text)
    loaded = load(str(path), {})
    assert isinstance(loaded, Loaded), loaded
    return loaded.configuration


def _plain(configuration: Configuration) -> Configuration:
    """Return the same without the places where filters are written."""
    filters = tuple(
        attrs.evolve(each, origin=type(each.origin)()) for each in configuration.filters
    )
    return attrs.evolve(configuration, filters=filters)


def test_what_the_api_shows_is_the_configuration(tmp_path: Path) -> None:
    """Nothing is lost on the way over JSON."""
    configuration = _load(tmp_path, TEXT)

    assert restore({"configuration": msgspec.to_builtins(configuration)}) == configuration


def test_other_version_is_told_and_no_traceback() -> None:
    """A daemon with settings of other types is a failure that says so."""
    with pytest.raises(Failure, match="another version of netevd"):
        restore({"configuration": {"script_timeout": "soon"}})
    with pytest.raises(Failure, match="another version of netevd"):
        restore({})


def test_what_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    """`show config` prints a file that gives the configuration that it shows."""
    configuration = _load(tmp_path, TEXT)
    again = _load(tmp_path, format_yaml(write(configuration)))

    assert _plain(again) == _plain(configuration)
    assert write(configuration)["script_timeout"] == "250ms"
    assert write(configuration)["scripts"]["output_limit"] == "128KiB"


@pytest.mark.parametrize(
    ("old", "new", "path", "before", "after"),
    [
        ("250ms", "10s", "script_timeout", "250ms", "10s"),
        ("eth* !eth9", "wan", "network.links", ["eth*", "!eth9"], ["wan"]),
        ("timeout: 90s", "timeout: 2m", "scripts.rules.0.timeout", "90s", "120s"),
        ("memory: 1GiB", "memory: 2GiB", "scripts.rules.0.limits.memory", "1GiB", "2GiB"),
        ("user: root, ", "", "scripts.rules.0.user", "root", None),
        ("- {action: log}\n", "", "filters.1", {"action": "log"}, None),
        ("system: {log_level: debug}", "", "system.log_level", "debug", "info"),
    ],
)
def test_each_difference_is_told_by_its_key(
    old: str, new: str, path: str, before: Any, after: Any, tmp_path: Path
) -> None:
    """With its values as a file has them, and nothing else."""
    assert old in TEXT
    running, wanted = _load(tmp_path, TEXT), _load(tmp_path, TEXT.replace(old, new))

    assert list(compare(running, wanted)) == [Change(tuple(path.split(".")), before, after)]


def test_entry_at_the_front_does_not_change_those_behind_it(tmp_path: Path) -> None:
    """A new rule or filter is one difference, also where lines and numbers of others move."""
    text = TEXT.replace("filters:\n", "filters:\n  - {match: {kind: veth}, action: log}\n")

    found = list(compare(_load(tmp_path, TEXT), _load(tmp_path, text)))

    assert [(each.path, each.before) for each in found] == [(("filters", "0"), None)]


def test_secrets_are_neither_shown_nor_told_as_a_difference(tmp_path: Path) -> None:
    """The API leaves out what stands behind a webhook's host; the file's is left out as well."""
    text = TEXT.replace(
        "- {action: log}\n", "- {action: execute, webhooks: [{url: https://example.net/key}]}\n"
    )
    configuration = _load(tmp_path, text)
    shown = restore({"configuration": hide(msgspec.to_builtins(configuration))})

    assert "key" not in repr(list(compare(shown, _load(tmp_path, TEXT))))
    assert list(compare(shown, veil(configuration))) == []
