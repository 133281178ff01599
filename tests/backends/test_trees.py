"""Trees of other dispatchers fed by a real systemd-networkd: its states, its lease, its name servers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.backends.networkd import OPTIONS, boot, start_networkd
from tests.boundary.rig import wait_for, write_script
from tests.processes.rig import Daemon

TELL = '#!/bin/sh\nout=$(echo "call $*"; env)\necho "$out" >> DATA/NAME\n'
SOURCED = 'out=$(echo "call $reason"; env)\necho "$out" >> DATA/dhclient\n'


def read(daemon: Daemon, name: str) -> list[tuple[str, dict[str, str]]]:
    """Return arguments and variables of each call that a script has noted."""
    path = daemon.scripts / "data" / name
    found: list[tuple[str, dict[str, str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith("call "):
            found.append((line[5:], {}))
        else:
            name_, _, value = line.partition("=")
            found[-1][1][name_] = value
    return found


def plant(daemon: Daemon) -> str:
    """Write a script of each tree; return section compat."""
    trees = {}
    for tree, place, name in (
        ("networkd_dispatcher", "configured.d", "50-nd"),
        ("networkd_dispatcher", "routable.d", "50-nd"),
        ("networkmanager", "", "50-nm"),
        ("ifupdown", "if-up.d", "up"),
        ("dhclient_hooks", "dhclient-exit-hooks.d", "dhclient"),
    ):
        root: Path = daemon.root / tree
        (root / place).mkdir(mode=0o755, parents=True, exist_ok=True)
        text = SOURCED if tree == "dhclient_hooks" else TELL
        text = text.replace("DATA", str(daemon.scripts / "data")).replace("NAME", tree)
        write_script(root / place, name, text)
        trees[tree] = {"enabled": True, "roots": [str(root)]}
    return f"compat: {json.dumps(trees)}\n"


def test_trees_hear_of_systemd_networkd() -> None:
    """networkd-dispatcher's and NetworkManager's scripts at the start, dhclient's hooks with the next lease."""
    with boot() as (system, server):
        start_networkd(system)
        daemon = Daemon()
        try:
            own = "network: {links: [eth*]}\nsystem: {log_format: json}\n"
            daemon._configuration = own + plant(daemon)
            daemon.configure()
            daemon.start(prefix=system.beside)
            wait_for(
                lambda: len(read(daemon, "networkd_dispatcher")) >= 2 or None, "networkd-dispatcher"
            )
            wait_for(lambda: read(daemon, "networkmanager") or None, "NetworkManager's dispatcher")
            wait_for(lambda: read(daemon, "ifupdown") or None, "ifupdown")

            server.serve(*OPTIONS, low=100, high=120)
            system.run("networkctl", "reconfigure", "eth0")
            wait_for(
                lambda: "BOUND" in [each for each, _ in read(daemon, "dhclient")] or None,
                "dhclient",
            )
        finally:
            told = {
                tree: read(daemon, tree)
                for tree in ("networkd_dispatcher", "networkmanager", "ifupdown", "dhclient")
            }
            daemon.close()

    states = [values["STATE"] for _, values in told["networkd_dispatcher"]]
    assert states[:2] == ["configured", "routable"], "administrative first"
    first = told["networkd_dispatcher"][0][1]
    assert (first["AdministrativeState"], first["OperationalState"]) == ("configured", "routable")
    shape = json.loads(first["json"])
    assert shape["State"] == "routable (configured)"
    assert shape["DNS"][:2] == ["192.0.2.53", "192.0.2.54"]
    words, up = next(each for each in told["networkmanager"] if each[0].endswith(" up"))
    assert words == "eth0 up"
    assert up["IP4_NAMESERVERS"] == up["DHCP4_DOMAIN_NAME_SERVERS"] == "192.0.2.53 192.0.2.54"
    assert up["DHCP4_SUBNET_MASK"] == "255.255.255.0"
    assert up["DHCP4_ROUTERS"] == "192.0.2.1"
    assert up["IP4_ADDRESS_0"] == f"{up['DHCP4_IP_ADDRESS']}/24 {up['IP4_GATEWAY']}"
    assert told["ifupdown"][0][1]["METHOD"] == "dhcp"
    bound = dict(next(each for each in told["dhclient"] if each[0] == "BOUND")[1])
    assert bound["interface"] == "eth0"
    assert bound["new_domain_name_servers"] == "192.0.2.53 192.0.2.54"
    assert bound["new_ip_address"].startswith("192.0.2.1")
    assert not [name for name in bound if name.startswith("old_")]
