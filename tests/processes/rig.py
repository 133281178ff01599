"""A whole daemon as real processes, its log as values, and the ways to disturb it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from privsep.processes import read_descendants
from tests.boundary.rig import wait_for, write_script

ROLES = ("helper", "runner", "worker")

RECORD = (
    '#!/bin/sh\necho "$NETEVD_SEQUENCE $LINK $STATE ${NETEVD_PREVIOUS_STATE:--} $LINKINDEX'
    ' ${NETEVD_ADDRESS:--} ${ADDRESSES:--}" >> DIRECTORY/record\n'
)
"""A script that appends what it was told to a file, one write a line."""


def ip(*commands: str, check: bool = True) -> None:
    """Run ip commands as one batch in this namespace."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=check)


def pull(peer: str, link: str) -> None:
    """Take the carrier of a link by its peer, and wait until the kernel has told of it, to whoever listens."""
    ip(f"link set {peer} down")
    await_carrier(link, up=False)


def await_carrier(link: str, *, up: bool) -> None:
    """Wait until the kernel has told that a link has its carrier, or has none."""

    def is_told() -> bool:
        shown = subprocess.run(
            ["ip", "-json", "link", "show", link], capture_output=True, check=True
        )
        return bool((json.loads(shown.stdout)[0]["operstate"] == "UP") is up)

    wait_for(lambda: is_told() or None, f"carrier of {link}, {up}")


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(word) for word in text.split()]
    return []


def comm(pid: int) -> str:
    """Return the name a process shows."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return ""


SMALL_BUFFER = (
    "import sys; from privsep import rtnetlink; rtnetlink.EVENT_BUFFER = 4096;"
    "from privsep.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
"""A fault: a daemon whose event sockets hold a handful of messages, so that the kernel soon drops some."""


class Daemon:
    """One daemon with its own directories. Its log is collected from the start."""

    def __init__(self, configuration: str = "", **script_settings: object) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
        self.root.chmod(0o755)
        self.scripts = self.root / "scripts"
        self.scripts.mkdir(mode=0o755)
        (self.scripts / "data").mkdir()
        (self.scripts / "data").chmod(0o1777)
        self.config = self.root / "netevd.yaml"
        self._configuration = configuration
        self.configure(**script_settings)
        self.log: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def configure(self, **script_settings: object) -> None:
        """Write the configuration, with these settings for scripts."""
        settings = {"directory": str(self.scripts), **script_settings}
        self.config.write_text(
            f"{self._configuration}\nscripts: {json.dumps(settings)}\n", encoding="utf-8"
        )
        self.config.chmod(0o644)

    def script(self, event: str, text: str, name: str = "10-test") -> Path:
        """Write a script; DIRECTORY in its text is a place where it may write."""
        directory = self.scripts / f"{event}.d"
        directory.mkdir(mode=0o755, exist_ok=True)
        return write_script(directory, name, text.replace("DIRECTORY", str(self.scripts / "data")))

    def start(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        ready: bool = True,
        descriptors: tuple[int, ...] = (),
        fault: str = "",
    ) -> Daemon:
        """
        Start the daemon, again if it has ended, and wait until it serves.

        descriptors: inherited. fault: a program that is it, with a fault, see `SMALL_BUFFER`.
        """
        if self.process is not None and self.process.stderr is not None:
            self._collector.join(timeout=5)
            self.process.stderr.close()
        program = ["-c", fault] if fault else ["-m", "privsep"]
        command = [*prefix, sys.executable, "-I", *program, "run"]
        command += ["--config", str(self.config), "--runtime-dir", str(self.root / "run")]
        command += ["--state-dir", str(self.root / "state"), *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            pass_fds=descriptors,
        )
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()
        if ready:
            self.expect_serving(1)
        return self

    def _collect(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw.append(line)
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append(parse_text(line))

    @property
    def pid(self) -> int:
        """Return the supervisor's pid."""
        assert self.process is not None
        return self.process.pid

    def find(self, role: str) -> int | None:
        """Return the pid of a role, None while it is not there."""
        for pid in children(self.pid):
            if comm(pid) == f"netevd-{role}":
                return pid
        return None

    def role(self, name: str) -> int:
        """Return the pid of a role that must be there."""
        return wait_for(lambda: self.find(name), f"role {name}")

    def kill(self, role: str) -> int:
        """Kill a role with SIGKILL and return the pid of its successor."""
        old = self.role(role)
        os.kill(old, signal.SIGKILL)
        return wait_for(
            lambda: pid if (pid := self.find(role)) and pid != old else None, f"new {role}"
        )

    def expect(self, matches: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
        """Return the first record from `after` on that matches, waiting for it."""

        def look() -> dict[str, Any] | None:
            return next((entry for entry in self.log[after:] if matches(entry)), None)

        try:
            return wait_for(look, "log record")
        except AssertionError:
            tail = "".join(self.raw[-40:])
            raise AssertionError(f"the record did not come; the log ends with:\n{tail}") from None

    def expect_serving(self, times: int) -> None:
        """Return once this many workers, one after another, have said that they serve."""

        def count() -> int:
            return sum("netevd is watching" in entry["message"] for entry in list(self.log))

        wait_for(lambda: count() >= times or None, f"worker number {times}")

    def events(self, link: str | None = None) -> list[str]:
        """Return the event types announced so far, in order."""
        return [
            entry["event"]
            for entry in self.announced()
            if link is None or entry.get("interface") == link
        ]

    def announced(self) -> list[dict[str, Any]]:
        """Return the records of events, without those of runs."""
        return [
            entry
            for entry in list(self.log)
            if "sequence" in entry and "event" in entry and "run" not in entry
        ]

    def wait_event(self, link: str, event: str, count: int = 1) -> None:
        """Return once an event of a link was announced this often."""
        wait_for(lambda: self.events(link).count(event) >= count or None, f"{event} of {link}")

    def record(self) -> list[list[str]]:
        """Return the lines that recording scripts have written, split into words."""
        with contextlib.suppress(FileNotFoundError):
            text = (self.scripts / "data" / "record").read_text(encoding="utf-8")
            return [line.split(" ") for line in text.splitlines()]
        return []

    def stop(self) -> int:
        """Stop the daemon in good order; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status of the daemon once it has ended."""
        assert self.process is not None
        status = self.process.wait(timeout=20)
        self._collector.join(timeout=5)
        return status

    def close(self) -> None:
        """End whatever is left and remove all files."""
        if self.process is not None:
            if self.process.poll() is None:
                for pid in (self.pid, *read_descendants(children(self.pid))):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait()
            self._collector.join(timeout=5)
            if self.process.stderr is not None:
                self.process.stderr.close()
        shutil.rmtree(self.root, ignore_errors=True)


def parse_text(line: str) -> dict[str, Any]:
    """Return a line that is not JSON (from before the configuration was known) as a record."""
    match = re.match(r"\S+ \S+ (\w+) +(.*)", line)
    if match is None:
        return {"level": "raw", "message": line.rstrip("\n")}
    return {"level": match[1], "message": match[2]}


class NotifySocket:
    """What systemd would hear: the assignments in the order in which they came."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="netevd-notify-")
        self.path = os.path.join(self.directory, "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)
        self._sock.settimeout(20)

    def receive(self) -> list[str]:
        """Return the assignments of the next message."""
        return self._sock.recv(4096).decode().split("\n")

    def receive_until(self, assignment: str) -> list[str]:
        """Return the message that holds an assignment, passing over others."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if assignment in (message := self.receive()):
                return message
        raise AssertionError(f"{assignment} did not come")

    def close(self) -> None:
        """Close the socket and remove its directory."""
        self._sock.close()
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Close a daemon whatever happens."""
    try:
        yield daemon
    finally:
        daemon.close()
