"""A DHCP server at the other end of a link, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.boundary.rig import wait_for


class DhcpServer:
    """dnsmasq behind a veth whose other end is in somebody's network namespace."""

    def __init__(self, pid: int, name: str = "eth0", index: int = 101) -> None:
        """pid: whose network namespace gets the link, by this name and index; it is down."""
        self._work = Path(tempfile.mkdtemp(prefix="netevd-dhcp-"))
        self._keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        wait_for(lambda: _is_apart(self._keeper.pid) or None, "a network namespace")
        self._server: subprocess.Popen[bytes] | None = None
        self.ip(
            "link", "add", "peer", "index", str(index + 100), "type", "veth",
            "peer", "name", name, "index", str(index), "netns", str(pid),
        )  # fmt: skip
        self.ip("addr", "add", "192.0.2.1/24", "dev", "peer")
        self.ip("addr", "add", "2001:db8::1/64", "dev", "peer", "nodad")
        self.ip("link", "set", "peer", "up")

    def ip(self, *words: str) -> None:
        """Run ip(8) at the server's end."""
        subprocess.run(["nsenter", "-t", str(self._keeper.pid), "-n", "ip", *words], check=True)

    def serve(self, *options: str, low: int = 50, high: int = 90) -> None:
        """Serve from here on, and no longer as before. low, high: addresses 192.0.2.N that it leases."""
        self.end()
        (self._work / "leases").unlink(missing_ok=True)
        words = [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root",
            "--interface=peer", "--bind-interfaces", "--no-ping",
            f"--dhcp-range=192.0.2.{low},192.0.2.{high},2m",
            f"--dhcp-leasefile={self._work}/leases", f"--pid-file={self._work}/pid", *options,
        ]  # fmt: skip
        with (self._work / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["nsenter", "-t", str(self._keeper.pid), "-n", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(lambda: (self._work / "pid").exists() or None, "dnsmasq")

    def end(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait()
            self._server = None
            (self._work / "pid").unlink(missing_ok=True)

    def read_log(self) -> str:
        """Return what it has said."""
        return (self._work / "log").read_text()

    def close(self) -> None:
        """End it; the link goes with its namespace."""
        self.end()
        self._keeper.kill()
        self._keeper.wait()
        with contextlib.suppress(OSError):
            shutil.rmtree(self._work)


def _is_apart(pid: int) -> bool:
    own, other = (Path(f"/proc/{each}/ns/net").readlink() for each in ("self", pid))
    return own != other
