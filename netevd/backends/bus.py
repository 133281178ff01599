"""
The system bus: who is on it, whom we listen to, and how both are found again when they were lost.

A backend is a `Service`: it is followed by a task of its own for as long as the name it is called by
has an owner. Signals reach it only from that owner, by the unique name that the bus puts on them:
anybody may send a signal that looks like networkd's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import trio

from netevd.backends.connection import (
    CALL_S,
    DAEMON,
    BusGone,
    CallFailed,
    Connection,
    Signal,
    authenticate,
    open_stream,
)

PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds from the n-th failure in a row to the next attempt; the last value stays."""

SETTLED_S: Final = 30.0
"""Seconds for which something has to go well to end a row of failures."""

QUEUE: Final = 1024
"""Signals of one service that wait; more are dropped, and all is asked anew."""

_PATH: Final = "/org/freedesktop/DBus"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_NO_OWNER: Final = "org.freedesktop.DBus.Error.NameHasNoOwner"


class Undialed(Exception):
    """No connection to the bus can be had; the text says why."""


class Heard(NamedTuple):
    """Signals that have come since the last ones were taken."""

    signals: list[Signal]
    lost: bool
    """Some more had come than are kept: what they said has to be asked."""


class Peer:
    """A service that is on the bus now: what it says, and what it can be asked."""

    def __init__(self, connection: Connection, name: str, owner: str) -> None:
        """name: the one it is called by. owner: its unique name."""
        self.owner: Final = owner
        self.connection: Final = connection
        self._name = name
        self._signals: deque[Signal] = deque()
        self._lost = False
        self._news = trio.Event()

    async def call(
        self,
        path: str,
        method: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
        *,
        answer: str | None = None,
        timeout_s: float = CALL_S,
    ) -> tuple[Any, ...]:
        """
        Return what a method of the service returns. Raises: CallFailed, BusGone.

        method: with its interface, as org.freedesktop.network1.Manager.Describe. answer: as
        `Connection.call` says.
        """
        return await self.connection.call(
            self.owner, path, method, signature, body, answer=answer, timeout_s=timeout_s
        )

    async def get_properties(self, path: str, interface: str) -> dict[str, Any]:
        """Return all properties of an object. Raises: CallFailed, BusGone."""
        (values,) = await self.call(
            path, f"{_PROPERTIES}.GetAll", "s", (interface,), answer="a{sv}"
        )
        return unwrap(values)

    async def hear(self) -> Heard:
        """Return what has come, as soon as there is anything; see also `wake`."""
        await self._news.wait()
        self._news = trio.Event()
        heard = Heard(list(self._signals), self._lost)
        self._signals.clear()
        self._lost = False
        return heard

    def wake(self) -> None:
        """Have `hear` return, with nothing if nothing has come."""
        self._news.set()

    def put(self, signal: Signal) -> None:
        """Keep a signal of this service until it is taken."""
        if len(self._signals) >= QUEUE:
            self._lost = True
        else:
            self._signals.append(signal)
        self._news.set()


class Service(Protocol):
    """Somebody on the bus whom we follow."""

    name: str
    """Well-known name, as org.freedesktop.network1."""
    rules: tuple[str, ...]
    """Which of its signals are wanted: match rules without sender. Source: D-Bus specification."""

    async def follow(self, peer: Peer) -> None:
        """
        Follow it for as long as it is there; cancelled when it has gone.

        Raises: CallFailed, which counts as a failure: it is lost, and followed again a little later.
        """

    def lose(self, reason: str) -> None:
        """Take in that it is not there, or does not do what it should."""


def read_change(signal: Signal) -> tuple[str, dict[str, Any]]:
    """Return the interface whose properties have changed, and their values; "" and none of another signal."""
    if signal.member != "PropertiesChanged" or signal.signature != "sa{sv}as":
        return "", {}
    return signal.body[0], unwrap(signal.body[1])


def unwrap(values: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return a{sv} without the signatures of its values."""
    return {name: value for name, (_, value) in values.items()}


class Backoff:
    """How long to wait after the n-th failure in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._begun = 0.0

    def begin(self) -> None:
        """Take in that an attempt begins."""
        self._begun = trio.current_time()

    def fail(self) -> float:
        """Count a failure, and return how many seconds to wait."""
        if trio.current_time() - self._begun > SETTLED_S:
            self._failures = 0
        self._failures += 1
        return PAUSES_S[min(self._failures, len(PAUSES_S)) - 1]


class Bus:
    """The system bus with all services that are followed."""

    def __init__(self, dial: Callable[[], Awaitable[int]], services: Iterable[Service]) -> None:
        """dial: returns the descriptor of a new connection, or raises Undialed."""
        self._dial = dial
        self._services: Final = tuple(services)
        self._peers: dict[str, Peer] = {}
        """By the well-known name."""
        self._owners: dict[str, str] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery
        self.connection: Connection | None = None
        """The one there is now; None while there is none, or none that is greeted."""
        self.fault = "it was not asked for yet"
        """Why there is no connection, "" while there is one."""

    async def run(self) -> None:
        """Stay connected, for ever."""
        backoff = Backoff()
        while True:
            backoff.begin()
            try:
                await self._serve()
            except (BusGone, Undialed) as error:
                self.fault = str(error)
            for service in self._services:
                service.lose(f"there is no system bus: {self.fault}")
            await trio.sleep(backoff.fail())

    async def _serve(self) -> None:
        """Connect once, and be there until that connection ends. Raises: BusGone, Undialed."""
        async with open_stream(await self._dial()) as stream:
            await authenticate(stream)
            connection = Connection(stream, self._hear)
            try:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(connection.receive)
                    self._nursery.start_soon(self._begin, connection)
                    await connection.gone.wait()
                    self._nursery.cancel_scope.cancel()
            finally:
                self.connection = None
        self._peers.clear()
        self._owners.clear()
        self._scopes.clear()
        raise BusGone(connection.reason)

    async def _begin(self, connection: Connection) -> None:
        """Get a name, and listen to each service."""
        try:
            await connection.call(DAEMON, _PATH, f"{DAEMON}.Hello")
            self.fault = ""
            self.connection = connection
            for service in self._services:
                await self._listen(connection, service)
        except (BusGone, CallFailed) as error:
            connection.end(f"it does not answer as it should: {error}")

    async def _listen(self, connection: Connection, service: Service) -> None:
        """Listen to a service, and to who owns its name: before that is asked, so that nothing is missed."""
        owned = f"type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{service.name}'"
        rules = (owned, *(f"{each},sender='{service.name}'" for each in service.rules))
        self._owners.pop(service.name, None)
        for rule in rules:
            await connection.call(DAEMON, _PATH, f"{DAEMON}.AddMatch", "s", (rule,))
        try:
            (owner,) = await connection.call(
                DAEMON, _PATH, f"{DAEMON}.GetNameOwner", "s", (service.name,), answer="s"
            )
        except CallFailed as error:
            if error.name != _NO_OWNER:
                raise
            owner = ""
        if service.name not in self._owners:  # else a signal has told it meanwhile
            self._take_owner(service.name, owner)

    def _hear(self, signal: Signal) -> None:
        if signal.sender == DAEMON:
            if signal.member == "NameOwnerChanged" and signal.signature == "sss":
                name, _, owner = signal.body
                if any(each.name == name for each in self._services):
                    self._take_owner(name, owner)
            return
        for peer in self._peers.values():
            if peer.owner == signal.sender:
                peer.put(signal)

    def _take_owner(self, name: str, owner: str) -> None:
        """Follow whoever has the name now, and nobody else by it."""
        if self._owners.get(name) == owner:
            return
        self._owners[name] = owner
        self._peers.pop(name, None)
        scope = self._scopes.pop(name, None)
        if scope is not None:
            scope.cancel()
        service = next(each for each in self._services if each.name == name)
        if not owner:
            service.lose("it is not on the system bus" if scope is None else "it has left the bus")
            return
        assert self.connection is not None  # whoever tells of owners was greeted
        self._peers[name] = peer = Peer(self.connection, name, owner)
        self._scopes[name] = scope = trio.CancelScope()
        self._nursery.start_soon(self._follow, service, peer, scope)

    async def _follow(self, service: Service, peer: Peer, scope: trio.CancelScope) -> None:
        backoff = Backoff()
        with scope:
            while True:
                backoff.begin()
                try:
                    await service.follow(peer)
                except BusGone:
                    return
                except CallFailed as error:
                    service.lose(f"it does not answer as it should: {error}")
                await trio.sleep(backoff.fail())
