"""
Record situations that hosts know, with `netevd record`, in network namespaces of their own.

Run as root, from the top of the repository, with an interpreter that has netevd's dependencies:

    python3 tests/data/record_situations.py [SITUATION]...

Writes tests/data/recordings/SITUATION.jsonl, of all situations if none is named. Needs iproute2,
unshare, and for dhcp-renew busybox with udhcpc and udhcpd. The commands stand in the recording's
first line.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).parents[2]
RECORDINGS = TOP / "tests" / "data" / "recordings"
RECORD = ["-c", "import sys; from netevd.cli.main import main; sys.exit(main())", "record"]
QUIET_S = 0.3
"""Nothing has come for so long: the kernel has told all that a command led to."""

UPLINK = """
ip link add name eth0 index 101 address 02:00:00:00:00:01 type veth peer name port0 index 201 address 02:00:00:00:00:02 netns switch
ip -n switch link set port0 up
ip link set eth0 up
""".strip().splitlines()
"""A network card with its cable in a switch, which stands in a namespace of its own."""


class Situation:
    """What is done while it is recorded."""

    def __init__(self, *names: str, before: tuple[str, ...] = (), during: str = "") -> None:
        """names: other namespaces. before, during: commands until the recording begins, and then."""
        self.names = names
        self.before = before
        self.during = during.strip().splitlines()


STATIC = """
ip address add 192.0.2.7/24 dev eth0
ip route add default via 192.0.2.1 dev eth0 proto static
""".strip().splitlines()

SITUATIONS = {
    "cable-pull": Situation(
        "switch",
        before=(*UPLINK, *STATIC),
        during="""
ip -n switch link set port0 down
ip -n switch link set port0 up
""",
    ),
    "dhcp-renew": Situation(
        "switch",
        before=(*UPLINK, "ip -n switch address add 192.0.2.1/24 dev port0", "dhcp server"),
        during="""
dhcp client
dhcp signal USR1
dhcp signal USR2
""",
    ),
    "bridge-containers": Situation(
        "one", "two", "three",
        during="""
ip link add name br0 index 50 address 02:00:00:00:00:50 type bridge
ip address add 10.88.0.1/16 dev br0
ip link set br0 up
ip link add name veth1 index 111 address 02:00:00:00:01:01 type veth peer name eth0 index 211 netns one
ip link set veth1 master br0
ip link set veth1 up
ip -n one link set eth0 up
ip link add name veth2 index 112 address 02:00:00:00:01:02 type veth peer name eth0 index 212 netns two
ip link set veth2 master br0
ip link set veth2 up
ip -n two link set eth0 up
ip link add name veth3 index 113 address 02:00:00:00:01:03 type veth peer name eth0 index 213 netns three
ip link set veth3 master br0
ip link set veth3 up
ip -n three link set eth0 up
ip netns del two
ip netns del one
ip netns del three
""",
    ),
    "vpn-start": Situation(
        "switch",
        before=(*UPLINK, *STATIC),
        during="""
tun open tun0
ip link set tun0 addrgenmode none
ip address add 10.8.0.2 peer 10.8.0.1/32 dev tun0
ip link set tun0 mtu 1400 up
ip route add 198.51.100.20/32 via 192.0.2.1 dev eth0
ip route add 0.0.0.0/1 via 10.8.0.1 dev tun0
ip route add 128.0.0.0/1 via 10.8.0.1 dev tun0
ip route del 198.51.100.20/32
tun close tun0
""",
    ),
    "manager-restart": Situation(
        "switch",
        before=(*UPLINK, *STATIC, "ip -6 address add 2001:db8::7/64 dev eth0 nodad"),
        during="""
ip link set eth0 down
ip address flush dev eth0 scope global
ip link set eth0 up
ip address add 192.0.2.7/24 dev eth0
ip -6 address add 2001:db8::7/64 dev eth0 nodad
ip route add default via 192.0.2.1 dev eth0 proto static
""",
    ),
}  # fmt: skip

DHCP_SERVER = """
start 192.0.2.50
end 192.0.2.50
max_leases 1
interface port0
lease_file DIRECTORY/leases
pidfile DIRECTORY/server.pid
opt subnet 255.255.255.0
opt router 192.0.2.1
opt lease 600
"""
DHCP_SCRIPT = """\
#!/bin/sh
case $1 in
deconfig) ip -4 address flush dev $interface ;;
bound|renew)
    ip address replace $ip/24 dev $interface valid_lft $lease preferred_lft $lease
    ip route replace default via $router dev $interface proto dhcp ;;
esac
"""


class Stage:
    """The namespace in which one situation is performed, and what was started there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[bytes] | None = None
        self._tuns: dict[str, int] = {}

    def perform(self, command: str) -> None:
        """Carry out one command."""
        words = command.split()
        special: dict[str, Callable[..., None]] = {"dhcp": self._dhcp, "tun": self._tun}
        if words[0] in special:
            special[words[0]](*words[1:])
        else:
            subprocess.run(words, check=True)

    def close(self) -> None:
        """End what was started."""
        for each in (self._client, self._server):
            if each is not None:
                each.kill()
                each.wait()

    def _dhcp(self, verb: str, which: str = "") -> None:
        if verb == "server":
            settings = self._directory / "server.conf"
            settings.write_text(DHCP_SERVER.replace("DIRECTORY", str(self._directory)))
            (self._directory / "leases").touch()
            run = ["ip", "netns", "exec", "switch", "busybox", "udhcpd", "-f", str(settings)]
            self._server = subprocess.Popen(run)
        elif verb == "client":
            script = self._directory / "script"
            script.write_text(DHCP_SCRIPT)
            script.chmod(0o755)
            run = ["busybox", "udhcpc", "-f", "-R", "-t", "20", "-T", "1", "-i", "eth0"]
            self._client = subprocess.Popen([*run, "-s", str(script)])
            wait_for(lambda: b"192.0.2.50" in show("ip", "address", "show", "dev", "eth0"))
        else:
            assert self._client is not None
            self._client.send_signal(signal.Signals[f"SIG{which}"])

    def _tun(self, verb: str, name: str) -> None:
        if verb == "open":
            self._tuns[name] = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self._tuns[name], 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
        else:
            os.close(self._tuns.pop(name))


def show(*command: str) -> bytes:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True).stdout


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for at most 20 s."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def wait_for_quiet(path: Path) -> None:
    """Wait until the recording grows no more."""
    size = -1
    while size != path.stat().st_size:
        size = path.stat().st_size
        time.sleep(QUIET_S)


def record(name: str) -> None:
    """Record one situation; we are in a namespace of its own."""
    situation = SITUATIONS[name]
    path = RECORDINGS / f"{name}.jsonl"
    notes = [word for command in situation.during for word in ("--command", command)]
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
    for each in situation.names:
        subprocess.run(["ip", "netns", "add", each], check=True)
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(Path(directory))
        try:
            for command in ("ip link set lo up", *situation.before):
                stage.perform(command)
            time.sleep(2.5)  # duplicate address detection of link-local addresses
            recorder = subprocess.Popen(
                [sys.executable, *RECORD, str(path), "--force", *notes],
                stderr=subprocess.PIPE, text=True, cwd=TOP,
            )  # fmt: skip
            assert recorder.stderr is not None
            print(recorder.stderr.readline(), end="")
            for command in situation.during:
                stage.perform(command)
                wait_for_quiet(path)
            time.sleep(2.0)  # the same, and what the kernel tells late
            recorder.terminate()
            print(recorder.stderr.read(), end="")
            assert recorder.wait() == 0
            tidy(path)
        finally:
            stage.close()


def tidy(path: Path) -> None:
    """Take what only names this machine's build of its kernel out of the first line."""
    release = os.uname().release
    first, rest = path.read_text(encoding="utf-8").split("\n", 1)
    path.write_text(f"{first.replace(release, release.partition('-')[0])}\n{rest}")


def main() -> None:
    """Record what was asked for, each in a process of its own."""
    names = sys.argv[1:] or list(SITUATIONS)
    if names[0] == "--inside":
        assert socket.if_nameindex() == [(1, "lo")], "not in a network namespace of its own"
        record(names[1])
        return
    unknown = [name for name in names if name not in SITUATIONS]
    if unknown:
        sys.exit(f"no situation {unknown[0]!r}; there are {', '.join(SITUATIONS)}")
    RECORDINGS.mkdir(exist_ok=True)
    os.makedirs("/run/netns", exist_ok=True)
    for name in names:
        inside = [sys.executable, __file__, "--inside", name]
        subprocess.run(["unshare", "--net", "--mount", *inside], check=True)


main()
