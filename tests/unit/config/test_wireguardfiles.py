"""Names and host names of peers from files of WireGuard tools, and nothing else of these."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netevd.config.kinds import PeerName, PublicKey
from netevd.config.schema import WireguardPeer
from netevd.config.tree import Place
from netevd.config.wireguardfiles import merge_peers, read_peers

HERE = Place("netevd.yaml", 3, 1)
ONE, TWO, THREE = (letter * 42 + "E=" for letter in "abc")
SECRET, PRESHARED = ("sS" * 21 + "Y=", "pP" * 21 + "Y=")

FILE = f"""\
[Interface]
# friendly_name = not a peer's
PrivateKey = {SECRET}
Endpoint = nonsense.example:1

[Peer]
# friendly_name = office, second floor
PublicKey = {ONE}   # main one
PresharedKey = {PRESHARED}
Endpoint = VPN.example.org:51820
AllowedIPs = 10.0.0.0/8

[Peer]
#Name: Büro
publickey={TWO}
Endpoint = 192.0.2.1:51820

[Peer]
PublicKey = {THREE}
# friendly_name = {SECRET}
Endpoint = [2001:db8::1]:51820
[Peer]
PublicKey = {SECRET[:-2]}
# friendly_name = a key that is none
"""


def read(tmp_path: Path, *texts: str) -> list[WireguardPeer]:
    """Return what files with these texts say."""
    for number, text in enumerate(texts):
        (tmp_path / f"wg{number}.conf").write_text(text)
    peers, problems = read_peers([f"{tmp_path}/*.conf"], HERE)
    assert problems == []
    return peers


def test_names_and_host_names_of_peers_are_found(tmp_path: Path) -> None:
    """By the comments that exporters know, whatever stands where in a section; an address is no host name."""
    peers = read(tmp_path, FILE)

    assert peers[:2] == [
        WireguardPeer(
            PublicKey(ONE), PeerName("office_ second floor"), endpoint="vpn.example.org:51820"
        ),
        WireguardPeer(PublicKey(TWO), PeerName("B_ro")),
    ]
    assert [each.public_key for each in peers] == [ONE, TWO, THREE]


def test_no_key_but_a_public_one_is_returned(tmp_path: Path) -> None:
    """Private and preshared keys are in nothing that is returned, not even where a comment repeats one."""
    peers, problems = read_peers([str(tmp_path / "wg0.conf")], HERE)
    assert len(problems) == 1
    text = repr((read(tmp_path, FILE.replace(f"friendly_name = {SECRET}", "x")), problems))

    assert peers == []
    assert SECRET[:-1] not in text
    assert PRESHARED[:-1] not in text


def test_a_name_that_looks_like_a_key_is_none(tmp_path: Path) -> None:
    """Whoever pastes a key behind friendly_name does not have it told to everybody."""
    assert SECRET[:-1] not in repr(read(tmp_path, FILE))


def test_netdev_files_have_peers_too(tmp_path: Path) -> None:
    """systemd-networkd calls the section [WireGuardPeer]."""
    text = f"[WireGuard]\nPrivateKey={SECRET}\n[WireGuardPeer]\nPublicKey={ONE}\nEndpoint=a.example:1\n"

    assert read(tmp_path, text) == [WireguardPeer(PublicKey(ONE), endpoint="a.example:1")]


def test_the_configuration_comes_first_and_names_are_unique(tmp_path: Path) -> None:
    """What the configuration says of a peer stays; a second peer of one name has none."""
    given = (WireguardPeer(PublicKey(ONE), PeerName("hq"), "always"),)
    found = [
        WireguardPeer(PublicKey(ONE), PeerName("office"), endpoint="a.example:1"),
        WireguardPeer(PublicKey(TWO), PeerName("laptop")), WireguardPeer(PublicKey(THREE), PeerName("laptop")),
    ]  # fmt: skip

    assert merge_peers(given, found) == (
        WireguardPeer(PublicKey(ONE), PeerName("hq"), "always", "a.example:1"),
        WireguardPeer(PublicKey(TWO), PeerName("laptop")), WireguardPeer(PublicKey(THREE)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["absent", "directory", "pipe", "large"])
def test_what_is_no_such_file_is_a_problem(tmp_path: Path, kind: str) -> None:
    """It is said, and nobody waits for a pipe; a glob may match nothing."""
    path = tmp_path / "wg0.conf"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(5 << 20)

    peers, problems = read_peers([str(path)], HERE)

    assert peers == []
    assert [problem.place for problem in problems] == [HERE]
    assert str(path) in str(problems[0])
    assert read_peers([f"{tmp_path}/none/*.conf"], HERE) == ([], [])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_what_may_not_be_read_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    """A closed directory is found behind a glob too."""
    closed = tmp_path / "wireguard"
    closed.mkdir(mode=0o700)
    (closed / "wg0.conf").write_text(FILE)
    for each in (tmp_path, *tmp_path.parents):
        if str(each).startswith("/tmp/"):
            each.chmod(0o755)
    os.seteuid(65534)
    try:
        peers, problems = read_peers([f"{closed}/*.conf"], HERE)
        _, of_file = read_peers([f"{closed}/wg0.conf"], HERE)
    finally:
        os.seteuid(0)

    assert peers == []
    assert f"chgrp netevd-net {closed} && chmod 0750 {closed}" in str(problems[0])
    assert "can't be read" in str(of_file[0])
