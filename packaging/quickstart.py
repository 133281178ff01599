"""
Copy examples/quickstart to where it is used. Standard library only.

    python3 packaging/quickstart.py    a directory of the caller's own, for `make run` without root;
                                       prints its path

Nothing that is there is overwritten, here or anywhere.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "examples/quickstart"
SETTINGS = "netevd.yaml"
WRITTEN_FOR = "/etc/netevd"
"""The directory that the quickstart's settings name."""


def copy(
    target: Path, *, others: bool = True, leave_out: Iterable[Path] = ()
) -> tuple[list[Path], list[Path]]:
    """
    Return the paths made below `target`, outermost first, and the files that were there already.

    With `others` every user can read the copy. `leave_out` names paths that are not made, and
    nothing below them either. The settings come last: where they are, the copy is complete.
    """
    made: list[Path] = []
    kept: list[Path] = []
    closed = 0o077 if not others else 0
    left_out = set(leave_out)
    for source in sorted([SOURCE, *SOURCE.rglob("*")], key=last_the_settings):
        place = target / source.relative_to(SOURCE)
        if left_out.intersection([place, *place.parents]):
            continue
        if os.path.lexists(place):
            kept += [] if source.is_dir() else [place]
            continue
        if not place.parent.is_dir():  # a file of the administrator's is where we have a directory
            continue
        if source.is_dir():
            place.mkdir(mode=0o755 & ~closed)
        else:
            text = source.read_text(encoding="utf-8").replace(WRITTEN_FOR, str(target))
            place.write_text(text, encoding="utf-8")
            place.chmod((0o644 if place.name == SETTINGS else 0o755) & ~closed)
        made.append(place)
    return made, kept


def last_the_settings(path: Path) -> tuple[bool, Path]:
    """Sort by path, so that a directory comes before what is in it, the settings at the end."""
    return path.name == SETTINGS, path


def make_own() -> Path:
    """Return a directory of the caller's alone with the quickstart in it, the same each time."""
    directory = Path(f"/tmp/netevd-quickstart-{os.getuid()}")
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            print(f"netevd: {directory} is somebody else's, not used", file=sys.stderr)
            directory = Path(tempfile.mkdtemp(prefix=f"{directory.name}-", dir="/tmp"))
    directory.chmod(0o700)
    if not os.path.lexists(directory / SETTINGS):
        copy(directory, others=False)
    return directory


if __name__ == "__main__":
    print(make_own())
