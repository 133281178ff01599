"""Sockets that clients connect to: made once, kept over every reload, handed to each worker."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Final

from privsep.mode import Mode, Refusal

NAME: Final = "api.sock"
"""File of the socket of the command line and the API, in the runtime directory."""


def open_api_socket(directory: str, mode: Mode) -> socket.socket:
    """
    Return a listening socket that root and group netevd may use, in observe mode the caller alone.

    Whoever holds the lock of the directory may replace what an earlier daemon left. Raises: Refusal.
    """
    path = os.path.join(directory, NAME)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise Refusal(f"{path} is in the way: it is not a socket; move it elsewhere")
            os.unlink(path)
        sock.bind(path)
        if not mode.observe:
            os.chown(path, -1, mode.worker.groups[0])
            os.chmod(path, 0o660)
        sock.listen(128)
    except OSError as error:
        raise Refusal(f"the socket {path} can't be made: {error.strerror or error}") from None
    finally:
        os.umask(umask)
    sock.setblocking(False)
    return sock
