"""Other programs of this machine: backends, other dispatchers, and who has the port of the API."""

from __future__ import annotations

import glob
import os
import shlex
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from netevd.cli.checks.case import Case, Finding, as_root
from netevd.cli.checks.processes import Process, find_owner, list_processes, read_file

BACKENDS: Final = ("systemd-networkd", "NetworkManager", "dhclient", "dhcpcd")
DISPATCHERS: Final = {
    "networkd-dispatcher": ("/etc/networkd-dispatcher/*.d", "/usr/lib/networkd-dispatcher/*.d"),
    # its dispatcher is started for each event and leaves after 10 s, so it itself counts
    "NetworkManager": (
        "/etc/NetworkManager/dispatcher.d", "/etc/NetworkManager/dispatcher.d/*.d",
        "/usr/lib/NetworkManager/dispatcher.d", "/usr/lib/NetworkManager/dispatcher.d/*.d",
    ),
}  # fmt: skip
"""Programs that run scripts too, and where. Source: networkd-dispatcher(8),
NetworkManager-dispatcher(8)."""
PORT: Final = 9090
_LISTEN: Final = "0A"
"""TCP_LISTEN. Source: include/net/tcp_states.h in Linux."""


def check_neighbours(case: Case) -> Iterator[Finding]:
    """Look which backends and dispatchers run, and for scripts that two of them would run."""
    processes = list(list_processes())
    running = {each.program: each for each in processes}
    beside = [f"{running[name]} beside it" for name in BACKENDS if name in running]
    yield Finding("ok", "backends", "backends", ", ".join(["kernel", *beside]))
    for each in processes:
        if os.path.basename(each.arguments[0]) == "netevd":  # ours are run by Python
            yield Finding("warning", "dispatchers", str(each), "is another netevd, a compiled one, and runs the"
                          " scripts of the same directories; stop one of the two", as_root(each.stop))  # fmt: skip
    own = {read_file(entry.path): entry.path for entry in case.entries if entry.runnable}
    for name, directories in DISPATCHERS.items():
        if case.identity and (dispatcher := running.get(name)):  # else scripts are not known
            yield from judge_dispatcher(dispatcher, list_files(directories), own)


def judge_dispatcher(
    dispatcher: Process, theirs: Iterable[str], own: Mapping[bytes, str]
) -> Iterator[Finding]:
    """Yield the scripts that a dispatcher and netevd both run. own: our paths by their content."""
    contents = ((path, read_file(path)) for path in theirs if os.access(path, os.X_OK))
    shared = [(path, own[content]) for path, content in contents if content and content in own]
    if same := [path for path, mine in shared if path == mine]:
        name = dispatcher.program
        stop = (
            "systemctl mask NetworkManager-dispatcher"
            if name == "NetworkManager"
            else dispatcher.stop
        )
        text = (
            f"runs {same[0]} too, which is in a tree of section compat, so a change runs it twice"
        )
        yield Finding(
            "warning", "dispatchers", str(dispatcher), f"{text}; stop one of the two", as_root(stop)
        )
        shared = [(path, mine) for path, mine in shared if path != mine]
        if not shared:
            return
    for path, mine in shared:
        yield Finding(
            "warning", "dispatchers", path,
            f"is the same script as {mine}, and {dispatcher} runs it too, so a change runs it twice;"
            " remove one of the two", as_root(f"rm {shlex.quote(path)}"),
        )  # fmt: skip
    if not shared:
        yield Finding("ok", "dispatchers", str(dispatcher), "shares no script with netevd")


def list_files(patterns: Iterable[str]) -> list[str]:
    """Return what is right in the directories of these patterns, as far as this caller may see."""
    return [path for pattern in patterns for path in sorted(glob.glob(f"{pattern}/*"))]


# --- port ------------------------------------------------------------------------------------------


def check_port(_: Case) -> Iterator[Finding]:
    """Tell who listens where the API will."""
    subject = f"127.0.0.1:{PORT}"
    inodes = [
        inode
        for table in ("tcp", "tcp6")
        for inode in find_listeners(read_file(f"/proc/net/{table}").decode(), PORT)
    ]
    if not inodes:
        yield Finding("ok", "port", subject, "free for the API")
        return
    owner = find_owner(inodes[0])
    if owner is not None and owner.is_netevd:
        yield Finding("ok", "port", subject, "netevd itself listens")
        return
    unknown = f"a process {'outside this container' if os.geteuid() == 0 else 'that root can name'}"
    yield Finding(
        "note", "port", subject, f"taken by {owner or unknown}; scripts run nevertheless, but the API"
        " that is to come wants this port", as_root(f"ss -ltnp sport = :{PORT}"),
    )  # fmt: skip


def find_listeners(table: str, port: int) -> Iterator[int]:
    """
    Yield the inode of each socket that keeps others from listening on 127.0.0.1.

    table: /proc/net/tcp or tcp6, whose addresses are words of the processor's byte order.
    """
    loopback = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), sys.byteorder):08X}"
    mapped = f"{0:016X}{int.from_bytes(bytes((0, 0, 255, 255)), sys.byteorder):08X}{loopback}"
    places = {f"{address}:{port:04X}" for address in ("0" * 8, loopback, "0" * 32, mapped)}
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[1] in places and words[3] == _LISTEN:
            yield int(words[9])
