"""
The reader: a short-lived process that turns a file into launch data and a sealed configuration.

Runs as netevd-net, confined by `privsep.confined`, imported before that. It answers once and ends;
what it answers is checked again by the supervisor.
"""

from __future__ import annotations

import os
import pwd
import socket
from typing import Final

import msgspec

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from netevd.config.tree import Place, Problem
from netevd.model.event import EventType
from netevd.model.route import read_protocol, read_table
from privsep.protocol import Identity, Launch, Message, Rejected, RouteFilter, pack

VENDOR_DIRECTORY: Final = "/usr/lib/netevd"
PROBLEM_LIMIT: Final = 200
"""Problems told at most; who has more mends these first."""


def main(arguments: list[str]) -> int:
    """
    Read a configuration and answer; return the exit status.

    arguments: privileged or observe, the path or "", and the descriptors of the answer's socket and
    of the memory for the configuration.
    """
    mode, path, reply, memory = arguments[0], arguments[1], int(arguments[2]), int(arguments[3])
    loaded = load(path or None, os.environ)
    answer: Message
    if isinstance(loaded, list):
        answer = _reject(loaded)
    else:
        problems: list[Problem] = []
        identity = _resolve_user(loaded, problems, observe=mode == "observe")
        if mode != "observe":
            problems += _find_untrusted(loaded)
        if problems or identity is None:
            answer = _reject(problems)
        else:
            os.pwrite(memory, msgspec.msgpack.encode(loaded.configuration), 0)
            answer = _launch(loaded.configuration, identity)
    with socket.socket(fileno=reply) as sock:
        sock.send(pack(answer))
    return 0


def _reject(problems: list[Problem]) -> Rejected:
    lines = [str(problem)[:500] for problem in problems[:PROBLEM_LIMIT]]
    if len(problems) > PROBLEM_LIMIT:
        lines.append(f"and {len(problems) - PROBLEM_LIMIT} more problems")
    return Rejected(lines)


def _launch(configuration: Configuration, identity: Identity) -> Launch:
    directories = dict.fromkeys([configuration.scripts.directory, VENDOR_DIRECTORY])
    return Launch(
        runners=[identity],
        directories=list(directories),
        events=[kind.value for kind in EventType],
        log_level=configuration.system.log_level,
        log_format=configuration.system.log_format,
        script_timeout=configuration.script_timeout,
        output_limit=configuration.scripts.output_limit,
        routes=RouteFilter(
            [read_table(word) for word in configuration.routes.tables],
            configuration.routes.default_routes,
            [read_protocol(word) for word in configuration.routes.protocols],
        ),
    )


def _resolve_user(loaded: Loaded, problems: list[Problem], *, observe: bool) -> Identity | None:
    """Return the identity of scripts; in observe mode the caller's."""
    if observe:
        uid = os.getuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = f"uid {uid}"
        return Identity(name, uid, os.getgid(), os.getgroups())
    name = loaded.configuration.scripts.user
    place = loaded.places.get(("scripts", "user"), Place("scripts.user"))
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        problems.append(
            Problem(place, f"user: there is no system user {name!r}; make it with:"
                    f" useradd --system --user-group --no-create-home {name}")
        )  # fmt: skip
        return None
    if entry.pw_uid == 0:
        problems.append(
            Problem(place, "user: scripts don't run as root; give them a system user of their own")
        )
        return None
    groups = sorted(set(os.getgrouplist(name, entry.pw_gid)))
    return Identity(name, entry.pw_uid, entry.pw_gid, groups)


def _find_untrusted(loaded: Loaded) -> list[Problem]:
    """Return a problem for each setting of privilege from a file that others than root can write."""
    problems = []
    for key in ("user", "directory"):
        place = loaded.places.get(("scripts", key))
        if place is None:
            continue
        status = os.stat(place.file)
        if status.st_uid != 0 or status.st_mode & 0o022:
            problems.append(
                Problem(place, f"{key}: only a file that belongs to root and that nobody else may"
                        f" write can say this; mend it with:"
                        f" chown root {place.file} && chmod go-w {place.file}")
            )  # fmt: skip
    return problems
