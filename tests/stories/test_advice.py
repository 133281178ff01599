"""What services of the host are told because of leases."""

from __future__ import annotations

from attrs import evolve

from netevd.config.schema import Configuration, Network
from netevd.core.memory import fold
from netevd.model.backend import BackendName, Lease, LinkReport
from netevd.model.inputs import AdviceAnswered, BackendFound, BackendLost, BackendSaid
from netevd.model.link import IfIndex
from tests.stories.configurations import NO_ROUTES
from tests.stories.playbook import NOTHING, Play, Playbook, gone, seen

FOLLOWED: tuple[BackendName, ...] = ("systemd-networkd", "dhclient", "systemd-resolved")
LEASE = Lease(
    "dhclient", "ipv4", "192.0.2.50", 24, dns=("192.0.2.53", "192.0.2.54"),
    domains=("a.example", "b.example"), hostname="host1",
)  # fmt: skip
REPORT = LinkReport("dhclient", IfIndex(2), leases=(LEASE,), dns=LEASE.dns, manages=True)
NONE = LinkReport("dhclient", IfIndex(2))
NETWORKD = LinkReport(
    "systemd-networkd", IfIndex(2), manages=True, setup_state="configured",
    leases=(evolve(LEASE, backend="systemd-networkd"),),
)  # fmt: skip


def begin(play: Play, **settings: bool) -> Playbook:
    """Return a story of eth0 with these settings, in which resolved and networkd run."""
    network = Network(use_dns=True, use_domain=True)
    configuration = evolve(
        Configuration(), network=evolve(network, **settings), routes=NO_ROUTES
    )  # fmt: skip
    story = play(configuration, backends=FOLLOWED)
    story.fill(
        BackendFound("systemd-networkd", "252"),
        BackendFound("dhclient", "", (NONE,)),
        BackendFound("systemd-resolved", ""),
    )
    return story.begin(seen("eth0", 2, dump=1))


def test_a_lease_is_told_and_taken_back(play: Play) -> None:
    """Servers and domains of a lease reach resolved, and leave it with the lease."""
    story = begin(play)

    (
        story
        >> BackendSaid(REPORT)
        << """
        2 eth0 lease bound 192.0.2.50/24
        3 eth0 dns-changed 192.0.2.53 192.0.2.54
        advise 1 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example
        """
    )
    story >> AdviceAnswered(1) << NOTHING
    story >> BackendSaid(REPORT) << NOTHING
    (
        story
        >> BackendSaid(NONE)
        << """
        4 eth0 lease release 192.0.2.50/24
        5 eth0 dns-changed none
        withdraw 2 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example
        """
    )
    story >> AdviceAnswered(2) << NOTHING


def test_what_was_taken_back_is_remembered_no_more(play: Play) -> None:
    """The last thing that a service knew is forgotten with it: the next worker takes nothing back."""
    story = begin(play)
    story.fill(BackendSaid(REPORT), AdviceAnswered(1), BackendSaid(NONE))
    story.engine.take_record()
    state = story.engine.get_state()
    assert state is not None and len(state.advice) == 1

    story >> AdviceAnswered(2) << NOTHING

    record = story.engine.take_record()
    assert record is not None
    assert fold(state, [record]).advice == ()
    assert story.engine.take_record() is None


def test_nothing_is_told_unless_wanted(play: Play) -> None:
    """By default no service hears anything."""
    story = begin(play, use_dns=False, use_domain=False)

    story.fill(BackendSaid(REPORT))

    assert not [each for each in story.actions if "Advice" in type(each).__name__]


def test_what_a_manager_has_told_itself_is_left_to_it(play: Play) -> None:
    """networkd tells resolved by itself; only what it does not is told, through networkd."""
    story = begin(play)
    by_itself = evolve(NETWORKD, dns=LEASE.dns, domains=LEASE.domains)

    (
        story
        >> BackendSaid(by_itself)
        << (
            """
        2 eth0 lease bound 192.0.2.50/24
        3 eth0 dns-changed 192.0.2.53 192.0.2.54
        4 eth0 configured
        """
        )
    )
    (
        story
        >> BackendSaid(NETWORKD)
        << """
        5 eth0 dns-changed none
        advise 1 systemd-networkd eth0: 192.0.2.53 192.0.2.54 a.example b.example
        """
    )
    story >> AdviceAnswered(1) << NOTHING
    story >> BackendSaid(by_itself) << "6 eth0 dns-changed 192.0.2.53 192.0.2.54"


def test_a_service_that_was_restarted_is_told_again(play: Play) -> None:
    """resolved forgets; while it is away nothing is asked of it."""
    story = begin(play)
    story.fill(BackendSaid(REPORT), AdviceAnswered(1))

    story.fill(BackendLost("systemd-resolved", "it has left the bus", wanted=True))
    story.fill(BackendSaid(evolve(REPORT, leases=(evolve(LEASE, dns=("192.0.2.55",)),))))
    assert not [each for each in story.actions if "Advice" in type(each).__name__]
    (
        story
        >> BackendFound("systemd-resolved", "")
        << """
        info: systemd-resolved is there: what it knows counts too
        advise 2 systemd-resolved eth0: 192.0.2.55 a.example b.example
        """
    )
    story >> AdviceAnswered(2) << NOTHING
    story.fill(BackendFound("systemd-resolved", ""))
    story >> AdviceAnswered(3) << NOTHING


def test_a_refusal_is_said_once_and_tried_again(play: Play) -> None:
    """What to do is said; each pause is longer; success is said too."""
    story = begin(play)
    story.fill(BackendSaid(REPORT))

    (
        story
        >> AdviceAnswered(1, "Interactive authentication required.", refused=True)
        << (
            "warn: systemd-resolved could not be told DNS servers and domains of eth0: Interactive"
            " authentication required.; the rule packaging/polkit/50-netevd.rules lets it; tried again"
        )
    )
    assert story.engine.insight.find_refusals() == [
        "systemd-resolved was not told: Interactive authentication required."
    ]
    story >> 0.9 << NOTHING
    story >> 0.2 << "advise 2 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example"
    story >> AdviceAnswered(2, "Interactive authentication required.", refused=True) << NOTHING
    story >> 4.9 << NOTHING
    story >> 0.2 << "advise 3 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example"
    (
        story
        >> AdviceAnswered(3)
        << ("info: systemd-resolved was told DNS servers and domains of eth0")
    )
    assert story.engine.insight.find_refusals() == []


def test_the_host_is_named_by_a_lease_and_by_nothing_else(play: Play) -> None:
    """Only the name that the lease gives counts; without one, a domain is no name."""
    story = begin(play, use_dns=False, use_domain=False, use_hostname=True)

    (
        story
        >> BackendSaid(evolve(REPORT, leases=(evolve(LEASE, hostname=""),)))
        << (
            """
        2 eth0 lease bound 192.0.2.50/24
        3 eth0 dns-changed 192.0.2.53 192.0.2.54
        """
        )
    )
    (
        story
        >> BackendSaid(REPORT)
        << """
        4 eth0 lease renew 192.0.2.50/24
        advise 1 systemd-hostnamed host: host1
        """
    )
    story >> AdviceAnswered(1) << NOTHING
    (
        story
        >> BackendSaid(NONE)
        << """
        5 eth0 lease release 192.0.2.50/24
        6 eth0 dns-changed none
        withdraw 2 systemd-hostnamed host: host1
        """
    )
    story >> AdviceAnswered(2) << NOTHING


def test_what_was_told_outlives_the_worker(play: Play) -> None:
    """A lease that is lost while netevd is away is taken back; one that is there is not told again."""
    story = begin(play)
    story.fill(BackendSaid(REPORT), AdviceAnswered(1))
    state = story.engine.get_state()

    later = play(story.configuration, state=state, backends=FOLLOWED)
    later.begin(seen("eth0", 2, dump=1))
    (
        later
        >> BackendFound("systemd-resolved", "")
        << (
            """
        info: systemd-resolved is there: what it knows counts too
        advise 1 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example
        """
        )
    )
    later >> AdviceAnswered(1) << NOTHING
    (
        later
        >> BackendFound("dhclient", "", (NONE,))
        << """
        info: dhclient is there: what it knows counts too
        4 eth0 lease release 192.0.2.50/24
        5 eth0 dns-changed none
        withdraw 2 systemd-resolved eth0: 192.0.2.53 192.0.2.54 a.example b.example
        """
    )


def test_a_link_that_is_gone_takes_it_along(play: Play) -> None:
    """Nothing is asked of resolved about a link that does not exist."""
    story = begin(play)
    story.fill(BackendSaid(REPORT), AdviceAnswered(1))

    story >> gone(2) << "4 eth0 link-removed"
    assert story.engine.get_state() is not None
    assert story.engine.get_state().advice == ()  # type: ignore[union-attr]
