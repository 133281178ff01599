"""
What only others know: reports of network managers, DHCP clients and services of the host.

Belongs here: what every backend can say, in one form. Each report is all that its backend knows of
its subject, so that what has changed is the difference between two of them. The kernel decides what
links and addresses there are; a report adds to that and never contradicts it.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from attrs import evolve, frozen

from netevd.model.link import IfIndex

BackendName: TypeAlias = Literal[
    "systemd-networkd",
    "NetworkManager",
    "dhclient",
    "dhcpcd",
    "systemd-resolved",
    "systemd-hostnamed",
    "systemd-logind",
    "nl80211",
    "kernel",
]
"""Who can tell something, as scripts hear it in BACKEND. nl80211 is the kernel, and scripts hear that."""

OF_THE_KERNEL: Final[frozenset[BackendName]] = frozenset(("nl80211", "kernel"))
"""Those that are no service of anybody's: that they are there is no news."""

PRECEDENCE: Final[dict[BackendName, int]] = {
    "nl80211": 0,
    "systemd-networkd": 1,
    "NetworkManager": 2,
    "dhclient": 3,
    "dhcpcd": 4,
    "systemd-resolved": 5,
    "systemd-hostnamed": 6,
    "systemd-logind": 7,
    "kernel": 8,
}
"""Of two that tell the same, the lower one counts: whoever manages a link knows most of it."""

SUSPENDING: Final = ("sleep", "suspending")
AWAKE: Final = ("sleep", "awake")
"""The two states of the host that systemd-logind tells, as in `HostReport.states`."""

Family: TypeAlias = Literal["ipv4", "ipv6"]

_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)


def is_name(text: str) -> bool:
    """
    Tell whether this is a host or domain name: labels of letters, digits, hyphens and underscores.

    Whoever answers DHCP chooses these, so a backend leaves out what is none. Source: RFC 1035
    section 2.3.1; the underscore is common in domains of services.
    """
    return _NAME.match(text) is not None


@frozen(slots=True)
class Lease:
    """What a DHCP server has granted to one link, for one family."""

    backend: BackendName
    """Whose DHCP client holds it."""
    family: Family
    address: str
    prefix: int
    """Its length in bits."""
    gateways: tuple[str, ...] = ()
    """The preferred one first."""
    dns: tuple[str, ...] = ()
    """Addresses of DNS servers, without zone, in the server's order."""
    domains: tuple[str, ...] = ()
    """The domain name, then search domains; names only, see `is_name`."""
    hostname: str = ""
    """Name that the server gives this host, "" for none; see `is_name`."""
    server: str = ""
    """Address of the server, "" where it is not told."""
    lifetime_s: int = 0
    """Seconds that it is valid from `obtained_ns` on, 0 for ever or not told."""
    obtained_ns: int | None = None
    """Wall clock when it was granted or renewed, nanoseconds since 1970; None where it is not told."""
    options: tuple[tuple[str, str], ...] = ()
    """Whatever else the server has sent: name and value, as the client writes them."""
    expires_ns: int | None = None
    """Wall clock when it is over, where that is told by itself; see `end_ns`."""
    rebind_s: int = 0
    """Seconds from `obtained_ns` on after which any server is asked to renew it (T2), 0 for not told."""

    @property
    def end_ns(self) -> int | None:
        """Wall clock when it is over, None for never or not told."""
        if self.expires_ns is not None or self.obtained_ns is None or not self.lifetime_s:
            return self.expires_ns
        return self.obtained_ns + self.lifetime_s * 10**9

    def is_over(self, now_ns: int) -> bool:
        """Tell whether its time is up. now_ns: wall clock."""
        end = self.end_ns
        return end is not None and end <= now_ns

    @property
    def content(self) -> Lease:
        """The lease without its times: what it grants."""
        return evolve(self, lifetime_s=0, obtained_ns=None, expires_ns=None, rebind_s=0)


@frozen(slots=True)
class LinkReport:
    """All that one backend knows of one link."""

    backend: BackendName
    ifindex: IfIndex
    manages: bool = False
    """Whether it configures the link: then it is the source of the link's events."""
    setup_state: str = ""
    """systemd-networkd's word for how far it has configured the link, "" where it has none."""
    device_state: str = ""
    """NetworkManager's device state with hyphens, as `ip-config`; "" where it has none."""
    leases: tuple[Lease, ...] = ()
    """At most one for each family."""
    dns: tuple[str, ...] = ()
    """DNS servers in use for the link, without zone; whether or not a lease has told them."""
    domains: tuple[str, ...] = ()
    """Search domains of the link."""
    route_domains: tuple[str, ...] = ()
    """Domains whose names are asked of this link's servers without being searched."""
    ntp: tuple[str, ...] = ()
    """NTP servers, addresses or names."""
    hostname: str = ""
    """Name that this host shall have by what is known of this link, "" for none."""
    ssid: str = ""
    """Network name of a wireless link, as text; bytes that are not UTF-8 are kept by surrogateescape."""
    bssid: str = ""
    """Link-layer address of the access point, colon-separated hex; "" for none or not told."""
    connection_id: str = ""
    connection_uuid: str = ""
    """NetworkManager's profile in use, "" for none."""
    external: bool = False
    """Somebody else has configured it, and the backend only looks on."""
    details: tuple[tuple[str, str], ...] = ()
    """Whatever else it tells, name and value: for trees of other dispatchers and for who asks."""


@frozen(slots=True)
class HostReport:
    """All that one backend knows of the host as a whole."""

    backend: BackendName
    states: tuple[tuple[str, str], ...] = ()
    """Words for the whole host by name, as operational, online, connectivity; in the backend's order."""
    hostname: str = ""
    """The host's name now, "" where it is not told."""
    dns: tuple[str, ...] = ()
    """DNS servers that belong to no link."""
    domains: tuple[str, ...] = ()
    """Search domains that belong to no link."""
