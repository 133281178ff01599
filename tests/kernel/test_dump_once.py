"""The one-shot dump on the real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LOOK = r"""
import json, subprocess, sys
from netevd.kernel.dump import snapshot_links
from netevd.model.inputs import AddressSeen, LinkSeen, RoutesDumped

batch = ["link set lo up", "link add v0 type veth peer name v1", "link set v0 up"]
batch += [f"address add 10.0.{number}.1/24 dev v1" for number in range(250)]
batch += [f"address add 2001:db8::{number:x}/64 dev v0 nodad" for number in range(250)]
subprocess.run(["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True)
found = snapshot_links()
kinds = [type(each).__name__ for each in found]
print(json.dumps({
    "links": [each.link.name for each in found if isinstance(each, LinkSeen)],
    "addresses": [each.address.ip for each in found if isinstance(each, AddressSeen)],
    "order": list(dict.fromkeys(kinds)),
    "routes": sum(len(each.routes) for each in found if isinstance(each, RoutesDumped)),
    "dumps": sorted({each.dump for each in found}),
}))
"""


def test_one_look_tells_every_link_and_every_address() -> None:
    """All links, then all addresses of the namespace come, however many datagrams they take."""
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    if probe.returncode != 0 or os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")

    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LOOK],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    told = json.loads(done.stdout)
    assert told["links"] == ["lo", "v1", "v0"]
    assert told["order"] == ["LinkSeen", "AddressSeen", "RoutesDumped"]
    assert told["routes"] > 250
    assert told["dumps"] == [1]
    assert set(told["addresses"]) >= {f"10.0.{number}.1" for number in range(250)} | {
        "127.0.0.1", "::1", "2001:db8::1", "2001:db8::f9",
    }  # fmt: skip
