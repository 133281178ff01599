"""What the other tests here stand on: a daemon, a client and a stream."""

from __future__ import annotations

import httpx

from tests.http.rig import ask, stream
from tests.processes.rig import Daemon, ip


def test_a_client_asks_and_hears(served: Daemon, client: httpx.Client) -> None:
    """An answer, and a stream that begins live, in one daemon."""
    assert ask(client, "/api/v1/status")["state"] == "serving"
    with stream(client, type="address-added") as reader:
        ip("addr add 10.1.1.1/24 dev eth0")
        message = reader.read_kind("event")
        assert message.content["address"]["ip"] == "10.1.1.1"
        assert message.number == str(message.content["sequence"])
        assert reader.read_kind("run").content["sequence"] == message.content["sequence"]
