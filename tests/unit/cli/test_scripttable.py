"""Script directories that are taken as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from netevd.cli.trials.scripttable import take_scripts


def _write(path: Path, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode)
    path.chmod(mode)


def test_files_stand_where_the_configuration_has_them(tmp_path: Path) -> None:
    """Executable files of event types, bytewise by name; other directories and files are none."""
    for name in (
        "routable.d/20-b",
        "routable.d/10-é",
        "routable.d/10-Z",
        "carrier.d/1",
        "conf.d/1",
    ):
        _write(tmp_path / name)
    _write(tmp_path / "routable.d" / "30-text", 0o644)
    _write(tmp_path / "routable.d" / ".hidden")
    (tmp_path / "routable.d" / "40-directory").mkdir()

    table = take_scripts([str(tmp_path)], "/etc/netevd")

    assert [hook.path for hook in table.hooks] == [
        "/etc/netevd/carrier.d/1",
        "/etc/netevd/routable.d/10-Z", "/etc/netevd/routable.d/10-é", "/etc/netevd/routable.d/20-b",
    ]  # fmt: skip
    assert len({hook.entry for hook in table.hooks}) == 4
    assert all(hook.runnable for hook in table.hooks)


def test_directories_are_one(tmp_path: Path) -> None:
    """Names of several directories are merged; one that both have runs once."""
    for name in ("a/carrier.d/2", "b/carrier.d/1", "b/carrier.d/2"):
        _write(tmp_path / name)

    table = take_scripts([str(tmp_path / "a"), str(tmp_path / "b")], "/x")

    assert [hook.path for hook in table.hooks] == ["/x/carrier.d/1", "/x/carrier.d/2"]


def test_directory_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """A mistyped name must not look like a directory without scripts."""
    with pytest.raises(FileNotFoundError):
        take_scripts([str(tmp_path / "none")], "/x")
