"""What is asked of NetworkManager's objects, by a bus that knows a few of them."""

from __future__ import annotations

import socket
from typing import Any

import trio
from jeepney import HeaderFields, Message, Parser, new_error, new_method_return

from netevd.backends.bus import Peer
from netevd.backends.connection import Connection, open_stream
from netevd.backends.networkmanagerobjects import ask_device, find_vpns

OBJECTS: dict[str, dict[str, Any]] = {
    "/active/1": {"Vpn": ("b", False), "State": ("u", 2), "Devices": ("ao", ["/device/1"])},
    "/active/2": {
        "Vpn": ("b", True), "State": ("u", 2), "Id": ("s", "office"), "Devices": ("ao", ["/device/1"]),
        "Ip4Config": ("o", "/ip4/2"),
    },
    "/active/3": {"Vpn": ("b", True), "State": ("u", 1), "Devices": ("ao", ["/device/2"])},
    "/active/5": {
        "Vpn": ("b", True), "State": ("u", 4), "Devices": ("ao", ["/device/1"]), "Ip4Config": ("o", "/ip4/2"),
    },
    "/device/1": {"Interface": ("s", "eth0"), "Ip4Config": ("o", "/ip4/1")},
    "/device/2": {"Interface": ("s", "tun0"), "Ip4Config": ("o", "/ip4/2")},
    "/device/3": {"Interface": ("s", "eth1"), "Ip4Config": ("o", "/")},
}  # fmt: skip


class Answering:
    """The other end of a connection: objects with properties, and how often each was asked."""

    def __init__(self, sock: socket.socket) -> None:
        self.stream = open_stream(sock.detach())
        self.asked: list[str] = []

    async def serve(self) -> None:
        """Answer for ever."""
        parser = Parser()
        async for octets in self.stream:
            parser.add_data(bytes(octets))
            while (message := parser.get_next_message()) is not None:
                await self.stream.send_all(self._answer(message).serialise(len(self.asked)))

    def _answer(self, message: Message) -> Message:
        path = message.header.fields[HeaderFields.path]
        self.asked.append(path)
        if path not in OBJECTS:
            return new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "s", ("gone",))
        return new_method_return(message, "a{sv}", (OBJECTS[path],))


def test_what_is_no_vpn_is_asked_once() -> None:
    """A VPN with a configuration is found each time; what none is, and none becomes, is not asked again while it is there."""

    async def play() -> None:
        ours, theirs = socket.socketpair()
        bus = Answering(theirs)
        stream = open_stream(ours.detach())
        connection = Connection(stream, lambda _: None)
        peer, others = Peer(connection, "org.freedesktop.NetworkManager", ":1.2"), set[str]()

        async def ask(*paths: str) -> tuple[dict[str, object], list[str]]:
            bus.asked.clear()
            found = await find_vpns(peer, {"ActiveConnections": [*paths]}, others)
            names = {each.over_path: each.profile.active["Id"] for each in found}
            return names, [each for each in dict.fromkeys(bus.asked) if each.startswith("/active")]

        async with stream, bus.stream, trio.open_nursery() as nursery:
            nursery.start_soon(bus.serve)
            nursery.start_soon(connection.receive)
            everything = ("/active/1", "/active/2", "/active/3", "/active/4", "/active/5")
            assert await ask(*everything) == ({"/device/1": "office"}, [*everything])
            assert await ask(*everything) == ({"/device/1": "office"}, [*everything[1:]])
            assert await ask("/active/3") == ({}, ["/active/3"])
            assert await ask("/active/1") == ({}, ["/active/1"])
            nursery.cancel_scope.cancel()

    trio.run(play)


def test_the_link_of_a_vpn_is_the_device_that_has_its_addresses() -> None:
    """Device and VPN lead to the same configuration; the one that it runs over is told beside."""

    async def play() -> None:
        ours, theirs = socket.socketpair()
        bus = Answering(theirs)
        stream = open_stream(ours.detach())
        connection = Connection(stream, lambda _: None)
        peer = Peer(connection, "org.freedesktop.NetworkManager", ":1.2")
        async with stream, bus.stream, trio.open_nursery() as nursery:
            nursery.start_soon(bus.serve)
            nursery.start_soon(connection.receive)
            vpns = await find_vpns(peer, {"ActiveConnections": ["/active/2"]}, set())
            devices = [await ask_device(peer, f"/device/{number}", vpns) for number in (1, 2, 3, 4)]
            nursery.cancel_scope.cancel()
        assert [each and each.is_vpn for each in devices] == [False, True, False, None]
        assert devices[1] is not None
        assert devices[1].vpn is not None
        assert devices[1].vpn.over.name == "eth0"
        assert not devices[1].vpn.is_ending

    trio.run(play)
