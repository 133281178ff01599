"""
What stands at the other end of the system bus: answers, signals and octets of a bus that has lost its senses.

The real clients (systemd-networkd, NetworkManager, resolved) follow what the case says over a real connection; a case is
read as decisions (`mutation.Dice`): which answer is spoiled how, which signals come, whether octets come in between. What
they make of it goes through an engine, as in a daemon, and out as what is kept and shown of it.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import trio
import trio.testing
from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    Parser,
    new_error,
    new_method_return,
    new_signal,
)

from netevd.backends.bus import Bus
from netevd.backends.connection import DAEMON
from netevd.backends.networkd import Networkd
from netevd.backends.networkmanager import NetworkManager
from netevd.backends.resolved import Resolved
from netevd.core.environment import build_values
from netevd.http.broadcast import tell_event
from netevd.model.event import Event
from netevd.model.inputs import BackendFound, BackendSaid, BackendSaidHost, Input, LinkGone
from netevd.report.packing import Packing
from privsep.variables import find_bad_value
from tests.fuzz.mutation import Dice
from tests.stories.playbook import Playbook, seen

_NETWORK1 = "/org/freedesktop/network1"
_NM = "/org/freedesktop/NetworkManager"
_OWNERS = {
    "org.freedesktop.network1": ":1.11",
    "org.freedesktop.NetworkManager": ":1.12",
    "org.freedesktop.resolve1": ":1.13",
}
_LINK = {
    "Index": 2, "AdministrativeState": "configured", "NetworkFile": "/etc/systemd/network/eth0.network", "SSID": "caf\u00e9",
    "DNS": [{"Address": [192, 0, 2, 53], "ConfigSource": "DHCPv4", "ConfigProvider": [192, 0, 2, 1]}],
    "NTP": [{"Server": "ntp.example", "ConfigSource": "static"}, {"Address": [0] * 15 + [1]}],
    "SearchDomains": [{"Domain": "a.example", "ConfigSource": "DHCPv4"}],
    "RouteDomains": [{"Domain": ".", "ConfigSource": "static"}],
    "Addresses": [
        {"Address": [192, 0, 2, 50], "PrefixLength": 24, "ConfigSource": "DHCPv4", "ConfigState": "configured",
         "ConfigProvider": [192, 0, 2, 1], "ValidLifetimeUSec": 3600_000_000},
        {"Address": [32, 1, *[0] * 13, 9], "PrefixLength": 128, "ConfigSource": "DHCPv6", "ConfigState": "configuring"},
    ],
    "Routes": [{"DestinationPrefixLength": 0, "Gateway": [192, 0, 2, 1], "ConfigSource": "DHCPv4"}],
    "DHCPv4Client": {"Lease": {"LeaseTimestampUSec": 1_000_000}},
}  # fmt: skip
_IP = {
    "AddressData": ("aa{sv}", [{"address": ("s", "192.0.2.50"), "prefix": ("u", 24)}]),
    "Gateway": ("s", "192.0.2.1"),
    "RouteData": ("aa{sv}", [{"dest": ("s", "198.51.100.0"), "prefix": ("u", 24), "metric": ("u", 100)}]),
    "NameserverData": ("aa{sv}", [{"address": ("s", "192.0.2.53")}]),
    "Nameservers": ("aay", [b"\x20\x01" + b"\0" * 14]),
    "Domains": ("as", ["a.example"]), "Searches": ("as", ["~b.example", "~"]), "WinsServerData": ("as", ["192.0.2.7"]),
}  # fmt: skip
_OPTIONS = {
    "ip_address": "192.0.2.50", "subnet_mask": "255.255.255.0", "routers": "192.0.2.1", "domain_name_servers": "192.0.2.53",
    "domain_name": "a.example", "host_name": "h", "dhcp_lease_time": "3600", "expiry": "1900000000", "ntp_servers": "192.0.2.7",
    "ip6_address": "2001:db8::9", "dhcp6_name_servers": "2001:db8::53",
}  # fmt: skip
_OBJECTS: dict[str, dict[str, tuple[str, Any]]] = {
    "org.freedesktop.network1.Manager": {"OperationalState": ("s", "routable"), "OnlineState": ("s", "online")},
    "org.freedesktop.NetworkManager": {
        "Version": ("s", "1.42.4"), "State": ("u", 70), "Connectivity": ("u", 4), "AllDevices": ("ao", [f"{_NM}/Devices/2"]),
        "ActiveConnections": ("ao", [f"{_NM}/ActiveConnection/1", f"{_NM}/ActiveConnection/2"]),
    },
    "org.freedesktop.NetworkManager.Device": {
        "Interface": ("s", "eth0"), "IpInterface": ("s", "eth0"), "State": ("u", 100), "DeviceType": ("u", 2),
        "ActiveConnection": ("o", f"{_NM}/ActiveConnection/1"), "Ip4Config": ("o", f"{_NM}/IP4Config/1"),
        "Ip6Config": ("o", f"{_NM}/IP6Config/1"), "Dhcp4Config": ("o", f"{_NM}/DHCP4Config/1"), "Dhcp6Config": ("o", "/"),
    },
    "org.freedesktop.NetworkManager.Device.Wireless": {"ActiveAccessPoint": ("o", f"{_NM}/AccessPoint/1")},
    "org.freedesktop.NetworkManager.AccessPoint": {"Ssid": ("ay", b"caf\xe9")},
    "org.freedesktop.NetworkManager.Connection.Active": {
        "Id": ("s", "Wired"), "Uuid": ("s", "3f1c8a52"), "State": ("u", 2), "StateFlags": ("u", 0x4), "Vpn": ("b", True),
        "Connection": ("o", f"{_NM}/Settings/1"), "Devices": ("ao", [f"{_NM}/Devices/2"]),
    },
    "org.freedesktop.NetworkManager.Settings.Connection": {"Filename": ("s", "/etc/x.nmconnection")},
    "org.freedesktop.NetworkManager.IP4Config": _IP, "org.freedesktop.NetworkManager.IP6Config": _IP,
    "org.freedesktop.NetworkManager.DHCP4Config": {"Options": ("a{sv}", {name: ("s", value) for name, value in _OPTIONS.items()})},
    "org.freedesktop.NetworkManager.DHCP6Config": {"Options": ("a{sv}", {name: ("s", value) for name, value in _OPTIONS.items()})},
}  # fmt: skip
_SETTINGS = {
    "connection": {"id": ("s", "Wired")},
    "user": {"data": ("a{ss}", {"a": "b"})},
    "proxy": {"pac-url": ("s", "x")},
}
_SIGNALS: list[tuple[str, str, str, str, str, tuple[Any, ...]]] = [
    (":1.11", f"{_NETWORK1}/link/_32", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
     ("org.freedesktop.network1.Link", {"AdministrativeState": ("s", "configuring")}, [])),
    (":1.11", _NETWORK1, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
     ("org.freedesktop.network1.Manager", {"OperationalState": ("s", "off")}, [])),
    (":1.12", f"{_NM}/Devices/2", "org.freedesktop.NetworkManager.Device", "StateChanged", "uuu", (30, 100, 0)),
    (":1.12", f"{_NM}/Devices/2", "org.freedesktop.NetworkManager.Device", "StateChanged", "uuu", (100, 70, 0)),
    (":1.12", _NM, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
     ("org.freedesktop.NetworkManager", {"State": ("u", 20)}, [])),
    (":1.12", f"{_NM}/ActiveConnection/1", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
     ("org.freedesktop.NetworkManager.Connection.Active", {"State": ("u", 2)}, [])),
    (":1.12", f"{_NM}/Settings/1", "org.freedesktop.NetworkManager.Settings.Connection", "Updated", "", ()),
    (DAEMON, "/org/freedesktop/DBus", DAEMON, "NameOwnerChanged", "sss", ("org.freedesktop.NetworkManager", ":1.12", "")),
    (DAEMON, "/org/freedesktop/DBus", DAEMON, "NameOwnerChanged", "sss", ("org.freedesktop.NetworkManager", "", ":1.12")),
    (DAEMON, "/org/freedesktop/DBus", DAEMON, "NameOwnerChanged", "sss", ("org.freedesktop.network1", ":1.11", ":1.14")),
]  # fmt: skip
_VARIANTS: list[tuple[str, Any]] = [
    ("s", ""), ("s", "\u202e\n'\"" * 9), ("s", "a" * 4000), ("s", "1" * 11), ("i", -1), ("u", 2**32 - 1), ("t", 2**64 - 1),
    ("b", True), ("d", float("nan")), ("as", ["a.example", "~", "-"]), ("as", []), ("ay", b"\xff" * 16), ("ay", b""),
    ("aay", [b"x", b"y" * 16]), ("au", [2**31]), ("o", "/"), ("o", f"{_NM}/Devices/2"), ("ao", [f"{_NM}/Devices/{each}" for each in range(40)]),
    ("ao", [f"{_NM}/ActiveConnection/1"] * 40), ("a{sv}", {"address": ("u", 4), "prefix": ("s", "x")}),
    ("aa{sv}", [{"address": ("u", 4), "prefix": ("u", 999), "dest": ("s", ":"), "next-hop": ("as", ["a"])}] * 3), ("aa{sv}", [{}]),
    ("(su)", ("a", 1)), ("v", ("s", "x")), ("a{ss}", {"a": "b" * 3000, "\u202e": "\x01"}), ("a{us}", {1: "x"}), ("av", [("v", ("u", 1))] * 3),
    ("x", -(2**63)), ("y", 255), ("u", 100), ("u", 0x80), ("s", "lo"), ("s", "fe80::1%eth0"), ("s", "255.0.255.0"),
]  # fmt: skip
_BODIES: list[tuple[str | None, tuple[Any, ...]]] = [
    (None, ()), ("s", ("",)), ("s", ("{}",)), ("u", (7,)), ("ss", ("a", "b")), ("as", (["a"],)), ("a{sv}", ({},)), ("v", (("u", 9),)),
    ("a{ss}", ({"a": "b"},)), ("a{su}", ({"State": 1},)), ("(sv)", (("a", ("s", "b")),)), ("ay", (b"\xff",)), ("a{sa{sv}}", ({"user": {"data": ("u", 1)}},)),
    ("av", ([("s", "x")],)),
]  # fmt: skip
_TEXTS: list[Any] = [
    None, True, -1, 2**63, 1e300, "", "x" * 300, "..", "\u202e", [], [256], [-1], [1.5], [1, 2, 3], [0] * 17, {}, "configuring", "pending",
    [192, 0, 2, 50], 2**32, [[]], [{}] * 300, {"Lease": 1},
]  # fmt: skip
_EVENT: Packing[Event] = Packing(Event)
_EXCHANGES = 400
"""Calls that are answered in one case; NetworkManager asks that often in vain before it gives up."""


class _Over(Exception):
    """The case has come to its end."""


class _Bus:
    """The end of the connection that the case speaks for."""

    def __init__(self, dice: Dice, sock: socket.socket) -> None:
        self._dice = dice
        sock.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._serial = 0
        self._left = _EXCHANGES
        self._sending = trio.Lock()
        self._greeted = trio.Event()

    async def run(self) -> None:
        async with self._stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._answer_calls)
            await self._greeted.wait()
            for _ in range(self._dice.number(8)):
                await trio.sleep(self._dice.number(4) * 0.6)
                await self._signal()
            await trio.sleep(30)
            nursery.cancel_scope.cancel()

    async def _answer_calls(self) -> None:
        parser = Parser()
        try:
            await self._stream.receive_some(512)
            await self._put(b"OK 0123\r\n")
            self._greeted.set()
            async for octets in self._stream:
                parser.add_data(bytes(octets).removeprefix(b"BEGIN\r\n"))
                while (message := parser.get_next_message()) is not None:
                    self._left -= 1
                    if self._left < 0:
                        return
                    await self._answer(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _answer(self, call: Message) -> None:
        signature, body = self._find_answer(call)
        if self._dice.number(6) == 5:
            match self._dice.number(4):
                case 0:
                    signature, body = _BODIES[self._dice.number(len(_BODIES))]
                case 1:
                    name = [
                        "org.freedesktop.DBus.Error.UnknownObject",
                        "org.freedesktop.network1.NoSuchLink",
                        "x.y",
                    ]
                    await self._send(
                        new_error(call, name[self._dice.number(3)], "s", ("\u202e",)), DAEMON
                    )
                    return
                case _:
                    body = tuple(self._spoil(each) for each in body)
        await self._send(new_method_return(call, signature, body), DAEMON)

    def _find_answer(self, call: Message) -> tuple[str | None, tuple[Any, ...]]:
        """Return what whoever is in his senses would say."""
        match call.header.fields[HeaderFields.member]:
            case "Hello":
                return "s", (":1.1",)
            case "GetNameOwner":
                return "s", (_OWNERS[call.body[0]],)
            case "GetAll":
                return "a{sv}", (_OBJECTS.get(call.body[0], {}),)
            case "Get":
                return "v", (("s", "252.30-1"),)
            case "GetSettings":
                return "a{sa{sv}}", (_SETTINGS,)
            case "DescribeLink":
                return "s", (self._write(_LINK),)
            case "Describe":
                return "s", (self._write({"Interfaces": [_LINK]}),)
        return None, ()

    def _write(self, value: Any) -> str:
        """Return a description, spoiled at times: at a value, or in the text."""
        if self._dice.number(3) != 2:
            return json.dumps(value)
        text = json.dumps(self._replace(value))
        if self._dice.number(4) == 3:
            place = self._dice.number(256) * len(text) // 256
            text = text[:place] + self._dice.octets(4).hex() + text[place + self._dice.number(9) :]
        return text

    def _replace(self, value: Any) -> Any:
        chosen = self._dice.number(4)
        if isinstance(value, dict) and value and chosen:
            key = list(value)[self._dice.number(len(value))]
            return {**value, key: self._replace(value[key])}
        if isinstance(value, list) and value and chosen:
            place = self._dice.number(len(value))
            return [*value[:place], self._replace(value[place]), *value[place + 1 :]]
        return _TEXTS[self._dice.number(len(_TEXTS))]

    def _spoil(self, value: Any) -> Any:
        """Return a value of the same signature: of a variant another one, of a mapping one value less or more."""
        if isinstance(value, dict) and value:
            key = list(value)[self._dice.number(len(value))]
            if self._dice.number(8) == 7:
                return {name: each for name, each in value.items() if name != key}
            return {**value, key: self._spoil(value[key])}
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            if isinstance(value[1], dict | list) and value[1] and self._dice.number(2):
                return value[0], self._spoil(value[1])
            return _VARIANTS[self._dice.number(len(_VARIANTS))]
        if isinstance(value, list) and value:
            return [self._spoil(each) for each in value] * (1 + self._dice.number(3))
        if isinstance(value, str) and not value.startswith(("/", ":1.")):
            return ["", "\u202e", "x" * 300, "configuring", "-1"][self._dice.number(5)]
        return value

    async def _signal(self) -> None:
        kind = self._dice.number(len(_SIGNALS) + 2)
        if kind >= len(_SIGNALS):
            octets = bytearray(self._pack(_SIGNALS[0]))
            octets[self._dice.number(len(octets))] = self._dice.number(256)
            await self._put(bytes(octets) if kind == len(_SIGNALS) else self._dice.octets(40))
            return
        await self._put(self._pack(_SIGNALS[kind], spoiled=self._dice.number(2) == 1))

    def _pack(
        self, told: tuple[str, str, str, str, str, tuple[Any, ...]], *, spoiled: bool = False
    ) -> bytes:
        sender, path, interface, member, signature, body = told
        if spoiled and self._dice.number(3) == 2:
            path = [f"{_NETWORK1}/link/_39" + "9" * 30, f"{_NETWORK1}/link/_ff", "/"][
                self._dice.number(3)
            ]
        changed, form = (
            tuple(self._spoil(each) for each in body) if spoiled else body,
            signature or None,
        )
        if spoiled and self._dice.number(3) == 2:
            form, changed = _BODIES[self._dice.number(len(_BODIES))]
        message = new_signal(DBusAddress(path, interface=interface), member, form, changed)
        message.header.fields[HeaderFields.sender] = sender
        self._serial += 1
        return message.serialise(self._serial)

    async def _send(self, message: Message, sender: str) -> None:
        message.header.fields[HeaderFields.sender] = sender
        self._serial += 1
        await self._put(message.serialise(self._serial))

    async def _put(self, octets: bytes) -> None:
        try:
            async with self._sending:
                await self._stream.send_all(octets)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


async def _follow(dice: Dice, inputs: list[Input]) -> None:
    """Follow a bus until it is closed."""
    networkd, manager = (
        Networkd(inputs.append, wanted=True),
        NetworkManager(inputs.append, wanted=False),
    )
    manager.note([seen("eth0", 2), seen("wlan0", 3)])
    bus = Bus(_dial_of(dice), [networkd, manager, Resolved(inputs.append)])
    try:
        await bus.run()
    except* _Over:
        pass


def _dial_of(dice: Dice) -> Any:
    dialed = False

    async def dial() -> int:
        nonlocal dialed
        if dialed:
            raise _Over
        dialed = True
        ours, theirs = socket.socketpair()
        trio.lowlevel.spawn_system_task(_Bus(dice, theirs).run)
        return ours.detach()

    return dial


def seeds() -> list[bytes]:
    """Return cases that differ in what is spoiled; the first one is of a bus in its senses."""
    return [
        bytes(200),
        bytes([5, *[0, 0, 0, 5, 2, 0] * 40]),
        bytes(range(256)),
        bytes([5, 2, 3] * 80),
        bytes([7] * 300),
    ]


def check(data: bytes) -> None:
    """Let the case speak; nothing but inputs comes of it, and an engine that takes them goes on."""
    inputs: list[Input] = []
    trio.run(
        _follow,
        Dice(data),
        inputs,
        clock=trio.testing.MockClock(autojump_threshold=0),
        strict_exception_groups=True,
    )
    assert len(inputs) < 4 * _EXCHANGES
    story = Playbook(backends=("systemd-networkd", "NetworkManager"))
    story.fill(*(each for each in inputs if isinstance(each, BackendFound))).begin(
        seen("eth0", 2, dump=1)
    )
    for each in inputs:
        story.fill(each, 0.2)
    story.fill(LinkGone(2))
    for event in story.events:
        tell_event(event)
        find_bad_value(build_values(event, emit_json=True))
        assert _EVENT.unpack(_EVENT.pack(event)) == event
    assert any(
        isinstance(each, BackendFound | BackendSaid | BackendSaidHost) for each in inputs
    ) or any(data)
