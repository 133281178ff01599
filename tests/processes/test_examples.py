"""
The examples, each installed as its README says and driven by real events.

What no namespace has (systemd, chronyd, a container engine) is a program that notes how it was called,
put in by the setting that the example has for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import shlex
import shutil
import socketserver
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import Daemon, ip
from tests.unit.cli.rig import netevd

Make = Callable[..., Daemon]
EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
OWN_USERS = ("netevd-ddns", "netevd-notify", "_chrony")
"""Users that the administrator makes, or a package; nobody stands in for them."""


class Example:
    """An installed example and its daemon."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon = daemon
        self.name = name
        self.etc = daemon.scripts
        self.calls = daemon.scripts / "data" / "calls"

    def install(self) -> None:
        """Copy scripts and rules as the README does, with the daemon's directory for /etc/netevd."""
        source = EXAMPLES / self.name
        subprocess.run(
            ["cp", "-r", *map(str, source.glob("*.d")), str(self.etc)], check=True, umask=0o022
        )
        rules = (source / "netevd.yaml").read_text(encoding="utf-8")
        assert "/etc/netevd/" in rules
        rules = rules.replace("/etc/netevd/", f"{self.etc}/")
        for user in OWN_USERS:
            rules = rules.replace(f"user: {user}", "user: nobody")
        (self.etc / "conf.d").mkdir()
        self.write(f"conf.d/{self.name}.yaml", rules)

    def write(self, name: str, text: str) -> Path:
        """Write a file that everybody may read and root alone may write."""
        path = self.etc / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return path

    def configure(self, **settings: object) -> None:
        """Write the settings file that the scripts read."""
        lines = [f"{name}={shlex.quote(str(value))}\n" for name, value in settings.items()]
        self.write(f"{self.name}.conf", "".join(lines))

    def secret(self, name: str, text: str) -> Path:
        """Write a file that the user of the rules can read and netevd-script can't."""
        path = self.etc / name
        path.touch(mode=0o600)
        os.chown(path, 0, grp.getgrnam("nogroup").gr_gid)
        path.chmod(0o640)
        path.write_text(text, encoding="utf-8")
        return path

    def directory(self, name: str) -> Path:
        """Make a directory that belongs to the user of the rules."""
        path = self.etc / name
        path.mkdir(mode=0o700)
        os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        return path

    def recorder(self, name: str, more: str = "") -> Path:
        """Make a program that notes how it was called."""
        path = self.etc / "data" / name
        path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> {self.calls}\n{more}')
        path.chmod(0o755)
        return path

    def called(self) -> list[str]:
        """Return how recorders were called."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def start(self, **options: Any) -> None:
        """Check the configuration as the README says, and start the daemon."""
        result = netevd("validate", "--strict", str(self.daemon.config))
        assert result.returncode == 0, result.stdout + result.stderr
        self.daemon.start(**options)

    def exits(self, event: str) -> list[int]:
        """Return the exit codes of the example's scripts for an event type, so far."""
        found = (
            re.search(rf"/{re.escape(event)}\.d/\S+ exited with code (\d+)", entry["message"])
            for entry in list(self.daemon.log)
        )
        return [int(match[1]) for match in found if match]

    def wait_exits(self, event: str, count: int) -> list[int]:
        """Return the exit codes for an event type once there are so many."""
        return wait_for(
            lambda: codes if len(codes := self.exits(event)) >= count else None,
            f"{count} ends of {event}",
        )

    def run_readme_test(self) -> str:
        """Run what the README says for a test; return what the script printed."""
        text = (EXAMPLES / self.name / "README.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"^    netevd (test script .*)$", text, re.MULTILINE)
        words = shlex.split(line.replace("/etc/netevd/", f"{self.etc}/"))
        result = netevd(*words, "--config", str(self.daemon.config))
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture
def example(make_daemon: Make) -> Callable[[str], Example]:
    """Return a function that installs an example for a daemon that was not started yet."""

    def make(name: str) -> Example:
        others = 'network: {links: ["*", "!p*"]}'  # the far ends of cables are not ours
        daemon = make_daemon(f"{JSON_LOG}{others}\ninclude: [scripts/conf.d/*.yaml]\n")
        made = Example(daemon, name)
        made.install()
        return made

    return make


def add_link(name: str, index: int, *addresses: str) -> None:
    """Make a veth with carrier and these addresses, no link-local one; its peer has a p before the name."""
    ip(
        f"link add name {name} index {index} type veth peer name p{name} index {index + 100}",
        f"link set {name} addrgenmode none", f"link set p{name} addrgenmode none",
        f"link set {name} up", f"link set p{name} up",
        *(f"addr add {each} dev {name}{' nodad' if ':' in each else ''}" for each in addresses),
    )  # fmt: skip


def show(*arguments: str) -> Any:
    """Return what ip prints as JSON."""
    output = subprocess.run(["ip", "-j", *arguments], capture_output=True, check=True).stdout
    return json.loads(output or b"[]")


def metrics(link: str, family: str = "-4") -> list[tuple[str, int]]:
    """Return gateway and metric of the default routes of a link."""
    routes = show(family, "route", "show", "default", "dev", link)
    return [(route["gateway"], route.get("metric", 0)) for route in routes]


def way() -> str:
    """Return the link over which IPv4 leaves."""
    (route,) = show("route", "get", "203.0.113.9")
    return str(route["dev"])


# --- wifi-wired-failover ------------------------------------------------------------------------------


def test_failover(example: Callable[[str], Example]) -> None:
    """The wired link is preferred while it has a carrier; a route of DHCP is put in order."""
    failover = example("wifi-wired-failover")
    add_link("eth0", 101, "192.0.2.1/24", "2001:db8:1::1/64")
    add_link("wlan0", 102, "198.51.100.1/24")
    ip(
        "route add default via 198.51.100.254 dev wlan0",
        "route add default via 192.0.2.254 dev eth0 metric 5 proto static",
        "route add default via 2001:db8:1::fe dev eth0 metric 7",
    )
    assert way() == "wlan0"

    failover.start()

    wait_for(lambda: metrics("eth0") == [("192.0.2.254", 100)] or None, "the metric of eth0")
    wait_for(lambda: metrics("eth0", "-6") == [("2001:db8:1::fe", 100)] or None, "IPv6 of eth0")
    wait_for(lambda: metrics("wlan0") == [("198.51.100.254", 600)] or None, "wlan0's metric")
    assert way() == "eth0"

    ip("link set peth0 down")
    wait_for(lambda: metrics("eth0") == [("192.0.2.254", 2000)] or None, "the metric without cable")
    assert way() == "wlan0"
    ip("link set peth0 up")
    wait_for(lambda: metrics("eth0") == [("192.0.2.254", 100)] or None, "the metric with cable")
    assert way() == "eth0"

    ip("route add default via 192.0.2.253 dev eth0")  # a new gateway, as of a new lease
    wait_for(lambda: metrics("eth0") == [("192.0.2.253", 100)] or None, "the new gateway")
    assert failover.run_readme_test() == ""
    assert {
        *failover.exits("routable"),
        *failover.exits("routes"),
        *failover.exits("no-carrier"),
    } == {0}


# --- ddns ---------------------------------------------------------------------------------------------


def read_name(packet: bytes, at: int) -> tuple[str, int]:
    """Return a DNS name and where it ends."""
    labels, end = [], 0
    while packet[at]:
        if packet[at] >= 192:
            end = end or at + 2
            at = int.from_bytes(packet[at : at + 2]) & 0x3FFF
            continue
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), end or at + 1


class NameServer(socketserver.UDPServer):
    """A name server that takes every update (RFC 2136) and notes it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 5353), self.Handler)
        self.updates: list[list[tuple[str, int, int, bytes]]] = []
        """Of each update the records: name, type, class, content."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, sock = self.request
            number, _, zones, _, records, _ = struct.unpack("!6H", packet[:12])
            assert packet[2] >> 3 & 15 == 5, "not an update"
            at, found = 12, []
            for _ in range(zones):
                at = read_name(packet, at)[1] + 4
            for _ in range(records):
                name, at = read_name(packet, at)
                kind, group, _, length = struct.unpack("!HHIH", packet[at : at + 10])
                found.append((name, kind, group, packet[at + 10 : at + 10 + length]))
                at += 10 + length
            self.server.updates.append(found)  # type: ignore[attr-defined]
            sock.sendto(struct.pack("!6H", number, 0xA800, 0, 0, 0, 0), self.client_address)


@contextlib.contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Let a server work beside the test."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class WebServer(HTTPServer):
    """A web server that notes requests and gives one answer."""

    def __init__(self, answer: str) -> None:
        super().__init__(("127.0.0.1", 8080), self.Handler)
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Of each request the path, the headers and the body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.server.requests.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.answer.encode())  # type: ignore[attr-defined]

        do_POST = do_GET  # noqa: N815 (http.server's name)

        def log_message(self, *_: Any) -> None:
            pass


def need(program: str) -> None:
    """Skip where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_ddns_by_nsupdate(example: Callable[[str], Example]) -> None:
    """A public address is told once; a private one, and the same once more, are not."""
    need("nsupdate")
    ddns = example("ddns")
    ddns.configure(
        WATCH="eth0", NAME="host.example.org", SERVER="127.0.0.1 5353", ZONE="example.org",
        MEMORY=ddns.directory("memory"),
    )  # fmt: skip
    add_link("eth0", 101)
    with serving(NameServer()) as server:
        ddns.start()
        ip("addr add 10.1.1.1/24 dev eth0")
        ddns.wait_exits("address-usable", 1)
        assert server.updates == []

        ip("addr add 203.0.113.7/24 dev eth0")
        wait_for(lambda: server.updates or None, "an update")
        ddns.wait_exits("address-usable", 2)
        ip("addr del 203.0.113.7/24 dev eth0", "addr add 203.0.113.7/24 dev eth0")
        ddns.wait_exits("address-usable", 3)
        ip("addr add 2001:db8::7/64 dev eth0 nodad", "addr add 203.0.113.8/32 dev eth0")
        wait_for(lambda: len(server.updates) == 2 or None, "an update of IPv6")
        assert set(ddns.wait_exits("address-usable", 5)) == {0}
        assert ddns.run_readme_test() == ""
        assert len(server.updates) == 2, "the name keeps its address while that is there"
        ip("addr del 203.0.113.7/24 dev eth0")
        assert set(ddns.wait_exits("address-removed", 2)) == {0}

    assert server.updates == [
        [("host.example.org", 1, 255, b""), ("host.example.org", 1, 1, bytes([203, 0, 113, 7]))],
        [("host.example.org", 28, 255, b""),
         ("host.example.org", 28, 1, bytes.fromhex("20010db8000000000000000000000007"))],
        [("host.example.org", 1, 255, b""), ("host.example.org", 1, 1, bytes([203, 0, 113, 8]))],
    ]  # fmt: skip


def test_ddns_by_http_tells_at_start(example: Callable[[str], Example]) -> None:
    """An address that was there already is told, with the password of a file that others can't read."""
    need("curl")
    ddns = example("ddns")
    ddns.configure(
        WATCH="eth0", NAME="host.example.org", METHOD="http", URL="http://127.0.0.1:8080/update",
        KEY=ddns.secret("ddns.key", 'user = "me:secret"\n'), MEMORY=ddns.directory("memory"),
    )  # fmt: skip
    add_link("eth0", 101, "10.1.1.1/24", "203.0.113.7/24")
    with serving(WebServer("good 203.0.113.7")) as server:
        ddns.start()
        assert ddns.wait_exits("routable", 1) == [0]
        assert ddns.run_readme_test() == ""

    ((path, headers, _),) = server.requests
    assert path == "/update?hostname=host.example.org&myip=203.0.113.7"
    assert headers["Authorization"] == "Basic bWU6c2VjcmV0"


def test_ddns_is_tried_again_when_it_was_refused(example: Callable[[str], Example]) -> None:
    """An answer that is no success fails the script, and nothing is remembered."""
    need("curl")
    ddns = example("ddns")
    memory = ddns.directory("memory")
    ddns.configure(WATCH="eth0", NAME="host.example.org", METHOD="http",
                   URL="http://127.0.0.1:8080/update", MEMORY=memory)  # fmt: skip
    add_link("eth0", 101, "203.0.113.7/24")
    with serving(WebServer("badauth")):
        ddns.start()
        ddns.daemon.expect(lambda entry: "was refused: badauth" in entry["message"])
        ddns.daemon.expect(lambda entry: "is tried again" in entry["message"])

    assert list(memory.iterdir()) == []


# --- nft-reload ---------------------------------------------------------------------------------------

SETS = """
table inet filter {
    set own4 { type ipv4_addr; }
    set own6 { type ipv6_addr; }
    chain input { type filter hook input priority 0; ip daddr @own4 tcp dport 22 accept; }
}
"""


def nft(*arguments: str, text: str | None = None) -> str:
    """Run nft and return what it printed."""
    result = subprocess.run(
        ["nft", *arguments], input=text, text=True, check=True, capture_output=True
    )
    return result.stdout


def elements(name: str) -> set[str]:
    """Return what a set holds."""
    found = json.loads(nft("-j", "list", "set", "inet", "filter", name))
    (only,) = (each["set"] for each in found["nftables"] if "set" in each)
    return set(only.get("elem", ()))


def test_nft_reload(example: Callable[[str], Example]) -> None:
    """The sets hold what the link has, from the start on, and the rules that use them stay."""
    need("nft")
    reload = example("nft-reload")
    nft("-f", "-", text=SETS)
    add_link("eth0", 101, "192.0.2.1/24")
    add_link("eth1", 102, "192.0.2.99/32")

    reload.start()

    wait_for(lambda: elements("own4") == {"192.0.2.1"} or None, "the first address")
    ip("addr add 192.0.2.2/24 dev eth0", "addr add 2001:db8::7/64 dev eth0 nodad")
    wait_for(lambda: elements("own4") == {"192.0.2.1", "192.0.2.2"} or None, "the second address")
    wait_for(lambda: elements("own6") == {"2001:db8::7"} or None, "the IPv6 address")
    ip("link del eth0")
    wait_for(lambda: elements("own4") | elements("own6") == set() or None, "empty sets")
    assert "ip daddr @own4 tcp dport 22 accept" in nft("list", "ruleset")
    add_link("eth0", 103, "192.0.2.3/24")
    wait_for(lambda: elements("own4") == {"192.0.2.3"} or None, "the link made again")
    nft("flush", "set", "inet", "filter", "own4")
    reload.run_readme_test()
    assert elements("own4") == {"192.0.2.3"}


def test_nft_reload_changes_nothing_when_the_check_fails(example: Callable[[str], Example]) -> None:
    """With one set missing the other keeps what it holds, and the script fails."""
    need("nft")
    reload = example("nft-reload")
    nft("-f", "-", text=SETS)
    nft("add", "element", "inet", "filter", "own4", "{ 198.51.100.1 }")
    nft("delete", "set", "inet", "filter", "own6")
    add_link("eth0", 101, "192.0.2.1/24")

    reload.start()

    reload.daemon.expect(lambda entry: "No such file or directory" in entry["message"])
    assert reload.wait_exits("routable", 1)[0] != 0
    assert elements("own4") == {"198.51.100.1"}


# --- chrony -------------------------------------------------------------------------------------------


def test_chrony(example: Callable[[str], Example]) -> None:
    """Offline when the last way out has lost its carrier, online when one is back."""
    chrony = example("chrony")
    chrony.configure(CHRONYC=chrony.recorder("chronyc"))
    add_link("eth0", 101, "192.0.2.1/24")
    add_link("eth1", 102, "198.51.100.1/24")
    ip("route add default via 192.0.2.254 dev eth0 metric 1")
    ip("route add default via 198.51.100.254 dev eth1 metric 2")
    chrony.start()
    chrony.wait_exits("routable", 2)
    assert set(chrony.called()) == {"chronyc online"}

    ip("link set peth0 down")
    chrony.wait_exits("no-carrier", 1)
    assert chrony.called()[-1] == "chronyc online", "eth1 still leads out"
    ip("link set peth1 down")
    chrony.wait_exits("no-carrier", 2)
    assert chrony.called()[-1] == "chronyc offline"
    ip("link set peth0 up")
    assert set(chrony.wait_exits("routable", 3)) == {0}
    assert chrony.called()[-1] == "chronyc online"
    before = len(chrony.called())
    chrony.run_readme_test()
    assert chrony.called()[before:] == ["chronyc online"]
    ip("link del eth0")
    assert chrony.wait_exits("link-removed", 1) == [0]
    assert chrony.called()[-1] == "chronyc offline"


# --- notify -------------------------------------------------------------------------------------------


class MailServer(socketserver.TCPServer):
    """A mail server that takes one mail a connection and notes sender, recipients and text."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 25), self.Handler)
        self.mails: list[tuple[list[str], str]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail.example.org\r\n")
            envelope, text = [], ""
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                if line.startswith(("MAIL", "RCPT")):
                    envelope.append(line)
                if line == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while (part := self.rfile.readline().decode()) != ".\r\n":
                        text += part
                    self.server.mails.append((envelope, text))  # type: ignore[attr-defined]
                self.wfile.write(b"221 bye\r\n" if line == "QUIT" else b"250 fine\r\n")


def test_notify_by_webhook_and_mail(example: Callable[[str], Example]) -> None:
    """The webhook gets the event's JSON with its token, the mail server a mail; the start is silent."""
    need("curl")
    notify = example("notify")
    options = 'url = "http://127.0.0.1:8080/hook"\nheader = "Authorization: Bearer t0ken"\n'
    notify.configure(WEBHOOK=notify.secret("webhook.curl", options), MAIL_TO="ops@example.org")
    add_link("eth0", 101, "192.0.2.1/24")
    with serving(WebServer("")) as web, serving(MailServer()) as mail:
        notify.start()
        assert notify.wait_exits("routable", 1) == [0]
        add_link("veth9", 102, "198.51.100.1/24")
        assert notify.wait_exits("routable", 2) == [0, 0]
        assert (web.requests, mail.mails) == ([], [])

        ip("link set peth0 down")
        assert notify.wait_exits("no-carrier", 1) == [0]
        notify.run_readme_test()

    path, headers, body = web.requests[0]
    told = json.loads(body)
    assert (path, headers["Authorization"]) == ("/hook", "Bearer t0ken")
    assert headers["Content-Type"] == "application/json"
    assert (told["event"]["type"], told["interface"]["name"]) == ("no-carrier", "eth0")
    envelope, text = mail.mails[0]
    assert [line.split(":")[1].split()[0] for line in envelope] == ["<root>", "<ops@example.org>"]
    assert re.search(r"^Subject: \S+: eth0 no-carrier\r$", text, re.MULTILINE)
    assert "\r\n\r\neth0 is no-carrier since " in text
    assert max(map(len, text.splitlines())) <= 998
    assert len(web.requests) == len(mail.mails) == 2


def test_notify_by_a_sendmail_of_ones_own(example: Callable[[str], Example]) -> None:
    """The program of SENDMAIL gets the mail on its standard input."""
    notify = example("notify")
    into = notify.etc / "data" / "mail"
    notify.configure(
        SENDMAIL=notify.recorder("sendmail", f"cat > {into}\n"),
        MAIL_TO="ops@example.org", INITIAL="yes",
    )  # fmt: skip
    add_link("eth0", 101, "192.0.2.1/24")

    notify.start()

    assert notify.wait_exits("routable", 1) == [0]
    assert notify.called() == ["sendmail -t -i"]
    assert "\nTo: ops@example.org\n" in into.read_text()


# --- vpn-routes, mtu-fix ------------------------------------------------------------------------------


@contextlib.contextmanager
def tunnel(name: str) -> Iterator[None]:
    """Have a tunnel link, for as long as somebody holds its end."""
    try:
        end = os.open("/dev/net/tun", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no tunnel can be made here: {error}")
    try:
        fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF
        yield
    finally:
        os.close(end)


def test_vpn_routes(example: Callable[[str], Example]) -> None:
    """A tunnel that comes up gets its routes, again each time, and others get none."""
    vpn = example("vpn-routes")
    vpn.configure(WATCH="wg0", ROUTES="10.20.0.0/16 2001:db8:20::/48")
    vpn.start()

    def routes() -> set[tuple[str, int]]:
        found = [*show("-4", "route", "show", "proto", "static")]
        found += show("-6", "route", "show", "proto", "static")
        return {(route["dst"], route["metric"]) for route in found if route["dev"] == "wg0"}

    wanted = {("10.20.0.0/16", 50), ("2001:db8:20::/48", 50)}
    for _ in range(2):
        with tunnel("wg0"):
            ip("addr add 10.9.0.1/24 dev wg0", "link set wg0 up")
            wait_for(lambda: routes() == wanted or None, "the routes of the tunnel")
            add_link("eth0", 101, "192.0.2.1/24")
            vpn.run_readme_test()
            assert routes() == wanted
        ip("link del eth0")
        vpn.daemon.wait_event("wg0", "link-removed")
    assert set(vpn.exits("routable")) == {0}


def test_mtu_fix(example: Callable[[str], Example]) -> None:
    """Links get their MTU at the start, when they appear and when they get their name."""
    mtu = example("mtu-fix")
    mtu.configure(MTUS="wg0=1380 wg*=1420 eth1=4000")
    add_link("eth1", 101)
    mtu.start()

    def is_mtu(link: str, size: int) -> None:
        wait_for(lambda: show("link", "show", link)[0]["mtu"] == size or None, f"{size} of {link}")

    is_mtu("eth1", 4000)
    add_link("wg0", 102)
    is_mtu("wg0", 1380)
    ip("link add name x index 103 type veth peer name px index 203")
    mtu.wait_exits("link-added", 2)
    ip("link set x name wg7")
    is_mtu("wg7", 1420)
    assert mtu.run_readme_test() == ""
    ip("link set eth1 mtu 1500")
    assert mtu.run_readme_test() == "eth1 has MTU 4000 now\n"
    assert {*mtu.exits("link-added"), *mtu.exits("link-renamed"), *mtu.exits("carrier")} == {0}


# --- restart-service, mount-wake, tell-container ------------------------------------------------------


def test_restart_service(example: Callable[[str], Example]) -> None:
    """The wanted address, and no other, restarts the services, by systemd and without waiting."""
    restart = example("restart-service")
    restart.configure(
        SERVICES="nginx.service unbound.service", WANTED="192.0.2.10 2001:db8:*",
        SYSTEMCTL=restart.recorder("systemctl"),
    )  # fmt: skip
    add_link("eth0", 101)
    restart.start()

    ip("addr add 192.0.2.9/24 dev eth0", "addr add 192.0.2.10/24 dev eth0")
    ip("addr add 2001:db8::7/64 dev eth0 nodad")

    assert set(restart.wait_exits("address-usable", 3)) == {0}
    call = "systemctl --no-block try-restart -- nginx.service unbound.service"
    assert restart.called() == [call] * 2
    restart.run_readme_test()
    assert restart.called() == [call] * 3


def test_mount_wake(example: Callable[[str], Example]) -> None:
    """What hangs is detached though it is in use, what is no network file system stays; then systemd mounts."""
    mount = example("mount-wake")
    remote, local = mount.etc / "remote", mount.etc / "local"
    remote.mkdir()
    local.mkdir()
    mount.configure(
        MOUNTS=f"{remote} {local}", SERVER="198.51.100.20", TYPES="nfs tmpfs",
        SYSTEMCTL=mount.recorder("systemctl"),
    )  # fmt: skip
    add_link("eth0", 101, "192.0.2.1/24")
    inside = (
        f'mount -t tmpfs x {remote} && mount --bind {local} {local} && '
        f'cd {remote} && exec "$@"'
    )  # fmt: skip
    mount.start(prefix=("unshare", "--mount", "sh", "-c", inside, "sh"))

    def mounted() -> list[str]:
        text = Path(f"/proc/{mount.daemon.pid}/mountinfo").read_text()
        return [line.split()[4] for line in text.splitlines() if str(mount.etc) in line.split()[4]]

    wake = [f"systemctl --no-block start -- {remote}", f"systemctl --no-block start -- {local}"]
    assert mount.wait_exits("routable", 1) == [0]
    assert mount.called() == [], "there is no way to the server yet"
    ip("route add default via 192.0.2.254 dev eth0")
    assert mount.wait_exits("gateway-changed", 1) == [0]
    assert mount.called() == wake
    assert mounted() == [str(remote), str(local)]

    ip("link set peth0 down")
    assert mount.wait_exits("no-carrier", 1) == [0]
    assert mounted() == [str(local)]
    ip("link set peth0 up")
    mount.wait_exits("routable", 2)
    assert mount.called() == wake * 2
    mount.run_readme_test()
    assert mount.called() == wake * 3


def test_tell_container(example: Callable[[str], Example]) -> None:
    """A container that runs gets variables and JSON, one that does not is passed over."""
    container = example("tell-container")
    heard = container.etc / "data" / "heard"
    engine = container.recorder(
        "docker",
        "case $1,$* in inspect,*proxy) echo true ;; inspect,*stopped) echo false ;;\n"
        "inspect,*gone) echo; echo Error: No such container: gone; exit 1 ;;\n"
        "inspect,*) echo Is the daemon running?; exit 1 ;;\n"
        f"exec,*) cat >> {heard} ;; esac\n",
    )  # fmt: skip
    servers = "search example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
    names = container.write("resolv.conf", servers)
    settings = {"CONTAINERS": "proxy stopped gone", "ENGINE": engine, "RESOLV_CONF": names}
    container.configure(**settings, COMMAND="/bin/changed now")
    add_link("eth0", 101, "192.0.2.1/24")
    container.start()

    ip("addr add 192.0.2.2/24 dev eth0")
    assert container.wait_exits("address-usable", 1) == [0]

    (call,) = (line for line in container.called() if " inspect " not in line)
    assert call == (
        "docker exec --interactive --env LINK=eth0 --env STATE=address-usable "
        "--env ADDRESSES=192.0.2.1 192.0.2.2 --env NAMESERVERS=192.0.2.53 2001:db8::53 "
        "proxy /bin/changed now"
    )
    assert json.loads(heard.read_text())["event"]["address"]["ip"] == "192.0.2.2"
    for name in ("stopped", "gone"):
        container.daemon.expect(lambda entry: f"{name} is not running" in entry["message"])
    before = container.called()
    add_link("docker0", 102, "172.17.0.1/16")
    assert container.wait_exits("address-usable", 2) == [0, 0]
    assert container.called() == before, "the engine's own links are nobody's business"

    container.configure(**settings)
    ip("route add default via 192.0.2.254 dev eth0")
    assert container.wait_exits("gateway-changed", 1) == [0]
    assert container.called().count("docker kill --signal HUP proxy") == 1
    container.run_readme_test()
    assert container.called().count("docker kill --signal HUP proxy") == 2
    container.configure(ENGINE=engine, CONTAINERS="unknown")
    ip("addr add 192.0.2.3/24 dev eth0")
    assert container.wait_exits("address-usable", 3)[2] == 1
    container.daemon.expect(lambda entry: "Is the daemon running?" in entry["message"])
