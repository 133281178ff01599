"""
Lease files as they are written: found by pattern, followed by inotify, read, and told to the core.

Nothing is polled: between two changes the task sleeps until a lease is over. What is wrong with a
file is said once, with its line, and the rest of it counts.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, Protocol

import trio
from attrs import define, field
from structlog.typing import FilteringBoundLogger

from netevd.backends.directories import Directories
from netevd.backends.inotify import Inotify
from netevd.backends.leasefile import Parsed, parse
from netevd.backends.leases import Leases, Source, Subject
from netevd.backends.leasetree import SIZE_LIMIT, Fault
from netevd.model.backend import BackendName, LinkReport
from netevd.model.inputs import BackendForgot, BackendFound, BackendLost, BackendSaid, Input
from netevd.model.snapshot import Snapshot

CLIENTS: Final[tuple[BackendName, ...]] = ("dhclient", "dhcpcd")
"""Whose leases are in files."""
FILES_LIMIT: Final = 256
"""Lease files that are read at most."""
PATIENCE_S: Final = 2.0
"""How long the end of a file may be missing, as it is while the file is written, until that is said."""
RECENT_NS: Final = 30 * 10**9
"""How old a lease is at most that is news to a worker which is the first that can read its file."""
YOUNG_S: Final = 10.0
"""How old a directory is at least that was there when the sandbox of a worker was made which reads it now."""
LOOK_S: Final = 30.0
"""How often files are looked at where the system grants no inotify."""
_NEVER: Final = math.inf


@define(slots=True)
class _File:
    """A lease file that was read."""

    said: frozenset[str] = frozenset()
    """What was said of it and is still so."""
    unfinished: Fault | None = None
    unfinished_since: float = _NEVER
    """Monotonic seconds."""


class Links(Protocol):
    """What is known of links, as far as leases need it."""

    def is_known(self) -> bool:
        """Tell whether the kernel has told of all links there were at the start."""

    def has_begun(self) -> bool:
        """Tell whether what was there at the start is told, maybe by a worker before this one."""

    def find(self, name: str) -> Snapshot | None:
        """Return the link of this name."""

    def list_reported(self) -> Iterable[LinkReport]:
        """Return what was said by anybody of any link, and is remembered."""


@define(slots=True)
class LeaseWatch:
    """The task of one worker that reads lease files."""

    patterns: tuple[str, ...]
    """Absolute paths; only their last part may be a glob."""
    submit: Callable[[list[Input]], None]
    links: Links
    _log: FilteringBoundLogger
    ask_for_access: Callable[[], None]
    """Called when a directory was made that can't be read, since this worker's sandbox is older."""
    started_ns: int = 0
    """When the daemon was started, wall clock."""
    granted: frozenset[str] = frozenset()
    """Directories that the sandbox has, as far as they were there when it was made."""
    quiet: bool = False
    """Whether nobody has asked for just these directories, so that one that is shut is no news."""
    wanted: bool = False
    """Whether the configuration asks for this backend, so that its absence is a fault."""
    _leases: Leases = field(factory=Leases, init=False)
    _files: dict[str, _File] = field(factory=dict, init=False)
    _found: set[BackendName] = field(factory=set, init=False)
    _said: dict[Subject, LinkReport] = field(factory=dict, init=False)
    """What was said last, as far as it still counts."""
    begun: bool = field(default=False, init=False)
    """Whether it was said which clients there are."""
    _has_read: bool = field(default=False, init=False)
    """Whether all files there were at the start have been read."""
    _grumbled: set[str] = field(factory=set, init=False)
    """What was said of files and directories as such."""
    _shut: set[str] = field(factory=set, init=False)
    """Directories that the next worker may read."""
    _due: float = field(default=_NEVER, init=False)
    _alarm: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    async def run(self) -> None:
        """Read what there is, and then what changes, for ever."""
        try:
            watch = Inotify()
        except OSError as error:
            self._log.warning(
                f"lease files are looked at every {LOOK_S:.0f} s only, since the system grants no"
                f" inotify: {error.strerror}; raise fs.inotify.max_user_instances"
            )
            await self._look_for_ever()
            return
        try:
            await self._follow(watch)
        finally:
            watch.close()

    async def _follow(self, watch: Inotify) -> None:
        directories = Directories(watch, self._list_directories())
        directories.arm()
        touched = set(self._list_directories())
        known = {each for each in self.granted if not _is_young(each)}
        self._notice_shut(touched - known)
        while True:
            self._read(touched)
            for path, error in directories.refused.items():
                self._grumble(path, error, quiet=self.quiet)
            self.look()
            with trio.CancelScope() as self._alarm:
                self._set_alarm()
                await watch.wait()
            touched = directories.read()
            self._notice_shut(touched)

    async def _look_for_ever(self) -> None:
        while True:
            self._read(set(self._list_directories()))
            self.look()
            with trio.move_on_after(LOOK_S) as self._alarm:
                self._set_alarm()
                await trio.sleep_forever()

    # --- what is told ----------------------------------------------------------------------------

    def look(self) -> None:
        """Tell what is different by time, or by what is known of links; no file is read."""
        if not (self._has_read and self.links.is_known()):
            return
        now_ns = time.time_ns()
        judgement = self._leases.judge(now_ns, self.links.find)
        inputs = (
            self._list_news(judgement.reports)
            if self.begun
            else self._begin(judgement.reports, now_ns)
        )
        due = _NEVER
        if judgement.due_ns is not None:
            due = time.monotonic() + max(judgement.due_ns - now_ns, 0) / 1e9
        self._due = min(due, self._say_unfinished())
        self._set_alarm()
        if inputs:
            self.submit(inputs)

    def _set_alarm(self) -> None:
        if self._due < _NEVER:
            due = trio.current_time() + self._due - time.monotonic()
            self._alarm.deadline = min(self._alarm.deadline, due)

    def _begin(self, reports: Mapping[Subject, LinkReport], now_ns: int) -> list[Input]:
        """
        Say which clients there are, and all that they know.

        What a worker before this one has said may not be so any more. What it could not read yet is news.
        """
        self.begun = True
        self._found.update(self._leases.clients)
        self._said.update(reports)
        remembered = {(each.backend, each.ifindex) for each in self.links.list_reported()}
        recent_ns = max(self.started_ns, now_ns - RECENT_NS)
        news = {
            subject: each
            for subject, each in reports.items()
            if self.links.has_begun() and subject not in remembered and _is_since(each, recent_ns)
        }
        inputs: list[Input] = []
        for client in CLIENTS:
            if client in self._found:
                its = [each for key, each in sorted(reports.items()) if key not in news]
                its = [each for each in its if each.backend == client]
                inputs.append(BackendFound(client, "", tuple(its)))
            elif self._shut:  # what was said last counts until the worker comes that can look
                inputs.append(BackendLost(client, "its lease files can't be read yet"))
            else:
                gone = sorted(ifindex for backend, ifindex in remembered if backend == client)
                inputs += [BackendForgot(client, ifindex) for ifindex in gone]
                wanted = self.wanted and client == "dhclient"
                inputs.append(BackendLost(client, "there is no lease file of it", wanted))
        return inputs + [BackendSaid(each) for _, each in sorted(news.items())]

    def _list_news(self, reports: Mapping[Subject, LinkReport]) -> list[Input]:
        news: list[Input] = []
        for client in sorted(self._leases.clients - self._found):
            self._found.add(client)
            news.append(BackendFound(client, ""))
        gone = sorted(self._said.keys() - reports.keys())
        news += [BackendForgot(backend, ifindex) for backend, ifindex in gone]
        news += [
            BackendSaid(report)
            for subject, report in sorted(reports.items())
            if self._said.get(subject) != report
        ]
        self._said = dict(reports)
        return news

    # --- files -----------------------------------------------------------------------------------

    def _list_directories(self) -> list[str]:
        return list(dict.fromkeys(os.path.dirname(each) for each in self.patterns))

    def _matches(self, path: str) -> bool:
        directory, name = os.path.split(path)
        return any(
            os.path.dirname(each) == directory and fnmatchcase(name, os.path.basename(each))
            for each in self.patterns
        )

    def _read(self, touched: set[str]) -> None:
        """Read what was touched: files of the patterns, or all of them in a directory."""
        directories = [each for each in self._list_directories() if each in touched]
        paths = {each for each in touched if each not in directories and self._matches(each)}
        for directory in directories:
            paths.update(self._list_files(directory))
            paths.update(each for each in self._files if os.path.dirname(each) == directory)
        self._has_read = True
        for path in sorted(paths):
            if path in self._files or len(self._files) < FILES_LIMIT:
                self._read_file(path)
            else:
                self._say(f"{path}: not read, since there are {FILES_LIMIT} lease files already")

    def _list_files(self, directory: str) -> list[str]:
        try:
            names = os.listdir(directory)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._grumble(directory, error, quiet=self.quiet)
            return []
        return [path for name in names if self._matches(path := os.path.join(directory, name))]

    def _read_file(self, path: str) -> None:
        try:
            read = _read(path)
        except FileNotFoundError:
            if self._files.pop(path, None) is not None:
                self._leases.take(path, None)
            return
        except OSError as error:
            self._grumble(path, error)
            return
        if read is None:
            return
        content, modified_ns = read
        parsed = parse(content)
        self._leases.take(path, Source(parsed.records, modified_ns))
        file = self._files.setdefault(path, _File())
        if content:  # as long as it is written anew, what was said of it is still so
            self._say_faults(path, file, parsed)

    # --- what is wrong ---------------------------------------------------------------------------

    def _say_faults(self, path: str, file: _File, parsed: Parsed) -> None:
        """Say each fault once, as long as it is there."""
        faults = {f"{path}:{each.line}:{each.column}: {each.text}" for each in parsed.faults}
        for text in sorted(faults - file.said):
            self._log.warning(f"{text}; passed over, what else the file says counts")
        if file.said and not faults and parsed.unfinished is None:
            self._log.info(f"{path}: all of it is understood again")
        end = parsed.unfinished
        if end is None or end != file.unfinished:
            file.unfinished_since = _NEVER if end is None else time.monotonic()
            file.unfinished = end
        elif _show_end(path, end) in file.said:
            faults.add(_show_end(path, end))
        file.said = frozenset(faults)

    def _say_unfinished(self) -> float:
        """Say which files have been without end for long; return when it is to be seen again."""
        due = _NEVER
        for path, file in self._files.items():
            if file.unfinished is None or _show_end(path, file.unfinished) in file.said:
                continue
            moment = file.unfinished_since + PATIENCE_S
            if moment > time.monotonic():
                due = min(due, moment)
                continue
            text = _show_end(path, file.unfinished)
            self._log.warning(f"{text}; it counts as soon as it has")
            file.said |= {text}
        return due

    def _notice_shut(self, touched: set[str]) -> None:
        """Ask for a worker whose sandbox has a directory that this one's has not: it was not there yet."""
        for directory in self._list_directories():
            if directory not in touched or not os.access(directory, os.R_OK | os.X_OK):
                continue
            try:
                os.listdir(directory)
            except PermissionError:
                if directory not in self._shut:
                    self._shut.add(directory)
                    text = f"{directory} was not there before: a worker follows that may read it"
                    self._log.info(text)
                    self.ask_for_access()
            except OSError:
                continue

    def _grumble(self, path: str, error: OSError, *, quiet: bool = False) -> None:
        if path in self._shut or os.path.dirname(path) in self._shut:
            return
        text = f"{path}: can't be read: {error.strerror}; leases that it keeps are not known"
        self._say(text, quiet=quiet)

    def _say(self, text: str, *, quiet: bool = False) -> None:
        """Say something once."""
        if text not in self._grumbled and len(self._grumbled) < FILES_LIMIT:
            self._grumbled.add(text)
            say = self._log.debug if quiet else self._log.warning
            say(text)


def _show_end(path: str, fault: Fault) -> str:
    return f"{path}:{fault.line}:{fault.column}: {fault.text}"


def _is_since(report: LinkReport, moment_ns: int) -> bool:
    """Tell whether any lease of a report was granted at this moment or later; files have whole seconds."""
    return any((each.obtained_ns or 0) + 10**9 > moment_ns for each in report.leases)


def _is_young(directory: str) -> bool:
    """Tell whether a directory may be newer than this worker's sandbox."""
    try:
        return time.time() - os.stat(directory).st_ctime < YOUNG_S
    except OSError:
        return False


def _read(path: str) -> tuple[bytes, int] | None:
    """
    Return content and time of modification of a file, None for what is no file. Raises: OSError.

    A content longer than `SIZE_LIMIT` is cut, and still too long.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        content = b""
        while len(content) <= SIZE_LIMIT and (part := os.read(descriptor, SIZE_LIMIT + 1)):
            content += part
    finally:
        os.close(descriptor)
    return content, status.st_mtime_ns
