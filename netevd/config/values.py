"""
Words of a file as values: one function for each type of the schema.

Each raises TypeError or ValueError that says what was expected and what was found; where it stands
is for `load` to say.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import Final

from netevd.config import kinds
from netevd.config.words.addresses import (
    read_addresses,
    read_host_port,
    read_hosts,
    read_port,
    read_prefix,
    read_url,
    read_url_paths,
)
from netevd.config.words.numbers import (
    read_amount,
    read_base,
    read_count,
    read_duration,
    read_event_limit,
    read_file_size,
    read_fixed_priority,
    read_interval,
    read_large_size,
    read_mark,
    read_mark_and_mask,
    read_metric,
    read_own_protocol,
    read_penalty,
    read_series_limit,
    read_size,
    read_times,
    read_wait,
)
from netevd.config.words.text import (
    GLOB,
    check_name,
    read_capabilities,
    read_choice,
    read_expression,
    read_fingerprint,
    read_globs,
    read_hash,
    read_lease_files,
    read_mutex,
    read_path,
    read_socket_path,
    read_text,
    read_user,
    read_words,
)
from netevd.model.event import EventType
from netevd.model.route import (
    ALL_TABLES,
    PROTOCOLS,
    TABLE_NAMES,
    read_protocol,
    read_table,
)

_KIND = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")
"""32 octets leave the last character two bits that are 0. Source: RFC 4648 section 4."""
PEER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")


def _read_table_name(value: object, _: object) -> int:
    text = read_text(value, "a routing table by name or number").strip()
    number = read_table(text)
    if number == ALL_TABLES:
        raise ValueError("a rule looks one table up; all is none")
    return number


def _read_families(value: object, _: object) -> tuple[str, ...]:
    words = read_words(value, "ipv4, ipv6 or both")
    if not words:
        raise ValueError("expected ipv4, ipv6 or both, found none")
    return tuple(dict.fromkeys(read_choice(word, kinds.Family) for word in words))


def _read_patterns(value: object, _: object) -> tuple[str, ...]:
    words = read_words(value, "interface names or globs")
    for word in words:
        check_name(word.removeprefix("!"), "an interface name or glob")
    return tuple(words)


def _read_pattern(value: object, _: object) -> str:
    text = read_text(value, "an interface name or glob such as eth*")
    if text.startswith("!"):
        raise ValueError("a glob that excludes is understood in network.links alone")
    check_name(text, "one interface name or glob such as eth*")
    return text


def _read_interface(value: object, _: object) -> str:
    text = read_text(value, "an interface name")
    check_name(text, "one interface name")
    if GLOB.search(text):
        raise ValueError(f"expected a name, found a glob; write interface_pattern: {text!r}")
    return text


def _read_kind(value: object, _: object) -> str:
    text = read_text(value, "the kind of a link such as veth")
    if text and not _KIND.match(text):
        raise ValueError(f"expected the kind of a link such as veth or bridge, found {text[:80]!r}")
    return text


def _read_event_types(value: object, _: object) -> tuple[str, ...]:
    """Read words and globs; one that no event type is like is a mistake."""
    words = read_words(value, "event types such as routable or address-*")
    known = [each.value for each in EventType]
    for word in words:
        if any(fnmatchcase(each, word) for each in known):
            continue
        if GLOB.search(word):
            raise ValueError(f"no event type is like {word[:80]!r}; there are {', '.join(known)}")
        close = difflib.get_close_matches(word, known, 1, 0.6)
        advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"{word[:80]!r} is no event type; {advice}")
    if not words:
        raise ValueError("expected an event type or glob, found none")
    return tuple(words)


def _read_numbered(
    value: object, what: str, names: Collection[str], read: Callable[[str], int]
) -> tuple[str, ...]:
    """Return words that `read` has a number for; the kernel's filter takes 64 of them."""
    words = read_words(value, f"{what} by name or number")
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


def _read_public_key(value: object, _: object) -> str:
    text = read_text(value, "a public key").strip()
    if not PUBLIC_KEY.match(text):
        raise ValueError(
            f"expected a public key of 44 characters as `wg show` prints it, found {text[:80]!r}"
        )
    return text


def _read_tunnel_table(value: object, kind: object) -> str:
    return "auto" if value == "auto" else str(_read_table_name(value, kind))


def _read_tunnel_mark(value: object, kind: object) -> str:
    mark = 0 if value == "auto" else read_mark(value, kind)
    return f"{mark:#x}" if mark else "auto"


def _read_peer_name(value: object, _: object) -> str:
    text = read_text(value, "a name")
    if not PEER_NAME.match(text):
        raise ValueError(
            "expected a name of letters, digits, blanks, dots, hyphens and underscores, at most 64,"
            f" found {text[:80]!r}"
        )
    return text


def _read_backends(value: object, _: object) -> tuple[str, ...]:
    return tuple(read_choice(word, kinds.Backend) for word in read_words(value, "a backend"))


READERS: Final[dict[object, Callable[[object, object], object]]] = {
    kinds.Duration: read_duration,
    kinds.Wait: read_wait,
    kinds.EventLimit: read_event_limit,
    kinds.Penalty: read_penalty,
    kinds.SeriesLimit: read_series_limit,
    kinds.Size: read_size,
    kinds.FileSize: read_file_size,
    kinds.Count: read_count,
    kinds.Times: read_times,
    kinds.Amount: read_amount,
    kinds.Bytes: read_large_size,
    kinds.Patterns: _read_patterns,
    kinds.Tables: _read_tables,
    kinds.Protocols: _read_protocols,
    kinds.LeaseFiles: read_lease_files,
    kinds.AbsolutePath: read_path,
    kinds.Url: read_url,
    kinds.UserName: read_user,
    kinds.MutexName: read_mutex,
    kinds.TokenName: read_mutex,
    kinds.TokenHash: read_hash,
    kinds.Fingerprint: read_fingerprint,
    kinds.SocketPath: read_socket_path,
    kinds.Addresses: read_addresses,
    kinds.PortNumber: read_port,
    kinds.HostNames: read_hosts,
    kinds.UrlPaths: read_url_paths,
    kinds.RoleName: read_choice,
    tuple[kinds.Capability, ...]: read_capabilities,
    tuple[kinds.Backend, ...]: _read_backends,
    kinds.Pattern: _read_pattern,
    kinds.InterfaceName: _read_interface,
    kinds.KindName: _read_kind,
    kinds.EventTypes: _read_event_types,
    kinds.Expression: read_expression,
    kinds.PublicKey: _read_public_key,
    kinds.PeerName: _read_peer_name,
    kinds.Expectation: read_choice,
    kinds.Source: read_choice,
    kinds.Family: read_choice,
    kinds.FilterAction: read_choice,
    kinds.OwnProtocol: read_own_protocol,
    kinds.Base: read_base,
    kinds.Mark: read_mark,
    kinds.MarkAndMask: read_mark_and_mask,
    kinds.Prefix: read_prefix,
    kinds.TableName: _read_table_name,
    kinds.TunnelTable: _read_tunnel_table,
    kinds.TunnelMark: _read_tunnel_mark,
    kinds.Metric: read_metric,
    kinds.HostPort: read_host_port,
    kinds.Interval: read_interval,
    kinds.Globs: read_globs,
    kinds.RoutesMode: read_choice,
    kinds.FixedPriority: read_fixed_priority,
    tuple[kinds.Family, ...]: _read_families,
    kinds.Primary: read_choice,
    kinds.Sources: read_choice,
    kinds.ReturnPath: read_choice,
    kinds.OnExit: read_choice,
    kinds.Contested: read_choice,
    kinds.SandboxMode: read_choice,
    kinds.Level: read_choice,
    kinds.Format: read_choice,
    kinds.Obsolete: read_choice,
}
"""The reader of each type: called with what stands in the file, and the type."""
