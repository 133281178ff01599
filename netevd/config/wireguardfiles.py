"""
Files of WireGuard tools: which names and host names they have for peers. Nothing else leaves this module.

These files hold private and preshared keys. What is returned is built of public keys, of names in
letters that netevd has for names, and of endpoints that are a host name and a port; no message shows a
line. Sources: wg-quick(8), systemd.netdev(5); comments `# friendly_name = ...` as
prometheus_wireguard_exporter reads them.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve

from netevd.config.kinds import HostPort, PeerName, PublicKey
from netevd.config.schema import WireguardPeer
from netevd.config.tree import Place, Problem
from netevd.config.values import PEER_NAME, PUBLIC_KEY
from netevd.config.words.addresses import read_host_port

SIZE_LIMIT: Final = 4 << 20
"""Bytes of a file at most: some 20,000 peers."""
FILE_LIMIT: Final = 256

_SECTION: Final = re.compile(r"\[\s*([A-Za-z]+)\s*\]")
_COMMENT: Final = re.compile(r"[#;]\s*(?:friendly_name|name)\s*[=:]\s*(.+?)\s*\Z", re.IGNORECASE)
_KEY: Final = re.compile(r"PublicKey\s*=\s*(\S+)\s*(?:[#;].*)?\Z", re.IGNORECASE)
_ENDPOINT: Final = re.compile(r"Endpoint\s*=\s*(\S+)\s*(?:[#;].*)?\Z", re.IGNORECASE)
_SECRET: Final = re.compile(r"[A-Za-z0-9+/]{42}|[0-9A-Fa-f]{64}")
"""What may be a key: somebody has pasted it into the wrong line."""
_OTHERS: Final = re.compile(r"[^A-Za-z0-9 ._-]")


def read_peers(patterns: Iterable[str], place: Place) -> tuple[list[WireguardPeer], list[Problem]]:
    """
    Return what the files say of peers, each peer once, and every file that can't be read.

    A pattern may match nothing, a path has to be there. place: of the setting.
    """
    found: dict[str, WireguardPeer] = {}
    problems: list[Problem] = []
    paths: dict[str, None] = {}
    for pattern in patterns:
        hits = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not hits and (closed := _find_closed(os.path.dirname(pattern))):
            problems.append(
                Problem(place, f"names_from: {closed} can't be read; {_advise(closed)}")
            )
        paths |= dict.fromkeys(hits)
    if len(paths) > FILE_LIMIT:
        problems.append(Problem(place, f"names_from: more than {FILE_LIMIT} files"))
        return [], problems
    for path in paths:
        content = _read(path, place, problems)
        for peer in _parse(content):
            known = found.get(peer.public_key, peer)
            found[peer.public_key] = evolve(
                known, name=known.name or peer.name, endpoint=known.endpoint or peer.endpoint
            )
    return list(found.values()), problems


def merge_peers(
    given: tuple[WireguardPeer, ...], found: Iterable[WireguardPeer]
) -> tuple[WireguardPeer, ...]:
    """Return the peers of the configuration with what files add; a name that is taken is given to none."""
    peers = {each.public_key: each for each in given}
    names = {each.name for each in given if each.name}
    for each in found:
        known = peers.get(each.public_key, WireguardPeer(each.public_key))
        name = known.name
        if name is None and each.name is not None and each.name not in names:
            name = each.name
            names.add(name)
        peers[each.public_key] = evolve(known, name=name, endpoint=known.endpoint or each.endpoint)
    return tuple(peers.values())


def _find_closed(directory: str) -> str:
    """Return the directory on the way to one that may not be entered or listed, "" for none."""
    try:
        os.listdir(directory or ".")
    except PermissionError:
        above = os.path.dirname(directory)
        return (_find_closed(above) if above != directory else "") or directory
    except OSError:
        return ""
    return ""


def _read(path: str, place: Place, problems: list[Problem]) -> str:
    """Return what a file says, "" for one that can't be read; it is a problem then."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        advice = f"; {_advise(path)}" if isinstance(error, PermissionError) else ""
        text = f"names_from: {path} can't be read: {error.strerror}{advice}"
        problems.append(Problem(place, text))
        return ""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > SIZE_LIMIT:
        os.close(descriptor)
        text = f"names_from: {path} is no regular file of at most {SIZE_LIMIT >> 20} MiB"
        problems.append(Problem(place, text))
        return ""
    with open(descriptor, "rb") as file:
        return file.read(SIZE_LIMIT).decode("utf-8", "replace")


def _advise(path: str) -> str:
    mode = "0750" if os.path.isdir(path) else "0640"
    return f"mend it with: chgrp netevd-net {path} && chmod {mode} {path}"


def _parse(content: str) -> Iterator[WireguardPeer]:
    """Yield each peer of a file. A name stands in a comment of its section."""
    key = name = endpoint = ""
    for line in (*content.splitlines(), "[end]"):
        text = line.strip()
        if match := _SECTION.match(text):
            if PUBLIC_KEY.match(key):
                yield WireguardPeer(
                    PublicKey(key), _clean(name), endpoint=_read_endpoint(endpoint)
                )  # fmt: skip
            key = name = endpoint = ""
            peers = match[1].lower() in {"peer", "wireguardpeer"}
        elif match := _COMMENT.match(text):
            name = name or match[1]
        elif (match := _KEY.match(text)) and peers:
            key = match[1]
        elif (match := _ENDPOINT.match(text)) and peers:
            endpoint = match[1]


def _clean(name: str) -> PeerName | None:
    """Return a name in the letters that names have, None for none and for what may be a key."""
    if _SECRET.search(name):
        return None
    text = _OTHERS.sub("_", name).lstrip(" ._-")[:64].rstrip()
    return PeerName(text) if PEER_NAME.match(text) else None


def _read_endpoint(text: str) -> HostPort | None:
    """Return an endpoint that is a name, None for an address and for nonsense."""
    try:
        return HostPort(read_host_port(text, None)) if text else None
    except ValueError:
        return None
