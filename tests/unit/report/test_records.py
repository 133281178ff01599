"""The log at each level."""

from __future__ import annotations

import pytest

from netevd.report.records import LEVELS, make_log


@pytest.mark.parametrize("level", list(LEVELS))
@pytest.mark.parametrize("form", ["text", "json"])
def test_every_level_has_its_log(level: str, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not written, errors always are."""
    log = make_log(level, form, None)
    for write in (log.debug, log.info, log.warning, log.error):
        write("something")

    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == {"trace": 4, "debug": 4, "info": 3, "warn": 2, "error": 1}[level]
