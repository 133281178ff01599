"""Hostile requests, each with what has to be answered. TOKEN stands for a token with the role operate."""

from __future__ import annotations

from typing import Final, NamedTuple

RESUME: Final = b"/api/v1/hooks/resume?path=/no-such-script"
STATUS: Final = b"/api/v1/status"


class Hostile(NamedTuple):
    """One thing that somebody sends over a connection of its own."""

    what: str
    raw: bytes
    status: int
    """Of the first answer."""
    words: str = ""
    """What its reason says."""


def get(
    target: bytes = STATUS, *headers: bytes, method: bytes = b"GET", version: bytes = b"1.1",
    host: bytes = b"Host: localhost", body: bytes = b"",
) -> bytes:  # fmt: skip
    """Return a request that is not hostile by itself."""
    lines = [method + b" " + target + b" HTTP/" + version, *([host] if host else []), *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def post(*headers: bytes, target: bytes = RESUME, body: bytes = b"", token: bool = True) -> bytes:
    """Return a request that changes something."""
    shown = (b"Authorization: Bearer TOKEN",) if token else ()
    return get(target, *shown, *headers, method=b"POST", body=body)


CHUNKED: Final = b"Transfer-Encoding: chunked"

HOSTILE: Final = (
    # framing: where does the request end?
    Hostile("length and chunks", post(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"), 400, "both"),
    Hostile("chunks and length", post(CHUNKED, b"Content-Length: 40", body=b"0\r\n\r\n"), 400, "both"),
    Hostile("two lengths", post(b"Content-Length: 4", b"Content-Length: 5", body=b"xxxxx"), 400),
    Hostile("two lengths in one", post(b"Content-Length: 4, 5", body=b"xxxxx"), 400),
    Hostile("a signed length", post(b"Content-Length: +4", body=b"xxxx"), 400),
    Hostile("a negative length", post(b"Content-Length: -4", body=b"xxxx"), 400),
    Hostile("a hexadecimal length", post(b"Content-Length: 0x4", body=b"xxxx"), 400),
    Hostile("an unknown coding", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    Hostile("chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 501),
    Hostile("two codings", post(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), 501),
    Hostile("a blank before the colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    Hostile("a tab before the colon", post(b"Content-Length\t: 4", body=b"xxxx"), 400),
    Hostile("a folded header", post(b"X: a\r\n Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 404),
    Hostile("a chunk of no size", post(CHUNKED, body=b"zz\r\nabc\r\n0\r\n\r\n"), 400),
    Hostile("a chunk of every size", post(CHUNKED, body=b"f" * 25 + b"\r\nabc"), 400),
    Hostile("a chunk that is longer", post(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    Hostile("chunks in HTTP/1.0", get(RESUME, b"Authorization: Bearer TOKEN", CHUNKED, method=b"POST", version=b"1.0", body=b"0\r\n\r\n"), 400, "1.0"),
    # what is no request
    Hostile("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505, "HTTP/1.1"),
    Hostile("HTTP/3.0", get(version=b"3.0"), 505),
    Hostile("HTTP/0.9", b"GET /\r\n\r\n", 400),
    Hostile("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n", 400),
    Hostile("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
    Hostile("noise", bytes(range(256)) * 8 + b"\r\n\r\n", 400),
    Hostile("no version", b"GET /health\r\nHost: localhost\r\n\r\n", 400),
    Hostile("NUL in a header", get(STATUS, b"X: a\0b"), 400),
    Hostile("CR in a header", get(STATUS, b"X: a\rb"), 400),
    Hostile("a header without a colon", get(STATUS, b"X"), 400),
    Hostile("a header without a name", get(STATUS, b": x"), 400),
    Hostile("a blank in a name", get(STATUS, b"X Y: z"), 400),
    Hostile("bytes in a path", get(b"/api/v1/\xff\xfe"), 400),
    Hostile("a blank in a path", b"GET /api /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    # too much
    Hostile("huge headers", get(STATUS, b"X: " + b"a" * 20_000), 431),
    Hostile("endless headers", get(STATUS, b"X: " + b"a" * 200_000), 431),
    Hostile("many headers", get(STATUS, *[b"X-%d: y" % number for number in range(150)]), 431, "100 headers"),
    Hostile("a long path", get(b"/" + b"a" * 9_000), 414),
    Hostile("a long query", get(STATUS + b"?state=" + b"a" * 9_000), 414),
    Hostile("a body of gigabytes", post(b"Content-Length: 9999999999"), 413, "at most"),
    Hostile("a length of any size", post(b"Content-Length: " + b"9" * 40), 400),
    Hostile("a promised body", post(b"Content-Length: 5000000", b"Expect: 100-continue"), 413),
    Hostile("chunks without end", post(CHUNKED, body=b"ffff\r\n" + b"a" * 65535 + b"\r\n") + (b"ffff\r\n" + b"a" * 65535 + b"\r\n") * 20, 404),
    Hostile("a thousand parameters", get(STATUS + b"?" + b"&".join([b"a=b"] * 1000)), 400),
    # paths that two programs read in two ways
    Hostile("an escaped slash", get(b"/api%2fv1%2Fstatus"), 400, "escaped"),
    Hostile("an escaped dot", get(b"/api/v1/%2e%2e/status"), 400, "escaped"),
    Hostile("an escaped backslash", get(b"/api%5cv1"), 400, "escaped"),
    Hostile("a backslash", get(b"/api\\v1\\status"), 400),
    Hostile("an escaped NUL", get(b"/api/v1/interfaces/eth0%00.html"), 400, "escaped"),
    Hostile("escaped bad UTF-8", get(b"/api/v1/interfaces/%ff%fe"), 400, "UTF-8"),
    Hostile("an escaped line end", get(b"/api/v1/interfaces/a%0d%0aSet-Cookie:%20x"), 400, "control"),
    Hostile("dots", get(b"/api/v1/../../etc/passwd"), 400, "segments"),
    Hostile("a dot", get(b"/./api/v1/status"), 400, "segments"),
    Hostile("two slashes", get(b"//api/v1/status"), 400, "segments"),
    Hostile("a configuration behind two slashes", get(b"/api/v1//config", b"Authorization: Bearer TOKEN", method=b"PUT"), 400),
    Hostile("another host's path", get(b"http://evil.example.com/api/v1/status"), 400, "no proxy"),
    Hostile("a fragment", get(b"/api/v1/status#x"), 400),
    Hostile("a doubly escaped slash", get(b"/api/v1/interfaces/%252e%252e"), 404),
    # methods
    Hostile("CONNECT", get(b"evil.example.com:443", method=b"CONNECT"), 405),
    Hostile("TRACE", get(method=b"TRACE"), 405),
    Hostile("a method of nobody", get(method=b"NETEVD"), 405),
    Hostile("everything", get(b"*", method=b"OPTIONS"), 400),
    Hostile("a reading that changes", get(RESUME, b"X-HTTP-Method-Override: POST"), 405),
    Hostile("deleting", get(b"/api/v1/interfaces/lo", b"Authorization: Bearer TOKEN", method=b"DELETE"), 405),
    # names and origins
    Hostile("another host", get(host=b"Host: evil.example.com"), 421, "not one of ours"),
    Hostile("a rebound name", get(host=b"Host: 127.0.0.1.evil.example.com:9090"), 421),
    Hostile("a host with a user", get(host=b"Host: localhost@evil.example.com"), 421),
    Hostile("a host of bytes", get(host=b"Host: \xff\xfe"), 421),
    Hostile("no host", get(host=b""), 400),
    Hostile("two hosts", get(STATUS, b"Host: evil.example.com"), 400),
    Hostile("a foreign origin", post(b"Origin: http://evil.example.com"), 403, "evil.example.com"),
    Hostile("an opaque origin", post(b"Origin: null"), 403),
    Hostile("the other port's origin", post(b"Origin: http://localhost:8080"), 403),
    Hostile("a form of another site", post(b"Sec-Fetch-Site: cross-site", b"Content-Type: application/x-www-form-urlencoded"), 403),
    Hostile("a WebSocket of another site", get(b"/api/v1/live", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Origin: http://evil.example.com").replace(b"close", b"Upgrade"), 403),
    # credentials
    Hostile("no token", post(token=False), 401, "takes a token"),
    Hostile("a wrong token", post(b"Authorization: Bearer netevd_0", token=False), 401, "not known"),
    Hostile("a password", post(b"Authorization: Basic cm9vdDpyb290", token=False), 401),
    Hostile("an empty token", post(b"Authorization: Bearer", token=False), 401),
    Hostile("a token of bytes", post(b"Authorization: Bearer \xff\xfe\xfd", token=False), 401),
    Hostile("two tokens", post(b"Authorization: Bearer netevd_0"), 400, "twice"),
    Hostile("a token in the URL", get(STATUS + b"?token=TOKEN"), 400, "URL"),
    Hostile("a role that is not enough", get(b"/api/v1/config", b"Authorization: Bearer TOKEN", method=b"PUT"), 403, "admin"),
    Hostile("what a proxy forwards", get(STATUS, b"X-Forwarded-For: 203.0.113.1"), 401),
    Hostile("a WebSocket of the past", get(b"/api/v1/live", b"Upgrade: websocket", b"Sec-WebSocket-Version: 8", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==").replace(b"close", b"Upgrade"), 400),
)  # fmt: skip
