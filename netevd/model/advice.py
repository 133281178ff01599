"""Advice: what netevd tells a service of the host, because a lease says so."""

from __future__ import annotations

from attrs import frozen

from netevd.model.backend import BackendName
from netevd.model.link import IfIndex


@frozen(slots=True)
class Advice:
    """DNS servers and search domains that a link shall have, or the name that the host shall have."""

    subject: IfIndex
    """The link, 0 for the host; of two with the same subject the later counts."""
    name: str
    """The link's name, for people; "" for the host."""
    service: BackendName
    """Who is told: systemd-resolved, systemd-networkd for a link that it manages, systemd-hostnamed."""
    dns: tuple[str, ...] | None = None
    """None: nothing is said of servers."""
    domains: tuple[str, ...] | None = None
    """None: nothing is said of domains."""
    hostname: str = ""
    """Of the host."""
