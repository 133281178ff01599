"""Other programs of this machine: backends, other dispatchers, and who has the ports of the API and of metrics."""

from __future__ import annotations

import glob
import ipaddress
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from netevd.cli.checks.case import Case, Finding, as_root
from netevd.cli.checks.processes import Process, find_owner, list_processes, read_file
from netevd.config.load import Loaded
from netevd.config.schema import Configuration

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

BACKENDS: Final = ("systemd-networkd", "NetworkManager", "dhclient", "dhcpcd", "systemd-logind")
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


def check_port(case: Case) -> Iterator[Finding]:
    """Tell who listens where the API and the metrics will, as the configuration has it."""
    loaded = case.loaded
    configuration = loaded.configuration if isinstance(loaded, Loaded) else Configuration()
    api, metrics = configuration.api, configuration.metrics
    places: list[tuple[str, int, str]] = []
    if api.enabled:
        places += [(address, api.port, "the API") for address in api.bind_address]
    if metrics.enabled and metrics.port is not None:
        addresses = metrics.bind_address or api.bind_address
        places += [(address, metrics.port, "metrics") for address in addresses]
    for address, port, purpose in places:
        yield _look_at(address, port, purpose)


def _look_at(address: str, port: int, purpose: str) -> Finding:
    subject = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    inodes = [
        inode
        for table in ("tcp", "tcp6")
        for inode in find_listeners(read_file(f"/proc/net/{table}").decode(), port, address)
    ]
    if not inodes:
        return Finding("ok", "port", subject, f"free for {purpose}")
    owner = find_owner(inodes[0])
    if owner is not None and owner.is_netevd:
        return Finding("ok", "port", subject, "netevd itself listens")
    unknown = f"a process {'outside this container' if os.geteuid() == 0 else 'that root can name'}"
    return Finding(
        "note", "port", subject, f"taken by {owner or unknown}; scripts run nevertheless, but {purpose}"
        " can't be served there until it is free", as_root(f"ss -ltnp sport = :{port}"),
    )  # fmt: skip


def find_listeners(table: str, port: int, address: str = "127.0.0.1") -> Iterator[int]:
    """
    Yield the inode of each socket that keeps others from listening on an address.

    table: /proc/net/tcp or tcp6, whose addresses are words of the processor's byte order.
    """
    wanted = ipaddress.ip_address(address.partition("%")[0])
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == _LISTEN:
            place, _, number = words[1].partition(":")
            if int(number, 16) == port and _covers(_read_address(place), wanted):
                yield int(words[9])


def _read_address(text: str) -> _Address:
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    found = ipaddress.ip_address(b"".join(each.to_bytes(4, sys.byteorder) for each in words))
    return (found.version == 6 and found.ipv4_mapped) or found


def _covers(there: _Address, wanted: _Address) -> bool:
    """Tell whether one of two addresses is the other, or all; :: is all of both families."""
    if there.version == wanted.version:
        return there == wanted or there.is_unspecified or wanted.is_unspecified
    return any(each.version == 6 and each.is_unspecified for each in (there, wanted))
