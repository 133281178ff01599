"""What a daemon would have run that nobody had disturbed: the stream is recorded, and replayed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import defaultdict
from pathlib import Path

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon
from tests.unit.cli.rig import NETEVD, environment, netevd

Runs = dict[str, list[tuple[str, str]]]
"""Event type and address of each run, in order, by name of the link."""


class Undisturbed:
    """A recording of what the kernel tells, from now on."""

    def __init__(self, daemon: Daemon) -> None:
        """To be made when the daemon has run all that there is to run."""
        self._daemon = daemon
        self._before = len(daemon.record())
        self._file = daemon.root / "stream.jsonl"
        self._process = subprocess.Popen(
            [*NETEVD, "record", str(self._file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
        assert self._process.stderr is not None
        assert "recording" in self._process.stderr.readline()
        wait_for(lambda: '"part":"routes6"' in self._file.read_text() or None, "first dumps")

    def end(self) -> None:
        """End the recording; to be called when no kernel message is on its way any more."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=10)
        assert self._process.returncode == 0

    def check(self) -> int:
        """The daemon has run what an undisturbed one would have run; return how much that was."""
        wanted = _replay(self._file, self._daemon.config)
        found: Runs = defaultdict(list)
        for words in self._daemon.record()[self._before :]:
            found[words[1]].append((words[2], words[5].replace("-", "")))
        assert wanted
        assert found == wanted
        return sum(map(len, wanted.values()))


def _replay(file: Path, config: Path) -> Runs:
    result = netevd("replay", str(file), "--config", str(config), "-o", "jsonl")
    assert result.returncode == 0, result.stderr
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    summary = entries.pop()
    assert (summary["overruns"], summary["complete"]) == (0, True)
    events = {each["sequence"]: each for each in entries if each["kind"] == "event"}
    runs: Runs = defaultdict(list)
    for each in entries:
        if each["kind"] == "run":
            event = events[each["sequence"]]
            address = (event["address"] or {}).get("ip", "")
            runs[each["interface"]].append((event["type"], address))
    return runs
