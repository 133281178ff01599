"""A reader that was taken over: it answers what stands in the orders beside the configuration."""

from __future__ import annotations

import os
import pwd
import socket
import sys
import time
from array import array

import msgspec

from netevd.config import reader
from privsep import launch
from privsep.launch import Identity
from privsep.protocol import pack

sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
_make = reader._launch


def _lie(order: str, true: launch.Launch) -> launch.Launch:
    """Return launch data that grant what they must not."""
    first = true.runners[0]
    other: list[Identity] = []
    match order:
        case "root":
            first = Identity("root", 0, 0, [0])
        case "root for all":
            other = [Identity("root", 0, 0, [0])]
        case "worker":
            first = Identity("netevd", pwd.getpwnam("netevd").pw_uid, 1, [])
        case "helper":
            other = [Identity("netevd-net", pwd.getpwnam("netevd-net").pw_uid, 1, [])]
        case "capability":
            other = [msgspec.structs.replace(first, capabilities=["CAP_SYS_ADMIN"])]
        case "crowd":
            other = [first] * 40
    return msgspec.structs.replace(true, runners=[first, *other])


def main(arguments: list[str]) -> int:
    """Be the reader, see `privsep.confined`. arguments: as of `netevd.config.reader`."""
    with open(f"{arguments[1]}.orders", encoding="ascii") as file:
        order = file.read()
    reply, memory = int(arguments[3]), int(arguments[4])
    match order:
        case "noise":
            os.write(reply, b"\xc1")
        case "surrogates":
            os.write(reply, b"\x92\x5b\x91\xa3\xed\xa0\x80")
        case "nothing":
            return 0
        case "silence":
            time.sleep(1000)
        case "descriptor":
            with socket.socket(fileno=reply) as sock:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0] * 200))
                sock.sendmsg([pack(launch.Rejected(["x"]))], [rights])
        case _:
            reader._launch = lambda *a, **k: _lie(order, _make(*a, **k))
            status = reader.main(arguments)
            if order == "large":
                os.ftruncate(memory, 1 << 30)
            return status
    return 0
