"""The `netevd` command as a real process, by whoever is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PYTHON = [sys.executable, "-I"]
PROGRAM = ["-c", "import sys; from netevd.cli.main import main; sys.exit(main())"]
NETEVD = [*PYTHON, *PROGRAM]
AS_NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--",
)  # fmt: skip


def environment(**changes: str) -> dict[str, str]:
    """Return our environment without what would decide about colours."""
    kept = {name: value for name, value in os.environ.items() if "COLOR" not in name}
    return {**kept, **changes}


def netevd(
    *arguments: str | bytes, prefix: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*prefix, *NETEVD, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60, check=False,
        env=environment(**options.pop("env", {})), **options,
    )  # fmt: skip


def as_ordinary_user() -> tuple[str, ...]:
    """Return the prefix that makes a command an ordinary user's: none if we are one."""
    return AS_NOBODY if os.geteuid() == 0 else ()


class Place:
    """A directory with a configuration and scripts that everybody can read."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
        self.path.chmod(0o755)
        self.scripts = self.path / "scripts"
        self.scripts.mkdir(mode=0o755)
        self.config = self.path / "netevd.yaml"
        self.configure()

    def configure(self, text: str = "", **settings: str) -> str:
        """Write the configuration; return its path."""
        lines = [f"  {name}: {value}" for name, value in settings.items()]
        directory = f"  directory: {self.scripts}"
        self.config.write_text("\n".join(["scripts:", directory, *lines, text, ""]))
        self.config.chmod(0o644)
        return str(self.config)

    def script(self, text: str, name: str = "10-test", event: str = "routable") -> Path:
        """Write a script of an event type; return its path."""
        directory = self.scripts / f"{event}.d"
        directory.mkdir(mode=0o755, exist_ok=True)
        path = directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path


@pytest.fixture
def place() -> Iterator[Place]:
    """Return a place of the test's own."""
    made = Place()
    yield made
    shutil.rmtree(made.path, ignore_errors=True)
