"""
The audit log: what was done with privilege or refused, one JSON object a line.

Files are opened anew for each record, from the root down, without following links and only below
directories that belong to root: so one that was moved away, or whose file system came back, is found
again, and root writes nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections import deque
from itertools import pairwise
from typing import Final

import msgspec

from privsep.channel import Channel, Closed
from privsep.log import Log
from privsep.protocol import Audit, Audited, AuditFile, AuditTrouble, Lead, escape

WAITING: Final = 256
"""Records that wait for the file, and messages that wait for a worker, at most."""
BURST: Final = 100.0
"""Notes of the worker, and refusals of each other role, that may come at once: what a worker that was
taken over can cause must not push out what is known about it."""
RATE: Final = 1.0
"""How many more of them a second."""
RETRY: Final = 10.0
"""Seconds until a file that could not be written is tried again."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Reporter:
    """Helper and runner: tells the supervisor, and never waits for it."""

    def __init__(self, lead: Channel[Lead]) -> None:
        self._lead = lead
        self._lost = 0

    def tell(self, what: str, outcome: str, by: str, detail: str) -> None:
        """Tell what was done or refused; what can't be sent now is counted by the next record."""
        try:
            self._lead.send(Audit(what, outcome, by[:512], detail[:512], self._lost))
            self._lost = 0
        except (BlockingIOError, Closed):
            self._lost += 1


class AuditLog:
    """The supervisor's: takes records and keeps them until they are written."""

    def __init__(self, log: Log, owners: frozenset[int], group: int) -> None:
        """owners: uids that directories and files may belong to. group: may read what is made, or -1."""
        self._log = log
        self._owners = owners
        self._group = group
        self._file: AuditFile | None = None
        self._wanted = True
        """Whether records are taken; they are until it is known that they are not."""
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._allowed: dict[str, tuple[float, float]] = {}
        """How many more records of a source, and when that was so."""
        self.untold: deque[Audited | AuditTrouble] = deque(maxlen=WAITING)
        """What no worker has heard yet."""
        self.trouble = ""
        """Why the file can't be written, "" if it can."""
        self.due: float | None = None
        """When to try again, monotonic seconds."""

    def configure(self, file: AuditFile | None) -> None:
        """Write to this file from now on, None for nowhere."""
        if self._file not in {None, file}:
            self.add("supervisor", Audit("audit-log", "ended", detail="its settings have changed"))
        self._file, self._wanted = file, file is not None
        if file is None:
            self._waiting.clear()
            self.untold.clear()
        self.flush()

    def add(self, source: str, record: Audit) -> None:
        """Take a record that this role has made; what there is no room for is counted by the next."""
        self._lost += record.lost
        if not self._wanted or not self._has_room(source, record):
            self._lost += self._wanted
            return
        record = msgspec.structs.replace(record, lost=self._lost)
        self._lost = 0
        audited = Audited(time.time_ns(), source, record)
        self.untold.append(audited)
        self._waiting.append(_show(audited))
        self.flush()

    def _has_room(self, source: str, record: Audit) -> bool:
        now = time.monotonic()
        allowed, since = self._allowed.get(source, (BURST, now))
        if source == "worker" or (source != "supervisor" and record.outcome == "refused"):
            allowed = min(BURST, allowed + (now - since) * RATE)
            self._allowed[source] = (allowed - (allowed >= 1), now)
        return allowed >= 1 and len(self._waiting) < WAITING

    def flush(self) -> None:
        """Write what waits; say once what is in the way, and once that it is not any more."""
        trouble = ""
        try:
            while self._file is not None and self._waiting:
                append(self._file, self._owners, self._group, self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            trouble = f"the audit log can't be written: {error.filename}: {error.strerror}"
        self.due = time.monotonic() + RETRY if trouble else None
        if trouble != self.trouble:
            self.trouble = trouble
            self.untold.append(AuditTrouble(trouble))
            again = "the audit log is written again"
            self._log.write("error" if trouble else "info", trouble or again)


def _show(audited: Audited) -> bytes:
    record = audited.record
    seconds, rest = divmod(audited.time_ns, 10**9)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 10**6:03}Z"
    words = {"time": stamp, "source": audited.source, "what": record.what, "by": record.by,
             "outcome": record.outcome, "detail": record.detail}  # fmt: skip
    lost = {"lost": record.lost} if record.lost else {}
    return msgspec.json.encode({key: escape(word) for key, word in words.items()} | lost) + b"\n"


def append(file: AuditFile, owners: frozenset[int], group: int, line: bytes) -> None:
    """Append a line; before that begin a new file if need be. Raises: OSError, with `filename`."""
    *parents, name = file.path.split("/")
    with contextlib.ExitStack() as opened:
        above: int | None = None
        for depth, part in enumerate(parents, 1):
            path, is_last = "/".join(parents[:depth]) or "/", depth == len(parents)
            above = _open(part or "/", above, path, _DIRECTORY, group if is_last else None)
            opened.callback(os.close, above)
            _check(path, os.fstat(above), owners, 0o022 if is_last else 0)
        for _ in range(2):
            log = _open(name, above, file.path, _FILE, group)
            opened.callback(os.close, log)
            size = _check(file.path, os.fstat(log), owners, 0o022)
            if not size or size + len(line) <= file.size:
                break
            names = [name, *(f"{name}.{number}" for number in range(1, file.keep + 1))]
            for old, new in reversed([*pairwise(names)]):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(old, new, src_dir_fd=above, dst_dir_fd=above)
            if not file.keep:
                os.unlink(name, dir_fd=above)
        whole = (b"" if not size or os.pread(log, 1, size - 1) == b"\n" else b"\n") + line
        if os.write(log, whole) < len(whole):
            os.ftruncate(log, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.path)


def _open(part: str, above: int | None, path: str, flags: int, group: int | None) -> int:
    """Return a descriptor of what is there, or is made unless `group` is None."""
    try:
        with contextlib.suppress(FileNotFoundError):
            return os.open(part, flags, dir_fd=above)
        if group is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if flags & os.O_DIRECTORY:
            os.mkdir(part, 0o755, dir_fd=above)
            return os.open(part, flags, dir_fd=above)
        made = os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=above)
        os.fchown(made, -1, group)
        os.fchmod(made, 0o640)
        return made
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _check(path: str, status: os.stat_result, owners: frozenset[int], forbidden: int) -> int:
    """Return the size of what may be trusted. Raises: OSError, for anything else."""
    is_file = stat.S_ISREG(status.st_mode)
    fault = ""
    if not is_file and not stat.S_ISDIR(status.st_mode):
        fault = "it is not a regular file"
    elif status.st_uid not in owners:
        fault = f"it belongs to uid {status.st_uid}, expected {sorted(owners)}"
    elif status.st_mode & forbidden:
        fault = "it is writable by others than its owner; mend it with: chmod go-w"
    elif is_file and status.st_nlink != 1:
        fault = f"it has {status.st_nlink} names, expected one"
    if fault:
        raise OSError(errno.EPERM, fault, path)
    return status.st_size
