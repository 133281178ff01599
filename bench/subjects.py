"""
The two subjects: the C floor and netevd, each with its own namespaces, scripts and stamps.

Apart namespaces, because a subject that also wakes up for the events of the other one takes the
processor away from it.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, Final, NamedTuple

import proc
from lab import Namespace, add_pairs

STOP_S: Final = 10.0
READY_S: Final = 30.0


class Broken(Exception):
    """A subject or the laboratory does not work; there is nothing to measure."""


class Stamp(NamedTuple):
    """One script that began."""

    at_s: float
    """Seconds, monotonic clock: the program's first instruction, or for a shell script the moment
    at which its first line had been received here."""
    link: str
    event: str
    sequence: str


class Stamps:
    """The FIFO that scripts write a line to when they begin."""

    def __init__(self, path: Path) -> None:
        """Make the FIFO, writable by every user."""
        os.mkfifo(path)
        path.chmod(0o622)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._rest = b""

    def close(self) -> None:
        """Close the FIFO."""
        os.close(self._descriptor)

    def read(self, timeout_s: float) -> list[Stamp]:
        """Return the stamps that are there, after waiting for the first at most so long."""
        if not self._poll.poll(max(0, timeout_s) * 1000):
            return []
        got = os.read(self._descriptor, 65536)
        now = time.monotonic()
        *lines, self._rest = (self._rest + got).split(b"\n")
        stamps = []
        for line in lines:
            nanoseconds, link, event, sequence = line.decode().split(" ")
            stamps.append(Stamp(int(nanoseconds) / 1e9 or now, link, event, sequence))
        return stamps

    def collect(self, duration_s: float) -> list[Stamp]:
        """Return the stamps of the next so many seconds."""
        end = time.monotonic() + duration_s
        stamps: list[Stamp] = []
        while (left := end - time.monotonic()) > 0:
            stamps += self.read(left)
        return stamps


class Subject:
    """A program that starts scripts, in an own pair of namespaces."""

    name = ""

    def __init__(self, work: Path) -> None:
        """work: an own directory below one that every user can enter."""
        self.work = work / self.name
        self.work.mkdir()
        self.scripts = self.work / "scripts"
        self.scripts.mkdir()
        self.near = Namespace()
        self.far = Namespace()
        self.stamps = Stamps(self.work / "stamps")
        self.process: subprocess.Popen[bytes] | None = None

    def add_links(self, names: list[str]) -> None:
        """Make links in the subject's namespace; see `lab.add_pairs`."""
        add_pairs(self.near, self.far, names)

    def put_scripts(self, events: list[str], stamp: Path | None) -> None:
        """Put one script for each event. stamp: the program; None for a shell script."""
        for event in events:
            directory = self.scripts / f"{event}.d"
            directory.mkdir()
            script = directory / "run"
            if stamp is None:
                line = f'echo 0 "$LINK" "$STATE" "$NETEVD_SEQUENCE" >{self.work}/stamps'
                script.write_text(f"#!/bin/sh\n{line}\n")
            else:
                shutil.copyfile(stamp, script)
            script.chmod(0o755)

    def start(self) -> float:
        """Start the subject; return the seconds until it said that it is ready."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the subject and whatever it has started."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            doomed = [self.process.pid, *proc.read_descendants(self.process.pid)]
            for pid in doomed:
                proc.kill(pid)
            self.process.wait()
        self.process = None

    def close(self) -> None:
        """End the subject and let go of its namespaces."""
        self.stop()
        self.stamps.close()
        self.near.close()
        self.far.close()

    def roles(self) -> dict[str, int]:
        """Return the processes that live as long as the subject, scripts left out."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise Broken(f"{self.name} ended with status {self.process.returncode}; {self.hint()}")
        return {self.name: self.process.pid}

    def cpu_s(self) -> float:
        """Return the seconds of processor time spent so far, with those of ended scripts."""
        return sum(proc.read_cpu_s(pid) for pid in self.roles().values())

    def hint(self) -> str:
        """Return where to look when the subject does not work."""
        return f"see {self.work}"


class Floor(Subject):
    """The C program: what no daemon can be faster than."""

    name = "floor"

    def __init__(self, work: Path, program: Path) -> None:
        """program: bench/floor.c, compiled."""
        super().__init__(work)
        self._program = program

    def start(self) -> float:
        """Start the floor; return the seconds until it was subscribed."""
        user = pwd.getpwnam("netevd-script").pw_uid
        words = [str(self._program), str(self.scripts), str(user)]
        began = time.monotonic()
        self.process = subprocess.Popen(self.near.command(*words), stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise Broken("the floor program ended at once")
        return time.monotonic() - began


class Daemon(Subject):
    """netevd as `netevd run` starts it."""

    name = "netevd"

    def __init__(self, work: Path, program: list[str], links: str) -> None:
        """program: the command line of netevd; links: what network.links shall match."""
        super().__init__(work)
        self._program = program
        self._log: IO[bytes] = (self.work / "log").open("ab")
        self.config = self.work / "netevd.yaml"
        self.config.write_text(
            f'network: {{links: ["{links}"]}}\n'
            f"scripts: {{directory: {self.scripts}, initial: false}}\n"
        )

    def start(self) -> float:
        """Start netevd for the first time; return the seconds until READY=1."""
        shutil.rmtree(self.work / "state", ignore_errors=True)
        path = self.work / "notify"
        path.unlink(missing_ok=True)
        words = [*self._program, "run", "--config", str(self.config)]
        words += ["--runtime-dir", str(self.work / "run")]
        words += ["--state-dir", str(self.work / "state")]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(path))
            began = time.monotonic()
            self.process = subprocess.Popen(
                self.near.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "NOTIFY_SOCKET": str(path)},
            )
            while time.monotonic() - began < READY_S:
                notified.settimeout(1)
                try:
                    message = notified.recv(4096)
                except TimeoutError:
                    self.roles()
                    continue
                if b"READY=1" in message.split(b"\n"):
                    return time.monotonic() - began
        raise Broken(f"netevd did not become ready within {READY_S:.0f} s; {self.hint()}")

    def roles(self) -> dict[str, int]:
        """Return supervisor, helper, runner and worker."""
        supervisor = super().roles()[self.name]
        children = {proc.read_name(pid): pid for pid in proc.read_children(supervisor)}
        return {"supervisor": supervisor} | {
            name.removeprefix("netevd-"): pid for name, pid in sorted(children.items())
        }

    def hint(self) -> str:
        """Return the end of netevd's log."""
        self._log.flush()
        lines = (self.work / "log").read_text(errors="replace").splitlines()
        return "the last lines of its log are:\n" + "\n".join(lines[-20:])

    def close(self) -> None:
        """End netevd and let go of its namespaces and log."""
        super().close()
        self._log.close()
