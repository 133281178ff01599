"""
What a correct configuration can hardly mean: directories that nobody looks into, missing users.

Problems of the file itself are config's; here it is held against this machine.
"""

from __future__ import annotations

import difflib
import os
import pwd
import shlex
from collections.abc import Iterator
from typing import Final

import msgspec

from netevd.config.directories import find_misplacement
from netevd.config.hooktrees import CUSTOMS, find_tree, get_tree, list_roots
from netevd.config.identities import OF_ITS_TREE
from netevd.config.load import Loaded
from netevd.config.routing import find_routing_doubts, find_tunnel_doubts
from netevd.config.schema import Filter, Limits, Rule
from netevd.config.tree import Place, Problem
from netevd.model.event import EventType

_OTHER: Final = frozenset({"conf.d"})
"""Directories below scripts.directory that are not for scripts."""


def find_doubts(loaded: Loaded, file: str) -> list[Problem]:
    """
    Return what this machine lacks for the configuration. file: place of settings that have defaults.
    """
    return sorted(
        [
            *_doubt_directory(loaded, file),
            *_doubt_user(loaded, file),
            *_doubt_rules(loaded),
            *_doubt_trees(loaded),
            *_doubt_filters(loaded),
            *_doubt_switches(loaded),
            *find_routing_doubts(loaded.configuration.routing, loaded.places),
            *find_tunnel_doubts(loaded.configuration.wireguard, loaded.places),
        ]
    )


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
        if close:
            text += f"; did you mean {close[0]}.d?"
            old, new = shlex.quote(f"{directory}/{name}"), shlex.quote(f"{directory}/{close[0]}.d")
            there = os.path.lexists(f"{directory}/{close[0]}.d")
            move = f"mv -n {old}/* {new} && rmdir {old}" if there else f"mv {old} {new}"
            text += f" Mend it with: {move}"
        yield Problem(place, text)


def _doubt_user(loaded: Loaded, file: str) -> Iterator[Problem]:
    name = loaded.configuration.scripts.user
    place = loaded.places.get(("scripts", "user"), Place(file))
    uid = _find_uid(name)
    if uid is None:
        yield Problem(place, _say_missing(name))
    elif uid == 0:
        yield Problem(
            place, "user: scripts don't run as root; give them a system user of their own"
        )


def _find_uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _say_missing(name: str) -> str:
    make = f"useradd --system --user-group --no-create-home {name}"
    return f"user: there is no system user {name!r}; make it with: {make}"


def _doubt_rules(loaded: Loaded) -> Iterator[Problem]:
    scripts = loaded.configuration.scripts
    for index, rule in enumerate(scripts.rules):
        key = ("scripts", "rules", str(index))
        place = loaded.places[*key, "path"]
        if rule == Rule(rule.path, retry_delay=rule.retry_delay):
            yield Problem(place, f"path: this rule changes nothing about {rule.path}")
        elif not rule.retries and (*key, "retry_delay") in loaded.places:
            text = "retry_delay: nothing is tried again without retries"
            yield Problem(loaded.places[*key, "retry_delay"], text)
        if rule.user is not None and _find_uid(rule.user) is None:
            yield Problem(loaded.places[*key, "user"], _say_missing(rule.user))
        if find_tree(loaded.configuration.compat, rule.path):
            fault = ""
            if (rule.user, rule.capabilities, rule.limits) != (None, None, Limits()):
                yield Problem(place, f"path: {rule.path} is never run: {OF_ITS_TREE}")
        else:
            fault = find_misplacement(rule.path, scripts.directory)
        if fault or not os.path.lexists(rule.path):
            yield Problem(place, f"path: {rule.path} {fault or 'is not there'}")


def _doubt_trees(loaded: Loaded) -> Iterator[Problem]:
    """Yield a doubt for each tree of another dispatcher that is not there, or that nothing enables."""
    compat = loaded.configuration.compat
    for name in CUSTOMS:
        key = ("compat", name.replace("-", "_"))
        place, tree = loaded.places.get(key), get_tree(compat, name)
        if place is None:
            continue
        if not tree.enabled:
            yield Problem(place, f"{key[1]}: nothing of it is in force without enabled: true")
            continue
        if tree.user is not None and _find_uid(tree.user) is None:
            yield Problem(loaded.places[*key, "user"], _say_missing(tree.user))
        roots = list_roots(compat, name)
        if not any(map(os.path.isdir, roots)):
            where = loaded.places.get((*key, "roots"), place)
            yield Problem(where, f"roots: there is no directory {' nor '.join(roots)}")


def _doubt_filters(loaded: Loaded) -> Iterator[Problem]:
    """Yield a doubt for each filter that changes nothing, and each of its scripts that is not there."""
    filters = loaded.configuration.filters
    plain = [
        (each.action, each.scripts, each.webhooks) == ("execute", None, None) for each in filters
    ]
    for index, each in enumerate(filters):
        place = Place(
            each.origin.file, each.origin.line, loaded.places["filters", str(index)].column
        )
        hidden = next((other for other in filters[:index] if _hides(other, each)), None)
        if hidden is not None:
            where = f"{hidden.origin.file}:{hidden.origin.line}"
            yield Problem(
                place, f"filters: never asked: the filter at {where} matches all of its events"
            )
        elif all(plain[index:]):
            text = "filters: changes nothing: an event that no filter matches executes too"
            yield Problem(place, text)
        for number, path in enumerate(each.scripts or ()):
            if not os.path.lexists(path):
                key = ("filters", str(index), "scripts", str(number))
                yield Problem(loaded.places[key], f"scripts: {path} is not there")


def _hides(earlier: Filter, later: Filter) -> bool:
    """Tell whether an earlier filter matches all that a later one can: its match says no more."""
    wanted: dict[str, object] = msgspec.to_builtins(later.match)
    given: dict[str, object] = msgspec.to_builtins(earlier.match)
    return all(value is None or value == wanted[name] for name, value in given.items())


def _doubt_switches(loaded: Loaded) -> Iterator[Problem]:
    """Yield a doubt for settings of what is not enabled."""
    configuration = loaded.configuration
    switches = {
        ("debounce",): configuration.debounce.enabled,
        ("scripts", "damping"): configuration.scripts.damping.enabled,
    }
    for above, enabled in switches.items():
        if above in loaded.places and not enabled and (*above, "enabled") not in loaded.places:
            name = ".".join(above)
            text = f"{above[-1]}: has no effect without {name}.enabled: true"
            yield Problem(loaded.places[above], text)
