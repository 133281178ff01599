"""Answers before the application: kept until they change, conditional, compressed on request."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import Any

import pytest
import trio

from netevd.http.hot import Hot
from netevd.http.pages import OPENMETRICS, TEXT, MetricsPage


class Words:
    """A page of one text."""

    def __init__(self, text: str, *, alone: bool = True) -> None:
        self.text = text
        self.alone = alone
        self.version = 0
        self.made = 0

    async def prepare(self) -> None:
        """Do nothing."""

    def choose(self, accept: str) -> str:
        """Return what was asked for."""
        return accept

    def find_version(self) -> object:
        """Return the version."""
        return self.version

    def make(self, content_type: str) -> bytes:
        """Return the text."""
        self.made += 1
        return f"{content_type} {self.text}".encode()


class Answer:
    """What was sent."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, body = messages
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = body["body"]


def ask(
    hot: Hot, path: str = "/page", method: str = "GET", query: bytes = b"", **headers: str
) -> Answer:
    """Return the answer to a request."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    given = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in {"accept": "a/b", **headers}.items()
    ]
    scope = {"type": "http", "path": path, "method": method, "query_string": query}
    trio.run(hot, scope | {"headers": given}, None, send)
    return Answer(sent)


async def other(scope: Any, receive: Any, send: Any) -> None:
    """Stand for the application behind."""
    del receive
    await send({"status": 299, "headers": []})
    await send({"body": scope["path"].encode()})


@pytest.fixture
def page() -> Words:
    """Return a page long enough to be compressed."""
    return Words("word " * 400)


@pytest.fixture
def hot(page: Words) -> Hot:
    """Return an application with a page of its own, and one that it shares."""
    return Hot(other, {"/page": page, "/shared": Words("x", alone=False)})


def test_a_body_is_made_once_until_something_changes(hot: Hot, page: Words) -> None:
    """Then it has another tag; a change that leaves the body alone keeps the tag."""
    first, again = ask(hot), ask(hot)
    assert (first.status, first.body, first.headers) == (200, again.body, again.headers)
    assert first.headers["content-length"] == str(len(first.body))
    assert page.made == 1

    page.version = 1
    assert ask(hot).headers["etag"] == first.headers["etag"]
    page.version, page.text = 2, "other"
    assert ask(hot).headers["etag"] != first.headers["etag"]
    assert page.made == 3


def test_who_has_it_already_is_told_so(hot: Hot) -> None:
    """304 for a tag that is one of those, weak or not, and for any; with no body but the tag."""
    tag = ask(hot).headers["etag"]
    for wanted in (tag, f'"x", W/{tag}', "*"):
        answer = ask(hot, if_none_match=wanted)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in answer.headers
    assert ask(hot, if_none_match='"x"').status == 200
    assert ask(hot, accept="c/d", if_none_match=tag).status == 200


def test_it_is_compressed_for_whoever_asks(hot: Hot) -> None:
    """A compressed answer has a tag of its own; a weight of 0 is a refusal."""
    plain = ask(hot)
    packed = ask(hot, accept_encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"] != plain.headers["etag"]
    tag = packed.headers["etag"]
    assert ask(hot, accept_encoding="gzip", if_none_match=tag).status == 304
    assert ask(hot, if_none_match=tag).status == 200
    for refusal in ("gzip;q=0", "gzip; q=0.000", "identity", "zgzip"):
        assert ask(hot, accept_encoding=refusal).body == plain.body


def test_head_has_everything_but_the_body(hot: Hot) -> None:
    """The same headers as GET."""
    answer = ask(hot, method="HEAD")
    assert (answer.body, answer.headers) == (b"", ask(hot).headers)


def test_other_methods_and_paths(hot: Hot) -> None:
    """Its own path refuses them, a shared one leaves them to the application, as any other path."""
    refused = ask(hot, method="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert ask(hot, query=b"x=1").status == 200
    assert ask(hot, path="/shared").status == 200
    assert ask(hot, path="/shared", method="PUT").status == 299
    assert ask(hot, path="/shared", query=b"x=1").status == 299
    assert ask(hot, path="/elsewhere").body == b"/elsewhere"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", TEXT),
        ("", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        (
            "text/plain;q=0.5, application/openmetrics-text; version=1.0.0; charset=utf-8",
            OPENMETRICS,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.5",
            OPENMETRICS,
        ),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text; q=0.0 ;version=1.0.0", TEXT),
        ("application/openmetrics-textual", TEXT),
        ("application/openmetrics-text;version=\udcff;" + "q=0;" * 9000, TEXT),
    ],
)
def test_the_format_is_what_the_client_names(accept: str, expected: str) -> None:
    """OpenMetrics for version 1, as Prometheus asks; text for all others, whatever they say."""
    assert MetricsPage.choose(MetricsPage.__new__(MetricsPage), accept) == expected


def test_quart_is_for_who_asks_for_more_than_metrics() -> None:
    """Protocol, gate and pages do not import it: it is a third of what a scraped daemon would have."""
    program = "import sys, netevd.http.assembly; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert {"hypercorn", "netevd.http.pages"} <= set(done.stdout.split())
    assert not {"quart", "werkzeug", "jinja2"} & set(done.stdout.split())
