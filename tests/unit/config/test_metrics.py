"""metrics in a file: what is read, what is refused and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from netevd.config.load import Loaded, load
from netevd.config.reader import _list_listeners as list_listeners
from netevd.config.schema import Configuration, MetricsSettings


def read(tmp_path: Path, text: str) -> Configuration | list[str]:
    """Return the configuration of a file, or its problems without the directory."""
    path = tmp_path / "netevd.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load(str(path), {})
    if isinstance(loaded, Loaded):
        return loaded.configuration
    return [str(problem).replace(f"{tmp_path}/", "") for problem in loaded]


def list_places(tmp_path: Path, text: str) -> list[tuple[str, str, int]]:
    """Return where clients are to be served by the text of a file."""
    found = read(tmp_path, text)
    assert isinstance(found, Configuration), found
    return [(each.kind, each.address, each.port) for each in list_listeners(found)]


def test_every_key_is_read(tmp_path: Path) -> None:
    """Each with its own spelling."""
    found = read(
        tmp_path,
        "metrics: {enabled: false, port: 9100, bind_address: [127.0.0.1, '::1'],"
        " interfaces: 'eth* !eth9', max_series: 500}",
    )
    assert isinstance(found, Configuration)
    assert found.metrics == MetricsSettings(
        False, 9100, ("127.0.0.1", "::1"), ("eth*", "!eth9"), 500
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_series: 99", "expected a number from 100 to 10000, found '99'"),
        ("port: 0", "expected a number from 1 to 65535, found '0'"),
        ("port: 9090", "port: the API has 9090, and serves /metrics too; leave it out, or take another"),
        ("bind_address: 127.0.0.2", "bind_address: nothing listens there without metrics.port"),
        (
            "{port: 9100, bind_address: 0.0.0.0}",
            "bind_address: others reach 0.0.0.0, and could read tokens on their way",
        ),
    ],
)  # fmt: skip
def test_problem_has_place_and_advice(tmp_path: Path, text: str, expected: str) -> None:
    """One problem, at the file's own line."""
    found = read(tmp_path, f"metrics: {text}" if text[0] == "{" else f"metrics:\n  {text}")

    assert isinstance(found, list)
    (problem,) = found
    assert problem.startswith("netevd.yaml:")
    assert expected in problem


def test_the_port_is_where_the_api_is_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    """And nowhere without metrics; the API's own port has nothing to do with it."""
    api = ("api", "127.0.0.1", 9090)
    metrics = ("metrics", "127.0.0.1", 9100)
    assert list_places(tmp_path, "metrics: {port: 9100}") == [api, metrics]
    assert list_places(tmp_path, "metrics: {port: 9100, enabled: false}") == [api]
    assert list_places(tmp_path, "{metrics: {port: 9100}, api: {enabled: false}}") == [metrics]
    elsewhere = "metrics: {port: 9090, bind_address: 127.0.0.2}"
    assert list_places(tmp_path, elsewhere) == [api, ("metrics", "127.0.0.2", 9090)]
