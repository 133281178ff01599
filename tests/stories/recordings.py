"""Recorded situations as stories: what a configuration makes of each, one line an entry."""

from __future__ import annotations

import difflib
from pathlib import Path
from textwrap import dedent

from netevd.cli.recordings.replayer import Replayer
from netevd.cli.replay import make_row
from netevd.config.identities import Identities
from netevd.config.schema import Configuration
from netevd.kernel.recording import Recording, read
from tests.stories.playbook import hooks

DIRECTORY = Path(__file__).parents[1] / "data" / "recordings"


def load(name: str) -> Recording:
    """Return a recorded situation."""
    with open(DIRECTORY / f"{name}.jsonl", "rb") as lines:
        return read(lines, name)


def replay(
    recording: Recording,
    configuration: Configuration,
    *scripts: str,
    script_duration_s: float = 0.0,
) -> Replayer:
    """Run a recording. scripts: as in `hooks`, below /etc/netevd."""
    paths = [f"/etc/netevd/{script}" for script in scripts]
    replayer = Replayer(
        recording, configuration, hooks(*paths), script_duration_s=script_duration_s
    )
    replayer.run()
    return replayer


def tell(replayer: Replayer, configuration: Configuration, *, times: bool = False) -> str:
    """Return a line for each entry: sequence, link, type and what, as the command prints them."""
    identities = Identities(configuration, observe=False)
    rows = [make_row(each, identities, configuration) for each in replayer.playback.entries]
    return "\n".join(" ".join(text for text, _ in row[0 if times else 1 :]) for row in rows)


def expect(found: str, expected: str) -> None:
    """Compare lines."""
    wanted = dedent(expected).strip()
    if found != wanted:
        lines = difflib.ndiff(wanted.splitlines(), found.splitlines())
        raise AssertionError("- expected, + found\n" + "\n".join(lines))
