"""What backends say of links and of the host."""

from __future__ import annotations

import json

from attrs import evolve

from netevd.config.schema import Debounce, Filter, Match
from netevd.model.backend import HostReport, Lease, LinkReport
from netevd.model.inputs import (
    BackendForgot,
    BackendFound,
    BackendLost,
    BackendSaid,
    BackendSaidHost,
    DumpEnded,
    HelperConnected,
)
from netevd.model.link import IfIndex
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, START_NS, Play, Playbook, gone, has, seen

NETWORKD = "systemd-networkd"
LEASE = Lease(
    NETWORKD, "ipv4", "192.0.2.50", 24, ("192.0.2.1",), ("192.0.2.53", "192.0.2.54"),
    ("a.example", "b.example"), "host1", "192.0.2.1", 3600, START_NS,
    (("ntp-servers", "192.0.2.7, x"),),
)  # fmt: skip
PENDING = LinkReport(NETWORKD, IfIndex(2), setup_state="pending")
CONFIGURED = LinkReport(
    NETWORKD, IfIndex(2), manages=True, setup_state="configured", leases=(LEASE,),
    dns=LEASE.dns, domains=("a.example",),
)  # fmt: skip
ACTIVATED = LinkReport("NetworkManager", IfIndex(2), manages=True, device_state="activated")


def begin(play: Play, *reports: LinkReport) -> Playbook:
    """Return a story of eth0 that networkd had reported so at the start."""
    story = play(backends=(NETWORKD, "NetworkManager"))
    return story.fill(
        BackendFound(NETWORKD, "252", reports), BackendLost("NetworkManager", "it is not running")
    ).begin(seen("eth0", 2, dump=1))


def test_first_start_tells_setup_state_after_the_kernels(play: Play) -> None:
    """Carrier, operational state, setup state, device state; leases and DNS are no news."""
    story = play(backends=(NETWORKD, "NetworkManager"))
    story >> HelperConnected() << "dump 1"
    story >> seen("eth0", 2, dump=1) << NOTHING
    story >> has("192.0.2.50/24", 2, dump=1) << NOTHING
    story >> DumpEnded(1, consistent=True) << NOTHING
    (
        story
        >> BackendFound("NetworkManager", "1.42", (ACTIVATED,))
        << ("info: NetworkManager 1.42 is there: what it knows counts too")
    )
    (
        story
        >> BackendFound(NETWORKD, "252", (CONFIGURED,))
        << """
        info: systemd-networkd 252 is there: what it knows counts too
        1 eth0 carrier initial
        2 eth0 routable initial
        3 eth0 configured initial
        4 eth0 activated initial
        ready
        """
    )
    assert [each.backend for each in story.events] == [NETWORKD] * 3 + ["NetworkManager"]


def test_start_does_not_wait_for_ever(play: Play) -> None:
    """A backend that says nothing is waited for three seconds; later its state is initial still."""
    story = play(backends=(NETWORKD,)).begin(seen("eth0", 2, dump=1))

    story >> 2.9 << NOTHING
    (
        story
        >> 0.2
        << """
        1 eth0 carrier initial
        ready
        """
    )
    (
        story
        >> BackendFound(NETWORKD, "252", (CONFIGURED,))
        << """
        info: systemd-networkd 252 is there: what it knows counts too
        2 eth0 configured initial
        """
    )


def test_states_and_lease_are_told_when_they_change(play: Play) -> None:
    """Each of these facts has its event, a repeated report has none."""
    story = begin(play, PENDING)

    story >> BackendSaid(evolve(PENDING, setup_state="configuring")) << "3 eth0 configuring"
    (
        story
        >> BackendSaid(CONFIGURED)
        << """
        4 eth0 lease bound 192.0.2.50/24
        5 eth0 dns-changed 192.0.2.53 192.0.2.54
        6 eth0 configured
        """
    )
    story >> BackendSaid(CONFIGURED) << NOTHING
    story >> BackendSaid(evolve(CONFIGURED, ntp=("192.0.2.9",))) << NOTHING
    story >> BackendSaid(evolve(CONFIGURED, setup_state="of-tomorrow")) << NOTHING


def lease_again(story: Playbook, **changes: object) -> None:
    """Have the lease told with these changes."""
    lease = evolve(LEASE, **changes)  # type: ignore[arg-type]
    story >> BackendSaid(evolve(CONFIGURED, leases=(lease,)))


def test_reasons_of_a_lease(play: Play) -> None:
    """What happened to a lease follows from what is different about it, and from its time."""
    story = begin(play, CONFIGURED)

    lease_again(story, obtained_ns=START_NS + 60 * 10**9)
    story << "3 eth0 lease renew 192.0.2.50/24"
    lease_again(story, obtained_ns=START_NS + 60 * 10**9, dns=("192.0.2.55",))
    story << NOTHING
    lease_again(story, obtained_ns=START_NS + 120 * 10**9, dns=("192.0.2.55",))
    story << "4 eth0 lease renew 192.0.2.50/24"
    lease_again(story, obtained_ns=START_NS + 120 * 10**9, dns=("192.0.2.55",), server="192.0.2.2")
    story << "5 eth0 lease rebind 192.0.2.50/24"
    lease_again(story, address="192.0.2.51")
    story << "6 eth0 lease bound 192.0.2.51/24"
    story >> BackendSaid(evolve(CONFIGURED, leases=())) << "7 eth0 lease release 192.0.2.51/24"
    lease_again(story)
    story << "8 eth0 lease bound 192.0.2.50/24"
    story >> 3601.0 << NOTHING
    story >> BackendSaid(evolve(CONFIGURED, leases=())) << "9 eth0 lease expire 192.0.2.50/24"
    assert story.events[-1].lease == LEASE


def test_lease_that_any_server_was_asked_for(play: Play) -> None:
    """Past T2 a renewal is a rebind, whoever answers; once the lease was over it is neither."""
    story = begin(play, evolve(CONFIGURED, leases=(evolve(LEASE, rebind_s=3000),)))

    lease_again(story, obtained_ns=START_NS + 2999 * 10**9, rebind_s=3000)
    story << "3 eth0 lease renew 192.0.2.50/24"
    lease_again(story, obtained_ns=START_NS + 5999 * 10**9, rebind_s=3000)
    story << "4 eth0 lease rebind 192.0.2.50/24"
    lease_again(story, obtained_ns=START_NS + 9600 * 10**9, rebind_s=3000)
    story << "5 eth0 lease renew 192.0.2.50/24"


def test_families_are_leases_of_their_own(play: Play) -> None:
    """The lease of one family says nothing of the other."""
    story = begin(play, CONFIGURED)
    six = Lease(NETWORKD, "ipv6", "2001:db8::5", 128)

    (
        story
        >> BackendSaid(evolve(CONFIGURED, leases=(LEASE, six)))
        << ("3 eth0 lease bound 2001:db8::5/128")
    )
    assert story.events[-1].family == 6


def test_two_that_know_the_same_tell_it_once(play: Play) -> None:
    """A lease that a second backend reports is the same; BACKEND names the one that counts more."""
    story = begin(play, CONFIGURED)
    copy = evolve(LEASE, backend="dhclient", obtained_ns=START_NS + 5)

    (
        story
        >> BackendSaid(LinkReport("dhclient", IfIndex(2), leases=(copy,), dns=LEASE.dns))
        << (NOTHING)
    )
    (
        story
        >> seen("eth0", 2, carrier=False)
        << (
            """
        3 eth0 no-carrier
        """
        )
    )
    assert story.events[-1].backend == NETWORKD


def test_both_words_fire(play: Play) -> None:
    """failed is a word of both managers; each is told with its backend."""
    story = begin(play, CONFIGURED)

    story >> BackendSaid(evolve(CONFIGURED, setup_state="failed")) << "3 eth0 failed"
    story >> BackendSaid(evolve(ACTIVATED, device_state="failed")) << "4 eth0 failed"
    assert [each.backend for each in story.events[-2:]] == [NETWORKD, "NetworkManager"]


def test_a_link_is_told_before_what_is_said_of_it(play: Play) -> None:
    """What is said of a link that the kernel has not told waits for it; a vanished one has no states."""
    story = begin(play)

    story >> BackendSaid(evolve(CONFIGURED, ifindex=IfIndex(3))) << NOTHING
    (
        story
        >> seen("eth1", 3, carrier=False)
        << """
        2 eth1 link-added
        3 eth1 no-carrier
        4 eth1 lease bound 192.0.2.50/24
        5 eth1 configured
        """
    )
    story >> gone(3) << "6 eth1 link-removed"
    story >> BackendSaid(evolve(PENDING, ifindex=IfIndex(3), setup_state="linger")) << NOTHING
    story >> BackendForgot(NETWORKD, IfIndex(3)) << NOTHING
    (
        story
        >> seen("eth1", 3, carrier=False)
        << """
        7 eth1 link-added
        8 eth1 no-carrier
        dump 2
        """
    )


def test_a_lost_backend_keeps_its_word(play: Play) -> None:
    """Nothing is invented while it is away; what is different when it is back is told."""
    story = begin(play, CONFIGURED)

    (
        story
        >> BackendLost(NETWORKD, "it has left the bus")
        << (
            "warn: systemd-networkd is not there: it has left the bus; what it said last counts until it is"
            " back"
        )
    )
    story >> BackendLost(NETWORKD, "it has left the bus") << NOTHING
    (
        story
        >> BackendFound(NETWORKD, "252", (evolve(CONFIGURED, leases=(), dns=()),))
        << """
        info: systemd-networkd 252 is there: what it knows counts again
        3 eth0 lease release 192.0.2.50/24
        4 eth0 dns-changed none
        """
    )
    story >> BackendFound(NETWORKD, "252", ()) << "5 eth0 dns-changed none"


def test_what_was_told_outlives_the_worker(play: Play) -> None:
    """The next engine tells only what is different, and nothing of a backend that nobody follows now."""
    story = begin(play, CONFIGURED)
    story >> BackendSaidHost(HostReport(NETWORKD, (("operational", "routable"),))) << NOTHING
    state = story.engine.get_state()

    later = play(state=state, backends=(NETWORKD,)).begin(seen("eth0", 2, dump=1))
    (
        later
        >> BackendFound(
            NETWORKD, "252", (CONFIGURED,), HostReport(NETWORKD, (("operational", "degraded"),))
        )
        << """
        info: systemd-networkd 252 is there: what it knows counts too
        3 host manager degraded
        """
    )
    alone = play(state=state).begin(seen("eth0", 2, dump=1))
    alone >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"
    assert alone.events[-1].backend == "kernel"


def test_what_is_said_of_the_host(play: Play) -> None:
    """Its words, name and servers have events of the host; a name that two tell changes once."""
    story = begin(play)
    first = HostReport(NETWORKD, (("operational", "routable"),))
    story >> BackendSaidHost(first) << NOTHING
    story >> BackendSaidHost(HostReport("systemd-hostnamed", hostname="a")) << NOTHING
    story >> BackendSaidHost(HostReport("NetworkManager", hostname="a")) << NOTHING

    (
        story
        >> BackendSaidHost(evolve(first, states=(("operational", "off"),)))
        << ("2 host manager off")
    )
    (
        story
        >> BackendSaidHost(HostReport("systemd-hostnamed", hostname="b"))
        << ("3 host hostname-changed b")
    )
    story >> BackendSaidHost(HostReport("NetworkManager", hostname="b")) << NOTHING
    (
        story
        >> BackendSaidHost(evolve(first, states=(("operational", "off"),), dns=("192.0.2.1",)))
        << ("4 host dns-changed off")
    )


def test_variables_of_a_lease(play: Play) -> None:
    """A lease event has the whole lease; the link's other events have it, too."""
    story = begin(play, PENDING).with_scripts("/etc/netevd/lease.d/a")

    story.fill(BackendSaid(CONFIGURED))

    values = story.get_values()
    shape = json.loads(values["JSON"])
    named = {name: each for name, each in values.items() if name.startswith("DHCP_")}
    assert named == {
        "DHCP_ADDRESS": "192.0.2.50",
        "DHCP_SUBNET_MASK": "255.255.255.0",
        "DHCP_GATEWAY": "192.0.2.1",
        "DHCP_DNS": "192.0.2.53 192.0.2.54",
        "DHCP_DOMAIN": "a.example b.example",
        "DHCP_HOSTNAME": "host1",
        "DHCP_LEASE": (
            "FAMILY=ipv4,ADDRESS=192.0.2.50,SUBNET_MASK=255.255.255.0,GATEWAY=192.0.2.1,"
            "DNS=192.0.2.53 192.0.2.54,DOMAIN=a.example b.example,HOSTNAME=host1,"
            "SERVER=192.0.2.1,LIFETIME=3600,OBTAINED=1700000000,"
            "OPTION_ntp-servers=192.0.2.7%2C x"
        ),
    }
    assert (values["NETEVD_REASON"], values["NETEVD_FAMILY"]) == ("bound", "ipv4")
    assert (values["BACKEND"], values["STATE"]) == (NETWORKD, "lease")
    assert shape["event"]["lease"]["dns"] == ["192.0.2.53", "192.0.2.54"]
    assert (shape["interface"]["dns"], shape["before"]["dns"]) == (list(LEASE.dns), [])
    assert (shape["event"]["reason"], shape["interface"]["setup_state"]) == ("bound", "configured")


def test_previous_state_is_of_the_same_scale(play: Play) -> None:
    """For a setup state it is the setup state before."""
    story = begin(play, PENDING).with_scripts("/etc/netevd/configured.d/a")

    story.fill(BackendSaid(CONFIGURED))

    assert story.get_values()["NETEVD_PREVIOUS_STATE"] == "pending"


def test_conditions_know_dns(play: Play) -> None:
    """The seed's filter: only with a server does the script run."""
    match = Match(condition="dns_count > 1 && 'a.example' in domains && hostname == 'host1'")
    rest = Filter("ignore", Match())
    story = play(configure(filters=(Filter("execute", match), rest)), backends=(NETWORKD,))
    story.fill(BackendFound(NETWORKD, "252", (PENDING,))).begin(seen("eth0", 2, dump=1))
    story.with_scripts("/etc/netevd/no-carrier.d/a", "/etc/netevd/carrier.d/a")

    story.fill(seen("eth0", 2, carrier=False))
    assert not [each for each in story.actions if "start" in repr(type(each)).lower()]
    story.fill(BackendSaid(CONFIGURED), seen("eth0", 2))
    assert story.get_values()["STATE"] == "carrier"


def test_a_lease_that_is_back_runs_nothing(play: Play) -> None:
    """Given back and bound again within a window, with the same content, changes nothing."""
    story = play(configure(debounce=Debounce(enabled=True)), backends=(NETWORKD,))
    story.fill(BackendFound(NETWORKD, "252", (CONFIGURED,))).begin(seen("eth0", 2, dump=1))
    story.fill(10.0)

    story >> BackendSaid(evolve(CONFIGURED, leases=())) << "3 eth0 lease release 192.0.2.50/24"
    story >> BackendSaid(CONFIGURED) << "4 eth0 lease bound 192.0.2.50/24"
    story >> 5.0 << "unchanged 3 4"
