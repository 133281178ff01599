"""Trees of other dispatchers in a whole daemon: what is run, when, with which arguments and variables."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for, write_script
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import Daemon, children, ip, pull
from tests.unit.cli.rig import netevd

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "compat"
Make = Callable[..., Daemon]

TELL = (
    '#!/bin/sh\nout=$(echo "call ${0##*/}"; for word; do echo "word $word"; done; env; echo end)\n'
    'echo "$out" >> DATA/calls\n'
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
        self.configure(**settings)
        return self.daemon.start(*options, prefix=prefix)

    def configure(self, **settings: Any) -> None:
        """Write the configuration, with these settings for scripts."""
        self.daemon._configuration = f"{JSON_LOG}{self.more}compat: {json.dumps(self.trees)}\n"
        self.daemon.configure(**settings)

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

    def expect(state: str, times: int = 1) -> None:
        wait_for(
            lambda: (
                [(each["name"], each["values"]["IFACE"]) for each in forest.calls()].count(
                    (f"50-{state}", "eth0")
                )
                == times
                or None
            ),
            state,
        )

    add_link()
    daemon = forest.start()
    forest.wait(2)
    ip("link set peth0 up", "link set eth0 up")
    expect("carrier")
    ip("addr add 192.0.2.1/24 dev eth0")
    expect("routable")
    ip("addr del 192.0.2.1/24 dev eth0")
    expect("carrier", times=2)
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


# --- as whom, and what is left -----------------------------------------------------------------------------


def test_networkmanager_hooks_as_root_have_their_variables_and_no_others(forest: Forest) -> None:
    """A file that root alone may execute runs, with two words, in /, and nothing of netevd's is told."""
    root = forest.root("networkmanager", user="root")
    text = "#!/bin/sh\n{ id -u; pwd; echo $# $1 $2; env | cut -d= -f1 | sort | tr '\\n' ' '; } > DATA/nm.new\nmv DATA/nm.new DATA/nm-$2\n"
    forest.write(root / "50-root-only", text, 0o700)
    forest.write(root / "pre-up.d" / "10-pre", text)
    add_link()
    ip("link set peth0 up", "link set eth0 up")
    daemon = forest.start()

    ip("addr add 192.0.2.1/24 dev eth0")

    told = [
        wait_for(lambda n=name: read(forest.data / f"nm-{n}"), name).splitlines()
        for name in ("pre-up", "up")
    ]  # type: ignore[misc]
    assert told[0][:3] == ["0", "/", "2 eth0 pre-up"]
    assert told[1][:3] == ["0", "/", "2 eth0 up"]
    shell = {"PWD"}  # dash's own
    assert set(told[0][3].split()) - shell == {
        "NM_DISPATCHER_ACTION", "PATH", "CONNECTION_UUID", "CONNECTION_ID", "DEVICE_IFACE", "DEVICE_IP_IFACE",
    }  # fmt: skip
    assert set(told[1][3].split()) - set(told[0][3].split()) == {
        "IP4_ADDRESS_0", "IP4_NUM_ADDRESSES", "IP4_GATEWAY", "IP4_NUM_ROUTES",
    }  # fmt: skip
    ip("link del eth0")
    wait_for(lambda: read(forest.data / "nm-down"), "down")
    assert not [each for each in daemon.log if "was not run" in each["message"]]


def read(path: Path) -> str:
    """Return the text of a file, "" while it is not there."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_trees_run_as_the_script_user_unless_they_say_so(forest: Forest) -> None:
    """Without user: netevd-script, without a capability; a file that only root may execute is skipped."""
    root = forest.root("networkd_dispatcher")
    forest.write(
        root / "off.d" / "who", "#!/bin/sh\nid -un > DATA/who.new; mv DATA/who.new DATA/who\n"
    )
    nm = forest.root("networkmanager")
    forest.write(nm / "10-mine", "#!/bin/sh\n", 0o700)
    add_link()
    daemon = forest.start()

    assert wait_for(lambda: read(forest.data / "who"), "who") == "netevd-script\n"
    skipped = daemon.expect(lambda entry: "10-mine is skipped" in entry["message"])
    assert "may not execute it" in skipped["message"]
    assert skipped["tree"] == "networkmanager"


def test_what_a_hook_leaves_behind_is_killed_without_a_marker_too(forest: Forest) -> None:
    """A daemonised child of a hook whose environment has nothing of netevd's dies with its run."""
    root = forest.root("networkmanager")
    forest.write(
        root / "10-daemon",
        "#!/bin/sh\n[ $2 = up ] || exit 0\nsetsid sh -c 'echo $$ > DATA/pid.new; mv DATA/pid.new DATA/pid; exec sleep 1000' &\n"
        "while [ ! -e DATA/pid ]; do sleep 0.01; done\n",
    )
    add_link()
    ip("link set peth0 up", "link set eth0 up")
    daemon = forest.start()

    ip("addr add 192.0.2.1/24 dev eth0")

    daemon.expect(lambda entry: "10-daemon left 1 processes behind" in entry["message"])
    assert not Path(f"/proc/{read(forest.data / 'pid').strip()}").exists()


def test_a_hook_that_shall_leave_a_daemon_has_a_rule(forest: Forest) -> None:
    """detach in a rule for a script of a tree: its child lives on."""
    root = forest.root("networkmanager")
    path = forest.write(
        root / "10-daemon",
        "#!/bin/sh\nsetsid sleep 1000 >/dev/null 2>&1 & echo $! > DATA/pid.new; mv DATA/pid.new DATA/pid\n",
    )
    add_link()
    ip("link set peth0 up", "link set eth0 up", "addr add 192.0.2.1/24 dev eth0")
    daemon = forest.start(rules=[{"path": str(path), "detach": True}])

    daemon.expect(lambda entry: "10-daemon exited with code 0" in entry["message"])
    pid = wait_for(lambda: read(forest.data / "pid").strip(), "pid")
    assert Path(f"/proc/{pid}").exists()
    assert not [each for each in daemon.log if "left 1 processes" in each["message"]]


# --- trees that come, go and are not to be trusted ------------------------------------------------------------


def test_a_tree_that_appears_later_runs(forest: Forest) -> None:
    """Root and directory are made while the daemon runs; the next event runs what is in them."""
    root = forest.root("networkd_dispatcher") / "not" / "yet"
    forest.trees["networkd_dispatcher"]["roots"] = [str(root)]
    add_link()
    daemon = forest.start()

    root.parent.mkdir(mode=0o755)
    root.mkdir(mode=0o755)
    forest.write(root / "carrier.d" / "50-late")

    def listed() -> bool | None:
        told = json.loads(
            netevd("--socket", f"{daemon.root}/run/api.sock", "-j", "list", "hooks").stdout
        )
        return [(each["tree"], each["event"], each["runnable"]) for each in told["hooks"]] == [
            ("networkd-dispatcher", "carrier", True)
        ] or None

    wait_for(listed, "the late script in the list")
    ip("link set peth0 up", "link set eth0 up")
    (call, *_) = forest.wait(1)
    assert (call["name"], call["values"]["STATE"]) == ("50-late", "carrier")


def test_a_root_that_others_may_write_runs_nothing_and_says_why(forest: Forest) -> None:
    """Also where the root is a link; mended, it runs with the next event."""
    root = forest.root("networkd_dispatcher")
    real = forest.daemon.root / "real"
    real.mkdir(mode=0o755)
    forest.write(real / "off.d" / "50-x")
    forest.write(real / "link" / "50-x")
    root.rmdir()
    root.symlink_to("real")
    real.chmod(0o777)
    (real / "carrier.d").symlink_to("link")
    add_link()
    daemon = forest.start()

    skipped = daemon.expect(lambda entry: "off.d/50-x is skipped" in entry["message"])
    assert (
        f"its directory {real} is writable by group and others; mend it with: chmod go-w {real}"
        in skipped["message"]
    )
    real.chmod(0o755)
    daemon.expect(
        lambda entry: "carrier.d/50-x is skipped" in entry["message"] and "0777" in entry["message"]
    )
    ip("link set eth0 up", "link set eth0 down")
    (call, *_) = forest.wait(1)
    assert call["values"]["STATE"] == "off"


def test_names_with_odd_bytes(forest: Forest) -> None:
    """A hook whose name is no text runs, and is shown escaped."""
    root = forest.root("networkd_dispatcher")
    (root / "off.d").mkdir(mode=0o755)
    for name in (b"10-\xff\n", b"20-$(id)", b"30- x"):
        path = os.path.join(os.fsencode(root), b"off.d", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho x >> {forest.data}/ran\n")
        os.chmod(path, 0o755)
    add_link()
    daemon = forest.start()

    wait_for(lambda: len(read(forest.data / "ran").splitlines()) >= 3 or None, "three hooks")

    def ended() -> list[str] | None:
        done = [each for each in list(daemon.log) if each["message"].endswith("code 0")]
        return [each["script"].rpartition("/")[2] for each in done] if len(done) >= 3 else None

    assert wait_for(ended, "three ends")[:3] == ["10-\\xff\\x0a", "20-$(id)", "30- x"]


def test_explain_and_list_tell_of_trees(forest: Forest) -> None:
    """What ran for an event, what did not and why; tree and group in the list."""
    root = forest.root("networkd_dispatcher")
    forest.write(root / "off.d" / "10-good")
    forest.write(root / "off.d" / "20-bad", mode=0o555)
    add_link()
    daemon = forest.start()
    calls = {
        each["values"]["IFACE"]: each for each in forest.wait(2)
    }  # each end of the cable is off
    daemon.expect(
        lambda entry: entry.get("interface") == "eth0" and entry["message"].endswith("with code 0")
    )

    socket_ = ("--socket", f"{daemon.root}/run/api.sock")
    explained = netevd(*socket_, "explain", "--interface", "eth0", "--event", "off").stdout
    assert f"{root}/off.d/10-good ok (exit code 0" in explained
    assert (
        f"{root}/off.d/20-bad is not run" in explained and "exactly 0755 and root:root" in explained
    )
    listed = netevd(*socket_, "list", "hooks").stdout
    assert "networkd-dispatcher/off" in listed
    assert calls["eth0"]["values"]["OperationalState"] == "off"


def test_a_dry_run_tells_of_trees_of_every_user(forest: Forest) -> None:
    """It says what would run, with words; nothing runs."""
    forest.write(forest.root("networkmanager", user="root") / "50-x")
    forest.write(forest.root("ifplugd") / "action.d" / "plug")
    add_link()
    ip("link set peth0 up", "link set eth0 up", "addr add 192.0.2.1/24 dev eth0")
    daemon = forest.start("--dry-run")

    daemon.expect(
        lambda entry: "would" in entry["message"] and entry["message"].endswith("50-x eth0 up")
    )
    daemon.expect(
        lambda entry: "would" in entry["message"] and entry["message"].endswith("plug eth0 up")
    )
    assert daemon.stop() == 0
    assert forest.calls() == []


# --- crashes and reloads -----------------------------------------------------------------------------------------


def test_a_delay_outlives_the_worker(forest: Forest) -> None:
    """ifplugd's down is due after its worker was killed, and runs once."""
    root = forest.root("ifplugd", delay_down="3s")
    forest.write(root / "action.d" / "a")
    forest.write(root / "action.d" / "b")
    add_link()
    ip("link set peth0 up", "link set eth0 up")
    daemon = forest.start()
    forest.wait(4)  # of both ends

    pull("peth0", "eth0")
    daemon.wait_event("eth0", "no-carrier")
    daemon.kill("worker")

    calls = [each for each in forest.wait(8) if each["values"]["IFPLUGD_CURRENT"] == "down"]
    downs = [(each["name"], *each["words"]) for each in calls]
    assert sorted(downs) == [(name, link, "down") for name in "ab" for link in ("eth0", "peth0")]
    assert [name for name, link, _ in downs if link == "eth0"] == ["b", "a"]


def test_a_reload_enables_a_tree_and_takes_it_away(forest: Forest) -> None:
    """Without restart, with a runner of its own for its user."""
    root = forest.root("networkd_dispatcher", user="root")
    forest.write(root / "routable.d" / "x")
    forest.trees["networkd_dispatcher"]["enabled"] = False
    add_link()
    ip("link set peth0 up", "link set eth0 up")
    daemon = forest.start()
    ip("addr add 192.0.2.1/24 dev eth0")
    daemon.wait_event("eth0", "routable")

    for enabled, served in ((True, 2), (False, 3)):
        forest.trees["networkd_dispatcher"]["enabled"] = enabled
        forest.configure()
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.expect_serving(served)
        before = daemon.events("eth0").count("routable")
        ip("addr del 192.0.2.1/24 dev eth0", "addr add 192.0.2.1/24 dev eth0")
        daemon.wait_event("eth0", "routable", before + 1)
        if enabled:
            forest.wait(1)
    add_link("eth9", 150)
    daemon.wait_event("eth9", "off")
    assert len(forest.calls()) == 1


def test_only_signed_scripts_means_no_script_of_a_tree(forest: Forest) -> None:
    """No manifest speaks of a tree, so with verify_scripts none of it runs, and the list says so."""
    forest.write(forest.root("networkd_dispatcher") / "off.d" / "x")
    chain = forest.root("dhclient_hooks")
    forest.write(chain / "dhclient-exit-hooks.d" / "y", "true\n", 0o644)
    forest.more = (
        "security: {verify_scripts: true, allowed_signers: [{fingerprint: "
        f'"SHA256:{"A" * 43}"}}]}}\n'
    )
    add_link()
    daemon = forest.start()

    for name in ("off.d/x", "dhclient-exit-hooks.d/y"):
        daemon.expect(
            lambda entry, n=name: n in entry["message"] and "it is not signed" in entry["message"]
        )  # type: ignore[misc]
    told = json.loads(
        netevd("--socket", f"{daemon.root}/run/api.sock", "-j", "list", "hooks").stdout
    )
    assert not any(each["runnable"] for each in told["hooks"])
    assert forest.calls() == []


def test_observe_mode_refuses_a_tree_of_another_user(forest: Forest) -> None:
    """Other trees run as the caller."""
    forest.write(forest.root("networkd_dispatcher", user="root") / "off.d" / "x")
    forest.write(forest.root("netplug") / "netplug")
    add_link()
    daemon = forest.start("--observe")

    refused = daemon.expect(lambda entry: "off.d/x was not run" in entry["message"])
    assert "which netevd can't do in observe mode" in refused["message"]
    (call, *_) = forest.wait(1)
    assert call["words"][1] == "probe"


def test_commands_without_a_daemon_know_trees_of_every_user(forest: Forest) -> None:
    """list hooks, test event and doctor; a file that root alone may execute is its tree's user's business."""
    root = forest.root("networkmanager", user="root")
    path = forest.write(root / "50-root-only", mode=0o700)
    forest.write(root / "60-empty", "")
    add_link()
    ip("link set peth0 up", "link set eth0 up", "addr add 192.0.2.1/24 dev eth0")
    forest.configure()
    config = ("--config", str(forest.daemon.config))

    listed = netevd("list", "hooks", *config).stdout
    assert f"networkmanager/dispatcher  {path}" in listed
    assert "skipped: it is masked: an empty file" in listed
    told = json.loads(
        netevd("test", "event", "routable", "--interface", "eth0", *config, "-j").stdout
    )
    calls = [(each["script"], each["arguments"], each["user"]) for each in told["scripts"]]
    assert calls == [(str(path), ["eth0", "up"], "root")]
    assert told["scripts"][0]["environment"]["IP4_ADDRESS_0"] == "192.0.2.1/24 0.0.0.0"
    assert "50-root-only" not in netevd("doctor", *config).stdout
    refused = netevd("test", "script", str(path), *config)
    assert refused.returncode == 1
    assert "is a script of the tree networkmanager" in refused.stderr


def test_the_death_of_a_trees_runner_loses_its_script_and_no_other(forest: Forest) -> None:
    """The next event runs with the runner's successor; scripts of other trees do not notice."""
    slow = "#!/bin/sh\n[ $2 = up ] || exit 0\necho $$ > DATA/pid.new; mv DATA/pid.new DATA/pid-$1\nexec sleep 1000\n"
    forest.write(forest.root("networkmanager", user="root") / "50-slow", slow)
    forest.write(forest.root("ifupdown") / "if-up.d" / "plain")
    add_link()
    add_link("eth1", 102)
    ip("link set peth0 up", "link set eth0 up", "link set peth1 up", "link set eth1 up")
    daemon = forest.start()
    ip("addr add 192.0.2.1/24 dev eth0")
    pid = wait_for(lambda: read(forest.data / "pid-eth0").strip(), "the slow script")

    (runner,) = [each for each in children(daemon.pid) if int(pid) in children(each)]
    os.kill(runner, signal.SIGKILL)

    daemon.expect(lambda entry: "50-slow is lost" in entry["message"])
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or None, "the end of what it had started")
    assert [each["name"] for each in forest.wait(1)] == ["plain"], "the lane goes on"
    ip("addr add 192.0.2.2/24 dev eth1")
    wait_for(lambda: read(forest.data / "pid-eth1").strip(), "a run by the successor")
