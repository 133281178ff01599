"""A courier that was taken over: it says of each worker that it has broken the protocol."""

from __future__ import annotations

import socket

from privsep import protocol
from privsep.channel import Channel, Closed


def main(arguments: list[str]) -> int:
    """Be the courier, see `privsep.confined`. arguments: its lead socket and what it may post to."""
    lead = Channel(socket.socket(fileno=int(arguments[0])), protocol.LEAD, descriptors=1)
    lead.sock.setblocking(True)
    try:
        lead.send(protocol.Ready())
        while True:
            message, _ = lead.receive()
            if isinstance(message, protocol.Peer):
                lead.send(protocol.Violated("nothing at all"))
    except Closed:
        return 0
