"""What lease files say: those that the real dhclient has written, and those that are damaged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from netevd.backends import leasetree
from netevd.backends.leasefile import Parsed, Record, parse
from netevd.model.backend import is_name

PLACE = Path(__file__).resolve().parents[2] / "data/leases"
FILES = {path.name: path.read_bytes() for path in sorted(PLACE.glob("*.leases"))}
V4 = b"""lease {
  interface "eth0";
  fixed-address 192.0.2.50;
  option subnet-mask 255.255.255.0;
  option routers 192.0.2.1;
  option dhcp-lease-time 3600;
  renew 4 2026/01/01 00:30:00;
  rebind 4 2026/01/01 00:52:30;
  expire 4 2026/01/01 01:00:00;
}
"""
V6 = b"""lease6 {
  interface "eth0";
  ia-na 00:00:00:01 {
    starts 1767225600;
    renew 60;
    rebind 105;
    iaaddr 2001:db8::50 {
      starts 1767225600;
      preferred-life 120;
      max-life 120;
    }
  }
  option dhcp6.name-servers 2001:db8::53,2001:db8::54;
}
"""
NEW_YEAR_NS = 1767225600 * 10**9


def read(content: bytes) -> Record:
    """Return the only record of a file without faults."""
    parsed = parse(content)
    assert (parsed.faults, parsed.unfinished, len(parsed.records)) == ((), None, 1)
    return parsed.records[0]


def tell(parsed: Parsed) -> list[str]:
    """Return faults as they are said."""
    return [f"{each.line}:{each.column}: {each.text}" for each in parsed.faults]


# --- what dhclient has written -------------------------------------------------------------------


def test_a_first_lease() -> None:
    """Every field of a lease that dnsmasq has given to dhclient."""
    record = read(FILES["bound.leases"])
    lease = record.lease

    assert (record.interface, lease.backend, lease.family) == ("eth1", "dhclient", "ipv4")
    assert (lease.address[:8], lease.prefix) == ("10.77.1.", 24)
    assert lease.gateways == ("10.77.1.1",)
    assert lease.dns == ("10.77.1.53", "10.77.1.54")
    assert lease.domains == ("lan.example", "a.example", "b.example")
    assert (lease.server, lease.lifetime_s, record.released) == ("10.77.1.1", 120, False)
    assert lease.obtained_ns == record.written_ns
    assert 60 < lease.rebind_s < 120
    assert record.ends_ns == record.written_ns + 120 * 10**9
    assert dict(lease.options)["domain_search"] == "a.example. b.example."
    assert dict(lease.options)["domain_name_servers"] == "10.77.1.53 10.77.1.54"


def test_renewals_are_written_one_after_another() -> None:
    """Each is later than the one before, and is the same otherwise."""
    first, second, third = parse(FILES["renewed.leases"]).records

    assert first.lease.address == second.lease.address == third.lease.address
    assert first.written_ns < second.written_ns < third.written_ns
    assert first.ends_ns == first.written_ns + 60 * 10**9


def test_a_lease_that_was_given_back() -> None:
    """For IPv4 dhclient has no word for it: the lease is written again, and over at that moment."""
    held, given_back = parse(FILES["released.leases"]).records[-2:]

    assert held.ends_ns is not None
    assert given_back.ends_ns is not None
    assert given_back.ends_ns < held.ends_ns
    assert given_back.written_ns == given_back.ends_ns


def test_an_address_of_another_range() -> None:
    """The last one counts."""
    first, second = parse(FILES["moved.leases"]).records

    assert first.lease.address.startswith("10.77.1.6")
    assert second.lease.address.startswith("10.77.1.1")
    assert first.key == second.key


def test_a_lease_without_end() -> None:
    """dhclient writes a date of the next century; it is never over, and it is known when it began."""
    record = read(FILES["forever.leases"])

    assert (record.ends_ns, record.lease.lifetime_s) == (None, 0)
    bound = read(FILES["bound.leases"])
    assert 0 < record.written_ns - bound.written_ns < 600 * 10**9


def test_times_as_seconds() -> None:
    """db-time-format local."""
    record = read(FILES["epoch.leases"])

    found = re.search(rb"expire epoch (\d+);", FILES["epoch.leases"])
    assert found is not None
    assert record.ends_ns == int(found[1]) * 10**9
    assert record.lease.lifetime_s == 120


def test_options_that_look_like_the_end() -> None:
    """Quotes, braces, semicolons, hashes and octets of all kinds in strings; a default route by RFC 3442."""
    record = read(FILES["hostile.leases"])
    options = dict(record.lease.options)

    assert options["root_path"] == r'/srv/a b"c\\d{e};#f'
    assert options["x"] == r'\000\001\376\377"\\012{}'
    assert record.lease.domains == ()  # no name that can be handed on
    assert record.lease.gateways == ("10.77.1.2",)
    assert options["routers"] == "10.77.1.1"
    assert options["interface_mtu"] == "1400"
    assert options["ntp_servers"] == "10.77.1.123 10.77.1.124"


def test_two_links_in_one_file() -> None:
    """Each has its own."""
    records = parse(FILES["two-links.leases"]).records

    assert sorted(each.interface for each in records) == ["eth1", "eth2"]
    assert len({each.lease.address for each in records}) == 2


def test_ipv6() -> None:
    """Address, times and options of a lease6; the client's DUID."""
    parsed = parse(FILES["bound6.leases"])
    (record,) = parsed.records
    lease = record.lease

    assert (lease.family, lease.prefix, lease.address[:8]) == ("ipv6", 128, "fd77:1::")
    assert lease.dns == ("fd77:1::53",)
    assert lease.domains == ("a.example", "b.example")
    assert (lease.lifetime_s, lease.obtained_ns, lease.rebind_s) == (120, record.written_ns, 105)
    assert record.ends_ns == record.written_ns + 120 * 10**9
    assert parsed.duid.startswith(b"\x00\x01\x00\x01")


def test_ipv6_that_was_given_back() -> None:
    """The file says so in a word."""
    held, given_back = parse(FILES["released6.leases"]).records

    assert (held.released, given_back.released) == (False, True)
    assert held.lease == given_back.lease


def test_ipv6_with_a_temporary_address() -> None:
    """The address for a time is the lease's, the temporary one stands beside it."""
    record = read(FILES["temporary6.leases"])

    assert record.lease.address == "fd77:1::56"
    assert dict(record.lease.options)["ip6_addresses_more"] == "fd77:1::50"


# --- what else there may be ----------------------------------------------------------------------


def test_dates() -> None:
    """Weekday, date and time in UTC; seconds; never."""
    assert read(V4).ends_ns == NEW_YEAR_NS + 3600 * 10**9
    assert read(V4).lease.obtained_ns == NEW_YEAR_NS
    forever = re.sub(rb"(renew|rebind|expire) 4 [^;]*", rb"\1 never", V4)
    assert (read(forever).ends_ns, read(forever).lease.lifetime_s) == (None, 0)
    leap = read(V4.replace(b"2026/01/01 01:00:00", b"2028/2/29 1:0:0"))
    assert leap.ends_ns == 1835398800 * 10**9
    for wrong in (b"2026/02/29", b"2026/13/01", b"2026/1/32", b"1969/12/31", b"26/1/1"):
        parsed = parse(V4.replace(b"expire 4 2026/01/01", b"expire 4 " + wrong))
        assert tell(parsed) == [
            "9:3: expected never, epoch and seconds, or weekday, date and time in UTC after expire"
        ], wrong


def test_lifetime_that_is_not_told() -> None:
    """Twice the time from renewal to end: by default a client renews when half of it is over."""
    record = read(V4.replace(b"  option dhcp-lease-time 3600;\n", b""))

    assert (record.lease.lifetime_s, record.lease.obtained_ns) == (3600, NEW_YEAR_NS)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (b"24,192,0,2,10,77,1,9", ()),
        (b"0,192,0,2,9", ("192.0.2.9",)),
        (b"8,10,192,0,2,8,0,192,0,2,9,0,192,0,2,7", ("192.0.2.9", "192.0.2.7")),
        (b"33,1,2,3,4,5,1,1,1,1", ("192.0.2.1",)),
        (b"0,192,0,2", ("192.0.2.1",)),
        (b"0,192,0,2,256", ("192.0.2.1",)),
    ],
)
def test_classless_static_routes(option: bytes, expected: tuple[str, ...]) -> None:
    """They count instead of routers, unless they are damaged (RFC 3442)."""
    line = b"option rfc3442-classless-static-routes " + option + b";\n}"
    record = read(V4.replace(b"}", line))

    assert record.lease.gateways == expected


def test_ipv6_prefix_forever_and_taken_back() -> None:
    """A delegated prefix is told beside the address; infinity is for ever; a lifetime of 0 is no address."""
    prefix = b"ia-pd 00:00:00:01 { iaprefix 2001:db8:1::/56 { max-life 9; } }\n}"
    record = read(V6[:-2] + prefix)
    assert dict(record.lease.options)["ip6_prefix"] == "2001:db8:1::/56"
    forever = read(V6.replace(b"max-life 120", b"max-life 4294967295"))
    assert (forever.ends_ns, forever.lease.lifetime_s) == (None, 0)
    assert parse(V6.replace(b"max-life 120", b"max-life 0")) == Parsed()
    assert read(V6).lease.dns == ("2001:db8::53", "2001:db8::54")


def test_the_form_of_other_clients() -> None:
    """A lease may say whose it is, and that it was given back."""
    record = read(V4.replace(b"lease {", b'lease {\n  client "dhcpcd"; released;'))

    assert (record.lease.backend, record.released) == ("dhcpcd", True)


def test_what_dhclient_conf_may_have_too() -> None:
    """Comments, aliases and definitions of options are no leases, and no faults."""
    text = b'# a comment { "\nalias { interface "eth0"; fixed-address 192.0.2.9; }\noption x code 9 = text;\n'

    assert parse(text + V4).records == tuple(
        Record(each.interface, each.lease, each.ends_ns, each.written_ns, each.released, 4)
        for each in parse(V4).records
    )


# --- damaged, partial, foreign -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ((b"192.0.2.50", b"192.0.2.500"), "3:3: expected an IPv4 address after fixed-address"),
        ((b"  fixed-address 192.0.2.50;\n", b""), "1:1: a lease without fixed-address"),
        ((b'  interface "eth0";\n', b""), "1:1: a lease without interface"),
        ((b'"eth0"', b"eth0"), "2:3: expected one string after interface"),
        ((b'"eth0"', b'"eth0/../x"'), "2:3: expected the name of an interface in quotes"),
        ((b'"eth0"', b'"eth0'), "2:13: a string without end in its line"),
        ((b"routers 192", b"routers \x00192"), "5:18: octet 0x00, which no lease file has here"),
        ((b"option routers", b"option \xc3\xa4"), "5:10: octet 0xc3, which no lease file has here"),
        ((b"lease {", b"lease 192.0.2.9 {"),
            "1:1: expected { after lease; leases of a DHCP server are no client's"),
        ((b"option routers 192.0.2.1;", b"option routers {};"), "5:18: expected ; after option, found {"),
        ((b"option routers 192.0.2.1;", b"};"), "1:1: a lease without expire"),
        ((b"  option dhcp-lease-time 3600;", b"  ;"), "6:3: expected a statement, found ;"),
        ((b"option routers", b"a { b { c { d { e;}}}} option routers"),
            "5:17: more than 4 blocks inside each other"),
    ],
)  # fmt: skip
def test_a_damaged_lease_is_passed_over(damage: tuple[bytes, bytes], told: str) -> None:
    """It is told where and why; the lease before it and the one after it count."""
    damaged = V4.replace(*damage)
    assert damaged != V4
    whole = V4.replace(b"eth0", b"eth9")

    parsed = parse(whole + damaged + whole)

    assert {each.interface for each in parsed.records} == {"eth9"}
    assert len(parsed.records) == 2
    line, _, rest = told.partition(":")
    assert tell(parsed)[0] == f"{int(line) + 10}:{rest}"
    assert parsed.unfinished is None


def test_a_lease_that_was_cut_off_before_the_next() -> None:
    """What was being written when the power went: the next lease counts wherever it was cut."""
    for end in range(1, len(V4) - 1):
        parsed = parse(V4[:end] + b"\n" + V6)

        assert [each.lease.family for each in parsed.records] == ["ipv6"], V4[:end]
        assert parsed.faults


def test_a_server_s_file_and_a_picture() -> None:
    """Foreign files give faults and nothing else."""
    server = b"lease 192.0.2.7 {\n  starts 4 2026/01/01 00:00:00;\n  binding state active;\n}\n"
    assert tell(parse(server)) == [
        "1:1: expected { after lease; leases of a DHCP server are no client's"
    ]
    assert tell(parse(b"\x89PNG\r\n\x1a\n\x00\x00")) == [
        "1:1: octet 0x89, which no lease file has here"
    ]
    assert tell(parse(b"[connection]\nid=eth0;\n")) == [
        "1:1: expected lease or lease6, found [connection]"
    ]
    assert parse(b"") == Parsed()


def test_bounds() -> None:
    """Size, statements, words, faults and options have an end."""
    assert "octets, more than 1048576" in tell(parse(b" " * (leasetree.SIZE_LIMIT + 1)))[0]
    assert "more than 20000 statements" in tell(parse(b"lease {" + b"a b;" * 20_001))[-1]
    assert "more than 4096 words" in tell(parse(b"a " * 5000))[0]
    assert "a word of" in tell(parse(V4.replace(b"192.0.2.1;", b"1" * 9000 + b";")))[0]
    assert len(parse(b"lease x {}\n" * 100).faults) == leasetree.FAULT_LIMIT
    many = b"".join(b"option o%d 1;" % number for number in range(500))
    assert len(read(V4.replace(b"}", many + b"}")).lease.options) <= 100
    long = b'option a "' + b"x" * 8000 + b'"; option b "' + b"y" * 8000 + b'";}'
    assert "b" not in dict(read(V4.replace(b"}", long)).lease.options)


def test_names_are_names() -> None:
    """What a server sends as host name or domain and is none is left out."""
    line = b'option host-name "a b"; option domain-name "x.example $(id)"; option domain-search "-";\n}'
    lease = read(V4.replace(b"}", line)).lease

    assert (lease.hostname, lease.domains) == ("a", ("x.example",))


# --- any octets at all ---------------------------------------------------------------------------


PIECES = [b"lease {", b"lease6 {", b"}", b";", b'"', b"\\", b"\n", b"{", b"interface ", b'"eth0";',
          b"fixed-address 192.0.2.1;", b"ia-na 1 {", b"iaaddr 2001:db8::1 {", b"expire never;",
          b"expire 4 2026/01/01 01:00:00;", b"option ", b"x ", b"#", b",", b"default-duid ",
          b"max-life 4294967295;", b"released;", b"\xff", b"epoch 99999999999;"]  # fmt: skip


@given(
    st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
)
def test_any_octets_are_read(content: bytes) -> None:
    """Nothing is raised, and all that is found can be handed on."""
    parsed = parse(content)

    for record in parsed.records:
        assert 1 <= len(record.interface) <= 15
        assert all(map(is_name, record.lease.domains))
        assert all(text.isprintable() for pair in record.lease.options for text in pair)
    assert len(parsed.faults) <= leasetree.FAULT_LIMIT


@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_beginning_says_nothing_that_the_whole_does_not(name: str, data: st.DataObject) -> None:
    """While a file is being written its leases come one by one, each whole."""
    content = FILES[name]
    whole = parse(content)
    end = data.draw(st.integers(0, len(content)))

    parsed = parse(content[:end])

    assert parsed.records == whole.records[: len(parsed.records)]
    assert parsed.faults == ()


@given(st.sampled_from(sorted(FILES)), st.data())
def test_an_octet_that_is_another(name: str, data: st.DataObject) -> None:
    """What is damaged in one place can be read, and the other leases of the file are as they were."""
    content = bytearray(FILES[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))

    parsed = {evolve(each, line=0) for each in parse(bytes(content)).records}

    whole = {evolve(each, line=0) for each in parse(FILES[name]).records}  # it may be a line's end
    assert len(whole - parsed) <= 2
