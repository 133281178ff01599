"""Who a connection to the system bus belongs to: the worker's user, whoever asks for it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from privsep import spawn
from privsep.channel import Channel
from privsep.protocol import BUS, BUS_PATH, BusSocket
from tests.boundary.rig import mode, receive

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests.boundary.test_dialer import tell
tell()
"""


def tell() -> None:
    """Be a bus, dial it, and print whose the connection is and how long its maker lives; in a namespace of its own."""
    os.makedirs(os.path.dirname(BUS_PATH))
    bus = socket.socket(socket.AF_UNIX)
    bus.bind(BUS_PATH)
    os.chmod(BUS_PATH, 0o666)
    bus.listen()
    maker, end = spawn.start_dialer(mode())
    answers: Channel[BusSocket] = Channel(end, BUS, descriptors=1)
    message, (carried,) = receive(answers)
    accepted, _ = bus.accept()
    pid, uid, gid = struct.unpack(
        "3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    print(message.errno, pid == maker, uid == mode().worker.uid, gid == mode().worker.gid)
    print(os.waitpid(maker, os.WNOHANG))
    answers.close()
    os.waitpid(maker, 0)
    os.write(carried, b"still there")
    print(accepted.recv(64).decode())
    os.unlink(BUS_PATH)
    maker, end = spawn.start_dialer(mode())
    message, descriptors = receive(Channel(end, BUS, descriptors=1))
    print(os.strerror(message.errno), descriptors)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user")
def test_a_connection_is_the_workers() -> None:
    """The bus sees the worker's user, although root had it made; its maker lives as long as it is held."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    command += ['mount -t tmpfs tmpfs /run && exec "$@"', "sh", sys.executable, "-c", PROGRAM]
    result = subprocess.run(
        [*command, str(Path(__file__).parents[2])], capture_output=True, text=True, check=False
    )

    assert result.stdout.splitlines() == [
        "0 True True True",
        "(0, 0)",
        "still there",
        "No such file or directory []",
    ], result.stderr
