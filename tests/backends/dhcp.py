"""A DHCP server in a namespace of its own, and the real clients that ask it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.boundary.rig import wait_for
from tests.processes.rig import ip

SCRIPT: Final = Path(__file__).with_name("dhclient-script")
_INDEX: Final = 101
OPTIONS: Final = (
    "--dhcp-option=option:router,10.77.1.1",
    "--dhcp-option=option:dns-server,10.77.1.53,10.77.1.54",
    "--dhcp-option=option:domain-search,a.example,b.example",
    "--domain=lan.example",
    "--dhcp-option=option6:dns-server,[fd77:1::53]",
    "--dhcp-option=option6:domain-search,a.example,b.example",
)


class Network:
    """eth1 of this namespace, and behind it dnsmasq at 10.77.1.1 and fd77:1::1."""

    def __init__(self, *interfaces: str) -> None:
        """interfaces: more links to the same server, bridged there."""
        self.interfaces = interfaces or ("eth1",)
        self.server = f"nt{os.getpid() % 100000}d"
        self.root = Path(tempfile.mkdtemp(prefix="netevd-dhcp-", dir="/var/tmp"))
        self.root.chmod(0o755)
        self.clients: list[subprocess.Popen[bytes]] = []
        self._dnsmasq: subprocess.Popen[bytes] | None = None
        self._server_file = self.root / "leases.server"

    def __enter__(self) -> Self:
        subprocess.run(["ip", "netns", "add", self.server], check=True)
        try:
            ip("link set lo up")
            self.inside("link add br0 type bridge")
            for number, name in enumerate(self.interfaces):
                ip(
                    f"link add {name} index {_INDEX + number} type veth peer name p{number}"
                    f" index {_INDEX + 100 + number} netns {self.server}",
                    f"link set {name} up",
                )
                self.inside(f"link set p{number} master br0", f"link set p{number} up")
            self.inside(
                "link set lo up", "link set br0 up", "addr add 10.77.1.1/24 dev br0",
                "addr add fd77:1::1/64 dev br0 nodad",
            )  # fmt: skip
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_serving()
        for each in self.clients:
            each.kill()
            each.wait()
        for name in self.interfaces:
            ip(f"link del {name}", check=False)
        subprocess.run(["ip", "netns", "del", self.server], check=False)
        subprocess.run(["rm", "-rf", str(self.root)], check=True)

    def inside(self, *commands: str) -> None:
        """Run ip commands where the server is."""
        subprocess.run(
            ["ip", "-netns", self.server, "-batch", "-"],
            input="\n".join(commands),
            text=True,
            check=True,
        )

    def serve(self, *options: str, first: int = 50, time: str = "2m") -> None:
        """(Re)start the server: it gives out 20 addresses from 10.77.1.FIRST and fd77:1::FIRST on."""
        self.stop_serving()
        self._server_file.unlink(missing_ok=True)
        command = [
            "ip",
            "netns",
            "exec",
            self.server,
            "dnsmasq",
            "--keep-in-foreground",
            "--port=0",
        ]
        command += ["--conf-file=/dev/null", "--user=root", "--interface=br0", "--bind-interfaces"]
        command += [f"--dhcp-range=10.77.1.{first},10.77.1.{first + 20},{time}"]
        command += [f"--dhcp-range=fd77:1::{first},fd77:1::{first + 20},64,{time}", "--no-ping"]
        command += [f"--dhcp-leasefile={self._server_file}", "--pid-file=", "--log-facility=-"]
        command += ["--dhcp-authoritative", "--dhcp-rapid-commit", *OPTIONS, *options]
        log = (self.root / "dnsmasq.log").open("ab")
        with log:
            self._dnsmasq = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(lambda: self._is_serving() or None, "dnsmasq")

    def _is_serving(self) -> bool:
        command = ["ip", "netns", "exec", self.server, "ss", "-Hlun"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return ":67 " in shown and ":547 " in shown

    def stop_serving(self) -> None:
        """End the server."""
        if self._dnsmasq is not None:
            self._dnsmasq.terminate()
            self._dnsmasq.wait()
            self._dnsmasq = None

    def dhclient(
        self, file: Path, *words: str, family: int = 4, settings: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start dhclient for eth1, or what words say; it stays in the foreground and keeps this file."""
        configuration = self.root / f"{file.name}.conf"
        request = "request subnet-mask, routers, domain-name-servers, domain-name, domain-search,"
        request += " host-name, dhcp6.name-servers, dhcp6.domain-search;\n"
        configuration.write_text(f"initial-interval 1;\n{request}{settings}\n")
        command = ["dhclient", f"-{family}", "-d", "-cf", str(configuration), "-lf", str(file)]
        command += ["-pf", str(self._find_pid_file(file)), "-sf", str(SCRIPT)]
        if family == 6:
            wait_for(lambda: self._has_link_local() or None, "link-local addresses")
        return self._start([*command, *(words or ("eth1",))])

    def _has_link_local(self) -> bool:
        """Tell whether both ends can be asked from: duplicate address detection takes a second."""
        command = ["ip", "-6", "-o", "addr", "show", "scope", "link", "-tentative", "dev"]
        ends = ["ip", "-netns", self.server, *command[1:], "br0"], [*command, self.interfaces[0]]
        return all(subprocess.run(each, capture_output=True, check=True).stdout for each in ends)

    def release(self, file: Path, *words: str, family: int = 4) -> None:
        """Have the client of this file give back what it has, and end."""
        command = ["dhclient", f"-{family}", "-r", "-lf", str(file), "-sf", str(SCRIPT)]
        command += ["-pf", str(self._find_pid_file(file)), *(words or ("eth1",))]
        subprocess.run(command, check=True, capture_output=True)

    def _find_pid_file(self, file: Path) -> Path:
        return self.root / f"{file.name}.pid"

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.root / "client.log").open("ab") as log:
            client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.clients.append(client)
        return client


def kill(client: subprocess.Popen[bytes]) -> None:
    """End a client so that it can neither give back nor remove anything."""
    with contextlib.suppress(ProcessLookupError):
        client.send_signal(signal.SIGKILL)
    client.wait()


def wait_for_text(file: Path, text: str, count: int = 1) -> str:
    """Return the content of a file, once this stands in it so often."""

    def look() -> str | None:
        content = file.read_text(encoding="latin-1") if file.exists() else ""
        return content if content.count(text) >= count else None

    return wait_for(look, f"{text} in {file}")
