"""Which addresses lead to this machine or its links, in whatever form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netevd.model.locality import find_locality

FORMS = {
    "mapped": lambda low: 0xFFFF << 32 | low,
    "compatible": lambda low: low,
    "translated": lambda low: 0xFFFF << 48 | low,
    "NAT64": lambda low: 0x64FF9B << 96 | low,
    "local NAT64 of 96 bits": lambda low: 0x64FF9B0001 << 80 | low,
    "local NAT64 of 48 bits": lambda low: (
        0x64FF9B0001 << 80 | low >> 16 << 64 | (low & 0xFFFF) << 40
    ),
    "local NAT64 of 56 bits": lambda low: (
        0x64FF9B0001 << 80 | low >> 24 << 64 | (low & 0xFFFFFF) << 32
    ),
    "local NAT64 of 64 bits": lambda low: 0x64FF9B0001 << 80 | low << 24,
    "6to4": lambda low: 0x2002 << 112 | low << 80,
    "Teredo client": lambda low: 0x20010000 << 96 | 0x08080808 << 64 | (low ^ 0xFFFFFFFF),
    "Teredo server": lambda low: 0x20010000 << 96 | low << 64 | (0x08080808 ^ 0xFFFFFFFF),
    "ISATAP": lambda low: 0x20010DB8 << 96 | 0x5EFE << 32 | low,
    "global ISATAP": lambda low: 0x20010DB8 << 96 | 0x02005EFE << 32 | low,
}
"""How an IPv6 address holds an IPv4 address. Sources: see netevd.model.locality."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"), ("::1", "loopback"),
        ("169.254.169.254", "link-local"), ("fe80::1", "link-local"), ("febf::1", "link-local"),
        ("fec0::1", "link-local"), ("0.0.0.0", "unspecified"), ("0.1.2.3", "unspecified"),
        ("::", "unspecified"), ("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"), ("255.255.255.255", "reserved"), ("240.0.0.1", "reserved"),
        ("fd00:ec2::254", "metadata"), ("100.100.100.200", "metadata"),
        ("10.0.0.1", ""), ("192.168.1.1", ""), ("172.16.0.1", ""), ("100.64.0.1", ""), ("8.8.8.8", ""),
        ("128.0.0.1", ""), ("126.255.255.255", ""), ("169.253.1.1", ""), ("fd00::1", ""),
        ("2001:db8::1", ""), ("2606:4700::1111", ""), ("fe00::1", ""), ("64:ff9b:1::808:808", ""),
    ],
)  # fmt: skip
def test_locality_of_plain_addresses(text: str, expected: str) -> None:
    """Private addresses are none of these: most receivers have one."""
    assert find_locality(ip_address(text)) == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "127.1.2.3"])
def test_an_address_within_an_address_counts(form: str, inner: str) -> None:
    """Whatever form holds a loopback or link-local address is one."""
    address = IPv6Address(FORMS[form](int(IPv4Address(inner))))

    assert find_locality(address) == find_locality(IPv4Address(inner)), address


@pytest.mark.parametrize("form", [name for name in FORMS if name != "compatible"])
def test_public_addresses_within_others_stay_fine(form: str) -> None:
    """No form by itself makes an address local."""
    assert find_locality(IPv6Address(FORMS[form](int(IPv4Address("93.184.216.34"))))) == ""


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_has_an_answer(address: IPv6Address) -> None:
    """None raises, and what Python calls loopback or link-local is local."""
    locality = find_locality(address)

    if address.is_loopback or address.is_link_local or address.is_multicast:
        assert locality
