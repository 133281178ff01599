"""From the daemon of the same name that was written in Rust: its keys as today's, its comments kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from netevd.cli.failure import Failure
from netevd.cli.migrations.remark import Migration, Remark, note
from netevd.cli.migrations.rewrite import rewrite
from netevd.cli.migrations.scripts import (
    Convention,
    explain_unknown,
    list_scripts,
    list_states,
    look_at_directory,
)
from netevd.cli.migrations.sheet import NotUnderstood, Sheet, make_sheet, read_sheet, write_sheet
from netevd.config import legacy
from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration, Origin
from netevd.config.steps import Step, apply
from netevd.config.tree import Place, Tree, Unreadable, parse, read_file
from netevd.model.event import EventType

CONVENTION: Final = Convention(
    "netevd with CAP_NET_ADMIN",
    {
        "JSON": "its keys are those of the API, docs/reference/events.md",
        "BACKEND": "the kernel is one of its words, and for most events the one",
        "HOME": "the daemon's was handed on there",
        "USER": "the daemon's was handed on there",
        "LANG": "the daemon's was handed on there",
        "TZ": "the daemon's was handed on there",
    },
)

_DIFFERENT: Final[Mapping[str, str]] = {
    "carrier": "here on every carrier that comes, there when systemd-networkd's operational state was it",
    "no-carrier": "here on every carrier that goes, there when systemd-networkd's operational state was it",
    "routable": "there on every lease of dhclient too, also a renewed one; here that is lease.d",
    "configured": "there never",
    "manager": "there never",
    "linger": "there when systemd-networkd's operational state was it, here its setup state",
    "routes": "here for table main and default routes (routes.tables), there for every table",
}
"""What a directory is looked into for here, where that is not the same."""


def migrate(path: str, root: str | None, environment: Mapping[str, str]) -> Migration:
    """
    Return today's form of a configuration of the Rust daemon. root: of the script directories.

    Raises: Failure, Unreadable.
    """
    plain = {name: value for name, value in environment.items() if name not in legacy.VARIABLES}
    content = read_file(path)
    loaded = load(path, plain)
    if not isinstance(loaded, Loaded):
        raise Unreadable(*loaded)
    others = {each.place.file for each in loaded.notices} - {path}
    if others:
        raise Failure(
            f"{min(others)} has keys of the Rust daemon too; migrate it by itself, and first"
        )
    tree = parse(content, path) or Tree(Place(path), {})
    reading = legacy.read(tree)
    remarks = [Remark(each.place, "note", each.message) for each in loaded.notices]
    text, lost = _write(content, tree, reading.steps, loaded, plain)
    remarks += [note(path, each) for each in lost]
    if not remarks:
        remarks.append(note(path, "has no key that is called otherwise today"))
    for name in legacy.VARIABLES:
        if environment.get(name):
            text_ = f"is set here; where the daemon has it too it stays stronger than {'.'.join(legacy.VARIABLES[name])}"
            remarks.append(Remark(Place(f"environment variable {name}"), "note", text_))
    directory = root or loaded.configuration.scripts.directory
    return Migration(text, path, [*remarks, *_look_at_scripts(directory)])


def _write(
    content: bytes, tree: Tree, steps: list[Step], loaded: Loaded, environment: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Return the file with its comments if it comes to the same so, else without; what that costs."""
    why = "it would not be the same with them"
    try:
        sheet = read_sheet(content.decode("utf-8-sig"))
        lost = [f"goes with what it was about: {each}" for each in rewrite(sheet, steps)]
        text = write_sheet(sheet)
        if _is_same(text, loaded, environment):
            return text, lost
    except NotUnderstood as error:
        why = str(error)
    apply(tree, steps)
    sheet = make_sheet(tree) if isinstance(tree.value, dict) and tree.value else Sheet()
    text = write_sheet(sheet)
    if not _is_same(text, loaded, environment):
        raise Failure(f"{loaded.files[0].path} can't be written in today's keys: {why}")
    return text, [f"its comments can't be kept: {why}"]


def _is_same(text: str, loaded: Loaded, environment: Mapping[str, str]) -> bool:
    """Tell whether a text is what was read, in today's keys only."""
    again = load(loaded.files[0].path, environment, text.encode())
    if not isinstance(again, Loaded) or again.notices:
        return False
    return _forget(again.configuration) == _forget(loaded.configuration)


def _forget(configuration: Configuration) -> Configuration:
    """Return a configuration whose filters don't know where they are written."""
    filters = tuple(attrs.evolve(each, origin=Origin()) for each in configuration.filters)
    return attrs.evolve(configuration, filters=filters)


def _look_at_scripts(root: str) -> Iterator[Remark]:
    """Yield what is to be said of the script directories, which are the same ones."""
    known = [each.value for each in EventType]
    for state in list_states(root):
        directory = f"{root}/{state}.d"
        scripts = list_scripts(directory)
        if not scripts:
            continue
        if state not in known:
            yield explain_unknown(state, root)
            continue
        if state in _DIFFERENT:
            yield note(directory, f"is looked into at other times: {_DIFFERENT[state]}")
        yield from look_at_directory(root, state, CONVENTION)
