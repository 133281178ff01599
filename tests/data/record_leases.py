"""
Make lease files with the real dhclient and dnsmasq, in namespaces: tests/data/leases.

As root: `python -m tests.data.record_leases`. It takes a minute; the files have the times of the
recording, which tests know from what stands in them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.backends.dhcp import Network, kill, wait_for_text

PLACE = Path(__file__).with_name("leases")
HOSTILE = (
    r"--dhcp-option=option:domain-name,we}ird;{na\"me",
    "--dhcp-option-force=224,00:01:fe:ff:22:5c:0a:7b:7d",
    '--dhcp-option=option:root-path,/srv/a b"c\\\\d{e};#f',
    "--dhcp-option=option:bootfile-name,pxe.0",
    "--dhcp-option=option:classless-static-route,10.9.0.0/16,10.77.1.9,0.0.0.0/0,10.77.1.2",
    "--dhcp-option=option:ntp-server,10.77.1.123,10.77.1.124",
    "--dhcp-option=option:mtu,1400",
)


def record_bound(network: Network, file: Path) -> None:
    """A first lease."""
    network.serve()
    client = network.dhclient(file)
    wait_for_text(file, "}")
    kill(client)


def record_renewed(network: Network, file: Path) -> None:
    """Renewed twice; dhclient writes no lease within 15 s of the last one."""
    network.serve()
    times = "supersede dhcp-lease-time 60; supersede dhcp-renewal-time 16;"
    client = network.dhclient(file, settings=times)
    wait_for_text(file, "}", 1)
    time.sleep(36)
    wait_for_text(file, "}", 3)
    kill(client)


def record_released(network: Network, file: Path) -> None:
    """Given back."""
    record_bound(network, file)
    network.dhclient(file)
    wait_for_text(file, "}", 2)
    network.release(file)


def record_moved(network: Network, file: Path) -> None:
    """The server has other addresses now, and says so."""
    record_bound(network, file)
    network.serve(first=100)
    client = network.dhclient(file)
    wait_for_text(file, "10.77.1.1", 3)
    wait_for_text(file, "}", 2)
    kill(client)


def record_forever(network: Network, file: Path) -> None:
    """A lease without end."""
    network.serve(time="infinite")
    client = network.dhclient(file)
    wait_for_text(file, "}")
    kill(client)


def record_epoch(network: Network, file: Path) -> None:
    """Times as seconds, `db-time-format local`."""
    network.serve()
    client = network.dhclient(file, settings="db-time-format local;")
    wait_for_text(file, "}")
    kill(client)


def record_hostile(network: Network, file: Path) -> None:
    """Options with whatever could end a string, a statement or a block."""
    network.serve(*HOSTILE)
    settings = "option x code 224 = text; request; also request subnet-mask, routers, domain-name,"
    settings += " root-path, x, interface-mtu, ntp-servers, bootfile-name, static-routes;"
    settings += "option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;"
    settings += "also request rfc3442-classless-static-routes;"
    client = network.dhclient(file, settings=settings)
    wait_for_text(file, "}\n")
    kill(client)


def record_two(network: Network, file: Path) -> None:
    """One client for two links, in one file."""
    network.serve()
    client = network.dhclient(file, "eth1", "eth2")
    wait_for_text(file, "eth2")
    wait_for_text(file, "\n}", 2)
    kill(client)


def record_bound6(network: Network, file: Path) -> None:
    """IPv6."""
    network.serve()
    client = network.dhclient(file, family=6)
    wait_for_text(file, "status-code")
    kill(client)


def record_released6(network: Network, file: Path) -> None:
    """IPv6, given back."""
    network.serve()
    network.dhclient(file, family=6)
    wait_for_text(file, "status-code")
    network.release(file, family=6)
    wait_for_text(file, "released")


def record_temporary6(network: Network, file: Path) -> None:
    """IPv6 with a temporary address asked for, and a prefix that this server has none of."""
    network.serve()
    client = network.dhclient(file, "-N", "-T", "-P", "eth1", family=6)
    wait_for_text(file, "status-code")
    kill(client)


RECORDERS: dict[str, Callable[[Network, Path], None]] = {
    "bound.leases": record_bound,
    "renewed.leases": record_renewed,
    "released.leases": record_released,
    "moved.leases": record_moved,
    "forever.leases": record_forever,
    "epoch.leases": record_epoch,
    "hostile.leases": record_hostile,
    "two-links.leases": record_two,
    "bound6.leases": record_bound6,
    "released6.leases": record_released6,
    "temporary6.leases": record_temporary6,
}


def main() -> None:
    """Record all."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x40000000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNET
    PLACE.mkdir(exist_ok=True)
    for name, record in RECORDERS.items():
        with Network("eth1", "eth2") as network:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            file = network.root / name
            try:
                record(network, file)
            except AssertionError as error:
                print(f"{name}: {error}\n{(network.root / 'client.log').read_text()[-2000:]}")
            shutil.copy(file, PLACE / name)
            (PLACE / name).chmod(0o644)
            print(f"{name}: {file.stat().st_size} octets")


if __name__ == "__main__":
    main()
