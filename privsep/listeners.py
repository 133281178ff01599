"""
Sockets that clients connect to: opened here, since they outlive every worker, and handed to each.

What stays the same over a reload is not touched; what can't be had is told once and tried again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from typing import Final

from privsep.launch import Listener
from privsep.log import Log
from privsep.mode import Mode, Refusal

NAME: Final = "api.sock"
"""File of the socket of the command line and the API, in the runtime directory."""
GIVEN: Final = {"api": "api", "api-tcp": "api", "metrics": "metrics"}
"""Kind of what a service manager hands over under each name. Source: systemd.socket(5)."""
BACKLOG: Final = 1024
"""Connections that may wait while one worker is exchanged for the next."""
RETRIES: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds until what could not be opened is tried again; the last value stays."""

_IP_FREEBIND: Final = 15
"""Bind an address that no link has yet. Source: linux/in.h; Python does not name it."""


class Listeners:
    """The runtime directory's socket, those that were handed over, and those of the configuration."""

    def __init__(self, directory: str, mode: Mode, given: list[tuple[str, int]]) -> None:
        """given: name and number of what a service manager hands over. Raises: Refusal."""
        self._mode = mode
        self._own = Listener("local", os.path.join(directory, NAME), 0)
        self._given: list[tuple[str, socket.socket]] = []
        self._open: dict[Listener, socket.socket] = {}
        self._tries: dict[Listener, int] = {}
        """How often each that is wanted and not open was tried."""
        self.due: float | None = None
        """When to try again, monotonic seconds."""
        for name, number in given:
            if name in GIVEN:
                sock = socket.socket(fileno=os.dup(number))
                kind = "local" if sock.family == socket.AF_UNIX else GIVEN[name]
                self._given.append((kind, sock))
                if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    raise Refusal(f"descriptor {name!r} of the service manager does not listen")
        if all(sock.getsockname() != self._own.address for _, sock in self._given):
            try:
                self._open[self._own] = _listen(self._own, mode)
            except OSError as error:
                raise Refusal(f"{self._own.address} can't be made: {error.strerror}") from None

    def want(self, wanted: list[Listener], log: Log) -> None:
        """Close what is no longer wanted and open what is wanted from now on."""
        given = {kind for kind, _ in self._given} - {"local"}
        wanted = [each for each in wanted if each.kind not in given]
        for gone in self._open.keys() - {self._own, *wanted}:
            self._open.pop(gone).close()
        wanted = [each for each in wanted if each not in self._open]
        self._tries = {each: min(1, self._tries.get(each, 0)) for each in wanted}
        self.open_missing(log)

    def open_missing(self, log: Log) -> list[tuple[str, socket.socket]]:
        """Try once more what is not open; return kind and socket of what is open now."""
        opened = []
        for each, tries in [*self._tries.items()]:
            place = f"{each.address} port {each.port}" if each.port else each.address
            try:
                self._open[each] = _listen(each, self._mode)
            except OSError as error:
                self._tries[each] += 1
                if not tries:
                    log.write("warn", f"nobody is served at {place}: {error.strerror or error};"
                              f" `ss -lntp` names who listens there: stop that, or change {each.kind}."
                              f"port. It is tried again, and events are handled meanwhile")  # fmt: skip
                continue
            if self._tries.pop(each):
                log.write("info", f"clients are served at {place} from now on")
            opened.append((each.kind, self._open[each]))
        waits = [RETRIES[min(tries, len(RETRIES)) - 1] for tries in self._tries.values()]
        self.due = time.monotonic() + min(waits) if waits else None
        return opened

    def all(self) -> list[tuple[str, socket.socket]]:
        """Return kind and socket of everything that a worker has to serve."""
        return [*self._given, *((each.kind, sock) for each, sock in self._open.items())]


def _listen(where: Listener, mode: Mode) -> socket.socket:
    """
    Return a listening socket. Raises: OSError.

    A unix socket is for root and group netevd, in observe mode for the caller alone; what an earlier
    daemon has left there is replaced. An IP address need not be there yet.
    """
    is_path, is_ipv6 = where.address.startswith("/"), ":" in where.address
    family = socket.AF_UNIX if is_path else socket.AF_INET6 if is_ipv6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    umask = os.umask(0o177 if mode.observe else 0o117)
    try:
        if is_path:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(os.lstat(where.address).st_mode):
                    raise OSError(0, "what is there is not a socket; move it elsewhere")
                os.unlink(where.address)
            sock.bind(where.address)
            if not mode.observe:
                os.chown(where.address, -1, mode.worker.groups[0], follow_symlinks=False)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
            if is_ipv6:  # :: is for both families, whatever the system's default
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where.address != "::")
            sock.bind((where.address, where.port))
        sock.listen(BACKLOG)
    finally:
        os.umask(umask)
    return sock
