"""Clients of a real daemon: over the runtime directory's socket, over TCP, and of its stream."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from netevd.http.openapi import make_document
from tests.boundary.rig import DEADLINE
from tests.processes.rig import Daemon, ip

PORT = 9090
"""Where a daemon listens that nobody has told otherwise."""


def find_socket(daemon: Daemon) -> Path:
    """Return the path of a daemon's socket."""
    return daemon.root / "run" / "api.sock"


def add_pair(name: str = "eth0", index: int = 101) -> None:
    """Add a pair of links that are up and get no IPv6 address by themselves a second later."""
    peer = f"p{name}"
    ip(f"link add name {name} index {index} type veth peer name {peer} index {index + 1}")
    for each in (name, peer):
        ip(f"link set {each} addrgenmode none", f"link set {each} up")


def connect(daemon: Daemon, **options: Any) -> httpx.Client:
    """Return a client of a daemon's unix socket; it makes connections as it needs them."""
    transport = httpx.HTTPTransport(uds=str(find_socket(daemon)))
    return httpx.Client(
        transport=transport, base_url="http://localhost", timeout=DEADLINE,
        event_hooks={"response": [check_answer]}, **options,
    )  # fmt: skip


def connect_tcp(port: int = PORT, **options: Any) -> httpx.Client:
    """Return a client of the daemon that listens on loopback in this namespace."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False,
        event_hooks={"response": [check_answer]}, **options,
    )  # fmt: skip


@lru_cache(maxsize=1)
def get_document() -> dict[str, Any]:
    """Return the OpenAPI document, with objects that may have no field more than it says."""
    document = make_document()
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


@lru_cache(maxsize=1)
def _list_paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = sorted(get_document()["paths"].items())  # those without parameters first
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path) + r"\Z"), each) for path, each in paths]


def check_answer(answer: httpx.Response) -> None:
    """Compare an answer of the API with the OpenAPI document; every client here does."""
    path, method = answer.request.url.path, answer.request.method.lower()
    known = next((each for pattern, each in _list_paths() if pattern.match(path)), {})
    operation = known.get("get" if method == "head" else method)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if operation is None:
        assert answer.status_code >= 400, f"{method} {path} is not described"
        schema = {"$ref": "#/components/schemas/Problem"}
    else:
        told = operation["responses"]
        assert str(answer.status_code) in told or answer.status_code >= 400, answer
        described = told.get(str(answer.status_code), told["default"]).get("content", {})
        if method == "head" or not described:
            return
        assert kind in described, f"{method} {path}: {answer.status_code} {kind}"
        schema = described[kind]["schema"]
    if kind.endswith("json"):
        answer.read()
        check_object(answer.json(), schema)


def check_object(content: object, schema: dict[str, Any]) -> None:
    """Compare an object with a schema of the OpenAPI document."""
    whole = {**schema, "components": get_document()["components"]}
    Draft202012Validator(whole).validate(content)


_MESSAGES = {"event": "DescribedEvent", "verdict": "Decided", "run": "Run", "gap": "Gap",
             "subscribed": "Subscribed"}  # fmt: skip


def check_message(kind: str, content: object) -> None:
    """Compare a message of the stream with the OpenAPI document."""
    check_object(content, {"$ref": f"#/components/schemas/{_MESSAGES[kind]}"})


def ask(client: httpx.Client, path: str, status: int = 200, **parameters: Any) -> Any:
    """Return the JSON of a GET, whose status must be this one."""
    answer = client.get(path, params=parameters, headers={"Accept": "application/json"})
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    return answer.json()


@dataclass(frozen=True)
class Message:
    """One server-sent message."""

    kind: str
    content: Any
    number: str = ""
    """Its id, "" for none."""


class Reader:
    """Reads one stream of server-sent messages."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def read(self) -> Message | None:
        """Return the next message, None at the end of the stream; comments are passed over."""
        fields: dict[str, str] = {}
        end = time.monotonic() + DEADLINE
        for line in self._lines:
            assert time.monotonic() < end, "nothing came but comments"
            if not line and fields.keys() - {"retry"}:
                content = json.loads(fields["data"])
                check_message(fields["event"], content)
                return Message(fields["event"], content, fields.get("id", ""))
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
        return None

    def read_kind(self, kind: str) -> Message:
        """Return the next message of a kind, passing over others."""
        while (message := self.read()) is not None:
            if message.kind == kind:
                return message
        raise AssertionError(f"the stream ended without a message {kind}")


@contextlib.contextmanager
def stream(
    client: httpx.Client, last_event_id: str = "", path: str = "/api/v1/events", **parameters: Any
) -> Iterator[Reader]:
    """Open a stream; once it is open, nothing that happens is missed."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    with client.stream("GET", path, params=parameters, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Reader(answer)
