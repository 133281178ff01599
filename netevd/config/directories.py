"""Where scripts stand: the roots of the directories `TYPE.d`. Who may write there is the runner's."""

from __future__ import annotations

import difflib
import os
from typing import Final

from netevd.model.event import EventType

VENDOR_DIRECTORY: Final = "/usr/lib/netevd"
"""Root of what packages bring; the same name below scripts.directory replaces it."""


def find_misplacement(path: str, root: str) -> str:
    """Return why no runner has a script of this path, "" when one may. root: scripts.directory."""
    above, kind = os.path.split(os.path.dirname(path))
    events = [f"{each.value}.d" for each in EventType]
    if above not in {root, VENDOR_DIRECTORY}:
        return f"is never run: scripts stand in {root}/TYPE.d and {VENDOR_DIRECTORY}/TYPE.d"
    if kind not in events:
        close = difflib.get_close_matches(kind, events, 1, 0.6)
        advice = f"; did you mean {close[0]}?" if close else ""
        return f"is never run: {kind!r} is no directory of an event type{advice}"
    return ""
