"""What the recorders beside this file share: reading events until it is quiet, and one dump."""

import socket
import struct


def drain(events: socket.socket) -> list[str]:
    """Return what has come, as hex; a third of a second of silence is the end."""
    events.settimeout(0.35)
    found = []
    while True:
        try:
            found.append(events.recv(65536).hex())
        except TimeoutError:
            return found


def dump(kind: int, body: bytes) -> list[str]:
    """Return one dump, as hex."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), kind, 0x301, 1, 0) + body)
        found = []
        kernel.settimeout(5)
        while True:
            datagram = kernel.recv(65536)
            found.append(datagram.hex())
            offset = 0
            while offset < len(datagram):
                length, type_ = struct.unpack_from("=IH", datagram, offset)
                if type_ == 3:  # NLMSG_DONE, in a datagram of its own or behind the last message
                    return found
                offset += (length + 3) & ~3
