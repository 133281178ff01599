"""The same stream by WebSocket, with a client of wsproto."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from tests.boundary.rig import DEADLINE
from tests.http.rig import check_message, connect, find_socket, stream
from tests.processes.rig import Daemon, ip
from tests.processes.test_reload import reload


class WebSocket:
    """A client that reads one message after another."""

    def __init__(self, daemon: Daemon, target: str = "/api/v1/live", **headers: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(DEADLINE)
        self._sock.connect(str(find_socket(daemon)))
        self._connection = WSConnection(ConnectionType.CLIENT)
        extra = [(name.replace("_", "-").encode(), each.encode()) for name, each in headers.items()]
        self.send(Request(host="localhost", target=target, extra_headers=extra))
        self._events = self._receive()
        self.first = next(self._events)

    def send(self, event: Event) -> None:
        """Send something."""
        self._sock.sendall(self._connection.send(event))

    def _receive(self) -> Iterator[Event]:
        while True:
            data = self._sock.recv(65536)
            self._connection.receive_data(data or None)
            for event in self._connection.events():
                if isinstance(event, Ping):
                    with contextlib.suppress(BrokenPipeError):  # it has hung up: that is read next
                        self.send(event.response())
                else:
                    yield event
            if not data:
                return

    def read(self) -> dict[str, Any]:
        """Return the next message; heartbeats are passed over."""
        text, end = "", time.monotonic() + DEADLINE
        for event in self._events:
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                message = json.loads(text)
                if message != {"kind": "heartbeat", "data": {}}:
                    check_message(message["kind"], message["data"])
                    return dict(message)
                assert time.monotonic() < end, "nothing came but heartbeats"
                text = ""
        raise AssertionError("the connection has ended")

    def read_end(self) -> CloseConnection:
        """Return how it was closed, passing over messages."""
        return next(each for each in self._events if isinstance(each, CloseConnection))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


@pytest.fixture
def sockets() -> Iterator[list[WebSocket]]:
    """Return a list of WebSockets that are closed at the end."""
    made: list[WebSocket] = []
    yield made
    for each in made:
        each.close()


def test_the_same_messages_as_server_sent_events(served: Daemon, sockets: list[WebSocket]) -> None:
    """Events with their id, runs without; a choice by query holds for both."""
    query = "?type=address-added"
    sockets.append(live := WebSocket(served, f"/api/v1/live{query}"))
    assert isinstance(live.first, AcceptConnection)
    with connect(served) as client, stream(client, type="address-added") as reader:
        ip("addr add 10.1.1.1/24 dev eth0")
        for kind in ("event", "run"):
            message, told = live.read(), reader.read_kind(kind)
            assert (message["kind"], message["data"]) == (kind, told.content)
            assert str(message.get("id", "")) == told.number


def test_it_ends_with_a_reload_and_goes_on_behind_it(
    served: Daemon, sockets: list[WebSocket]
) -> None:
    """1001, going away; since says where to go on."""
    sockets.append(live := WebSocket(served, "/api/v1/live?type=address-usable"))
    ip("addr add 10.1.1.1/24 dev eth0")
    last = live.read()["id"]
    reload(served, 2)
    end = live.read_end()
    assert end.code == 1001
    assert "come again" in (end.reason or "")
    ip("addr add 10.1.2.1/24 dev eth0")
    sockets.append(live := WebSocket(served, f"/api/v1/live?since={last}&type=address-usable"))
    assert live.read()["data"]["address"]["ip"] == "10.1.2.1"


def test_a_client_may_choose_anew(served: Daemon, sockets: list[WebSocket]) -> None:
    """What is subscribed to replaces the query; what is not understood closes with 1003."""
    sockets.append(live := WebSocket(served, "/api/v1/live?type=link-removed"))
    live.send(TextMessage('{"subscribe": {"type": ["address-added"], "interface": ["eth*"]}}'))
    assert live.read() == {
        "kind": "subscribed", "data": {"type": ["address-added"], "interface": ["eth*"]},
    }  # fmt: skip
    ip("addr add 10.1.1.1/24 dev eth0")
    assert live.read()["data"]["type"] == "address-added"
    live.send(TextMessage('{"subscribe": {"tpye": []}}'))
    assert live.read_end().code == 1003


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/api/v1/live?type=routabel", 400, "did you mean routable?"),
        ("/api/v1/live?colour=red", 400, "unknown parameter"),
        ("/api/v1/events", 404, "there is no WebSocket"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_open(
    served: Daemon, sockets: list[WebSocket], target: str, status: int, words: str
) -> None:
    """A problem by HTTP, as for every other path."""
    sockets.append(live := WebSocket(served, target))
    assert isinstance(live.first, RejectConnection)
    assert live.first.status_code == status
    body = b""
    for event in live._events:
        if isinstance(event, RejectData):
            body += event.data
            if event.body_finished:
                break
    assert words in json.loads(body)["detail"]
