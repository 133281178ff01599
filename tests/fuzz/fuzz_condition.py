"""Conditions: an answer, none, or faults with places; never anything else."""

from __future__ import annotations

import datetime as dt

from netevd.config.condition import VARIABLES, Condition, Unanswered
from netevd.config.condition import check as find_faults

_VALUES = {"string": "eth0", "int": 1, "bool": True, "list(string)": ["10.0.0.1"], "map(string, dyn)": {},
           "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}  # fmt: skip


def seeds() -> list[bytes]:
    """Return expressions with what the language has."""
    return [
        b"has_gateway && dns_count > 0", b'interface.startsWith("eth") || kind in ["veth", "bond"]', b'addresses.exists(a, a == "10.0.0.1")',
        b"wireguard.peers > 3 ? up : !carrier", b'now.getHours("UTC") >= 8 && mtu / (ifindex - 1) > 1', b'dns.all(d, d.matches("^10[.]")) == true',
        b"size(domains) == 0 && has(pod.name)", b'mac.contains("a") && state != previous_state', b'duration("5s") > duration("1m")',
        b"dyn([1,2,3])[4] == 1.0", b'"\\u00e9\\x41" + r"\\d" == b"abc"',
    ]  # fmt: skip


def check(data: bytes) -> None:
    """Check an expression, and ask it if nothing is wrong with it."""
    text = data.decode("utf-8", "replace").replace("\0", " ")
    faults = find_faults(text)
    if faults:
        assert all(each.line >= 1 and each.column >= 1 and each.message for each in faults), faults
        return
    condition = Condition(text)
    values = {name: _VALUES[VARIABLES[name]] for name in condition.names}
    try:
        assert condition.holds(values) in {True, False}
    except Unanswered:
        pass
