"""WireGuard devices as the helper reads them: everything that is known of peers, and no key."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netevd.kernel.wireguard import decode_kernel, decode_userspace
from netevd.model.wireguard import Device
from privsep.protocol import (
    VERSION,
    Done,
    Hello,
    ProtocolViolation,
    WantWireguard,
    Wireguard,
    WireguardEnd,
    WireguardPart,
    WireguardSocket,
)
from privsep.wireguard import connect_userspace, redact_kernel, redact_userspace
from tests.boundary.rig import HelperRig, receive
from tests.boundary.wireguard import Tunnel, find_secret

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make tunnels")

KEY = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="


@pytest.fixture
def tunnel(namespace: None) -> Iterator[Tunnel]:
    made = Tunnel("nwgtest0", 51820)
    yield made
    made.close()


@pytest.fixture
def helper(namespace: None) -> Iterator[HelperRig]:
    rig = HelperRig()
    assert rig.ask(Hello(VERSION)) == Done()
    yield rig
    rig.close()


def read(rig: HelperRig, number: int) -> tuple[bytes, int]:
    """Return all that is told of a reading, and its error number."""
    told = b""
    while True:
        message, _ = receive(rig.feed)
        if isinstance(message, WireguardEnd) and message.read == number:
            return told, message.errno
        if isinstance(message, WireguardPart) and message.read == number:
            told += message.data


def test_userspace_device_is_read_without_its_keys(tunnel: Tunnel, helper: HelperRig) -> None:
    """Peers, endpoints, prefixes and counters come to the worker; private and preshared keys do not."""
    tunnel.add_peer(KEY, "endpoint", "192.0.2.1:1234", "allowed-ips", "10.0.0.0/8,fd00::/8",
                    "persistent-keepalive", "25")  # fmt: skip

    assert helper.ask(Wireguard(1, 7, tunnel.name, userspace=True)) == Done()
    assert receive(helper.lead)[0] == WantWireguard(tunnel.name)
    with connect_userspace(tunnel.name, ["nwg*"]) as connection:
        helper.lead.send(WireguardSocket(0), (connection.fileno(),))
    told, code = read(helper, 1)

    assert code == 0
    assert find_secret(tunnel.secrets, told) is None
    device = decode_userspace(told)
    assert (device.implementation, device.listen_port) == ("userspace", 51820)
    (peer,) = device.peers
    assert (peer.public_key, peer.endpoint, peer.keepalive_s) == (KEY, "192.0.2.1:1234", 25)
    assert set(peer.allowed_ips) == {"10.0.0.0/8", "fd00::/8"}
    assert peer.handshake_ns == 0


def test_kernel_without_wireguard_says_so(helper: HelperRig) -> None:
    """Where the kernel knows no such device, the reading ends with the kernel's error number."""
    assert helper.ask(Wireguard(1, 1, "lo", userspace=False)) == Done()

    told, code = read(helper, 1)

    assert told == b""
    assert code in {errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV}


def test_later_reading_ends_an_earlier_one(helper: HelperRig) -> None:
    """A device that never answers holds nobody up: what comes late for it is closed."""
    assert helper.ask(Wireguard(1, 7, "wg0", userspace=True)) == Done()
    assert receive(helper.lead)[0] == WantWireguard("wg0")
    ours, theirs = socket.socketpair()
    helper.lead.send(WireguardSocket(0), (theirs.fileno(),))
    theirs.close()
    assert ours.recv(64) == b"get=1\n\n"

    assert helper.ask(Wireguard(2, 1, "lo", userspace=False)) == Done()
    assert read(helper, 2)[1] != 0
    assert ours.recv(64) == b""
    ours.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", errno.EPIPE),
        (b"private_key=00\n", errno.EPIPE),
        (b"errno=0\nrx_bytes=" + b"9" * 100_000, errno.EMSGSIZE),
        (b"public_key=00\n" * 2_000_000, errno.EMSGSIZE),
    ],
)
def test_device_that_talks_nonsense_is_left(helper: HelperRig, answer: bytes, code: int) -> None:
    """What ends early, or never ends, is an error of that reading, and the helper serves on."""
    helper.ask(Wireguard(1, 7, "wg0", userspace=True))
    assert receive(helper.lead)[0] == WantWireguard("wg0")
    ours, theirs = socket.socketpair()
    helper.lead.send(WireguardSocket(0), (theirs.fileno(),))
    theirs.close()

    def speak() -> None:
        with ours:
            try:
                assert ours.recv(64) == b"get=1\n\n"
                ours.sendall(answer)
            except OSError:
                return

    speaker = threading.Thread(target=speak)
    speaker.start()
    told, found = read(helper, 1)
    speaker.join()

    assert found == code
    assert b"private_key" not in told
    assert helper.ask(Wireguard(2, 1, "lo", userspace=False)) == Done()
    assert read(helper, 2)[1] != 0


def test_supervisor_connects_to_configured_names_alone(tunnel: Tunnel, tmp_path: Path) -> None:
    """A name outside of wireguard.interfaces, or one that is a path, is refused before anything is opened."""
    connect_userspace(tunnel.name, ["*"]).close()

    for name, patterns in ((tunnel.name, []), (tunnel.name, ["wg*"]), (tunnel.name, ["*", "!nwg*"]),
                           ("../x", ["*"]), ("", ["*"]), ("a/b", ["*"])):  # fmt: skip
        with pytest.raises(PermissionError):
            connect_userspace(name, patterns)
    with pytest.raises(FileNotFoundError):
        connect_userspace("nosuch0", ["*"])


def put(number: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), number) + payload + bytes(-len(payload) % 4)


def make_message(*attributes: bytes) -> bytes:
    body = struct.pack("=BBH", 0, 1, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 28, 2, 1, 0) + body


def test_kernel_answer_is_told_without_keys() -> None:
    """Private and preshared keys, and attributes that nobody knows yet, are left out; the rest decodes."""
    secret, preshared, later = b"S" * 32, b"P" * 32, b"L" * 32
    prefixes = put(0, put(1, struct.pack("=H", 2)) + put(2, bytes((10, 0, 0, 0))) + put(3, b"\x08"))
    peer = put(1, b"K" * 32) + put(2, preshared) + put(8, struct.pack("=Q", 7)) + put(9, prefixes)
    peer += put(6, struct.pack("=qq", 1_700_000_000, 5)) + put(77, later)
    peer += put(
        4, struct.pack("=H", 2) + struct.pack("!H", 51820) + bytes((192, 0, 2, 1)) + bytes(8)
    )
    more = put(1, b"K" * 32) + put(
        9, put(0, put(1, struct.pack("=H", 10)) + put(2, bytes(16)) + put(3, b"\x00"))
    )
    device = (put(1, struct.pack("=I", 9)), put(2, b"wg0\0"), put(3, secret), put(4, b"D" * 32),
              put(6, struct.pack("=H", 51820)), put(7, struct.pack("=I", 0x42)))  # fmt: skip
    datagrams = [
        make_message(*device, put(8, put(0, peer)), put(99, later)),
        make_message(put(8, put(0, more))),
    ]

    told = [redact_kernel(each, 28) for each in datagrams]

    assert not [each for each in (secret, preshared, later) if each in b"".join(told)]
    read_device = decode_kernel(told)
    assert (read_device.listen_port, read_device.fwmark) == (51820, 0x42)
    (found,) = read_device.peers
    assert found.endpoint == "192.0.2.1:51820"
    assert found.allowed_ips == ("10.0.0.0/8", "::/0")
    assert (found.tx_bytes, found.handshake_ns) == (7, 1_700_000_000 * 10**9 + 5)


@pytest.mark.parametrize("cut", range(16, 60, 3))
def test_message_that_lies_about_its_length_is_refused(cut: int) -> None:
    """What does not end where it says is nonsense, and nothing of it is told."""
    message = make_message(put(1, struct.pack("=I", 9)), put(3, b"S" * 32))
    broken = message[:cut]

    if len(broken) >= 20:
        with pytest.raises(ProtocolViolation):
            redact_kernel(broken, 28)
    else:
        assert redact_kernel(broken, 28) == b""


def test_lines_that_nobody_knows_are_left_out() -> None:
    """An allow-list, not a deny-list: a key of a later version is a secret until it is known."""
    lines = b"private_key=aa\nlisten_port=1\npreshared_key=bb\nnew_secret=cc\nerrno=0\n\n"

    assert redact_userspace(lines) == b"listen_port=1\nerrno=0\n"


def test_empty_device_has_no_peers() -> None:
    assert decode_userspace(b"errno=0\n") == Device("userspace")
