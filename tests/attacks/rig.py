"""A real daemon whose worker is a puppet, and what has to be so after each attack."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from privsep.protocol import Message, pack
from tests.boundary.rig import DEADLINE, wait_for
from tests.processes.rig import Daemon

_PUPPET = Path(__file__).with_name("puppet.py")

FAULT = """
import os, sys
from privsep import roles
roles.BACKOFF, roles.HAND_OVER_TIME = (0.02,), 0.5
real = os.execve
PROGRAM = "import sys; sys.path.append(DIRECTORY); from privsep import __main__, confined; " \\
    "confined._PROGRAMS['worker'] = 'puppet'; sys.exit(__main__.main(['confined', 'worker', *sys.argv[1:]]))"
def execve(path, words, environment):
    if words[3:6] == ["privsep", "confined", "worker"] and os.path.exists(DIRECTORY + "/hostile"):
        words = [words[0], "-I", "-B", "-c", PROGRAM, *words[6:]]
    real(path, words, environment)
os.execve = execve
from privsep.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""A fault: the daemon's worker is the puppet. Identity, Landlock and filter are what `spawn` and
`confined` give it; only that the next one comes sooner is not as usual. Without the file `hostile`
the worker is netevd's own."""

HOSTILE = """
system: {log_format: json}
network: {links: [eth*]}
routing: {policy: {enabled: true}}
wireguard: {interfaces: [wg*]}
"""


class Refused(Exception):
    """The kernel refused a deed; `errno` says why."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.errno = code


class Gone(Exception):
    """The puppet was ended before it could answer."""


class Hostile:
    """A daemon, the puppet in the place of its worker, and a line to it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.audit_path = daemon.root / "log" / "audit.jsonl"
        audit = json.dumps({"enabled": True, "path": str(self.audit_path)})
        with daemon.config.open("a") as text:
            text.write(f"audit: {audit}\n")
        shutil.copy(_PUPPET, daemon.root / "puppet.py")
        (daemon.root / "puppet.py").chmod(0o644)
        self.marker = daemon.root / "hostile"
        self.marker.touch()
        self.fault = FAULT.replace("DIRECTORY", repr(str(daemon.root)))
        self._line: Any = None
        self.worker = 0

    def start(self, **how: Any) -> Hostile:
        """Start the daemon, and reach its worker."""
        self.daemon.start(fault=self.fault, ready=False, **how)
        self.reach()
        return self

    def reach(self) -> int:
        """Return the pid of the worker that is there, another one than the last that was spoken to."""
        self.close()

        def connect() -> int | None:
            self.close()
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(DEADLINE)
                try:
                    line.connect(str(self.daemon.root / "run" / "api.sock"))
                    self._line = line.makefile("rw")  # keeps the connection
                    pid = int(self.do("pid"))
                except (OSError, Gone):
                    return None
            return pid if pid != self.worker else None

        try:
            self.worker = wait_for(connect, "a worker that was taken over")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{''.join(self.daemon.raw[-40:])}") from None
        return self.worker

    def take_over(self) -> None:
        """Have the worker, netevd's own until now, replaced by the puppet."""
        self.marker.touch()
        os.kill(self.daemon.role("worker"), signal.SIGKILL)
        self.reach()

    def relent(self) -> int:
        """Have the puppet replaced by a worker of netevd's; return how many had served before."""
        served = sum("netevd is watching" in each["message"] for each in [*self.daemon.log])
        self.marker.unlink()
        self.close()
        os.kill(self.worker, signal.SIGKILL)
        return served

    def do(self, deed: str, *arguments: Any) -> Any:
        """Have the puppet do something and return what comes of it. Raises: Refused, Gone."""
        try:
            if self._line is None:
                raise Gone
            self._line.write(json.dumps([deed, list(arguments)]) + "\n")
            self._line.flush()
            told = self._line.readline()
        except OSError:
            told = ""
        if not told:
            raise Gone
        answer = json.loads(told)
        if "errno" in answer:
            raise Refused(answer["errno"], answer["words"])
        return answer["value"]

    def send(self, channel: str, packet: bytes | Message, descriptors: int = 0) -> None:
        """Have it send a packet; that it may be ended at once is fine."""
        raw = pack(packet) if isinstance(packet, Message) else packet

        def attempt() -> bool:
            try:
                self.do("send", channel, raw.hex(), descriptors)
            except Refused as refusal:
                if refusal.errno != errno.ETOOMANYREFS:
                    raise
                return False  # other workers of this user have as many under way as may be
            return True

        with contextlib.suppress(Gone):
            wait_for(attempt, "room for descriptors under way")

    def ask(self, channel: str, message: Message) -> str:
        """Have it send a message and return the answer, as Python shows it."""
        return str(self.do("ask", channel, pack(message).hex()))

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the audit log."""
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in self.audit_path.read_text().splitlines()]
        return []

    def privileged(self) -> dict[str, int]:
        """Return who is there but the worker."""
        roles = {role: self.daemon.role(role) for role in ("helper", "runner")}
        return {"supervisor": self.daemon.pid, **roles}

    @contextlib.contextmanager
    def attack(self, ends: str = "", *, notes: tuple[str, ...] = ()) -> Iterator[None]:
        """
        Attack, then see that all is as it has to be.

        1. ends: the worker is ended and this is why (a pattern); "": it goes on. 2. The kernel's rules,
        routes and links are what they were. 3. The privileged roles are the same and serve the worker that
        there is. 4. The audit log has the reason, or those of `notes`, and nothing where nothing of it came
        to a privileged role.
        """
        self._heal()
        kernel, there, noted = show_kernel(), self.privileged(), len(self.records())
        yield
        if ends:
            self.expect_record("role", "ended", ends, noted)
            self.reach()
            noted_words = {(each["what"], each["outcome"]) for each in self.records()[noted:]}
            assert noted_words == {("role", "ended"), ("role", "died")}
        self.expect_service()
        assert self.privileged() == there
        assert show_kernel() == kernel
        if not ends:
            told = [f"{each['what']} {each['outcome']}" for each in self.records()[noted:]]
            assert told == list(notes)

    def _heal(self) -> None:
        """Reach the worker again, if an attack before this one has failed and lost it."""
        try:
            self.do("pid")
        except (Gone, Refused):
            self.worker = 0
            self.reach()

    def count(self, what: str, outcome: str) -> int:
        """Return how many records of the audit log say this."""
        return sum((each["what"], each["outcome"]) == (what, outcome) for each in self.records())

    def expect_record(self, what: str, outcome: str, detail: str, after: int = 0) -> dict[str, Any]:
        """Return the record that says this, waiting for it."""

        def look() -> dict[str, Any] | None:
            fits = (
                each
                for each in self.records()[after:]
                if (each["what"], each["outcome"]) == (what, outcome)
                and re.search(detail, each["detail"])
            )
            return next(fits, None)

        try:
            return wait_for(look, f"a record of {what} {outcome}: {detail}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.records()[after:]}") from None

    def expect_service(self) -> None:
        """See that helper and runner answer this worker."""
        number = next(_numbers)
        assert "Done" in self.do("ask", "rpc", msgspec.msgpack.encode([22, number]).hex())
        self.do("send", "scripts", msgspec.msgpack.encode([43]).hex())
        self.do("count", "scripts", "Incarnation", 1)

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.close()
            self._line = None


_numbers = iter(range(1, 1 << 30))


def show_kernel() -> str:
    """Return every rule, route, link and address of this namespace, as ip tells them."""
    words = [
        "rule",
        "-6 rule",
        "-N -d route show table all",
        "-6 -N -d route show table all",
        "-br addr",
    ]
    return "".join(
        subprocess.run(["ip", *each.split()], capture_output=True, text=True, check=True).stdout
        for each in words
    )


def make_hostile(make_daemon: Callable[..., Daemon], configuration: str = HOSTILE) -> Hostile:
    """Return a hostile daemon that was not started yet."""
    return Hostile(make_daemon(configuration))


def find_pid(name: str, above: int) -> int:
    """Return the child of this name."""
    found = [
        int(each) for each in os.listdir("/proc") if each.isdigit() and _is_child(each, name, above)
    ]
    assert found, name
    return found[0]


def _is_child(pid: str, name: str, above: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return f"({name})" in fields and fields.rpartition(")")[2].split()[1] == str(above)
