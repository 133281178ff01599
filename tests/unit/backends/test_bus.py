"""Whom a service's signals are believed from, and that it is lost and found as its name's owner goes and comes."""

from __future__ import annotations

import socket

import trio
from jeepney import DBusAddress, HeaderFields, Message, Parser, new_method_return, new_signal

from netevd.backends.bus import Bus, Peer, read_change
from netevd.backends.connection import DAEMON, CallFailed, Signal

NAME = "org.freedesktop.network1"
OBJECT = DBusAddress("/a", bus_name=None, interface="org.example.Thing")
DAEMONS = DBusAddress("/org/freedesktop/DBus", bus_name=None, interface=DAEMON)


class Recorder:
    """A service that only writes down."""

    name: str = NAME
    rules: tuple[str, ...] = ("type='signal'",)

    def __init__(self) -> None:
        self.said: list[str] = []
        self.news = trio.Event()

    def note(self, text: str) -> None:
        self.said.append(text)
        self.news.set()

    async def follow(self, peer: Peer) -> None:
        self.note(f"follows {peer.owner}")
        while True:
            heard = await peer.hear()
            for signal in heard.signals:
                self.note(f"{signal.sender} {signal.body[0]}")

    def lose(self, reason: str) -> None:
        self.note(f"lost: {reason}")

    async def expect(self, *said: str) -> None:
        with trio.fail_after(10):
            while len(self.said) < len(said):
                self.news = trio.Event()
                await self.news.wait()
        assert self.said == [*said]


class FakeBus:
    """The other end of one connection: what dbus-daemon does for one client."""

    def __init__(self, sock: socket.socket, owner: str) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._owner = owner
        self._serial = 0
        self.ready = trio.Event()

    async def serve(self) -> None:
        parser = Parser()
        async with self._stream:
            await self._stream.receive_some(512)
            await self._stream.send_all(b"OK 0123\r\n")
            async for octets in self._stream:
                parser.add_data(bytes(octets).removeprefix(b"BEGIN\r\n"))
                while (message := parser.get_next_message()) is not None:
                    await self._answer(message)

    async def _answer(self, message: Message) -> None:
        member = message.header.fields[HeaderFields.member]
        bodies = {"Hello": (":1.1",), "GetNameOwner": (self._owner,)}
        body = bodies.get(member)
        await self.send(new_method_return(message, "s" if body else None, body or ()), DAEMON)
        if member == "GetNameOwner":
            self.ready.set()

    async def send(self, message: Message, sender: str) -> None:
        """Send a message; the bus says whose it is."""
        self._serial += 1
        message.header.fields[HeaderFields.sender] = sender
        await self._stream.send_all(message.serialise(self._serial))

    async def signal(self, sender: str, text: str) -> None:
        await self.send(new_signal(OBJECT, "Changed", "s", (text,)), sender)

    async def change_owner(self, sender: str, old: str, new: str) -> None:
        await self.send(new_signal(DAEMONS, "NameOwnerChanged", "sss", (NAME, old, new)), sender)


def test_only_the_owner_of_the_name_is_believed() -> None:
    """Signals of others, also such as look like the bus's own, change nothing."""

    async def play() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        fake, recorder = FakeBus(theirs, ":1.5"), Recorder()

        async def dial() -> int:
            return ours.detach()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fake.serve)
            nursery.start_soon(Bus(dial, [recorder]).run)
            said: list[str] = ["follows :1.5"]
            await recorder.expect(*said)
            await fake.signal(":1.9", "forged")
            await fake.change_owner(":1.9", ":1.5", ":1.9")
            await fake.signal(":1.5", "true")
            said.append(":1.5 true")
            await recorder.expect(*said)
            await fake.change_owner(DAEMON, ":1.5", "")
            said.append("lost: it has left the bus")
            await recorder.expect(*said)
            await fake.signal(":1.5", "of before")
            await fake.change_owner(DAEMON, "", ":1.7")
            said.append("follows :1.7")
            await recorder.expect(*said)
            await fake.signal(":1.7", "again")
            said.append(":1.7 again")
            await recorder.expect(*said)
            nursery.cancel_scope.cancel()

    trio.run(play)


class Asking(Recorder):
    """A service that is asked, and whose answers are not what its interface says."""

    async def follow(self, peer: Peer) -> None:
        for path, answer in (("/a", "s"), ("nowhere", "s"), ("/a", "")):
            try:
                said = await peer.call(path, "org.example.Thing.Tell", answer=answer)
            except CallFailed as error:
                self.note(str(error))
            else:
                self.note(f"answered with {said}")
        await trio.sleep_forever()


def test_an_answer_of_another_type_is_a_failed_call() -> None:
    """So is a path that can't be one: whoever asks says what it expects, and reads nothing else."""

    async def play() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        asking = Asking()

        async def dial() -> int:
            return ours.detach()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(FakeBus(theirs, ":1.5").serve)
            nursery.start_soon(Bus(dial, [asking]).run)
            await asking.expect(
                "its answer is of type (), expected (s)",
                "Tell can't be asked of 'nowhere': Object path ('nowhere') must start with /",
                "answered with ()",
            )
            nursery.cancel_scope.cancel()

    trio.run(play)


def test_changed_properties_are_read_in_their_form_alone() -> None:
    """A signal of the name with another body tells nothing."""
    body = ("org.example.Thing", {"State": ("u", 7)}, [])

    def signal(member: str, signature: str) -> Signal:
        return Signal(":1.5", "/a", "org.freedesktop.DBus.Properties", member, body, signature)

    assert read_change(signal("PropertiesChanged", "sa{sv}as")) == (body[0], {"State": 7})
    assert read_change(signal("PropertiesChanged", "sa{su}as")) == ("", {})
    assert read_change(signal("StateChanged", "sa{sv}as")) == ("", {})
