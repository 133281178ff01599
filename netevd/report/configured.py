"""
The configuration in force as it may be shown: every setting with its value, and no secret.

Durations are seconds, sizes octets.
"""

from __future__ import annotations

from typing import TypedDict

import msgspec

from netevd.config.hiding import hide
from netevd.config.schema import Configuration


class Shown(TypedDict):
    """The part of `ConfigurationObject` that is known here."""

    generation: int
    loaded: str
    configuration: dict[str, object]


def show_configuration(configuration: Configuration, generation: int, loaded: str) -> Shown:
    """Return what may be shown of a configuration."""
    shown = hide(msgspec.to_builtins(configuration))
    assert isinstance(shown, dict)
    return {"generation": generation, "loaded": loaded, "configuration": shown}
