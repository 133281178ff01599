"""
A recorded NetworkManager, told again: what its own dispatcher called scripts with is what ours does.

tests/data/networkmanager.jsonl has, of each call of a script of NetworkManager's own dispatcher, arguments and
variables, and what NetworkManager had on the bus at that moment. A bus that has these objects, one set
after another, is followed as a real one is.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    Parser,
    new_error,
    new_method_return,
    new_signal,
)
from trio.testing import MockClock

from netevd.backends.bus import Peer
from netevd.backends.connection import Connection, Signal, open_stream
from netevd.backends.networkmanager import NetworkManager
from netevd.compat.trees import find_occasions, make_call
from netevd.config.schema import Compat
from netevd.model.inputs import BackendLost, Input
from tests.stories.playbook import Play, Playbook, gone, seen

RECORDED: Final = Path(__file__).parents[1] / "data" / "networkmanager.jsonl"
NAME: Final = "org.freedesktop.NetworkManager"
DEVICE: Final = f"{NAME}.Device"
LINKS: Final = {"eth0": 101, "ext0": 300, "tun0": 2}
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Objects = dict[str, dict[str, Any]]


def read_lines() -> list[dict[str, Any]]:
    """Return the recorded calls, in order."""
    return [json.loads(line) for line in RECORDED.read_text().splitlines()][1:]


def decode(signature: str, value: Any) -> Any:
    """Return a value as jeepney has it, of one that busctl(1) has written as JSON."""
    if signature == "v":
        return value["type"], decode(value["type"], value["data"])
    if signature == "ay":
        return bytes(value)
    if signature.startswith("a{"):
        inner = signature[3:-1]
        return {key: decode(inner, each) for key, each in value.items()}
    if signature.startswith("a"):
        return [decode(signature[1:], each) for each in value]
    return tuple(value) if signature.startswith("(") else value


class RecordedBus:
    """The other end of a connection: NetworkManager with the objects of one moment."""

    def __init__(self, sock: socket.socket) -> None:
        self.stream = open_stream(sock.detach())
        self._sending = trio.Lock()
        self._serial = 0
        self._objects: Objects = {}

    async def serve(self) -> None:
        """Answer for ever."""
        parser = Parser()
        async for octets in self.stream:
            parser.add_data(bytes(octets))
            while (message := parser.get_next_message()) is not None:
                await self._send(self._answer(message))

    async def _send(self, message: Message) -> None:
        self._serial += 1
        message.header.fields[HeaderFields.sender] = ":1.2"
        async with self._sending:
            await self.stream.send_all(message.serialise(self._serial))

    def _answer(self, message: Message) -> Message:
        found = self._objects.get(message.header.fields[HeaderFields.path], {})
        is_settings = message.header.fields[HeaderFields.member] == "GetSettings"
        name = "settings" if is_settings else message.body[0]
        if name not in found:
            return new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "s", ("gone",))
        signature = "a{sa{sv}}" if is_settings else "a{sv}"
        return new_method_return(message, signature, (decode(signature, found[name]),))

    async def change(self, objects: Objects) -> None:
        """Have other objects from now on, and signal what is different, states of devices first."""
        old, self._objects = self._objects, objects
        changed = [
            (path, interface)
            for path, interfaces in objects.items()
            for interface, values in interfaces.items()
            if old.get(path, {}).get(interface) != values and interface != "settings"
        ]
        for path, interface in sorted(changed, key=lambda each: each[1] != DEVICE):
            await self._signal(path, interface, old.get(path, {}).get(interface))

    async def _signal(self, path: str, interface: str, old: dict[str, Any] | None) -> None:
        values = self._objects[path][interface]
        state = values.get("State", {}).get("data")
        was = (old or {}).get("State", {}).get("data")
        if interface == DEVICE and old is not None and state != was:
            address = DBusAddress(path, interface=DEVICE)
            await self._send(new_signal(address, "StateChanged", "uuu", (state, was, 0)))
        address = DBusAddress(path, interface="org.freedesktop.DBus.Properties")
        body = (interface, decode("a{sv}", values), [])
        await self._send(new_signal(address, "PropertiesChanged", "sa{sv}as", body))


def list_moments() -> Iterator[Objects]:
    """Yield all objects of each call."""
    known: Objects = {}
    for line in read_lines():
        known = {path: each for path, each in (known | line["objects"]).items() if each is not None}
        yield known


async def follow(story: Playbook) -> None:
    """Tell a story what NetworkManager has told, moment after moment."""
    ours, theirs = socket.socketpair()
    bus, stream = RecordedBus(theirs), open_stream(ours.detach())
    service = NetworkManager(story.fill, wanted=False)
    service.note([seen("eth0", LINKS["eth0"], carrier=True)])
    there = {"eth0"}

    def tell(*inputs: Input) -> None:
        story.fill(*inputs)
        service.note([*inputs])

    def hear(signal: Signal) -> None:
        peer.put(signal)

    moments = list(list_moments())
    async with stream, bus.stream, trio.open_nursery() as nursery:
        connection = Connection(stream, hear)
        peer = Peer(connection, NAME, ":1.2")
        for number, objects in enumerate(moments):
            names = {
                str(each[DEVICE]["Interface"]["data"])
                for each in objects.values()
                if DEVICE in each
            } & LINKS.keys()
            for name in sorted(names - there):
                tell(seen(name, LINKS[name], carrier=True))
            await bus.change(objects)
            if not number:
                nursery.start_soon(bus.serve)
                nursery.start_soon(connection.receive)
                nursery.start_soon(service.follow, peer)
            await trio.sleep(5)  # of a clock that jumps when nothing is left to do
            for name in sorted(there - names):
                tell(gone(LINKS[name]))
            there = names
        nursery.cancel_scope.cancel()


def describe(arguments: list[str], variables: list[str]) -> str:
    """Return a call as lines; what only later versions than the recorded one give is left out."""
    later = ("CONNECTION_USER_",)
    return "\n".join(
        [" ".join(arguments), *sorted(each for each in variables if not each.startswith(later))]
    )


def list_recorded() -> list[tuple[str, str]]:
    """Return the recorded calls, each with the interface before it."""
    return [
        (
            line["arguments"][0],
            describe(
                line["arguments"], [f"{name}={value}" for name, value in line["variables"].items()]
            ),
        )
        for line in read_lines()
    ]


def choose(calls: list[tuple[str, str]], interface: str, kind: str) -> list[str]:
    """Return the calls about an interface of one kind: what is told of its states, of its leases, of a VPN."""
    found = [call for name, call in calls if name == interface]
    return [call for call in found if _KIND.get(call.split()[1].split("-")[0], "state") == kind]


_KIND: Final = {"dhcp4": "lease", "dhcp6": "lease", "vpn": "vpn"}


@pytest.fixture
def told(play: Play) -> list[tuple[str, str]]:
    """What ours calls for all of the recording: interface and call."""
    story = play(backends=("NetworkManager",)).fill(
        BackendLost("NetworkManager", "it is not there")
    )
    story.begin(seen("eth0", LINKS["eth0"], dump=1))
    trio.run(follow, story, clock=MockClock(autojump_threshold=0))
    compat = Compat()
    found: list[tuple[str, str]] = []
    for event in story.events:
        for each in find_occasions("networkmanager", event, compat, networkmanager_is_there=True):
            call = make_call("networkmanager", event, each.action, compat)
            variables = ["=".join(pair) for pair in call.values]
            found.append((call.words[0], describe([*call.words], [*variables, PATH])))
    return found


@pytest.mark.parametrize(
    ("interface", "kind"),
    [("eth0", "state"), ("eth0", "lease"), ("ext0", "state"), ("tun0", "state"), ("tun0", "vpn")],
)
def test_calls_are_those_of_its_own_dispatcher(
    told: list[tuple[str, str]], interface: str, kind: str
) -> None:
    """Up, down, somebody else's link, a VPN: the same calls in the same order, byte for byte."""
    found = choose(told, interface, kind)

    assert "\n\n".join(found) == "\n\n".join(choose(list_recorded(), interface, kind))
    assert found


def test_connectivity_is_told_as_there(told: list[tuple[str, str]]) -> None:
    """Each change is called as NetworkManager's own dispatcher does; the recording has a portal, and its end."""
    recorded = {call for _, call in list_recorded() if "connectivity-change" in call}
    found = [call for name, call in told if not name and "connectivity-change" in call]

    assert recorded >= {*found}
    states = [line for call in found for line in call.split("\n") if line.startswith("CONN")]
    assert states[:3] == [f"CONNECTIVITY_STATE={word}" for word in ("FULL", "PORTAL", "FULL")]
