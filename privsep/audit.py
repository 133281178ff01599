"""
The audit log: what was done with privilege or refused, one JSON object a line.

Files are opened anew for each record, from the root down, without following links and only below
directories that belong to root: so one that was moved away, or whose file system came back, is found
again, and root writes nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import json, structs

from privsep.channel import Channel
from privsep.launch import AuditFile
from privsep.log import Log, show_time
from privsep.protocol import Audit, Audited, AuditTrouble, Lead, Told, escape

WAITING: Final = 256
"""Records that wait for the file, and messages that wait for a worker, at most."""
BURST: Final = 100.0
"""Notes of worker and courier, and refusals of each other role, that may come at once, and one a second beyond
that: what a worker that was taken over can cause must not push out what is known about it."""
WEAK: Final = frozenset({"worker", "courier"})
"""Whose notes count as those of somebody else: who speaks with the network may be taken over."""
THE_WORKER: Final = "the worker"
"""On whose behalf the supervisor does what a worker asks for: its notes of that count as the worker's."""
RETRY: Final = 10.0
"""Seconds until a file that could not be written is tried again."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Reporter:
    """Helper and runner: tells the supervisor, and never waits for it."""

    def __init__(self, lead: Channel[Lead]) -> None:
        self._lead = lead
        self._lost = 0

    def tell(self, what: str, outcome: str, by: str, detail: str) -> None:
        """Tell what was done or refused; what can't be sent now is counted by the next record."""
        record = Audit(what, outcome, escape(by)[:512], escape(detail)[:512], self._lost)
        self._lost = 0 if self._lead.offer(record) else self._lost + 1


class AuditLog:
    """The supervisor's: takes records and keeps them until they are written and told."""

    def __init__(
        self, log: Log, owners: frozenset[int], group: int, tell: Callable[[Told], bool]
    ) -> None:
        """
        owners: uids that directories and files may belong to. group: may read the files, -1 for one's
        own. tell: tells the worker, or returns False if that has to wait.
        """
        self._log, self._tell, self._rights = log, tell, (owners, group)
        self._file: AuditFile | None = None
        self._waiting: deque[bytes] = deque()
        self._untold: deque[Told] = deque(maxlen=WAITING)
        self._lost = 0
        self._allowed: dict[str, tuple[float, float]] = {}
        """How many more records of a source, and when that was so."""
        self.trouble = ""
        """Why the file can't be written, "" if it can."""
        self.due: float | None = None
        """When to try again, monotonic seconds."""

    def configure(self, file: AuditFile | None) -> None:
        """Write to this file from now on, None for nowhere."""
        if file != self._file:
            self.add("supervisor", Audit("audit-log", "ended", detail="its settings have changed"))
            self._file, self._lost = file, len(self._waiting)
            self._waiting.clear()

    def add(self, source: str, record: Audit) -> None:
        """Take a record that this role has made; what there is no room for is counted by the next."""
        self._lost += record.lost
        if self._file is None or not self._has_room(source, record):
            self._lost += self._file is not None
            return
        record, self._lost = structs.replace(record, lost=self._lost), 0
        time_ns = time.time_ns()
        self._untold.append(Audited(time_ns, source, record))
        words = {"time": show_time(time_ns), "source": source, **structs.asdict(record)}
        self._waiting.append(json.encode(words) + b"\n")
        self.flush()

    def _has_room(self, source: str, record: Audit) -> bool:
        now = time.monotonic()
        source = "worker" if record.by == THE_WORKER else source
        allowed, since = self._allowed.get(source, (BURST, now))
        if source in WEAK or (source != "supervisor" and record.outcome == "refused"):
            allowed = min(BURST, allowed + now - since)
            self._allowed[source] = (allowed - (allowed >= 1), now)
        return allowed >= 1 and len(self._waiting) < WAITING

    def flush(self) -> None:
        """Write and tell what waits; say once what is in the way, and once that it is not any more."""
        trouble = ""
        try:
            while self._file is not None and self._waiting:
                append(self._file, *self._rights, self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            where = f"{self._file.path} (at {error.filename})" if self._file else ""
            trouble = f"the audit log can't be written: {where}: {error.strerror}"
        self.due = time.monotonic() + RETRY if trouble else None
        if trouble != self.trouble:
            self.trouble = trouble
            self._untold.append(AuditTrouble(trouble))
            level = "error" if trouble else "info"
            self._log.write(level, trouble or "the audit log is written again")
        while self._untold and self._tell(self._untold[0]):
            self._untold.popleft()


def append(file: AuditFile, owners: frozenset[int], group: int, line: bytes) -> None:
    """Append a line; before that begin a new file if need be. Raises: OSError, with `filename`."""
    parents, _, name = file.path.rpartition("/")
    with contextlib.suppress(OSError):
        os.mkdir(parents, 0o755)  # the last one alone; whatever is there now, is checked
    with contextlib.ExitStack() as opened:
        above: int | None = None
        for part in ("/", *parents.split("/")[1:]):
            above = os.open(part, _DIRECTORY, dir_fd=above)
            opened.callback(os.close, above)
            _check(part, above, owners, 0o022 * parents.endswith(f"/{part}"))
        for _ in range(2):
            log = os.open(name, _FILE, 0o640, dir_fd=above)
            opened.callback(os.close, log)
            size = _check(name, log, owners, 0o022)
            if not size or size + len(line) <= file.size:
                break
            for number in range(file.keep, 0, -1):
                old = f"{name}.{number - 1}" if number > 1 else name
                with contextlib.suppress(FileNotFoundError):
                    os.rename(old, f"{name}.{number}", src_dir_fd=above, dst_dir_fd=above)
            if not file.keep:
                os.unlink(name, dir_fd=above)
        if not size:
            os.fchown(log, -1, group)
            os.fchmod(log, 0o640)
        elif os.pread(log, 1, size - 1) != b"\n":
            line = b"\n" + line  # the power failed in the middle of the last one
        if os.write(log, line) < len(line):
            os.ftruncate(log, size)
            raise OSError(0, "there is no room for a whole line", name)


def _check(name: str, opened: int, owners: frozenset[int], forbidden: int) -> int:
    """Return the size of a file or directory that may be trusted. Raises: OSError, for any other."""
    status = os.fstat(opened)
    single = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
    if not single or status.st_uid not in owners or status.st_mode & forbidden:
        fault = "expected a directory, or a file of one name, that root has and none else may write"
        raise OSError(0, fault, name)
    return status.st_size
