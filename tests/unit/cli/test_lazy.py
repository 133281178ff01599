"""Commands that stand for others until they are used."""

from __future__ import annotations

import pytest

from netevd.cli.lazy import Lazy
from netevd.cli.main import root

STAND_INS = [command for command in root.commands.values() if isinstance(command, Lazy)]


def test_every_command_is_loaded_late() -> None:
    """No command costs anything before it is asked for."""
    assert len(STAND_INS) == len(root.commands) > 0


@pytest.mark.parametrize("stand_in", STAND_INS, ids=lambda command: str(command.name))
def test_stand_in_is_what_it_stands_for(stand_in: Lazy) -> None:
    """Name and line of help are those of the command itself."""
    command = stand_in.load()

    assert command.name == stand_in.name
    assert command.get_short_help_str(200) == stand_in.get_short_help_str(200)
