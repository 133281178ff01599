"""Webhooks: a real daemon, real HTTP servers, real kernel events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.processes.receiver import Answer, Receiver
from tests.processes.rig import Daemon, ip

Make = Callable[..., Daemon]


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Return a maker of servers."""
    made: list[Receiver] = []

    def make(*answers: Answer, **settings: Any) -> Receiver:
        made.append(Receiver(*answers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def configure(*webhooks: dict[str, Any], event: str = "address-added", **settings: Any) -> str:
    """Return a configuration whose addresses are posted, and nothing else."""
    settings = {"allow_local": True, **settings}
    rule = {"match": {"event_type": event}, "action": "execute", "webhooks": list(webhooks)}
    return (
        "system: {log_format: json}\n"
        f"filters: [{json.dumps(rule)}]\n"
        f"webhooks: {json.dumps(settings)}\n"
    )


def change(number: int = 1) -> None:
    """Have an address added to a link that is there."""
    ip(f"addr add 10.1.1.{number}/24 dev eth0")


@pytest.fixture
def link(namespace: None) -> None:
    """Have a link eth0."""
    ip("link add eth0 index 101 type veth peer name peth0", "link set eth0 up")


def test_an_event_is_posted_with_its_json_and_headers(
    make_daemon: Make, receive: Callable[..., Receiver], link: None
) -> None:
    """The body is the event as scripts get it; headers name it, and the same event has the same key."""
    server = receive()
    daemon = make_daemon(configure({"url": server.url("/hook?x=1")})).start()

    change()

    (post,) = server.wait()
    print(post)
    daemon.expect(lambda entry: "has taken event" in entry["message"])
