"""
What a lease file of ISC dhclient says: `lease { ... }` for IPv4, `lease6 { ia-na ... }` for IPv6.

Pure: octets in, records and faults out; never raises. A lease counts only when it is whole, so what
a file says while it is being written was in it, or will be. The grammar is `leasetree`'s; what
follows from a record, and when, is decided in `leases`. Source: dhclient.leases(5).

netevd's hook for dhcpcd writes the same form, with `client "dhcpcd";` and, for a lease that was given
back, `released;` for IPv4 too: packaging/dhcpcd.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

from attrs import frozen

from netevd.backends.leasetree import Fault, Positions, Statement, Word, read_tree
from netevd.model.backend import BackendName, Lease, is_name

OPTION_LIMIT: Final = 100
"""Options of a lease that are kept."""
OPTIONS_SIZE: Final = 8192
"""Characters of their names and values together at most; what comes later is left out."""
NAMES_LIMIT: Final = 32
"""Servers and domains of a lease of each kind that are kept."""

_INFINITY: Final = 0xFFFFFFFF
"""Source: RFC 8415 section 7.7."""
_CLIENTS: Final[dict[bytes, BackendName]] = {b"dhclient": "dhclient", b"dhcpcd": "dhcpcd"}
_IFNAME = re.compile(rb"[!-.0-~]{1,15}\Z")
_DATE = re.compile(rb"(\d{4,5})/(\d{1,2})/(\d{1,2})\Z")
_CLOCK = re.compile(rb"(\d{1,2}):(\d{1,2}):(\d{1,2})\Z")
_NUMBER = re.compile(rb"\d{1,10}\Z")
_OPTION_NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{0,63}\Z", re.IGNORECASE)
_PREFIX = re.compile(rb"([0-9a-fA-F:.]{2,45})/(\d{1,3})\Z")

Ends: TypeAlias = int | None
"""Wall clock in nanoseconds since 1970; None: never."""


@frozen(slots=True)
class Record:
    """One lease as it stands in a file."""

    interface: str
    lease: Lease
    ends_ns: Ends
    """When it is over, unless it is renewed."""
    written_ns: int
    """When it was written, as far as its own times tell; 0 where they don't."""
    released: bool
    """The file says in a word that it was given back. For IPv4 dhclient has no such word: it lets all
    times of the lease be now."""
    line: int
    """Where it begins."""

    @property
    def key(self) -> tuple[BackendName, str, str]:
        """Client, interface and family: of each the last record counts."""
        return self.lease.backend, self.interface, self.lease.family


@frozen(slots=True)
class Parsed:
    """What a file says."""

    records: tuple[Record, ...] = ()
    """In the order of the file."""
    faults: tuple[Fault, ...] = ()
    """What is not understood, and passed over."""
    unfinished: Fault | None = None
    """Where something begins whose end is not there."""
    duid: bytes = b""
    """The client's DUID, b"" where the file has none."""


class _Wrong(Exception):
    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.offset = offset
        self.text = text


def parse(content: bytes) -> Parsed:
    """Return what these octets of a lease file say."""
    positions = Positions(content)
    tree = read_tree(content, positions)
    records: list[Record] = []
    faults = list(tree.faults)
    duid = b""
    for statement in tree.statements:
        try:
            match statement.head:
                case b"lease" | b"lease6":
                    line, _ = positions.find(statement.offset)
                    record = _read_lease(statement, line)
                    records += [] if record is None else [record]
                case b"default-duid":
                    duid = _read_text(statement)
                case b"alias" | b"option" | b"authoring-byte-order":
                    pass  # what dhclient.conf(5) may have here too, and no lease
                case head:
                    found = head.decode("ascii", "replace") or "a string"
                    wanted = "expected lease or lease6"
                    raise _Wrong(statement.offset, f"{wanted}, found {found[:40]}")
        except _Wrong as wrong:
            faults.append(Fault(*positions.find(wrong.offset), wrong.text))
    kept = sorted(faults, key=lambda each: (each.line, each.column))[:20]
    return Parsed(tuple(records), tuple(kept), tree.unfinished, duid)


def _read_lease(statement: Statement, line: int) -> Record | None:
    """Return the record of a lease, None for one without an address: a prefix, or options alone."""
    if statement.block is None or len(statement.words) > 1:
        head = statement.head.decode()
        expected = f"expected {{ after {head}; leases of a DHCP server are no client's"
        raise _Wrong(statement.offset, expected)
    by_head: dict[bytes, Statement] = {}
    options: dict[bytes, tuple[Word, ...]] = {}
    for each in statement.block:
        if each.head == b"option":
            _keep_option(each, options)
        else:
            by_head[each.head] = each
    if b"interface" not in by_head:
        raise _Wrong(statement.offset, "a lease without interface")
    interface = _read_text(by_head[b"interface"])
    if not _IFNAME.match(interface):
        raise _Wrong(by_head[b"interface"].offset, "expected the name of an interface in quotes")
    client: BackendName = "dhclient"
    if b"client" in by_head:
        client = _CLIENTS.get(_read_text(by_head[b"client"]), client)
    read = _read_lease4 if statement.head == b"lease" else _read_lease6
    return read(_Block(statement, by_head, options, interface.decode(), client, line))


@frozen(slots=True)
class _Block:
    """The statements of one lease."""

    statement: Statement
    by_head: dict[bytes, Statement]
    options: dict[bytes, tuple[Word, ...]]
    interface: str
    client: BackendName
    line: int


def _read_lease4(block: _Block) -> Record:
    by_head, options = block.by_head, block.options
    for each in (b"fixed-address", b"expire"):
        if each not in by_head:
            raise _Wrong(block.statement.offset, f"a lease without {each.decode()}")
    address = _read_address(by_head[b"fixed-address"], 4)
    renew, rebind, expire = (_read_date(by_head.get(each)) for each in _TIMES)
    told = _read_option_number(options.get(b"dhcp-lease-time")) or 0
    if not told and renew is not None and expire is not None and renew < expire:
        told = 2 * (expire - renew)  # RFC 2131 section 4.4.5: half of it is over at renewal
    obtained = expire - told if told and expire is not None else None
    # dhclient writes a lease that it gives back once more, and lets all its times be now
    is_end = expire is not None and renew == rebind == expire
    lasts = expire is None or (told >= _INFINITY and not is_end)
    gateways = _read_default_routes(options.get(b"rfc3442-classless-static-routes"))
    if gateways is None:
        gateways = _list_addresses(options.get(b"routers"), 4)
    lease = Lease(
        backend=block.client,
        family="ipv4",
        address=address,
        prefix=_read_mask(options.get(b"subnet-mask")),
        gateways=gateways,
        dns=_list_addresses(options.get(b"domain-name-servers"), 4),
        domains=_list_names(options, b"domain-name", b"domain-search"),
        hostname=_find_hostname(options),
        server=next(iter(_list_addresses(options.get(b"dhcp-server-identifier"), 4)), ""),
        lifetime_s=0 if lasts else told,
        obtained_ns=None if obtained is None else obtained * 10**9,
        options=_list_options(options, _list_extras(by_head)),
        rebind_s=0 if rebind is None or obtained is None else max(rebind - obtained, 0),
    )
    written = (expire if is_end else obtained) or 0
    ends = None if lasts or expire is None else expire * 10**9
    released = b"released" in by_head
    return Record(block.interface, lease, ends, written * 10**9, released, block.line)


def _read_lease6(block: _Block) -> Record | None:
    held = list(_list_held(block))
    addresses = [each for each in held if not each.is_prefix]
    if not addresses:
        return None
    first = addresses[0]
    prefixes = " ".join(each.text for each in held if each.is_prefix)
    others = " ".join(each.text for each in addresses[1:])
    extras = {"ip6_prefix": prefixes, "ip6_addresses_more": others}
    options = block.options
    # the lease is over with its last address
    lifetimes = [each.lifetime for each in addresses]
    lifetime = 0 if 0 in lifetimes else max(lifetimes)
    lease = Lease(
        backend=block.client,
        family="ipv6",
        address=first.text,
        prefix=128,
        dns=_list_addresses(options.get(b"dhcp6.name-servers"), 6),
        domains=_list_names(options, b"dhcp6.domain-search"),
        lifetime_s=lifetime,
        obtained_ns=first.starts * 10**9 if first.starts else None,
        options=_list_options(options, {name: text for name, text in extras.items() if text}),
        rebind_s=first.rebind,
    )
    ends = (first.starts + lifetime) * 10**9 if first.starts and lifetime else None
    released = b"released" in block.by_head
    return Record(block.interface, lease, ends, first.starts * 10**9, released, block.line)


@frozen(slots=True)
class _Held:
    """One address or prefix of a lease6."""

    text: str
    is_prefix: bool
    starts: int
    lifetime: int
    """Seconds, 0 for ever."""
    rebind: int
    """Seconds from its start until any server is asked, 0 for not told."""


def _list_held(block: _Block) -> Iterator[_Held]:
    """Yield addresses, those for a time (ia-na) first, then temporary ones, then prefixes."""
    for kind in (b"ia-na", b"ia-ta", b"ia-pd"):
        for association in block.statement.block or ():
            if association.head != kind:
                continue
            inner = {each.head: each for each in association.block or ()}
            rebind = _read_number(inner.get(b"rebind")) or 0
            for each in association.block or ():
                if each.head in {b"iaaddr", b"iaprefix"}:
                    held = _read_held(each, rebind)
                    if held is not None:
                        yield held


def _read_held(statement: Statement, rebind: int) -> _Held | None:
    """Return an address or prefix, None for one that a server has taken back by a lifetime of 0."""
    inner = {each.head: each for each in statement.block or ()}
    is_prefix = statement.head == b"iaprefix"
    text = _read_prefix(statement) if is_prefix else _read_address(statement, 6)
    starts = _read_number(inner.get(b"starts")) or 0
    lifetime = _read_number(inner.get(b"max-life"))
    if lifetime == 0:
        return None
    lasting = lifetime is None or lifetime >= _INFINITY
    return _Held(text, is_prefix, starts, 0 if lasting else lifetime or 0, rebind)


# --- values --------------------------------------------------------------------------------------

_TIMES: Final = (b"renew", b"rebind", b"expire")


def _read_text(statement: Statement) -> bytes:
    if len(statement.words) != 2 or not statement.words[1].quoted or statement.block is not None:
        head = statement.head.decode("ascii", "replace")[:40]
        raise _Wrong(statement.offset, f"expected one string after {head}")
    return statement.words[1].value


def _read_address(statement: Statement, family: Literal[4, 6]) -> str:
    words = statement.words[1:]
    found = _parse_address(words[0].value, family) if len(words) == 1 else None
    if found is None:
        head = statement.head.decode("ascii", "replace")[:40]
        raise _Wrong(statement.offset, f"expected an IPv{family} address after {head}")
    return found


def _parse_address(value: bytes, family: Literal[4, 6]) -> str | None:
    text = value.decode("ascii", "replace").partition("%")[0]
    if len(text) > 45:
        return None
    try:
        return str(IPv4Address(text) if family == 4 else IPv6Address(text))
    except ValueError:
        return None


def _read_prefix(statement: Statement) -> str:
    match = _PREFIX.match(statement.words[1].value) if len(statement.words) == 2 else None
    address = None if match is None else _parse_address(match[1], 6)
    if match is None or address is None or int(match[2]) > 128:
        raise _Wrong(statement.offset, "expected an IPv6 prefix after iaprefix")
    return f"{address}/{int(match[2])}"


def _read_number(statement: Statement | None) -> int | None:
    if statement is None:
        return None
    words = statement.words[1:]
    if len(words) != 1 or not _NUMBER.match(words[0].value):
        head = statement.head.decode("ascii", "replace")[:40]
        raise _Wrong(statement.offset, f"expected a number after {head}")
    return int(words[0].value)


def _read_date(statement: Statement | None) -> int | None:
    """Return seconds since 1970, None for never. Source: dhclient.leases(5), db-time-format."""
    if statement is None:
        return None
    words = [each.value for each in statement.words[1:]]
    if words == [b"never"]:
        return None
    if len(words) == 2 and words[0] == b"epoch" and _NUMBER.match(words[1]):
        return int(words[1])
    if len(words) == 3 and _NUMBER.match(words[0]):
        date, clock = _DATE.match(words[1]), _CLOCK.match(words[2])
        if date and clock and (found := _count_seconds(date, clock)) is not None:
            return found
    expected = "expected never, epoch and seconds, or weekday, date and time in UTC"
    raise _Wrong(statement.offset, f"{expected} after {statement.head.decode()}")


def _count_seconds(date: re.Match[bytes], clock: re.Match[bytes]) -> int | None:
    year, month, day = map(int, date.groups())
    hour, minute, second = map(int, clock.groups())
    if not (year >= 1970 and 1 <= month <= 12 and hour < 24 and minute < 60 and second <= 60):
        return None
    if not 1 <= day <= 29 + (month != 2) + (month in {1, 3, 5, 7, 8, 10, 12}):
        return None
    found = calendar.timegm((min(year, 9999), month, day, hour, minute, second))
    same = time.gmtime(found)
    return found if second == 60 or (same.tm_mon, same.tm_mday) == (month, day) else None


# --- options -------------------------------------------------------------------------------------


def _keep_option(statement: Statement, options: dict[bytes, tuple[Word, ...]]) -> None:
    words = statement.words
    if len(words) < 2 or words[1].quoted or not _OPTION_NAME.match(words[1].value):
        raise _Wrong(statement.offset, "expected the name of an option after option")
    if len(options) < OPTION_LIMIT:
        options[words[1].value.lower()] = words[2:]


def _split(words: tuple[Word, ...] | None) -> list[list[Word]]:
    """Return the values that commas divide."""
    values: list[list[Word]] = [[]]
    for word in words or ():
        if word.value == b"," and not word.quoted:
            values.append([])
        else:
            values[-1].append(word)
    return [each for each in values if each]


def _list_addresses(words: tuple[Word, ...] | None, family: Literal[4, 6]) -> tuple[str, ...]:
    """Return those of an option's values that are addresses."""
    found = [_parse_address(value[0].value, family) for value in _split(words) if len(value) == 1]
    return tuple(dict.fromkeys(each for each in found if each is not None))[:NAMES_LIMIT]


def _list_names(options: dict[bytes, tuple[Word, ...]], *names: bytes) -> tuple[str, ...]:
    """Return those of some options' values that are names, without the dot at their end."""
    found: list[str] = []
    for name in names:
        for value in _split(options.get(name)):
            for word in value:
                # some servers send a list where one name is meant
                for part in word.value.decode("latin-1").split(" "):
                    text = part.removesuffix(".")
                    found += [text] if is_name(text) else []
    return tuple(dict.fromkeys(found))[:NAMES_LIMIT]


def _find_hostname(options: dict[bytes, tuple[Word, ...]]) -> str:
    return next(iter(_list_names(options, b"host-name", b"fqdn.hostname")), "")


def _read_option_number(words: tuple[Word, ...] | None) -> int | None:
    if words is None or len(words) != 1 or not _NUMBER.match(words[0].value):
        return None
    return int(words[0].value)


def _read_mask(words: tuple[Word, ...] | None) -> int:
    """Return the length of a netmask; 32 where there is none or it has holes."""
    masks = _list_addresses(words, 4)
    bits = int(ip_address(masks[0])) if masks else 0xFFFFFFFF
    inverse = bits ^ 0xFFFFFFFF
    return 32 if inverse & (inverse + 1) else 32 - inverse.bit_length()


def _read_default_routes(words: tuple[Word, ...] | None) -> tuple[str, ...] | None:
    """
    Return the gateways of default routes among classless static routes; None where there are none at
    all: only then the option `routers` counts. Source: RFC 3442.
    """
    numbers = [value[0].value for value in _split(words) if len(value) == 1]
    if not numbers or not all(_NUMBER.match(each) and int(each) < 256 for each in numbers):
        return None
    octets = bytes(map(int, numbers))
    found: list[str] = []
    while octets:
        length = octets[0]
        end = 1 + (length + 7) // 8
        if length > 32 or len(octets) < end + 4:
            return None
        if not length:
            found.append(str(IPv4Address(octets[end : end + 4])))
        octets = octets[end + 4 :]
    return tuple(dict.fromkeys(found))[:NAMES_LIMIT]


def _list_extras(by_head: dict[bytes, Statement]) -> dict[str, str]:
    """Return what a lease says beside its options, by the names that dhclient has for its hooks."""
    found: dict[str, str] = {}
    for head, name in ((b"filename", "filename"), (b"server-name", "server_name")):
        if head in by_head:
            found[name] = show(_read_text(by_head[head]))
    return found


def _list_options(
    options: dict[bytes, tuple[Word, ...]], extras: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return name and value of each, as dhclient hands them to its hooks."""
    found = dict(extras)
    for name, words in options.items():
        key = re.sub(r"[.-]", "_", name.decode())
        found[key] = " ".join(show(word.value) for value in _split(words) for word in value)
    room = OPTIONS_SIZE
    kept: list[tuple[str, str]] = []
    for key in sorted(found):
        room -= len(key) + len(found[key])
        if room >= 0:
            kept.append((key, found[key]))
    return tuple(kept)


def show(value: bytes) -> str:
    """Return octets as text; those that are no printable ASCII as in the file, backslash and octal."""
    if value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")
    return "".join(chr(each) if 32 <= each < 127 else f"\\{each:03o}" for each in value)
