"""
What a correct configuration can hardly mean: directories that nobody looks into, missing users.

Problems of the file itself are config's; here it is held against this machine.
"""

from __future__ import annotations

import difflib
import os
import pwd
from collections.abc import Iterator
from typing import Final

from netevd.config.load import Loaded
from netevd.config.tree import Place, Problem
from netevd.model.event import EventType

_OTHER: Final = frozenset({"conf.d"})
"""Directories below scripts.directory that are not for scripts."""


def find_doubts(loaded: Loaded, file: str) -> list[Problem]:
    """
    Return what this machine lacks for the configuration. file: place of settings that have defaults.
    """
    return sorted([*_doubt_directory(loaded, file), *_doubt_user(loaded, file)])


def _doubt_directory(loaded: Loaded, file: str) -> Iterator[Problem]:
    directory = loaded.configuration.scripts.directory
    place = loaded.places.get(("scripts", "directory"), Place(file))
    try:
        with os.scandir(directory) as found:
            names = sorted(each.name for each in found if each.is_dir())
    except FileNotFoundError:
        yield Problem(
            place, f"directory: {directory} does not exist; mend it with: mkdir {directory}"
        )
        return
    except OSError as error:
        yield Problem(place, f"directory: {directory} can't be looked into: {error.strerror}")
        return
    known = [kind.value for kind in EventType]
    for name in names:
        event = name.removesuffix(".d")
        if name == event or name in _OTHER or event in known:
            continue
        text = f"directory: {directory}/{name} is never looked into: {event!r} is no event type"
        close = difflib.get_close_matches(event, known, 1, 0.6)
        yield Problem(place, f"{text}; did you mean {close[0]}.d?" if close else text)


def _doubt_user(loaded: Loaded, file: str) -> Iterator[Problem]:
    name = loaded.configuration.scripts.user
    place = loaded.places.get(("scripts", "user"), Place(file))
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        make = f"useradd --system --user-group --no-create-home {name}"
        yield Problem(place, f"user: there is no system user {name!r}; make it with: {make}")
        return
    if uid == 0:
        yield Problem(
            place, "user: scripts don't run as root; give them a system user of their own"
        )
