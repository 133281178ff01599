"""Trees of other dispatchers in a whole daemon: what is run, when, with which arguments and variables."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for, write_script
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import Daemon, ip

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "compat"
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
        self.more = ""
        """More of the configuration."""
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

    def start(self, *options: str, prefix: tuple[str, ...] = (), **settings: Any) -> Daemon:
        """Write the configuration and start the daemon."""
        self.daemon._configuration = f"{JSON_LOG}{self.more}compat: {json.dumps(self.trees)}\n"
        self.daemon.configure(**settings)
        return self.daemon.start(*options, prefix=prefix)

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


# --- ten hooks of other dispatchers ----------------------------------------------------------------------


STAND_INS = (
    "chronyc",
    "nmcli",
    "wg-quick",
    "nft",
    "logger",
    "systemctl",
    "nsupdate",
    "postqueue",
    "postconf",
)
"""Programs that no namespace has; each notes how it was called, and what it was told on its input."""


class Hooks:
    """The hooks of examples/compat, installed where the configuration says, and their daemon."""

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        root = forest.daemon.root
        self.programs = root / "programs"
        self.programs.mkdir(mode=0o755)
        for name in STAND_INS:
            reads = f"cat >> {forest.data}/input-{name}; " if name in {"nft", "nsupdate"} else ""
            text = f'#!/bin/sh\necho "{name} $*" >> {forest.data}/called\n{reads}exit 0\n'
            write_script(self.programs, name, text)
        for tree, place, settings in (
            ("networkd_dispatcher", "networkd-dispatcher", {"user": "root"}),
            ("networkmanager", "NetworkManager/dispatcher.d", {"user": "root"}),
            ("dhclient_hooks", "dhcp", {"user": "root"}),
            ("ifupdown", "network", {"capabilities": ["CAP_NET_ADMIN"]}),
            ("ifplugd", "ifplugd", {}),
        ):
            target = forest.root(tree, tree, **settings)
            subprocess.run(
                ["cp", "-r", *map(str, (EXAMPLES / place).iterdir()), str(target)],
                check=True,
                umask=0o022,
            )

    def start(self) -> None:
        """Start the daemon where the stand-ins are found first and /run is its own."""
        inside = (
            f'mount --bind {self.programs} /usr/local/sbin && mount -t tmpfs x /run && exec "$@"'
        )
        leases = self.forest.daemon.root / "leases"
        leases.mkdir(mode=0o755)
        self.lease(LEASE.replace("eth0", "eth9").replace("ADDRESS", "192.0.2.99"))
        self.forest.more = f"backends: {{dhclient: {{lease_files: {leases}/dhclient*.leases}}}}\n"
        self.forest.start(prefix=("unshare", "--mount", "sh", "-c", inside, "sh"))
        # what is found at first is no news
        self.forest.daemon.expect(lambda entry: "dhclient is there" in entry["message"])

    def lease(self, text: str) -> None:
        """Write what dhclient would have written."""
        path = self.forest.daemon.root / "leases" / "dhclient.eth0.leases"
        path.with_suffix(".new").write_text(text, encoding="utf-8")
        path.with_suffix(".new").rename(path)

    def called(self) -> list[str]:
        """Return how the stand-ins were called so far."""
        path = self.forest.data / "called"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def wait(self, *calls: str) -> None:
        """Return once all of these calls were made."""

        def look() -> bool | None:
            return {*calls} <= {*self.called()} or None

        try:
            wait_for(look, "calls")
        except AssertionError:
            raise AssertionError(
                f"{self.called()}\n{''.join(self.forest.daemon.raw)[-6000:]}"
            ) from None

    def read(self, path: str) -> str:
        """Return a file as the daemon sees it."""
        place = Path(f"/proc/{self.forest.daemon.pid}/root{path}")
        return place.read_text(encoding="utf-8") if place.exists() else ""


LEASE = """lease {
  interface "eth0";
  fixed-address ADDRESS;
  option subnet-mask 255.255.255.0;
  option routers 192.0.2.1;
  option domain-name-servers 192.0.2.53,192.0.2.54;
  option domain-name "example.org";
  option ntp-servers 192.0.2.123;
  option dhcp-server-identifier 192.0.2.2;
  option dhcp-lease-time 86400;
  renew 5 2037/01/01 00:00:00;
  rebind 5 2037/01/01 00:00:00;
  expire 5 2037/01/01 00:00:00;
}
"""


def test_ten_hooks_of_other_dispatchers_run_unchanged(forest: Forest) -> None:
    """chrony, DDNS, firewall, resolv.conf, route, wifi or wired, autofs, ntp, mail, VPN: each does its work."""
    hooks = Hooks(forest)
    add_link()
    ip("link set peth0 up", "link set eth0 up")
    hooks.start()
    daemon = forest.daemon
    hooks.wait("logger -t ifplugd eth0 is up, was disabled")

    ip("route add default via 192.0.2.1 dev eth0 onlink", "addr add 192.0.2.9/24 dev eth0")

    hooks.wait(
        "chronyc onoffline", "nmcli radio wifi off", "wg-quick up wg0", "nft -f -",
        "logger -t firewall-reload eth0 is routable (unmanaged): 192.0.2.9",
        "systemctl --quiet try-restart autofs.service", "postqueue -f",
    )  # fmt: skip
    assert (forest.data / "input-nft").read_text().splitlines()[1] == (
        "add element inet filter own_addresses { 192.0.2.9 }"
    )
    wait_for(
        lambda: "10.99.0.0/16 dev eth0" in show_routes() or None, "the route of ifupdown's hook"
    )

    hooks.lease(LEASE.replace("ADDRESS", "192.0.2.9"))
    hooks.wait("nsupdate -k /etc/bind/ddns.key", "chronyc reload sources")
    wait_for(
        lambda: "nameserver 192.0.2.54\n" in hooks.read("/run/resolv-dhclient.conf") or None,
        "resolv.conf",
    )
    assert hooks.read("/run/resolv-dhclient.conf").splitlines()[:2] == [
        "# of eth0, by dhclient",
        "search example.org",
    ]
    assert hooks.read("/run/chrony-dhcp/eth0.sources") == "server 192.0.2.123 iburst\n"
    host = socket.gethostname()
    assert (
        f"update add {host}.example.org. 300 A 192.0.2.9\n"
        in (forest.data / "input-nsupdate").read_text()
    )

    ip("link set eth0 down")
    hooks.wait("wg-quick down wg0", "nmcli radio wifi on", "postconf -e defer_transports = smtp")
    hooks.lease(LEASE.replace("ADDRESS", "192.0.2.9").replace("2037", "2020"))
    wait_for(lambda: not hooks.read("/run/resolv-dhclient.conf") or None, "the end of resolv.conf")
    assert not [each for each in daemon.log if "was not run" in each["message"]]
    codes = {
        each["message"].rpartition(" ")[2]
        for each in daemon.log
        if "exited with code" in each["message"]
    }
    assert codes == {"0"}


def show_routes() -> str:
    """Return the IPv4 routes of this namespace."""
    return subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout


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
