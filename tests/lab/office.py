"""
An office: a system whose eth0 NetworkManager configures, and behind it all that such a network has.

DHCP of both families, a page that tells whether the world is reached, and an OpenVPN server. What the
real dispatcher of NetworkManager calls its scripts with is written down, and beside it every property
that NetworkManager had on the bus at that moment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.boundary.rig import wait_for
from tests.lab.rootfs import PACKAGES, make_rootfs
from tests.lab.system import System

WITH_VPN: Final = (*PACKAGES, "network-manager-openvpn", "openvpn")

SERVER: Final = "192.0.2.1"
CONFIGURATION: Final = f"""
[main]
plugins=keyfile
no-auto-default=*
dns=none
rc-manager=unmanaged
dhcp=internal
[connectivity]
enabled=true
uri=http://{SERVER}/check
response=fine
interval=300
[device-eth]
match-device=interface-name:eth*
managed=1
"""
PROFILE: Final = """
[connection]
id=Office (5 GHz)
uuid=3f1c8a52-7d0e-4e0f-9c0b-2b1f6c1d9a10
type=ethernet
interface-name=eth0
[ipv4]
method=auto
may-fail=false
route1=203.0.113.0/25,192.0.2.9,77
route2=100.64.0.0/16,192.0.2.8
[ipv6]
method=auto
may-fail=false
addr-gen-mode=eui64
[user]
zone.Name=dmz
[proxy]
method=1
pac-url=http://wpad.example/proxy.pac
"""
VPN: Final = """
[connection]
id=Head office
uuid=55c1f0de-4b1b-4d7a-8a1c-0d9a7e1f2b33
type=vpn
autoconnect=false
[vpn]
service-type=org.freedesktop.NetworkManager.openvpn
connection-type=tls
remote=192.0.2.1
port=1194
ca=/etc/openvpn/ca.pem
cert=/etc/openvpn/client.pem
key=/etc/openvpn/client.key
cert-pass-flags=4
[ipv4]
method=auto
never-default=true
[ipv6]
method=auto
never-default=true
[user]
vpn.zone=far
"""
SERVED: Final = (
    "--dhcp-range=192.0.2.50,192.0.2.90,10m",
    "--dhcp-range=2001:db8::100,2001:db8::1ff,64,10m", "--enable-ra",
    "--dhcp-option=option:router,192.0.2.1",
    "--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54",
    "--dhcp-option=option:domain-search,a.example,b.example", "--domain=lan.example",
    "--dhcp-option=option:classless-static-route,0.0.0.0/0,192.0.2.1,198.51.100.0/24,192.0.2.2",
    "--dhcp-option=option6:dns-server,[2001:db8::53]",
    "--dhcp-option=option6:domain-search,six.example",
)  # fmt: skip
TUNNELS: Final = """
dev tun-far
dev-type tun
topology subnet
proto udp
local 192.0.2.1
port 1194
ca /etc/openvpn/ca.pem
cert /etc/openvpn/server.pem
key /etc/openvpn/server.key
dh none
server 10.8.0.0 255.255.255.0
server-ipv6 2001:db8:8::/64
push "route 10.20.0.0 255.255.0.0"
push "dhcp-option DNS 10.8.0.53"
push "dhcp-option DNS 10.8.0.54"
push "dhcp-option DOMAIN corp.example"
push "dhcp-option DOMAIN-SEARCH far.example"
keepalive 2 10
"""
PAGE: Final = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"fine" if os.path.exists("/run/fine") else b"please log in"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("192.0.2.1", 80), Answer).serve_forever()
"""
RECORD: Final = """#!/usr/bin/python3
import json, os, subprocess, sys, time
name = f"/var/lib/said/{time.time_ns()}"
with open("/proc/self/environ", "rb") as file:
    variables = [each.decode("utf-8", "surrogateescape") for each in file.read().split(b"\\0") if each]
manager = "org.freedesktop.NetworkManager"
def ask(path, method):
    command = ["busctl", "--json=short", "call", manager, path, *method.rsplit(".", 1)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["data"][0]
objects = {}
if WITH_OBJECTS:
    objects = ask("/org/freedesktop", "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
    for path in [each for each in objects if "/Settings/" in each]:
        objects[path]["settings"] = ask(path, f"{manager}.Settings.Connection.GetSettings")
with open(name + ".new", "w") as file:
    json.dump({"arguments": sys.argv[1:], "variables": variables, "objects": objects}, file)
os.rename(name + ".new", name)
"""


@frozen
class Told:
    """One call of a script."""

    arguments: list[str]
    variables: dict[str, str]
    objects: dict[str, Any]
    """What NetworkManager had on the bus: by path and interface, with signatures as busctl(1) writes them."""

    @property
    def action(self) -> str:
        """Interface and action, as they are told from each other in a test; of connectivity its state too."""
        return " ".join([*self.arguments, self.variables.get("CONNECTIVITY_STATE", "")]).strip()


class Office:
    """One system and what is behind its eth0."""

    def __init__(self) -> None:
        self.system = System(make_rootfs("bookworm", WITH_VPN))
        self._begun: list[subprocess.Popen[str]] = []
        files = {
            "etc/NetworkManager/conf.d/lab.conf": CONFIGURATION,
            "etc/NetworkManager/system-connections/office.nmconnection": PROFILE,
            "etc/NetworkManager/system-connections/head.nmconnection": VPN,
            "etc/openvpn/server.conf": TUNNELS,
            "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "var/lib/said/.keep": "",
            **{f"etc/openvpn/{name}": text for name, text in make_certificates().items()},
        }
        for name, text in files.items():
            self.write(name, text)
        for place in ("dispatcher.d", "dispatcher.d/pre-up.d", "dispatcher.d/pre-down.d"):
            text = RECORD.replace("WITH_OBJECTS", "True")
            self.write(f"etc/NetworkManager/{place}/10-record", text, 0o755)
        (self.system.files / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        for name in (
            "dhcpcd",
            "systemd-networkd",
            "NetworkManager-wait-online",
            "dnsmasq",
            "openvpn",
        ):
            (self.system.files / f"etc/systemd/system/{name}.service").symlink_to("/dev/null")
        self.write("etc/systemd/system-preset/00-lab.preset", "disable NetworkManager.service\n")

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """Write a file of the system, before its start."""
        path = self.system.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def start(self, *shown: str) -> None:
        """Boot, with all servers behind eth0. shown: as of System.start. NetworkManager does not run yet."""
        system = self.system
        (system.files / "etc/systemd/system/NetworkManager.service").symlink_to("/dev/null")
        system.start(*shown)
        system.run("rm", "/etc/systemd/system/NetworkManager.service")
        system.run("systemctl", "daemon-reload")
        system.run("chmod", "1777", "/var/lib/said")
        system.run("ip", "netns", "add", "server")
        for words in (
            "link add eth0 index 101 type veth peer name server1 index 201 netns server",
            "-n server link set lo up", "-n server link set server1 up",
            "-n server addr add 192.0.2.1/24 dev server1",
            "-n server addr add 2001:db8::1/64 dev server1 nodad",
        ):  # fmt: skip
            system.run("ip", *words.split())
        system.run("touch", "/run/fine")
        self._serve(
            "dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--user=root",
            "--interface=server1", "--bind-interfaces", "--no-ping", "--dhcp-authoritative",
            "--dhcp-leasefile=/run/leases.server", "--pid-file=/run/dnsmasq.pid", *SERVED,
        )  # fmt: skip
        self._serve("openvpn", "--config", "/etc/openvpn/server.conf", "--log", "/run/openvpn.log")
        self._serve("python3", "-c", PAGE)
        wait_for(lambda: self._is_served() or None, "the servers")

    def _serve(self, *command: str) -> None:
        self._begun.append(self.system.begin("ip", "netns", "exec", "server", *command))

    def _is_served(self) -> bool:
        shown = self.system.run("ip", "netns", "exec", "server", "ss", "-Hlunt").stdout
        return all(f":{port} " in shown for port in (67, 547, 1194, 80))

    def read(self, place: str = "said") -> list[Told]:
        """Return what scripts were called with so far, in order. place: directory of /var/lib."""
        directory = Path(f"/proc/{self.system.pid}/root", "var/lib", place)
        texts = [each.read_text() for each in sorted(directory.glob("[0-9]*")) if not each.suffix]
        calls = [json.loads(each) for each in texts]
        return [
            Told(
                each["arguments"],
                dict(pair.split("=", 1) for pair in each["variables"]),
                each["objects"],
            )
            for each in calls
        ]

    def expect(self, *actions: str, place: str = "said") -> None:
        """Return once calls of these interfaces and actions are among those so far, as often as they stand here."""

        def are_there() -> bool:
            left = [each.action for each in self.read(place)]
            for action in actions:
                if action not in left:
                    return False
                left.remove(action)
            return True

        try:
            wait_for(lambda: are_there() or None, f"{actions}", 40)
        except AssertionError as error:
            log = self.system.run("journalctl", "-o", "cat", "-n", "150").stdout
            found = [each.action for each in self.read(place)]
            raise AssertionError(f"{error}\nfound: {found}\n{log[-8000:]}") from None

    def close(self) -> None:
        """End all of it."""
        self.system.stop()
        for each in self._begun:
            each.kill()
            each.wait()


def play(office: Office, expect: Callable[..., None]) -> None:
    """
    Let happen what a laptop lives through, from the start of NetworkManager on.

    expect: called with the calls that have to have come so far, as interface and action.
    """
    run = office.system.run
    run("systemctl", "start", "NetworkManager")
    expect("eth0 dhcp4-change", "eth0 dhcp6-change", "eth0 pre-up", "eth0 up")
    for words in (
        "link add ext0 index 300 type bridge", "addr add 198.51.100.129/25 dev ext0",
        "link set ext0 up",
    ):  # fmt: skip
        run("ip", *words.split())
    expect("ext0 pre-up", "ext0 up")
    run("rm", "/run/fine")
    run("nmcli", "networking", "connectivity", "check")
    expect("connectivity-change PORTAL")
    run("touch", "/run/fine")
    run("nmcli", "networking", "connectivity", "check")
    expect("connectivity-change FULL")
    run("nmcli", "--wait", "30", "connection", "up", "Head office")
    expect("tun0 vpn-pre-up", "tun0 pre-up", "tun0 vpn-up", "tun0 up")
    run("nmcli", "connection", "down", "Head office")
    expect("tun0 vpn-down", "tun0 down")
    run("nmcli", "connection", "down", "Office (5 GHz)")
    expect("eth0 pre-down", "eth0 down")
    run("nmcli", "connection", "up", "Office (5 GHz)")
    expect("eth0 up", "eth0 up")
    run("ip", "-n", "server", "link", "set", "server1", "down")
    expect("eth0 down", "eth0 down")
    run("ip", "link", "delete", "ext0")
    expect("ext0 down")


def make_certificates() -> dict[str, str]:
    """Return an authority, and certificate and key of both ends of the VPN, by the names of their files."""
    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client")}
    usages = {
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    files: dict[str, str] = {}
    for name, key in keys.items():
        builder = (
            x509.CertificateBuilder(issuer)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name in usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usages[name]]), critical=False)
        certificate = builder.sign(keys["ca"], hashes.SHA256())
        files[f"{name}.pem"] = certificate.public_bytes(serialization.Encoding.PEM).decode()
        files[f"{name}.key"] = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    return files
