"""`netevd sign`: sign scripts, and see what a daemon makes of the signatures. Asks no daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Final

import click

from netevd.cli import lines
from netevd.cli.failure import Exit, Failure
from netevd.cli.list import look_up
from netevd.cli.manifests import (
    Key,
    advise_anew,
    find_signer,
    list_scripts,
    measure,
    read_key,
    read_manifest,
    split,
)
from netevd.cli.manifests import sign as sign_manifest
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from netevd.cli.table import print_table
from netevd.cli.trials.once import show_problems
from netevd.config.identities import Identities
from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from privsep.manifest import NAME, Line, Manifest
from privsep.protocol import escape

_MASKED: Final = "it is masked"
"""How the verdict begins on a file that is masked on purpose. Source: privsep/scripts.py."""

config_option = click.option(
    "--config", type=click.Path(readable=False), metavar="FILE",
    help="Configuration file that says who runs which script; it must exist.",
)  # fmt: skip
key_option = click.option(
    "--key", "key_path", type=click.Path(readable=False), metavar="KEY", required=True,
    help="Key of OpenSSH to sign with: Ed25519, ECDSA or RSA; the .pub file for one in an agent."
         " Or the fingerprint of an OpenPGP key, with which gpg signs.",
)  # fmt: skip
user_option = click.option(
    "--user", metavar="USER", help="User that may run them, instead of what the configuration says."
)


@click.group()
def sign() -> None:
    """Sign scripts, and see what a daemon makes of the signatures."""


def _load(config: str | None) -> Configuration:
    loaded = load(None if config is None else os.path.abspath(config), os.environ)
    if isinstance(loaded, Loaded):
        return loaded.configuration
    raise show_problems([str(problem) for problem in loaded])


def _make_finder(configuration: Configuration, given: str | None) -> Callable[[str], str]:
    """Return what tells the user of a script, by the path that a daemon runs it by."""
    identities = Identities(configuration, observe=False)
    return lambda path: given or identities.find(path).rule.user or configuration.scripts.user


@sign.command()
@click.argument("directory", required=False, type=click.Path(readable=False))
@key_option
@click.option("--root", type=click.Path(readable=False), metavar="PATH",
              help="Where the directory is to stand on the machines that run it. Default: where it is.")  # fmt: skip
@user_option
@click.option("--replace", is_flag=True, help="Make the manifest that is there anew, of what is there now.")  # fmt: skip
@config_option
@format_options
@colour_option
def init(
    *, directory: str | None, key_path: str, root: str | None, user: str | None, replace: bool,
    config: str | None,
) -> int:  # fmt: skip
    """
    Make the manifest of all scripts of a directory, and sign it.

    DIRECTORY has the directories of event types; by default it is scripts.directory. Says what to
    write into the configuration so that scripts have to be signed.
    """
    configuration = _load(config)
    place = os.path.realpath(directory or configuration.scripts.directory)
    key = read_key(key_path)
    before = _read_replaced(place) if replace else None
    if not replace and os.path.lexists(os.path.join(place, NAME)):
        text = f"{place} has a manifest; add scripts to it with: netevd sign add SCRIPT --key KEY"
        raise Failure(f"{text}; or make it anew with: {advise_anew(place)}")
    above = os.path.normpath(os.path.join("/", root)) if root else before.root if before else place
    find = _make_finder(configuration, user)
    names = list_scripts(place)
    found = {name: measure(place, name, find(f"{above}/{name}")) for name in names}
    made = Manifest(above, before.version + 1 if before else 1, found)
    sign_manifest(place, made, key)
    _show(made, key, before)
    return Exit.FINE


def _read_replaced(place: str) -> Manifest | None:
    """Return the manifest that is to be made anew; what does not look like one gives no version."""
    try:
        return read_manifest(place)
    except Failure as failure:
        say(f"{failure}; the new one has version 1")
        return None


@sign.command()
@click.argument("scripts", nargs=-1, required=True, type=click.Path(readable=False), metavar="SCRIPT...")  # fmt: skip
@key_option
@user_option
@config_option
@format_options
@colour_option
def add(*, scripts: tuple[str, ...], key_path: str, user: str | None, config: str | None) -> int:
    """
    Sign scripts that are new or have changed.

    All of them stand below one directory, whose manifest gets a higher version. Lines of scripts
    that are not there any more are dropped. The manifest as it is must be signed by the same key or
    by one of security.allowed_signers: what it says is signed anew.
    """
    configuration = _load(config)
    places = {split(path)[0] for path in scripts}
    if len(places) > 1:
        raise Failure(f"expected scripts below one directory, found {', '.join(sorted(places))}")
    (place,) = places
    before = read_manifest(place)
    if before is None:
        raise Failure(f"{place} has no manifest; make it with: netevd sign init {place} --key KEY")
    key = read_key(key_path)
    allowed = {each.fingerprint for each in configuration.security.allowed_signers}
    if (signer := find_signer(place)) not in {key.fingerprint, *allowed}:
        text = f"the manifest of {place} is signed by {signer}, neither by this key nor by one of"
        advice = f"security.allowed_signers; look at it, then: {advise_anew(place)}"
        raise Failure(f"{text} {advice}")
    find = _make_finder(configuration, user)
    found = {
        name: line for name, line in before.scripts.items() if os.path.lexists(f"{place}/{name}")
    }
    for path in scripts:
        name = split(path)[1]
        known = before.scripts.get(name)
        owner = known.user if known and user is None else find(f"{before.root}/{name}")
        found[name] = measure(place, name, owner)
    made = Manifest(before.root, before.version + 1, found)
    sign_manifest(place, made, key)
    _show(made, key, before)
    return Exit.FINE


def _show(made: Manifest, key: Key, before: Manifest | None) -> None:
    """Print what was signed."""
    old = before.scripts if before else {}
    changed = {name: line for name, line in made.scripts.items() if old.get(name) != line}
    dropped = sorted(old.keys() - made.scripts.keys())
    if read_format() != "table":
        print_shape({
            "root": made.root, "version": made.version, "fingerprint": key.fingerprint,
            "signed": [_shape(name, line) for name, line in sorted(changed.items())],
            "dropped": dropped, "count": len(made.scripts),
        })  # fmt: skip
        return
    tell = (
        click.echo if before else say
    )  # of a new one the data is what belongs into the configuration
    for name, line in sorted(changed.items()):
        tell(f"signed   {escape(name)} for {line.user}")
    for name in dropped:
        tell(f"dropped  {escape(name)}")
    say(f"{made.root}: version {made.version}, {len(made.scripts)} scripts, by {key.fingerprint}")
    if before is None:
        name = f", name: {json.dumps(word)}" if (word := _make_name(key.comment)) else ""
        say("a daemon wants signatures once this stands in its configuration:")
        click.echo(
            "security:\n  verify_scripts: true\n  allowed_signers:\n"
            f'    - {{fingerprint: "{key.fingerprint}"{name}}}'
        )


def _make_name(comment: str) -> str:
    """Return a comment as a name may be, "" for none."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "-" for each in comment)[:64].strip("-")  # fmt: skip


def _shape(name: str, line: Line) -> dict[str, str]:
    return {"path": escape(name), "user": line.user, "sha256": line.digest}


@sign.command()
@config_option
@click.option("--observe", is_flag=True, help="Checked as the caller, even when that is root.")
@format_options
@colour_option
def verify(*, config: str | None, observe: bool) -> int:
    """
    Say of each script what a daemon would say, with the reason why it would not run.

    It is a runner that says it, as whom scripts run, or the caller where that can't be had. Exits 1
    if one would not run.
    """
    if not _load(config).security.verify_scripts:
        say("security.verify_scripts is off: scripts run whether they are signed or not")
    found = look_up(config, observe=observe)
    if found is None:
        return Exit.FAILED  # the process has said why
    if read_format() != "table":
        print_shape({"hooks": found, "count": len(found)}, "hooks")
    elif found:
        print_table(lines.HOOKS, [lines.make_hook_row(each) for each in found], ("SCRIPT",))
    refused = [each for each in found if not (each["reason"] or _MASKED).startswith(_MASKED)]
    say(f"{len(found) - len(refused)} of {len(found)} scripts are fine")
    return Exit.FAILED if refused else Exit.FINE
