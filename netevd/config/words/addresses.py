"""Addresses, hosts and URLs as values."""

from __future__ import annotations

import ipaddress
import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from netevd.config.words.numbers import read_number
from netevd.config.words.text import read_text, read_words

_URL_HOST = re.compile(r"[a-z0-9_.-]{1,253}\Z|[0-9a-f:.]+\Z")
_NUMERIC = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?\Z")
"""Ends of names that C libraries take for numbers. Source: WHATWG URL Standard, host parsing."""
_URL_LIMIT: Final = 2048
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")


def read_prefix(value: object, _: object) -> str:
    """Read a Prefix."""
    text = read_text(value, "an address, a prefix or any").strip()
    if text == "any":
        return ""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            right = ipaddress.ip_network(text, strict=False)
            raise ValueError(f"{text[:80]} has bits beyond its length; write {right}") from None
        raise ValueError(
            f"expected an address, a prefix such as 10.8.0.0/16 or any, found {text[:80]!r}"
        ) from None
    return str(network) if network.prefixlen else ""


def read_addresses(value: object, _: object) -> tuple[str, ...]:
    """Read addresses; names are none, since nobody may be there yet who resolves them."""
    words = read_words(value, "IP addresses such as 127.0.0.1")
    found = []
    for word in words:
        try:
            address = ip_address(word.removeprefix("[").removesuffix("]"))
        except ValueError:
            advice = "; write 127.0.0.1 or ::1" if word == "localhost" else ""
            raise ValueError(f"expected an IP address, found {word[:80]!r}{advice}") from None
        if getattr(address, "scope_id", None):
            raise ValueError(f"expected an address without a zone, found {word[:80]!r}")
        found.append(str(address))
    if not 1 <= len(set(found)) <= 4:
        raise ValueError(f"expected 1 to 4 addresses, found {len(set(found))}")
    return tuple(dict.fromkeys(found))


def read_port(value: object, _: object) -> int:
    """Read a PortNumber."""
    return read_number(value, 1, 65535)


def read_hosts(value: object, _: object) -> tuple[str, ...]:
    """Read a HostNames."""
    words = [word.lower() for word in read_words(value, "host names")]
    for word in words:
        if not _HOST.match(word):
            raise ValueError(
                f"expected host names such as node1.example.org or *.example.org, found {word[:80]!r}"
            )
    return tuple(dict.fromkeys(words))


def read_url_paths(value: object, _: object) -> tuple[str, ...]:
    """Read an UrlPaths."""
    words = read_words(value, "paths of URLs such as /health")
    for word in words:
        if not _URL_PATH.match(word):
            raise ValueError(f"expected paths of URLs such as /health, found {word[:80]!r}")
    return tuple(dict.fromkeys(word.rstrip("/") for word in words))


def read_url(value: object, _: object) -> str:
    """Read where to post to; a message never shows what may be a secret: user, password, path."""
    expected = "an address such as https://hooks.example.com/netevd"
    text = read_text(value, expected)
    if not (text.isascii() and text.isprintable()) or " " in text or "\\" in text:
        raise ValueError(f"expected {expected} of ASCII characters: a name of others as xn--...")
    if len(text) > _URL_LIMIT:
        raise ValueError(f"expected at most {_URL_LIMIT} characters, found {len(text)}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"expected {expected}: {str(error).partition(' as ')[0]}") from None
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"expected {expected}, found the scheme {parts.scheme[:20]!r}")
    if "@" in parts.netloc:
        raise ValueError("user name and password don't belong here; use headers_file")
    if not host or port == 0 or not _URL_HOST.match(host):
        raise ValueError(f"expected {expected}, found no host, or one that can't be")
    if ":" not in host and _NUMERIC.search(host):
        try:
            ip_address(host)
        except ValueError:
            text = "found a host that is neither a name nor an IP address"
            raise ValueError(f"expected {expected}, {text}") from None
    if "#" in text:
        raise ValueError("a part behind # is never sent; take it out")
    return text


def read_host_port(value: object, _: object) -> str:
    """Read a host name and a port; an address is what nobody has to look up."""
    text = read_text(value, "a host name and a port").strip().lower()
    host, _colon, port = text.rpartition(":")
    if not _HOST.match(host) or host.startswith("*") or _NUMERIC.search(host) or len(host) > 253:
        raise ValueError(
            f"expected a host name and a port such as vpn.example.org:51820, found {text[:80]!r}"
        )
    return f"{host}:{read_number(port, 1, 65535)}"
