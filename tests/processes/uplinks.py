"""Two uplinks, each with a router of its own, and a client far behind both: who is reached?"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.processes.rig import ip

CLIENT4, CLIENT6 = "198.51.100.7", "2001:db8:ffff::7"
PORT = 7007


class Uplinks:
    """
    eth0 and eth1 of this namespace lead to routers in namespaces of their own, which both lead to a
    client. A router drops what has a source that is not of its link, as providers do.
    """

    all = frozenset((name, family) for name in ("eth0", "eth1") for family in (4, 6))

    primary = frozenset((("eth0", 4), ("eth0", 6)))

    def __init__(self, *, same_subnet: bool = False) -> None:
        self.tag = f"nt{os.getpid() % 100000}"
        self.routers = [f"{self.tag}r{number}" for number in (0, 1)]
        self.client = f"{self.tag}c"
        self.same_subnet = same_subnet

    def __enter__(self) -> Self:
        self._servers: list[socket.socket] = []
        try:
            self._make()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _make(self) -> None:
        for name in (*self.routers, self.client):
            subprocess.run(["ip", "netns", "add", name], check=True)
        for number in (0, 1):
            self._make_uplink(number)
        ip(
            *[
                f"route add default via {self.gateway4(n)} dev eth{n} metric {n + 1}00"
                for n in (0, 1)
            ],
        )
        ip(
            *[f"route add ::/0 via {self.gateway6(n)} dev eth{n} metric {n + 1}00" for n in (0, 1)],
        )
        self._servers = [self._serve(socket.AF_INET), self._serve(socket.AF_INET6)]

    def address4(self, number: int) -> str:
        """Return the IPv4 address of an uplink."""
        return f"10.0.0.1{number}" if self.same_subnet else f"10.0.{number}.10"

    def address6(self, number: int) -> str:
        """Return the IPv6 address of an uplink."""
        return f"2001:db8::1{number}" if self.same_subnet else f"2001:db8:{number + 1}::10"

    def gateway4(self, number: int, host: int = 1) -> str:
        """Return the router's IPv4 address; it has a second one, host 2."""
        return f"10.0.0.2{host}{number}" if self.same_subnet else f"10.0.{number}.{host}"

    def gateway6(self, number: int, host: int = 1) -> str:
        """Return the router's link-local address."""
        return f"fe80::{number + 1}:{host}"

    def _make_uplink(self, number: int) -> None:
        router = self.routers[number]
        ip(
            f"link add eth{number} type veth peer name near netns {router}",
            f"link set eth{number} up",
            f"addr add {self.address4(number)}/24 dev eth{number}",
            f"addr add {self.address6(number)}/64 dev eth{number} nodad",
        )
        subprocess.run(
            ["ip", "-netns", router, "link", "add", "far", "type", "veth", "peer", "name", f"via{number}",
             "netns", self.client], check=True,
        )  # fmt: skip
        self.run(
            router,
            "link set lo up", "link set near up", "link set far up",
            *[f"addr add {self.gateway4(number, host)}/24 dev near" for host in (1, 2)],
            *[f"addr add {self.gateway6(number, host)}/64 dev near nodad" for host in (1, 2)],
            f"addr add 10.9.{number}.1/24 dev far", f"addr add 2001:db8:9{number}::1/64 dev far nodad",
            f"route add {self.address6(number)} dev near",
            f"route add {CLIENT4} via 10.9.{number}.2", f"route add {CLIENT6} via 2001:db8:9{number}::2",
        )  # fmt: skip
        for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            subprocess.run(["ip", "netns", "exec", router, "sysctl", "-qw", name], check=True)
        own4, own6 = self.address4(number), self.address6(number)
        rules = (
            "table inet guard { chain forward { type filter hook forward priority 0;\n"
            f'iifname "near" ip saddr != {own4} drop\niifname "near" ip6 saddr != {own6} drop\n}}\n}}\n'
        )
        subprocess.run(
            ["ip", "netns", "exec", router, "nft", "-f", "-"], input=rules, text=True, check=True
        )
        self.run(
            self.client,
            "link set lo up", f"link set via{number} up",
            f"addr replace {CLIENT4}/32 dev lo", f"addr replace {CLIENT6}/128 dev lo",
            f"addr add 10.9.{number}.2/24 dev via{number}", f"addr add 2001:db8:9{number}::2/64 dev via{number} nodad",
            f"route add {own4} via 10.9.{number}.1", f"route add {own6} via 2001:db8:9{number}::1",
        )  # fmt: skip

    def run(self, namespace: str, *commands: str) -> None:
        """Run ip commands in a namespace of a router or the client."""
        subprocess.run(
            ["ip", "-netns", namespace, "-batch", "-"], input="\n".join(commands), text=True, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def _serve(self, family: socket.AddressFamily) -> socket.socket:
        """Answer each connection with a word, in a thread."""
        server = socket.create_server(("", PORT), family=family, backlog=64)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"here")

        threading.Thread(target=serve, daemon=True).start()
        return server

    def reached(self) -> frozenset[tuple[str, int]]:
        """Return the uplinks and families of which a connection from the client was answered."""
        wanted = {}
        for number in (0, 1):
            wanted[self.address4(number)] = (f"eth{number}", 4)
            wanted[self.address6(number)] = (f"eth{number}", 6)
        found = self._connect([(host, PORT) for host in wanted])
        return frozenset(wanted[host] for host in found)

    def answers_at(self, host: str, port: int) -> bool:
        """Tell whether a connection from the client to this address and port was answered."""
        return bool(self._connect([(host, port)]))

    def _connect(self, places: list[tuple[str, int]]) -> list[str]:
        """Return the addresses of those places that answer the client."""
        program = (
            "import socket, sys, threading\n"
            "def ask(word):\n"
            "    host, port, source = word.split(',')\n"
            "    try:\n"
            "        with socket.create_connection((host, port), 0.6, (source, 0)) as connection:\n"
            "            if connection.recv(9) == b'here':\n"
            "                sys.stdout.write(host + '\\n')\n"
            "    except OSError:\n"
            "        pass\n"
            "for word in sys.argv[1:]:\n"
            "    threading.Thread(target=ask, args=(word,)).start()\n"
        )
        words = [f"{host},{port},{CLIENT6 if ':' in host else CLIENT4}" for host, port in places]
        done = subprocess.run(
            ["ip", "netns", "exec", self.client, "python3", "-I", "-c", program, *words],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout.split()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        for name in (*self.routers, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False)
