"""WireGuard devices as the helper reads them: everything that is known of peers, and no key."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from netevd.kernel.wireguard import decode_kernel, decode_userspace
from netevd.model.wireguard import Device
from privsep.generic import redact
from privsep.launch import WritePolicy
from privsep.protocol import (
    VERSION,
    AnswerEnd,
    AnswerPart,
    Done,
    Hello,
    ProtocolViolation,
    SetEndpoint,
    Violated,
    WantWireguard,
    Wireguard,
    WireguardSocket,
)
from privsep.wireguard import DEVICE, connect_userspace, encode_device, redact_userspace
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
        if isinstance(message, AnswerEnd) and message.read == number:
            return told, message.errno
        if isinstance(message, AnswerPart) and message.read == number:
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


TARGETS = WritePolicy(devices=["nwg*", "!nwgx"], endpoints=[(KEY, 51821)])


def set_endpoint(rig: HelperRig, number: int, request: SetEndpoint) -> tuple[bytes, int]:
    """Have an endpoint set by way of a connection to the device; return what it answers."""
    assert rig.ask(request) == Done()
    assert receive(rig.lead)[0] == WantWireguard(request.name)
    with connect_userspace(request.name, ["nwg*"]) as connection:
        rig.lead.send(WireguardSocket(0), (connection.fileno(),))
    return read(rig, number)


@pytest.mark.parametrize(
    ("address", "place"), [("192.0.2.9", "192.0.2.9:51821"), ("2001:db8::9", "[2001:db8::9]:51821")]
)
def test_endpoint_of_a_named_peer_is_set(
    tunnel: Tunnel, namespace: None, address: str, place: str
) -> None:
    """The device sends elsewhere then, and nothing else of it has changed; a peer that is not there is not made."""
    tunnel.add_peer(KEY, "endpoint", "192.0.2.1:1234", "allowed-ips", "10.0.0.0/8")
    rig = HelperRig(TARGETS)
    assert rig.ask(Hello(VERSION)) == Done()
    before = tunnel.show()
    request = SetEndpoint(
        1, 7, tunnel.name, userspace=True, public_key=KEY, address=address, port=51821
    )

    told, code = set_endpoint(rig, 1, request)

    assert (decode_userspace(told), code) == (Device("userspace"), 0)
    assert tunnel.show() == before.replace("192.0.2.1:1234", place)
    tunnel.set("peer", KEY, "remove")
    assert set_endpoint(rig, 2, msgspec.structs.replace(request, read=2))[1] == 0
    assert KEY not in tunnel.show()
    rig.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"public_key": "a" * 42 + "E="}, {"port": 51820}, {"name": "wg0"}, {"name": "nwgx"},
        {"name": "../nwg0"}, {"address": "192.0.2.9\n"}, {"address": "vpn.example"}, {"port": 0},
    ],
)  # fmt: skip
def test_other_endpoints_end_the_worker(namespace: None, fields: dict[str, object]) -> None:
    """Only peers, ports and devices that the configuration names, and only characters of addresses."""
    rig = HelperRig(TARGETS)
    assert rig.ask(Hello(VERSION)) == Done()
    request = SetEndpoint(
        1, 1, "nwg0", userspace=False, public_key=KEY, address="192.0.2.9", port=51821
    )
    rig.rpc.send(msgspec.structs.replace(request, **fields))

    message, _ = receive(rig.lead)
    assert isinstance(message, Violated), message
    rig.close()


def test_endpoint_for_the_kernel_names_device_and_peer() -> None:
    """What is sent holds the device's name, a key, an address and that no peer is to be made: nothing else."""
    key = b64decode(KEY)
    sent = encode_device(
        28,
        SetEndpoint(5, 7, "wg0", userspace=False, public_key=KEY, address="192.0.2.9", port=51821),
    )
    six = encode_device(
        28,
        SetEndpoint(
            5, 7, "wg0", userspace=False, public_key=KEY, address="2001:db8::9", port=51821
        ),
    )

    four = put(4, b"\x02\0" + struct.pack("!H", 51821) + bytes((192, 0, 2, 9)) + bytes(8))
    peer = put(1, key) + four + put(3, struct.pack("=I", 4))
    assert sent[16:] == struct.pack("=BBH", 1, 1, 0) + put(2, b"wg0\0") + put(
        0x8008, put(0x8000, peer)
    )
    place = (
        b"\x0a\0"
        + struct.pack("!H", 51821)
        + bytes(4)
        + socket.inet_pton(socket.AF_INET6, "2001:db8::9")
        + bytes(4)
    )
    assert put(4, place) in six


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

    told = [redact(each, 28, DEVICE) for each in datagrams]

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

    if len(broken) >= 16:
        with pytest.raises(ProtocolViolation):
            redact(broken, 28, DEVICE)
    else:
        assert redact(broken, 28, DEVICE) == b""


def test_lines_that_nobody_knows_are_left_out() -> None:
    """An allow-list, not a deny-list: a key of a later version is a secret until it is known."""
    lines = b"private_key=aa\nlisten_port=1\npreshared_key=bb\nnew_secret=cc\nerrno=0\n\n"

    assert redact_userspace(lines) == b"listen_port=1\nerrno=0\n"


def test_empty_device_has_no_peers() -> None:
    assert decode_userspace(b"errno=0\n") == Device("userspace")
