"""Real systemd-networkd, resolved and hostnamed of two releases: what they say, and what they are told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.logind import lay_bed, sleep
from tests.backends.networkd import NETWORK, OPTIONS, boot, is_configured, start_networkd, write
from tests.boundary.rig import wait_for
from tests.lab.dhcp import DhcpServer
from tests.lab.lab_systemd import install
from tests.lab.rootfs import make_rootfs
from tests.lab.system import ENVIRONMENT, System
from tests.processes.rig import Daemon

RULES = Path(__file__).resolve().parents[2] / "packaging/polkit/50-netevd.rules"
DHCLIENT = (
    "dhclient",
    "-4",
    "-pf",
    "/run/dhclient.pid",
    "-lf",
    "/var/lib/dhcp/dhclient.eth0.leases",
)
FIRST = (
    *OPTIONS,
    "--dhcp-option-force=option:domain-search,a.example,b.example",
    "--dhcp-option-force=option:domain-name,c.example",
)
FIRST_DNS = {"192.0.2.53", "192.0.2.54"}
FIRST_DOMAINS = {"c.example", "a.example", "b.example"}
SECOND = (
    "--dhcp-option=option:router,192.0.2.1",
    "--dhcp-option=option:dns-server,198.51.100.53,198.51.100.54",
    "--dhcp-option-force=option:domain-search,x.example,y.example",
    "--dhcp-option=12,secondname",
)
"""What the servers say; a networkd that is not to use domains asks for none."""
SECOND_DNS = {"198.51.100.53", "198.51.100.54"}
SECOND_DOMAINS = {"x.example", "y.example"}


# --- networkd, both releases -------------------------------------------------------------------


@pytest.fixture(params=["bookworm", "trixie"])
def suite(request: pytest.FixtureRequest) -> str:
    """Return a release of Debian: systemd 252 and 257."""
    return str(request.param)


@pytest.fixture
def beside(suite: str) -> Iterator[tuple[System, DhcpServer, Daemon]]:
    """A system of that release, and a daemon beside it that is not started."""
    network = NETWORK.replace("DHCP=ipv4", "DHCP=yes").replace(
        "IPv6AcceptRA=no", "IPv6AcceptRA=yes"
    )
    network = network.replace("LinkLocalAddressing=no", "LinkLocalAddressing=ipv6")
    with boot(suite, network=network) as (system, server):
        server.serve(
            *OPTIONS, "--enable-ra", "--dhcp-range=2001:db8::100,2001:db8::1ff,64,2m",
            "--dhcp-option=option6:dns-server,[2001:db8::53],[2001:db8::54]",
        )  # fmt: skip
        daemon = Daemon("network: {links: [eth*]}\nsystem: {log_format: json}\n")
        try:
            yield system, server, daemon
        finally:
            daemon.close()


def list_messages(daemon: Daemon, event: str) -> list[str]:
    """Return what was said of each event of this type."""
    return [each["message"] for each in daemon.announced() if each["event"] == event]


def test_networkd_that_starts_later(beside: tuple[System, DhcpServer, Daemon]) -> None:
    """netevd first, networkd later: each state and both leases are told, as they happen."""
    system, _, daemon = beside
    daemon.start(prefix=beside[0].beside)
    start_networkd(system)
    daemon.wait_event("eth0", "configured")
    wait_for(lambda: len(list_messages(daemon, "lease")) >= 2 or None, "both leases")

    leases = sorted(list_messages(daemon, "lease"))
    assert leases[0].startswith("bound 192.0.2.")
    assert leases[1].startswith("bound 2001:db8::1")
    assert not [
        each for each in daemon.announced() if each.get("initial") and "lease" in each["event"]
    ]


def test_networkd_and_the_bus_restart(beside: tuple[System, DhcpServer, Daemon]) -> None:
    """A restart of networkd tells no end of a lease; after one of the bus, whoever comes back is heard."""
    system, _, daemon = beside
    start_networkd(system)
    wait_for(lambda: "2001:db8::1" in system.run("ip", "-6", "addr", "show", "eth0").stdout or None,
             "the IPv6 lease")  # fmt: skip
    daemon.start(prefix=system.beside)
    daemon.wait_event("eth0", "configured")
    system.run("systemctl", "restart", "systemd-networkd")
    daemon.expect(lambda entry: "what it knows counts again" in entry["message"])
    wait_for(lambda: is_configured(system) or None, "eth0 to be configured again")
    after = len(daemon.log)

    system.run("systemctl", "restart", "dbus")
    daemon.expect(lambda entry: "there is no system bus" in entry["message"], after)
    system.run("systemctl", "restart", "systemd-networkd")
    daemon.expect(lambda entry: "what it knows counts again" in entry["message"], after)
    removed = list_messages(
        daemon, "address-removed"
    )  # 252 takes an IPv6 address away and asks anew
    ends = [
        each for each in list_messages(daemon, "lease") if each.startswith(("release", "expire"))
    ]
    assert not [each for each in ends if each.split()[1] not in removed], removed
    assert not [each for each in ends if "192.0.2." in each]


def test_sleep_by_logind(beside: tuple[System, DhcpServer, Daemon]) -> None:
    """Of either release: suspend and resume are told once each, and networkd's states beside them."""
    system, _, daemon = beside
    start_networkd(system)
    lay_bed(system)
    daemon.start(prefix=system.beside)
    daemon.expect(lambda entry: "systemd-logind 25" in entry["message"])
    sleep(system)
    wait_for(lambda: "resume" in list_messages(daemon, "manager") or None, "the resume")

    told = [each for each in list_messages(daemon, "manager") if "operational" not in each]
    assert told == ["suspend", "resume"]


# --- what leases say, told to others ------------------------------------------------------------


@pytest.fixture(params=[(FIRST, SECOND)])
def inside(request: pytest.FixtureRequest) -> Iterator[tuple[System, DhcpServer, DhcpServer]]:
    """A system with netevd as its service: eth0 has dhclient, eth1 is networkd's, which tells no DNS."""
    system = System(make_rootfs("bookworm"))
    servers = []
    try:
        install(system)
        write(
            system,
            "etc/netevd/netevd.yaml",
            """
network: {links: [eth*], use_dns: true, use_domain: true, use_hostname: true}
system: {log_format: journal}
""",
        )
        quiet = NETWORK.replace("Name=eth0", "Name=eth1").replace(
            "UseDomains=yes", "UseDNS=no\nUseDomains=no"
        )
        write(system, "etc/systemd/network/10-eth1.network", quiet)
        write(system, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        write(system, "etc/hostname", "")
        for name in ("NetworkManager", "dhcpcd"):
            (system.files / f"etc/systemd/system/{name}.service").symlink_to("/dev/null")
        (system.files / "etc/dhcp").mkdir(parents=True, exist_ok=True)
        write(system, "etc/dhcp/dhclient-enter-hooks.d/quiet", "make_resolv_conf() { :; }\n")
        system.start(str(ENVIRONMENT))
        system.run("systemd-sysusers")
        for index, options in zip((101, 111), request.param, strict=True):
            server = DhcpServer(system.pid, f"eth{len(servers)}", index)
            servers.append(server)
            server.serve(*options)
        system.run("systemctl", "start", "systemd-resolved", "systemd-networkd", "polkit")
        started = system.run("systemctl", "start", "netevd", check=False)
        assert started.returncode == 0, system.run("journalctl", "-u", "netevd").stdout
        yield system, servers[0], servers[1]
    finally:
        for server in servers:
            server.close()
        system.stop()


def wait_shown(
    system: System, what: str, link: str, expected: set[str], seconds: float = 20
) -> None:
    """Return once resolvectl shows just this of a link."""
    try:
        wait_for(lambda: {*show(system, what, link)} == expected or None, "it", seconds)
    except AssertionError:
        log = system.run("journalctl", "-u", "netevd", "-o", "cat").stdout[-3000:]
        raise AssertionError(f"{what} of {link}: {show(system, what, link)}\n{log}") from None


def show(system: System, what: str, link: str) -> list[str]:
    """Return what resolvectl shows of a link."""
    text = system.run("resolvectl", what, link).stdout
    return text.partition(":")[2].split()


def allow(system: System) -> None:
    """Install the rule that is shipped."""
    rule = Path(f"/proc/{system.pid}/root", "etc/polkit-1/rules.d/50-netevd.rules")
    shutil.copy(RULES, rule)
    rule.chmod(0o644)


@pytest.mark.parametrize(
    ("inside", "swapped"),
    [((FIRST, SECOND), False), ((SECOND, FIRST), True)],
    indirect=["inside"],
    ids=["first-by-dhclient", "first-by-networkd"],
)
def test_leases_reach_resolved_and_leave_it(
    inside: tuple[System, DhcpServer, DhcpServer], *, swapped: bool
) -> None:
    """Two leases of several servers and domains, each by dhclient and by networkd: told, told again, taken back."""
    system, _, _ = inside
    dns, domains = [FIRST_DNS, SECOND_DNS], [FIRST_DOMAINS, SECOND_DOMAINS]
    if swapped:
        dns.reverse()
        domains.reverse()

    def wait_both() -> None:
        for number in range(2):
            wait_shown(system, "dns", f"eth{number}", dns[number])
            wait_shown(system, "domain", f"eth{number}", domains[number])

    allow(system)
    system.ip("link", "set", "eth0", "up")
    system.run(*DHCLIENT, "-1", "eth0")
    wait_both()
    names = {"dhcphost", "secondname"}
    wait_for(lambda: system.run("hostname").stdout.strip() in names or None, "the host's name")
    system.run("systemctl", "restart", "systemd-resolved")
    wait_both()
    system.run("systemctl", "restart", "systemd-hostnamed")

    system.run(*DHCLIENT, "-r", "eth0")
    system.run("networkctl", "down", "eth1")
    for number in range(2):
        wait_shown(system, "dns", f"eth{number}", set())
        wait_shown(system, "domain", f"eth{number}", set())
    wait_for(lambda: system.run("hostname").stdout.strip() not in names or None, "its own name")


def test_without_the_rule_it_is_refused_and_said(
    inside: tuple[System, DhcpServer, DhcpServer],
) -> None:
    """polkit refuses: the log says what to do, health says so as long as it lasts; then it is told."""
    system, _, _ = inside
    system.ip("link", "set", "eth0", "up")
    system.run(*DHCLIENT, "-1", "eth0")
    said = "50-netevd.rules lets it"

    wait_for(lambda: said in system.run("journalctl", "-u", "netevd").stdout or None, "the advice")
    wait_shown(system, "dns", "eth0", set())
    allow(system)
    wait_shown(system, "dns", "eth0", {"192.0.2.53", "192.0.2.54"}, 90)
