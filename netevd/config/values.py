"""
Words of a file as values: one function for each type of the schema.

Each raises TypeError or ValueError that says what was expected and what was found; where it stands
is for `load` to say.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from netevd.config import schema
from netevd.model.event import EventType
from netevd.model.route import (
    ALL_TABLES,
    PROTOCOL_NAMES,
    PROTOCOLS,
    TABLE_NAMES,
    read_protocol,
    read_table,
)

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\Z")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?\Z")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?\Z", re.IGNORECASE)
_MUTEX = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_KIND = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_URL_HOST = re.compile(r"[a-z0-9_.-]{1,253}\Z|[0-9a-f:.]+\Z")
_NUMERIC = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?\Z")
"""Ends of names that C libraries take for numbers. Source: WHATWG URL Standard, host parsing."""
_URL_LIMIT: Final = 2048
PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")
"""32 octets leave the last character two bits that are 0. Source: RFC 4648 section 4."""
PEER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")
_MARK = re.compile(r"(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})\Z")
_GLOB = re.compile(r"[*?\[]")
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")
_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]\Z")
"""32 octets leave the last character two bits that are 0. Source: RFC 4648 section 4."""
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")
_WRITTEN_TRUE: Final = {"true": True, "false": False}


def show(value: object) -> str:
    """Return what a value of the tree is, in words for a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(str(value)[:80])


def _read_text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected {expected}, found {show(value)}")
    if "\0" in value or "\n" in value:
        raise ValueError(f"expected {expected}, found a line end or NUL in it")
    return value


def read_bool(value: object, _: object) -> bool:
    """Read true or false."""
    text = _read_text(value, "true or false")
    if text.lower() not in _WRITTEN_TRUE:
        raise ValueError(f"expected true or false, found {text[:80]!r}")
    return _WRITTEN_TRUE[text.lower()]


def _read_lease_files(value: object, _: object) -> tuple[str, ...]:
    """Read paths; their directories are watched, and let into a sandbox, so they are no globs."""
    words = _read_words(value, "paths such as /var/lib/dhcp/dhclient*.leases")
    for word in words:
        directory, _, name = word.rpartition("/")
        if not directory.startswith("/") or not name:
            raise ValueError(
                "expected absolute paths such as /var/lib/dhcp/dhclient*.leases, of files below a"
                f" directory, found {word[:80]!r}"
            )
        if _GLOB.search(directory) or os.path.normpath(directory) != directory:
            raise ValueError(f"only the last part of a path may be a glob, found {word[:80]!r}")
        if len(word) > 4095:
            raise ValueError(f"expected at most 4095 characters, found {len(word)}")
    if len(words) > 32:
        raise ValueError(f"expected at most 32 paths, found {len(words)}")
    return tuple(dict.fromkeys(words))


def _read_wait(value: object, kind: object) -> float:
    """Read a duration that may be none at all."""
    none = isinstance(value, str) and re.match(r"0+(\.0+)?\s*(ms|s|m|h)\Z", value.strip())
    return 0.0 if none else _read_duration(value, kind)


def _read_duration(value: object, _: object) -> float:
    text = _read_text(value, "a duration such as 30s")
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"expected a duration such as 250ms, 30s, 5m or 1h, found {text[:80]!r}")
    if match[2] is None:
        raise ValueError(f"the unit is missing; write {text}s for seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0.001 <= seconds <= 86400 * 366:
        raise ValueError(f"expected a duration from 1ms to one year, found {text[:80]!r}")
    return seconds


def _read_bytes(value: object, most: int) -> int:
    text = _read_text(value, "a size such as 64KiB")
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 65536, 64KiB or 1MiB, found {text[:80]!r}")
    size = int(match[1]) * _SIZES[match[2] or ""]
    if size > most:
        raise ValueError(f"expected at most {show_bytes(most)}, found {text[:80]!r}")
    return size


def show_bytes(size: int) -> str:
    """Return a size as a file would have it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return str(size)


def _read_size(value: object, _: object) -> int:
    return _read_bytes(value, 16 * 1024**2)


def _read_large_size(value: object, _: object) -> int:
    return _read_bytes(value, 1024**4)


def _read_file_size(value: object, _: object) -> int:
    size = _read_bytes(value, 1024**4)
    if size < 65536:
        raise ValueError(f"expected at least 64KiB, found {show_bytes(size)}")
    return size


def _read_number(value: object, least: int, most: int) -> int:
    expected = f"a number from {least} to {most}"
    text = _read_text(value, expected).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValueError(f"expected {expected}, found {text[:80]!r}")
    return int(text)


def _read_count(value: object, _: object) -> int:
    return _read_number(value, 1, 200)


def _read_times(value: object, _: object) -> int:
    return _read_number(value, 0, 1000)


def _read_amount(value: object, _: object) -> int:
    return _read_number(value, 16, 1048576)


def _read_event_limit(value: object, _: object) -> int:
    return _read_number(value, 1, 1000)


def _read_series_limit(value: object, _: object) -> int:
    return _read_number(value, 100, 10000)


def _read_penalty(value: object, _: object) -> int:
    return _read_number(value, 1, 1_000_000)


def _read_own_protocol(value: object, _: object) -> int:
    number = _read_number(value, 64, 255)
    if number in PROTOCOLS.values():
        raise ValueError(f"{number} is what {PROTOCOL_NAMES[number]} marks its routes with")
    return number


def _read_base(value: object, _: object) -> int:
    number = _read_number(value, 2000, 31000)
    if number % 1000:
        raise ValueError(f"expected a multiple of 1000, found {number}")
    return number


def _read_fixed_priority(value: object, _: object) -> int:
    return _read_number(value, 1, 32765)


def _read_mark(value: object, _: object) -> int:
    expected = "a number from 0 to 4294967295, decimal or as 0xff00"
    text = _read_text(value, expected).strip()
    match = _MARK.match(text)
    number = int(text, 0 if text[1:2] in {"x", "X"} else 10) if match else -1
    if not 0 <= number < 1 << 32:
        raise ValueError(f"expected {expected}, found {text[:80]!r}")
    return number


def _read_mark_and_mask(value: object, kind: object) -> tuple[int, int]:
    text = _read_text(value, "a firewall mark such as 0x10 or 0x10/0xff")
    mark, _, mask = text.partition("/")
    found = (_read_mark(mark, kind), _read_mark(mask or "0xffffffff", kind))
    if found[0] & ~found[1]:
        raise ValueError(f"the mark has bits that its mask has not: {text[:80]!r}")
    return found


def _read_prefix(value: object, _: object) -> str:
    text = _read_text(value, "an address, a prefix or any").strip()
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


def _read_table_name(value: object, _: object) -> int:
    text = _read_text(value, "a routing table by name or number").strip()
    number = read_table(text)
    if number == ALL_TABLES:
        raise ValueError("a rule looks one table up; all is none")
    return number


def _read_families(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "ipv4, ipv6 or both")
    if not words:
        raise ValueError("expected ipv4, ipv6 or both, found none")
    return tuple(dict.fromkeys(_read_choice(word, schema.Family) for word in words))


def _read_mutex(value: object, _: object) -> str:
    text = _read_text(value, "a name of letters, digits, dots, hyphens and underscores")
    if not _MUTEX.match(text):
        raise ValueError(
            "expected a name of at most 64 letters, digits, dots, hyphens and underscores,"
            f" found {text[:80]!r}"
        )
    return text


def _read_words(value: object, what: str) -> list[str]:
    if isinstance(value, list):
        return [_read_text(word, what) for word in value]
    return _read_text(value, what).split()


def _read_patterns(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "interface names or globs")
    for word in words:
        _check_name(word.removeprefix("!"), "an interface name or glob")
    return tuple(words)


def _check_name(word: str, expected: str) -> None:
    if not word or any(character.isspace() or character == "/" for character in word):
        raise ValueError(f"expected {expected}, found {word[:80]!r}")


def _read_pattern(value: object, _: object) -> str:
    text = _read_text(value, "an interface name or glob such as eth*")
    if text.startswith("!"):
        raise ValueError("a glob that excludes is understood in network.links alone")
    _check_name(text, "one interface name or glob such as eth*")
    return text


def _read_interface(value: object, _: object) -> str:
    text = _read_text(value, "an interface name")
    _check_name(text, "one interface name")
    if _GLOB.search(text):
        raise ValueError(f"expected a name, found a glob; write interface_pattern: {text!r}")
    return text


def _read_kind(value: object, _: object) -> str:
    text = _read_text(value, "the kind of a link such as veth")
    if text and not _KIND.match(text):
        raise ValueError(f"expected the kind of a link such as veth or bridge, found {text[:80]!r}")
    return text


def _read_event_types(value: object, _: object) -> tuple[str, ...]:
    """Read words and globs; one that no event type is like is a mistake."""
    words = _read_words(value, "event types such as routable or address-*")
    known = [each.value for each in EventType]
    for word in words:
        if any(fnmatchcase(each, word) for each in known):
            continue
        if _GLOB.search(word):
            raise ValueError(f"no event type is like {word[:80]!r}; there are {', '.join(known)}")
        close = difflib.get_close_matches(word, known, 1, 0.6)
        advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"{word[:80]!r} is no event type; {advice}")
    if not words:
        raise ValueError("expected an event type or glob, found none")
    return tuple(words)


def _read_expression(value: object, _: object) -> str:
    """Read the text of a condition; what it says is checked by `condition`."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f'expected a CEL expression such as "mtu > 1500", found {show(value)}')
    if len(value) > schema.EXPRESSION_LIMIT:
        most = schema.EXPRESSION_LIMIT
        raise ValueError(f"expected at most {most} characters, found {len(value)}")
    return value


def _read_numbered(
    value: object, what: str, names: Collection[str], read: Callable[[str], int]
) -> tuple[str, ...]:
    """Return words that `read` has a number for; the kernel's filter takes 64 of them."""
    words = _read_words(value, f"{what} by name or number")
    for word in words:
        try:
            read(word)
        except ValueError as error:
            close = difflib.get_close_matches(word, names, 1)
            raise ValueError(f"{error}{f'; did you mean {close[0]}?' if close else ''}") from None
    if len(words) > 64:
        raise ValueError(f"expected at most 64 {what}, found {len(words)}")
    return tuple(words)


def _read_tables(value: object, _: object) -> tuple[str, ...]:
    return _read_numbered(value, "routing tables", ("all", *TABLE_NAMES.values()), read_table)


def _read_protocols(value: object, _: object) -> tuple[str, ...]:
    return _read_numbered(value, "route protocols", PROTOCOLS, read_protocol)


def _read_path(value: object, _: object) -> str:
    text = _read_text(value, "an absolute path")
    if not text.startswith("/") or len(text) > 1024:
        raise ValueError(f"expected an absolute path such as /etc/netevd, found {text[:80]!r}")
    return re.sub("^//+", "/", os.path.normpath(text))


def _read_socket_path(value: object, kind: object) -> str:
    path = _read_path(value, kind)
    if len(os.fsencode(path)) > 107:
        raise ValueError(f"expected at most 107 octets, found {len(os.fsencode(path))}")
    return path


def _read_addresses(value: object, _: object) -> tuple[str, ...]:
    """Read addresses; names are none, since nobody may be there yet who resolves them."""
    words = _read_words(value, "IP addresses such as 127.0.0.1")
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


def _read_port(value: object, _: object) -> int:
    return _read_number(value, 1, 65535)


def _read_hosts(value: object, _: object) -> tuple[str, ...]:
    words = [word.lower() for word in _read_words(value, "host names")]
    for word in words:
        if not _HOST.match(word):
            raise ValueError(
                f"expected host names such as node1.example.org or *.example.org, found {word[:80]!r}"
            )
    return tuple(dict.fromkeys(words))


def _read_url_paths(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "paths of URLs such as /health")
    for word in words:
        if not _URL_PATH.match(word):
            raise ValueError(f"expected paths of URLs such as /health, found {word[:80]!r}")
    return tuple(dict.fromkeys(word.rstrip("/") for word in words))


def _read_hash(value: object, _: object) -> str:
    text = _read_text(value, "sha256: and 64 hexadecimal digits")
    if not _HASH.match(text):
        raise ValueError(
            "expected sha256: and 64 hexadecimal digits, as `netevd token create` prints it"
        )  # what was found may be the secret itself
    return text


def _read_url(value: object, _: object) -> str:
    """Read where to post to; a message never shows what may be a secret: user, password, path."""
    expected = "an address such as https://hooks.example.com/netevd"
    text = _read_text(value, expected)
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


def _read_user(value: object, _: object) -> str:
    text = _read_text(value, "the name of a system user")
    if not _USER.match(text):
        raise ValueError(f"expected the name of a system user, found {text[:80]!r}")
    return text


def _read_public_key(value: object, _: object) -> str:
    text = _read_text(value, "a public key").strip()
    if not PUBLIC_KEY.match(text):
        raise ValueError(
            f"expected a public key of 44 characters as `wg show` prints it, found {text[:80]!r}"
        )
    return text


def _read_tunnel_table(value: object, kind: object) -> str:
    return "auto" if value == "auto" else str(_read_table_name(value, kind))


def _read_tunnel_mark(value: object, kind: object) -> str:
    mark = 0 if value == "auto" else _read_mark(value, kind)
    return f"{mark:#x}" if mark else "auto"


def _read_interval(value: object, kind: object) -> float:
    seconds = 0.0 if value == "off" else _read_wait(value, kind)
    if 0 < seconds < 1:
        raise ValueError(f"expected off or at least 1s, found {str(value)[:80]!r}")
    return seconds


def read_host_port(value: object, _: object) -> str:
    """Read a host name and a port; an address is what nobody has to look up."""
    text = _read_text(value, "a host name and a port").strip().lower()
    host, _colon, port = text.rpartition(":")
    if not _HOST.match(host) or host.startswith("*") or _NUMERIC.search(host) or len(host) > 253:
        raise ValueError(
            f"expected a host name and a port such as vpn.example.org:51820, found {text[:80]!r}"
        )
    return f"{host}:{_read_number(port, 1, 65535)}"


def _read_globs(value: object, _: object) -> tuple[str, ...]:
    words = _read_words(value, "absolute paths such as /etc/wireguard/*.conf")
    for word in words:
        if not word.startswith("/") or len(word) > 1024:
            raise ValueError(
                f"expected absolute paths such as /etc/wireguard/*.conf, found {word[:80]!r}"
            )
    return tuple(dict.fromkeys(words))


def _read_metric(value: object, _: object) -> int:
    return _read_number(value, 0, 0xFFFFFFFF)


def _read_peer_name(value: object, _: object) -> str:
    text = _read_text(value, "a name")
    if not PEER_NAME.match(text):
        raise ValueError(
            "expected a name of letters, digits, blanks, dots, hyphens and underscores, at most 64,"
            f" found {text[:80]!r}"
        )
    return text


def _read_choice(value: object, kind: Any) -> str:
    words = get_args(kind)
    text = _read_text(value, f"one of {', '.join(words)}")
    if text not in words:
        close = difflib.get_close_matches(text, words, 1)
        advice = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected one of {', '.join(words)}, found {text[:80]!r}{advice}")
    return text


def _read_backends(value: object, _: object) -> tuple[str, ...]:
    return tuple(_read_choice(word, schema.Backend) for word in _read_words(value, "a backend"))


def _read_capabilities(value: object, _: object) -> tuple[str, ...]:
    known = get_args(schema.Capability)
    words = _read_words(value, "names of capabilities such as CAP_NET_ADMIN")
    for word in words:
        if word not in known:
            close = difflib.get_close_matches(word.upper(), known, 1, 0.6)
            advice = f"did you mean {close[0]}?" if close else "see capabilities(7)"
            raise ValueError(
                f"expected capabilities such as CAP_NET_ADMIN, found {word[:80]!r}; {advice}"
            )
    return tuple(dict.fromkeys(words))


def _read_fingerprint(value: object, _: object) -> str:
    text = _read_text(value, "a fingerprint such as SHA256:...").strip()
    if _FINGERPRINT.match(text):
        return text
    expected = "expected SHA256: and 43 characters, as `ssh-keygen -l -f KEY.pub` prints it"
    if re.fullmatch("(0x)?([0-9A-Fa-f]{4} ?){10}|[0-9A-Fa-f]{64}", text):
        raise ValueError(
            f"{expected}, found what looks like an OpenPGP fingerprint: scripts are signed with keys"
            " of OpenSSH (Ed25519, ECDSA, RSA), see `netevd sign`"
        )
    raise ValueError(f"{expected}, found {text[:80]!r}")


READERS: Final[dict[object, Callable[[object, object], object]]] = {
    schema.Duration: _read_duration,
    schema.Wait: _read_wait,
    schema.EventLimit: _read_event_limit,
    schema.Penalty: _read_penalty,
    schema.SeriesLimit: _read_series_limit,
    schema.Size: _read_size,
    schema.FileSize: _read_file_size,
    schema.Count: _read_count,
    schema.Times: _read_times,
    schema.Amount: _read_amount,
    schema.Bytes: _read_large_size,
    schema.Patterns: _read_patterns,
    schema.Tables: _read_tables,
    schema.Protocols: _read_protocols,
    schema.LeaseFiles: _read_lease_files,
    schema.AbsolutePath: _read_path,
    schema.Url: _read_url,
    schema.UserName: _read_user,
    schema.MutexName: _read_mutex,
    schema.TokenName: _read_mutex,
    schema.TokenHash: _read_hash,
    schema.Fingerprint: _read_fingerprint,
    schema.SocketPath: _read_socket_path,
    schema.Addresses: _read_addresses,
    schema.PortNumber: _read_port,
    schema.HostNames: _read_hosts,
    schema.UrlPaths: _read_url_paths,
    schema.RoleName: _read_choice,
    tuple[schema.Capability, ...]: _read_capabilities,
    tuple[schema.Backend, ...]: _read_backends,
    schema.Pattern: _read_pattern,
    schema.InterfaceName: _read_interface,
    schema.KindName: _read_kind,
    schema.EventTypes: _read_event_types,
    schema.Expression: _read_expression,
    schema.PublicKey: _read_public_key,
    schema.PeerName: _read_peer_name,
    schema.Expectation: _read_choice,
    schema.Source: _read_choice,
    schema.Family: _read_choice,
    schema.FilterAction: _read_choice,
    schema.OwnProtocol: _read_own_protocol,
    schema.Base: _read_base,
    schema.Mark: _read_mark,
    schema.MarkAndMask: _read_mark_and_mask,
    schema.Prefix: _read_prefix,
    schema.TableName: _read_table_name,
    schema.TunnelTable: _read_tunnel_table,
    schema.TunnelMark: _read_tunnel_mark,
    schema.Metric: _read_metric,
    schema.HostPort: read_host_port,
    schema.Interval: _read_interval,
    schema.Globs: _read_globs,
    schema.RoutesMode: _read_choice,
    schema.FixedPriority: _read_fixed_priority,
    tuple[schema.Family, ...]: _read_families,
    schema.Primary: _read_choice,
    schema.Sources: _read_choice,
    schema.ReturnPath: _read_choice,
    schema.OnExit: _read_choice,
    schema.Contested: _read_choice,
    schema.SandboxMode: _read_choice,
    schema.Level: _read_choice,
    schema.Format: _read_choice,
    schema.Obsolete: _read_choice,
}
"""The reader of each type: called with what stands in the file, and the type."""
