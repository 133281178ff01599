"""How long a client may take for what, by a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from netevd.http import connection
from netevd.http.connection import Connection, Hosting
from netevd.http.peer import Peer

App = Callable[[Any, Any, Any], Awaitable[None]]
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body, then answer."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Answer without an end, until the client has gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})

    async def listen(nursery: trio.Nursery) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, nursery)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


class Dialogue:
    """A connection and its client, run by a clock that jumps to what is due next."""

    def __init__(self, app: App = answer) -> None:
        self.app = app
        self.closing = trio.Event()
        self.config = Config()
        self.config.accesslog = self.config.errorlog = None
        self.took = 0.0
        """Seconds until the connection was over."""

    def run(self, client: Callable[[Any, Connection], Awaitable[None]], *, room: int = 0) -> float:
        """Run a client; return after how many seconds the connection is over. room: of what is unread."""
        return trio.run(self._run, client, room, clock=trio.testing.MockClock(autojump_threshold=0))

    async def _run(self, client: Callable[[Any, Connection], Awaitable[None]], room: int) -> float:
        self.context = WorkerContext(None)
        wrapped: Any = ASGIWrapper(self._answer)
        hosting = Hosting(wrapped, self.config, self.context, self.closing)
        if room:
            near, far = trio.testing.lockstep_stream_pair()
        else:
            near, far = trio.testing.memory_stream_pair()
        made = Connection(hosting, near, Peer("api", address="127.0.0.1"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, far, made)
            await made.run()
            took = trio.current_time()
            nursery.cancel_scope.cancel()
        return took

    async def _answer(self, *call: Any) -> None:
        await self.app(*call)


async def read_all(far: Any) -> bytes:
    """Return everything that is sent until the end."""
    found = b""
    while part := await far.receive_some():
        found += part
    return found


def test_a_connection_without_a_request_is_closed() -> None:
    """Silently: there is nothing that an answer could belong to."""
    said: list[bytes] = []

    async def client(far: Any, _: Connection) -> None:
        said.append(await read_all(far))

    assert Dialogue().run(client) == connection.FIRST_S
    assert not any(said)


def test_a_slow_head_is_cut_with_a_reason() -> None:
    """However steadily it trickles: all of it has one limit."""
    said: list[bytes] = []

    async def client(far: Any, _: Connection) -> None:
        async def trickle() -> None:
            for octet in HEAD[:-1] * 100:
                await far.send_all(bytes([octet]))
                await trio.sleep(3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            said.append(await far.receive_some(1000))
            await trio.sleep_forever()

    took = Dialogue().run(client)

    assert connection.HEAD_S <= took <= connection.HEAD_S + connection.LINGER_S
    assert said[0].startswith(b"HTTP/1.1 408")
    assert b"the head of a request may take" in said[0]


def test_a_slow_body_is_cut_with_a_reason() -> None:
    """So is a body, however steadily it comes."""
    said: list[bytes] = []

    async def client(far: Any, _: Connection) -> None:
        async def trickle() -> None:
            await far.send_all(HEAD.replace(b"GET", b"POST")[:-2] + b"Content-Length: 900\r\n\r\n")
            for _ in range(900):
                await far.send_all(b"x")
                await trio.sleep(3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            said.append(await far.receive_some(1000))
            await trio.sleep_forever()

    took = Dialogue().run(client)

    assert connection.BODY_S <= took <= connection.BODY_S + connection.LINGER_S
    assert b"the body of a request may take" in said[0]


def test_an_idle_connection_is_kept_for_a_while() -> None:
    """After an answer another request may come; each begins its own time."""

    async def client(far: Any, _: Connection) -> None:
        for _ in range(3):
            await far.send_all(HEAD)
            assert b"200" in await far.receive_some(1000)
            await trio.sleep(connection.IDLE_S - 1)
        await read_all(far)

    assert Dialogue().run(client) == 3 * (connection.IDLE_S - 1) + 1


def test_who_reads_nothing_is_cut() -> None:
    """An answer that nobody takes does not keep the connection, nor the application behind it."""

    async def client(far: Any, _: Connection) -> None:
        await far.send_all(HEAD)
        await trio.sleep_forever()

    took = Dialogue(stream).run(client, room=1)

    assert took <= connection.SEND_S + connection.LEFT_S + 2 * connection.LINGER_S


def test_an_application_that_does_not_notice_is_ended() -> None:
    """A client that has gone leaves nobody behind."""

    async def sleep(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    async def client(far: Any, _: Connection) -> None:
        await far.send_all(HEAD)
        await far.aclose()

    assert Dialogue(sleep).run(client) == connection.HALF_CLOSED_S + connection.LEFT_S


def test_who_sends_no_more_is_answered() -> None:
    """A client may close its side behind a request, as `nc -N` does, and read."""
    said: list[bytes] = []

    async def take_time(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep(connection.HALF_CLOSED_S / 2)
        await answer(scope, receive, send)

    async def client(far: Any, _: Connection) -> None:
        await far.send_all(HEAD)
        await far.send_eof()
        said.append(await read_all(far))

    assert Dialogue(take_time).run(client) < connection.HALF_CLOSED_S
    assert said[0].startswith(b"HTTP/1.1 200")
    assert said[0].endswith(b"ok")


def test_the_last_call() -> None:
    """When the worker ends, a request that was on its way on an idle connection is answered."""

    async def client(far: Any, made: Connection) -> None:
        await far.send_all(HEAD)
        assert b"200" in await far.receive_some(1000)
        made._hosting.closing.set()
        made.finish()
        await far.send_all(HEAD)
        assert b"200" in await far.receive_some(1000)
        await read_all(far)

    assert Dialogue().run(client) <= 3 * connection.LAST_CALL_S


def test_the_last_answer_says_that_it_is() -> None:
    """
    An answer that was begun when the worker had not ended yet does not end its connection: the client
    would send its next request to nobody. The next answer says that it is the last one.
    """
    dialogue = Dialogue()
    said: list[bytes] = []

    async def client(far: Any, made: Connection) -> None:
        async def end(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            dialogue.closing.set()
            dialogue.config.keep_alive_max_requests = 0
            await dialogue.context.terminated.set()
            made.finish()
            await send({"type": "http.response.body", "body": b"ok"})

        dialogue.app = end
        for _ in range(2):
            await far.send_all(HEAD)
            said.append(await far.receive_some(1000))
        said.append(await read_all(far))

    assert dialogue.run(client) <= connection.LINGER_S
    assert [b"connection: close" in each for each in said] == [False, True, False]
    assert [each[9:12] for each in said] == [b"200", b"200", b""]


def test_what_comes_with_the_deadline_is_answered() -> None:
    """A worker that was kept from looking until the time was up takes what had come all the same."""

    class Late(trio.abc.ReceiveStream):
        """Has the request at hand when the deadline is over."""

        def __init__(self, near: Any) -> None:
            self.near = near
            self.is_first = True

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            if not self.is_first:
                return bytes(await self.near.receive_some(max_bytes))
            self.is_first = False
            with trio.CancelScope(shield=True):
                await trio.sleep(connection.FIRST_S + 1)
            return HEAD

        async def send_all(self, content: bytes) -> None:
            await self.near.send_all(content)

        async def aclose(self) -> None:
            await self.near.aclose()

    said: list[bytes] = []

    async def client(far: Any, made: Connection) -> None:
        made._stream = Late(made._stream)
        await far.send_all(HEAD)  # what is waiting already gets this one
        for _ in range(2):
            said.append(bytes(await far.receive_some(1000)))
        await far.aclose()

    Dialogue().run(client)

    assert [each[9:12] for each in said] == [b"200", b"200"]


def test_what_comes_behind_the_last_request_is_passed_over() -> None:
    """One answer for a request that says that it is the last, whatever follows, and then the end."""
    said: list[bytes] = []

    async def client(far: Any, _: Connection) -> None:
        last = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await far.send_all(last + HEAD * 10)
        said.append(await far.receive_some(10000))
        await read_all(far)

    assert Dialogue().run(client) <= connection.LINGER_S
    assert said[0].count(b"HTTP/1.1 200") == 1
