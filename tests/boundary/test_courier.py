"""A courier against a hostile worker on one side and hostile servers on the other."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

from netevd.worker.errand import Delivered, Resolve, Resolved
from privsep.channel import Closed
from privsep.protocol import PACKET_LIMIT, Drain, End, Ping, Ready
from tests.boundary.courier import CourierRig, destination, order
from tests.boundary.receiver import Answer, Receiver, raw, status
from tests.boundary.rig import wait_for

Receive = Callable[..., Receiver]


@pytest.fixture
def receive() -> Iterator[Receive]:
    """Return a maker of servers."""
    made: list[Receiver] = []

    def make(*answers: Answer, **settings: object) -> Receiver:
        made.append(Receiver(*answers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def start() -> Iterator[Callable[..., CourierRig]]:
    """Return a maker of couriers."""
    made: list[CourierRig] = []

    def make(*destinations: object, **settings: object) -> CourierRig:
        made.append(CourierRig(*destinations, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


Start = Callable[..., CourierRig]


# --- the worker ------------------------------------------------------------------------------------


def test_a_host_is_a_number_of_the_sealed_list(start: Start) -> None:
    """A name of a WireGuard endpoint is looked up by its number, and what there is no name for is said."""
    courier = start(hosts=(("localhost", 51820), ("no-such-host.invalid", 51820)))

    courier.send(Resolve(0))
    found = courier.hear()
    assert isinstance(found, Resolved)
    assert (found.host, found.reason) == (0, "")
    assert set(found.addresses) <= {"127.0.0.1", "::1"} and found.addresses
    courier.send(Resolve(1))
    missed = courier.hear()
    assert (missed.host, missed.addresses) == (1, [])
    assert "no-such-host.invalid" in missed.reason
    courier.send(Resolve(2))
    assert "there is no host 2" in courier.expect_violation()


def test_a_host_is_looked_up_once_at_a_time(start: Start) -> None:
    """A worker that asks again before it has heard is ended; the next one gets its answer."""
    courier = start(hosts=(("no-such-host.invalid", 51820),))
    courier.send(Resolve(0))
    courier.send(Resolve(0))

    assert "host 0 is being looked up" in courier.expect_violation()
    courier.connect()
    courier.send(Resolve(0))
    assert courier.hear().host == 0


def test_a_target_is_a_number_of_the_sealed_list(start: Start, receive: Receive) -> None:
    """There is no other way to say where to; what is asked for is posted with the target's headers."""
    first, second = receive(), receive()
    courier = start(destination(first.url("/a")), destination(second.url("/b?c=d")))

    assert courier.ask(order(1, 7, body=b'{"x":1}')).result == "ok"

    (post,) = second.wait()
    assert (post.path, post.body, first.posts) == ("/b?c=d", b'{"x":1}', [])
    assert post.headers["authorization"] == "Bearer secret"
    assert post.headers["idempotency-key"] == "7-5"


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (order(1), "no target 1"),
        (order(2**31 - 1), "no target"),
        (Ping(1), ""),
        (Ready(), ""),
        (order(0, 1, event="../x"), ""),
        (order(0, 0), ""),
        (order(0, 1, body=bytes(PACKET_LIMIT - 4000)), ""),
    ],
)
def test_nonsense_ends_the_worker_and_not_the_courier(
    start: Start, receive: Receive, hostile: object, reason: str
) -> None:
    """The supervisor hears of it, the socket is closed, and the next worker is served."""
    server = receive()
    courier = start(destination(server.url()))

    courier.send(hostile)

    assert reason in courier.expect_violation()
    courier.connect()
    assert courier.ask(order()).result == "ok"
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    "packet", [b"\xc1", b"\x90", os.urandom(4000), b"\x97\xcc\x83" + b"\xff" * 50]
)
def test_bytes_that_are_no_message_end_the_worker(start: Start, packet: bytes) -> None:
    """Whatever does not decode is a violation."""
    courier = start(destination("http://127.0.0.1:9/"))

    courier.worker.sock.send(packet)

    courier.expect_violation()
    assert courier.lives()


def test_two_attempts_at_once_for_a_target_end_the_worker(start: Start, receive: Receive) -> None:
    """So a worker that was taken over can't make a flood of it."""
    server = receive()
    server.answers.append(server.never)
    courier = start(destination(server.url()))
    courier.send(order(0, 1))
    server.wait()

    courier.send(order(0, 2))

    assert "under way" in courier.expect_violation()
    assert len(server.posts) == 1


def test_a_worker_that_asks_and_does_not_read_is_ended(start: Start) -> None:
    """Answers that nobody reads are not kept without bound."""
    many = 20_000
    courier = start(*[destination("http://127.0.0.1:9/", allow_local=False)] * many)
    with pytest.raises(Closed):
        for number in range(2 * many):
            wait_for(
                lambda: _try_to_send(courier, order(number % many, number // many + 1)), "room"
            )

    assert "does not read" in courier.expect_violation()
    courier.connect()
    assert courier.ask(order(0, 9)).result == "refused"


def test_a_worker_that_asks_twice_for_the_same_is_ended(start: Start) -> None:
    """It has the answer, or will have it; only another worker may ask for it again."""
    courier = start(destination("http://127.0.0.1:9/", allow_local=False))
    assert courier.ask(order()).result == "refused"

    courier.send(order())

    assert "already" in courier.expect_violation()


def _try_to_send(courier: CourierRig, message: object) -> bool | None:
    try:
        courier.send(message)
    except BlockingIOError:
        return None
    return True


def test_another_worker_gets_the_answer_without_another_post(
    start: Start, receive: Receive
) -> None:
    """Asked again for what is under way, or over, the courier tells what came of it."""
    gate, open_gate = socket.socketpair()

    def answer(sock: socket.socket) -> None:
        gate.recv(1)
        status(201)(sock)

    server = receive(answer)
    courier = start(destination(server.url()))
    courier.send(order(0, 5))
    server.wait()

    courier.connect()
    courier.send(order(0, 5))
    open_gate.send(b"x")
    told = courier.hear()
    courier.connect()
    again = courier.ask(order(0, 5))

    assert told == again == Delivered(0, 5, 1, "ok", 201, "", told.duration, 0.0)
    assert len(server.posts) == 1
    for each in (gate, open_gate):
        each.close()


def test_a_worker_that_remembers_otherwise_is_heard(start: Start, receive: Receive) -> None:
    """What an earlier worker had under way is cut off when the next one asks for something else."""
    server = receive()
    server.answers.append(server.never)
    courier = start(destination(server.url()))
    courier.send(order(0, 5))
    server.wait()

    courier.connect()

    assert courier.ask(order(0, 6)).sequence == 6
    assert [each.sequence for each in server.posts] == [5, 6]


def test_the_end_waits_for_what_is_under_way(start: Start, receive: Receive) -> None:
    """The worker still hears what came of it; with the supervisor gone nothing is waited for."""
    gate, open_gate = socket.socketpair()
    server = receive(lambda sock: (gate.recv(1), status(200)(sock)))
    courier = start(destination(server.url()))
    courier.send(order())
    server.wait()

    courier.lead.send(End())
    open_gate.send(b"x")

    assert courier.hear().result == "ok"
    wait_for(lambda: not _is_running(courier) or None, "end")
    for each in (gate, open_gate):
        each.close()


@pytest.mark.parametrize("how", ["drain", "supervisor"])
def test_it_ends_at_once_when_it_is_not_needed(start: Start, receive: Receive, how: str) -> None:
    """After a drain, or once the supervisor is gone, what is under way is cut off."""
    server = receive()
    server.answers.append(server.never)
    courier = start(destination(server.url(), timeout_s=60.0))
    courier.send(order())
    server.wait()

    if how == "drain":
        courier.lead.send(Drain())
    else:
        courier.lead.close()

    wait_for(lambda: not _is_running(courier) or None, "end")


def _is_running(courier: CourierRig) -> bool:
    try:
        return courier.lives()
    except ChildProcessError:
        return False


# --- servers ---------------------------------------------------------------------------------------


def endless(head: bytes, part: bytes) -> Answer:
    """Return an answer that begins so and never ends, but with its connection."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(head)
        for _ in range(100_000):
            sock.sendall(part)
        raise AssertionError("all of it was taken")

    return answer


METADATA, NOWHERE = "169.254.169.254", "there-is-no.invalid"
OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE: dict[str, tuple[Answer, str]] = {
    "nothing": (raw(b""), "again"),
    "noise": (raw(os.urandom(4096)), "again"),
    "another protocol": (raw(b"220 mail.example ESMTP\r\n"), "again"),
    "endless status line": (endless(b"HTTP/1.1 200 ", b"O" * 65536), "again"),
    "endless headers": (endless(OK, b"X: y\r\n" * 1000), "again"),
    "endless header": (endless(OK + b"X: ", b"y" * 65536), "again"),
    "endless hints": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), "again"),
    "endless body": (endless(OK + b"\r\n", b"y" * 65536), "ok"),
    "endless chunks": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n" * 1000), "ok",
    ),
    "bad chunks": (raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "ok"),
    "cut body": (raw(OK + b"Content-Length: 99999\r\n\r\nabc"), "ok"),
    "two lengths": (raw(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "again"),
    "negative length": (raw(OK + b"Content-Length: -1\r\n\r\n"), "again"),
    "bomb": (raw(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"), "ok"),
    "status 000": (raw(b"HTTP/1.1 000 X\r\n\r\n"), "again"),
    "status 999": (raw(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), "failed"),
    "switch": (raw(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "again"),
    "control characters": (raw(b"HTTP/1.1 200 \x1b[31m\r\n\x00: x\r\n\r\n"), "again"),
    "old": (raw(b"HTTP/1.0 200 OK\r\n\r\n"), "ok"),
    "strange wish": (status(429, "Retry-After: -5"), "again"),
    "huge wish": (status(429, "Retry-After: 99999999999999999999"), "again"),
    "wish that is no date": (status(503, "Retry-After: Mon, 99 Foo 99999 99:99:99 +9999"), "again"),
    "redirect": (status(302, f"Location: http://{METADATA}/latest/meta-data"), "failed"),
    "redirect of a post": (status(307, "Location: file:///etc/passwd"), "failed"),
    "cookie": (status(200, "Set-Cookie: a=b; Domain=.example"), "ok"),
}  # fmt: skip


def test_a_hostile_answer_is_judged_and_nothing_more(start: Start, receive: Receive) -> None:
    """Whatever a server says, one courier tells one result in its own words each time, and posts on."""
    server = receive()
    courier = start(destination(server.url(), timeout_s=4.0))

    for number, (name, (answer, result)) in enumerate(HOSTILE.items()):
        server.answers.append(answer)
        told = courier.ask(order(0, 2 * number + 1))
        assert told.result == result, (name, told)
        assert told.reason.isprintable()
        assert 0.0 <= told.retry_after < 1e9
        assert courier.ask(order(0, 2 * number + 2)).result == "ok", name
        assert "cookie" not in server.posts[-1].headers

    assert server.connections == 2 * len(HOSTILE)
    assert courier.lives()


def test_a_server_that_never_answers_costs_its_time_and_no_more(
    start: Start, receive: Receive
) -> None:
    """The time limit holds over connecting, TLS, and the head of the answer; others go on meanwhile."""
    slow, quick = receive(), receive()
    slow.answers.extend([slow.never, slow.never])
    courier = start(destination(slow.url(), timeout_s=0.5), destination(quick.url()))
    courier.send(order(0))
    slow.wait()

    assert courier.ask(order(1)).target == 1
    told = courier.hear()
    assert (told.target, told.result, told.reason) == (0, "again", "no answer within 0.5 s")


def test_one_octet_at_a_time_does_not_outlast_the_limit(start: Start, receive: Receive) -> None:
    """Each octet comes within the library's own time limit; the limit is for all of it."""

    def drip(sock: socket.socket) -> None:
        for octet in OK + b"X: " + b"y" * 100_000:
            sock.sendall(bytes([octet]))
            select.select([], [], [], 0.01)

    server = receive(drip)
    courier = start(destination(server.url(), timeout_s=1.0))

    assert courier.ask(order()).reason == "no answer within 1 s"
    assert courier.ask(order(0, 2)).result == "ok"


# --- addresses -------------------------------------------------------------------------------------

LOCAL = [
    "127.0.0.1", "127.255.255.254", "2130706433", "0x7f.1", "127.1", "localhost", "[::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
    "169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1:a9fe:a9:fe00::]", "[fd00:ec2::254]", "0.0.0.0", "0", "[::]", "224.0.0.1", "[ff02::1]",
    "255.255.255.255",
]  # fmt: skip


NEVER = ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255"]


@pytest.mark.parametrize(("hosts", "allow_local"), [(LOCAL, False), (NEVER, True)])
def test_a_local_address_is_refused_in_every_form(
    start: Start, receive: Receive, hosts: list[str], allow_local: bool
) -> None:
    """No connection is made to it, however it is written; to some not even if local ones may be."""
    plain, other = receive(address="0.0.0.0"), receive(address="::")
    urls = [(other if host.startswith("[") else plain).url(host=host) for host in hosts]
    courier = start(*(destination(url, allow_local=allow_local) for url in urls))

    for number, host in enumerate(hosts):
        told = courier.ask(order(number))
        assert (told.result, told.status) == ("refused", 0), (host, told)
        assert "which is" in told.reason

    assert (plain.connections, other.connections) == (0, 0)


def test_a_name_without_address_is_tried_again(start: Start) -> None:
    """It may have one later: networks come and go, which is what events are about."""
    courier = start(destination(f"http://{NOWHERE}/", timeout_s=5.0))

    told = courier.ask(order())

    assert told.result == "again"


# --- TLS -------------------------------------------------------------------------------------------


def _tls(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(name).configure_cert(context)
    return context


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    start: Start, receive: Receive
) -> None:
    """Neither event nor headers are sent; the reason says what is wrong."""
    server = receive(tls=_tls("127.0.0.1"))
    courier = start(destination(server.url()))

    told = courier.ask(order())

    assert told.result == "again"
    assert "its certificate is not accepted" in told.reason
    assert server.posts == []


def test_tls_that_is_none_fails(start: Start, receive: Receive) -> None:
    """A plain server at an https address gets nothing."""
    server = receive()
    url = server.url().replace("http:", "https:")
    courier = start(destination(url, timeout_s=2.0))

    assert courier.ask(order()).result == "again"
    assert server.posts == []


def test_the_rig_would_notice_a_closed_socket(start: Start) -> None:
    """A worker whose socket was closed reads end of file, so the tests above can fail."""
    courier = start(destination("http://127.0.0.1:9/"))
    courier.lead.close()

    with pytest.raises(Closed):
        wait_for(lambda: select.select([courier.worker], [], [], 0)[0] or None, "end of file")
        courier.worker.receive()
