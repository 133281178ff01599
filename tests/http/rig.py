"""Clients of a real daemon: over the runtime directory's socket, over TCP, and of its stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

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
        transport=transport, base_url="http://localhost", timeout=DEADLINE, **options
    )


def connect_tcp(port: int = PORT, **options: Any) -> httpx.Client:
    """Return a client of the daemon that listens on loopback in this namespace."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False, **options
    )


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
        for line in self._lines:
            if not line and fields.keys() - {"retry"}:
                return Message(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
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
