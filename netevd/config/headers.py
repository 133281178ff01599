"""
Headers files: what a webhook is sent besides the event. Mostly secrets, so no message shows a value.

Belongs here: who may own and read such a file, and what may stand in it. Source: RFC 9110 section 5.
"""

from __future__ import annotations

import grp
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from netevd.config.load import Loaded
from netevd.config.tree import Place, Problem

Headers = list[tuple[str, str]]

SIZE_LIMIT: Final = 16 * 1024
"""Bytes of a file at most; servers take about as many."""

LIMIT: Final = 64
"""Headers of a file at most."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*\Z")

_OURS: Final = frozenset("""
    host content-length content-type transfer-encoding connection keep-alive upgrade te trailer
    expect idempotency-key user-agent accept-encoding
""".split())  # fmt: skip
"""What netevd sends itself, or what would change how the message is read."""


def read_all(
    loaded: Loaded, *, observe: bool, lenient: bool = False
) -> tuple[dict[str, Headers], list[Problem]]:
    """
    Return the headers of each file that webhooks name, by path, and every problem with them.

    observe: netevd runs as the caller, so the files are the caller's. lenient: one that is as the daemon
    of root wants it need not be readable.
    """
    found: dict[str, Headers] = {}
    problems: list[Problem] = []
    for index, each in enumerate(loaded.configuration.filters):
        for number, webhook in enumerate(each.webhooks or ()):
            path = webhook.headers_file
            if path is None or path in found:
                continue
            key = ("filters", str(index), "webhooks", str(number), "headers_file")
            content = _read(path, loaded.places[key], problems, observe=observe, lenient=lenient)
            found[path] = list(_parse(path, content, problems))
    return found, problems


def _read(path: str, place: Place, problems: list[Problem], *, observe: bool, lenient: bool) -> str:
    """Return what a file says, "" for one that may not be used."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        problems.append(Problem(place, f"headers_file: {path} is not there"))
        return ""
    except OSError as error:
        if lenient and isinstance(error, PermissionError) and _is_roots(path):
            return ""
        why = f"can't be read: {error.strerror}"
        problems.append(Problem(place, f"headers_file: {path} {why}; {_advise(path, observe)}"))
        return ""
    try:
        fault = _find_fault(os.fstat(descriptor), observe=observe)
        content = b"" if fault else os.read(descriptor, SIZE_LIMIT)
    finally:
        os.close(descriptor)
    if fault:
        advice = f"; {_advise(path, observe)}" if "mode" in fault else ""
        problems.append(Problem(place, f"headers_file: {path} {fault}{advice}"))
        return ""
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        problems.append(Problem(Place(path), "headers: expected ASCII characters alone"))
        return ""


def _find_fault(status: os.stat_result, *, observe: bool) -> str:
    """Return why such a file holds no secret, or none of ours."""
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_size > SIZE_LIMIT:
        return f"has {status.st_size} bytes, more than {SIZE_LIMIT}"
    owners = {0, os.geteuid()} if observe else {0}
    if status.st_uid not in owners or status.st_mode & 0o037 or _opens_to_worker(status):
        whose = "root, or to you," if observe else "root"
        return (
            f"must belong to {whose} and be closed to others, the group netevd too; it belongs to uid"
            f" {status.st_uid}, gid {status.st_gid}, with mode {stat.S_IMODE(status.st_mode):04o}"
        )
    return ""


def _opens_to_worker(status: os.stat_result) -> bool:
    """Tell whether the worker, which shall not know it, could read a file of root's."""
    try:
        gid = grp.getgrnam("netevd").gr_gid
    except KeyError:
        return False
    return status.st_gid == gid and bool(status.st_mode & 0o040)


def _is_roots(path: str) -> bool:
    try:
        return not _find_fault(os.stat(path), observe=False)
    except OSError:
        return False


def _advise(path: str, observe: bool) -> str:  # noqa: FBT001 - of _read
    if observe:
        return f"mend it with: chmod 0600 {path}"
    return f"mend it with: chown root:netevd-net {path} && chmod 0640 {path}"


def _parse(path: str, content: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Yield the headers of a file, which has one in a line; # begins a comment."""
    count = 0
    for number, line in enumerate(content.split("\n"), 1):
        text = line.strip("\r\t ")
        if not text or text.startswith("#"):
            continue
        count += 1
        name, colon, value = text.partition(":")
        place = Place(path, number, 1)
        if not colon or not _NAME.match(name) or not _VALUE.match(value):
            problems.append(Problem(place, "headers: expected a line such as Authorization: ..."))
        elif name.lower() in _OURS or name.lower().startswith(("netevd-", "proxy-")):
            problems.append(Problem(place, f"headers: {name} is not for a file to say"))
        elif count > LIMIT:
            problems.append(Problem(place, f"headers: more than {LIMIT} of them"))
            return
        else:
            yield name, value.strip(" \t")
