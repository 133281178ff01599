"""Lease files of DHCP clients: records and faults with places, whatever stands in them."""

from __future__ import annotations

from pathlib import Path

from netevd.backends import leasefile
from privsep.protocol import UNPRINTABLE

_DATA = Path(__file__).parents[1] / "data" / "leases"


def seeds() -> list[bytes]:
    """Return files that dhclient has written."""
    return [path.read_bytes() for path in sorted(_DATA.iterdir()) if path.is_file()]


def check(data: bytes) -> None:
    """Parse it; what is read can be shown, and faults stand in the file."""
    parsed = leasefile.parse(data)
    repr(parsed)
    for fault in (*parsed.faults, *filter(None, [parsed.unfinished])):
        assert 1 <= fault.line <= data.count(b"\n") + 1, fault
        assert not UNPRINTABLE.search(fault.text), fault
