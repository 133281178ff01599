"""Trees of other dispatchers in a whole daemon: what is run, when, with which arguments and variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for, write_script
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import Daemon, ip

Make = Callable[..., Daemon]

TELL = (
    '#!/bin/sh\n{ echo "call ${0##*/}"; for word; do echo "word $word"; done; env; echo end; }'
    " >> DATA/calls\n"
)
"""A script that notes how it was called."""


class Forest:
    """A daemon with trees of other dispatchers."""

    def __init__(self, make_daemon: Make) -> None:
        self._make = make_daemon
        self.trees: dict[str, dict[str, Any]] = {}
        self.daemon = make_daemon(JSON_LOG)
        self.data = self.daemon.scripts / "data"

    def root(self, tree: str, name: str = "", **settings: Any) -> Path:
        """Enable a tree with one more root, and make that."""
        path = self.daemon.root / (name or tree)
        path.mkdir(mode=0o755)
        known = self.trees.setdefault(tree, {"enabled": True, "roots": []})
        known["roots"].append(str(path))
        known |= settings
        return path

    def write(self, path: Path, text: str = TELL, mode: int = 0o755) -> Path:
        """Write a script of a tree, with the directories above it."""
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return write_script(path.parent, path.name, text.replace("DATA", str(self.data)), mode)

    def start(self, *options: str, **settings: Any) -> Daemon:
        """Write the configuration and start the daemon."""
        self.daemon._configuration = f"{JSON_LOG}compat: {json.dumps(self.trees)}\n"
        self.daemon.configure(**settings)
        return self.daemon.start(*options)

    def calls(self) -> list[dict[str, Any]]:
        """Return how scripts were called so far: name, words and variables but for the shell's own."""
        path = self.data / "calls"
        found: list[dict[str, Any]] = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            if line.startswith("call "):
                found.append({"name": line[5:], "words": [], "values": {}})
            elif line.startswith("word "):
                found[-1]["words"].append(line[5:])
            elif line != "end":
                name, _, value = line.partition("=")
                if name not in {"PWD", "SHLVL", "_", "OLDPWD"}:
                    found[-1]["values"][name] = value
            else:
                found[-1]["done"] = True
        return [each for each in found if each.pop("done", False)]

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Return the calls once there are this many."""
        return wait_for(
            lambda: found if len(found := self.calls()) >= count else None, f"{count} calls"
        )


@pytest.fixture
def forest(make_daemon: Make) -> Forest:
    """Return a daemon without trees that was not started yet."""
    return Forest(make_daemon)


def add_link(name: str = "eth0", index: int = 101) -> None:
    """Make a link with a cable, whose other end is called pNAME."""
    ip(f"link add name {name} index {index} type veth peer name p{name} index {index + 100}",
       f"link set {name} addrgenmode none", f"link set p{name} addrgenmode none")  # fmt: skip


# --- networkd-dispatcher -----------------------------------------------------------------------------


def test_networkd_dispatcher_runs_every_state(forest: Forest) -> None:
    """A link goes through its states: administrative first, then operational, carrier among them."""
    root = forest.root("networkd_dispatcher")
    for state in ("unmanaged", "off", "no-carrier", "carrier", "degraded", "routable", "linger"):
        forest.write(root / f"{state}.d" / f"50-{state}")
    add_link()
    daemon = forest.start()
    forest.wait(2)
    ip("link set peth0 up", "link set eth0 up")
    wait_for(
        lambda: any(each["name"] == "50-carrier" for each in forest.calls()) or None, "carrier"
    )

    ip("addr add 192.0.2.1/24 dev eth0")
    wait_for(
        lambda: any(each["name"] == "50-routable" for each in forest.calls()) or None, "routable"
    )
    ip("addr del 192.0.2.1/24 dev eth0")
    wait_for(
        lambda: [each["name"] for each in forest.calls()].count("50-carrier") == 2 or None,
        "carrier",
    )
    ip("link del eth0")
    wait_for(lambda: any(each["name"] == "50-linger" for each in forest.calls()) or None, "linger")

    calls = [each for each in forest.calls() if each["values"]["IFACE"] == "eth0"]
    names = [each["name"].removeprefix("50-") for each in calls]
    assert names[:2] == ["unmanaged", "off"]
    assert [each for each in names[2:] if each not in {"no-carrier", "off"}] == [
        "carrier", "routable", "carrier", "linger",
    ]  # fmt: skip
    routable = next(each for each in calls if each["name"] == "50-routable")
    assert routable["words"] == []
    values = routable["values"]
    told = json.loads(values.pop("json"))
    assert {name: value for name, value in values.items() if name not in {"PATH", "NETEVD_RUN"}} == {
        "IFACE": "eth0", "STATE": "routable", "AdministrativeState": "unmanaged",
        "OperationalState": "routable", "ADDR": "192.0.2.1", "IP_ADDRS": "192.0.2.1",
        "IP6_ADDRS": "", "ESSID": "",
    }  # fmt: skip
    assert list(told) == sorted(told)
    assert told["State"] == "routable (unmanaged)"
    assert told["Address"] == ["192.0.2.1"]
    assert not [each for each in daemon.log if "was not run" in each["message"]]
