"""Have privsep do one thing as the daemon would, and read what it tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from netevd.cli.output import say


def tell_once(
    *words: str, config: str | None, values: bytes = b"", quiet: bool = False
) -> Iterator[dict[str, Any]]:
    """
    Yield each object that `privsep once` tells, as it comes.

    Problems of the configuration are written to standard error. quiet: do not say as whom.
    """
    options = [] if config is None else ["--config", os.path.abspath(config)]
    command = [sys.executable, "-I", "-m", "privsep", "once", *options, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(values)
        process.stdin.close()
        for line in process.stdout:
            told: dict[str, Any] = msgspec.json.decode(line)
            if told["kind"] == "problems":
                for problem in told["problems"]:
                    say(problem)
            elif told["kind"] == "identity":
                if told["observe"] and not quiet:
                    say(f"not root: checked and run as {told['user']}, as observe mode would")
            else:
                yield told
    if process.returncode:
        yield {"kind": "end", "status": process.returncode}
