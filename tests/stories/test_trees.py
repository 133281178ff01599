"""Trees of other dispatchers: which of their scripts an event runs, in which order, and what waits."""

from __future__ import annotations

import pytest
from attrs import evolve

from netevd.config.identities import OF_ITS_TREE
from netevd.config.kinds import AbsolutePath, Duration, UserName, Wait
from netevd.config.schema import CarrierTree, Compat, HookTree, Limits, Rule, StateTree
from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.actions import StartRun
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    Hook,
    HooksListed,
    RunnerConnected,
    RunRefused,
)
from tests.stories.configurations import configure
from tests.stories.playbook import Playbook, finished, has, lost, seen

ON = HookTree(enabled=True)
ND = StateTree(enabled=True)


def hooks(*paths: str) -> tuple[Hook, ...]:
    """Return scripts by TREE:GROUP/NAME, or TYPE.d/NAME for netevd's own."""
    found = []
    for number, path in enumerate(paths, 1):
        tree, _, rest = path.rpartition(":")
        group, _, name = rest.partition("/")
        event = group if tree else group.removesuffix(".d")
        found.append(Hook(number, event, name, f"/{path}", runnable=True, reason="", tree=tree))
    return tuple(found)


def begin(compat: Compat, *paths: str, rules: tuple[Rule, ...] = (), links: int = 1) -> Playbook:
    """Return a story with these trees and scripts, and links with a carrier."""
    book = Playbook(evolve(configure(rules=rules), compat=compat))
    book.begin(*(seen(f"eth{each}", 2 + each, dump=1) for each in range(links)))
    return book.fill(HooksListed(hooks(*paths)))


def started(book: Playbook) -> list[tuple[str, str]]:
    """Return path and link of each script that the last input started."""
    starts = [each for each in book.actions if isinstance(each, StartRun)]
    book.pass_over()
    return [(each.hook.path, each.event.name) for each in starts]


# --- order ------------------------------------------------------------------------------------------


def test_own_scripts_come_first_then_trees_one_after_another() -> None:
    """One lane: netevd's own, then the trees in the order of the reference, each as the one before ends."""
    paths = (
        "routable.d/own", "networkd-dispatcher:routable/a", "networkmanager:pre-up/p",
        "networkmanager:dispatcher/n", "ifupdown:if-up/i",
    )  # fmt: skip
    compat = Compat(networkd_dispatcher=ND, networkmanager=ON, ifupdown=ON)
    book = begin(compat, *paths, "ifupdown:if-post-down/never")

    book >> has("192.0.2.1/24", 2)
    order = started(book)
    for run in range(1, len(paths) + 1):
        book >> finished(run)
        order += started(book)

    assert [path for path, _ in order] == [f"/{path}" for path in paths]


def test_the_whole_scale_is_told_where_a_tree_wants_it() -> None:
    """operational-carrier is an event with its own number; without such a tree there is none."""
    book = begin(Compat(networkd_dispatcher=ND), "networkd-dispatcher:carrier/a")
    book.fill(has("192.0.2.1/24", 2))
    book >> lost("192.0.2.1/24", 2)
    (
        book
        << """
        6 eth0 address-removed 192.0.2.1
        7 eth0 operational-carrier
        start 1: /networkd-dispatcher:carrier/a for 7
    """
    )
    plain = begin(Compat())
    plain.fill(has("192.0.2.1/24", 2))
    plain >> lost("192.0.2.1/24", 2)
    plain << "5 eth0 address-removed 192.0.2.1"


def test_a_serial_dispatcher_runs_one_script_of_all_links_at_a_time() -> None:
    """networkd-dispatcher and NetworkManager do; ifplugd has one daemon a link, so it does not."""
    serial = begin(Compat(networkmanager=ON), "networkmanager:dispatcher/a", links=2)
    serial >> has("192.0.2.1/24", 2)
    assert started(serial) == [("/networkmanager:dispatcher/a", "eth0")]
    serial >> has("192.0.2.2/24", 3)
    assert started(serial) == []
    serial >> finished(1)
    assert started(serial) == [("/networkmanager:dispatcher/a", "eth1")]

    beside = begin(Compat(ifupdown=ON), "ifupdown:if-up/a", links=2)
    beside >> has("192.0.2.1/24", 2)
    beside.pass_over()
    beside >> has("192.0.2.2/24", 3)
    assert started(beside) == [("/ifupdown:if-up/a", "eth1")]


def test_no_wait_starts_beside_everything() -> None:
    """Neither a script of its link that runs, nor one of its dispatcher, holds it back."""
    book = begin(
        Compat(networkmanager=ON), "routable.d/slow", "networkmanager:dispatcher-no-wait/fast",
        "networkmanager:dispatcher/n", links=2,
    )  # fmt: skip

    book >> has("192.0.2.1/24", 2)
    assert started(book) == [
        ("/routable.d/slow", "eth0"),
        ("/networkmanager:dispatcher-no-wait/fast", "eth0"),
    ]
    book >> finished(2)
    assert started(book) == []
    book >> finished(1)
    assert started(book) == [("/networkmanager:dispatcher/n", "eth0")]


def test_a_filter_that_names_scripts_or_ignores_runs_nothing_of_a_tree() -> None:
    """Trees are what an event runs of itself."""
    from netevd.config.schema import Filter

    for given in (Filter("ignore"), Filter("execute", scripts=(AbsolutePath("/routable.d/own"),))):
        configuration = evolve(configure(filters=(given,)), compat=Compat(networkd_dispatcher=ND))
        book = Playbook(configuration).begin(seen("eth0", 2, dump=1))
        book.fill(HooksListed(hooks("routable.d/own", "networkd-dispatcher:routable/a")))
        book >> has("192.0.2.1/24", 2)
        assert "/networkd-dispatcher:routable/a" not in dict(started(book))


# --- delays -------------------------------------------------------------------------------------------


PLUG = Compat(ifplugd=CarrierTree(enabled=True))


def test_a_carrier_that_is_back_within_the_delay_runs_nothing() -> None:
    """ifplugd's down waits 5 s; up within that makes both void; one that lasts runs, backward."""
    book = begin(PLUG, "ifplugd:actions/a", "ifplugd:actions/b")

    book.fill(seen("eth0", 2, carrier=False), 4.9)
    sequence = book.events[-1].sequence
    assert book.engine.insight.get_held(sequence) == [("ifplugd", "down")]
    book >> seen("eth0", 2)
    text = f"ifplugd runs nothing: down of event {sequence} did not last for 5 s"
    assert text in "\n".join(map(str, book.actions))
    book.pass_over()
    book >> 60.0
    book << ""
    book.fill(seen("eth0", 2, carrier=False))
    book >> 4.9
    book << ""
    book >> 0.2
    assert started(book) == [("/ifplugd:actions/b", "eth0")]
    book >> finished(1)
    assert started(book) == [("/ifplugd:actions/a", "eth0")]


def test_delays_are_settings() -> None:
    """Up can wait too, and down need not."""
    tree = CarrierTree(enabled=True, delay_up=Wait(3.0), delay_down=Wait(0.0))
    book = begin(Compat(ifplugd=tree), "ifplugd:action/x", "ifplugd:actions/never")

    book >> seen("eth0", 2, carrier=False)
    assert started(book) == [("/ifplugd:action/x", "eth0")]
    book.fill(finished(1), seen("eth0", 2), 2.9)
    book >> 0.2
    assert started(book) == [("/ifplugd:action/x", "eth0")]


def test_what_waits_outlives_its_worker() -> None:
    """Another engine goes on waiting, with what was remembered by records and as a whole."""
    book = begin(PLUG, "ifplugd:actions/a")
    state = book.engine.get_state()
    assert state is not None
    book.engine.take_record()
    book.fill(seen("eth0", 2, carrier=False))
    record = book.engine.take_record()
    assert record is not None
    kept = fold(state, [record])
    assert kept.runs.held == book.engine.get_state().runs.held  # type: ignore[union-attr]
    assert kept.runs.held

    later = Playbook(book.configuration)
    later.engine = Engine(book.configuration, 1, state=kept)
    later.time = book.time
    later.fill(RunnerConnected(), HooksListed(hooks("ifplugd:actions/a")))
    later >> 4.8
    later << ""
    later >> 0.4
    assert started(later) == [("/ifplugd:actions/a", "eth0")]


def test_a_run_that_waits_keeps_what_it_is_called_for() -> None:
    """Remembered runs of a tree start with their action."""
    book = begin(
        Compat(networkmanager=ON), "networkmanager:pre-up/p", "networkmanager:dispatcher/n"
    )
    book.fill(has("192.0.2.1/24", 2))
    kept = book.engine.get_state()
    assert kept is not None
    assert [run.action for run in kept.runs.runs] == ["pre-up", "up"]

    later = Playbook(book.configuration)
    later.engine = Engine(book.configuration, 1, state=kept)
    later.fill(HooksListed(hooks("networkmanager:pre-up/p", "networkmanager:dispatcher/n")))
    later.fill(RunnerConnected())
    (start,) = [each for each in later.actions if isinstance(each, StartRun)]
    assert start.words == ("eth0", "pre-up")


# --- as whom ------------------------------------------------------------------------------------------


def test_a_tree_with_a_user_has_a_runner_of_its_own() -> None:
    """Its scripts are those that this runner lists; netevd's own and other trees stay where they are."""
    compat = Compat(
        networkd_dispatcher=StateTree(enabled=True, user=UserName("root")), ifupdown=ON,
    )  # fmt: skip
    own = hooks("routable.d/own", "ifupdown:if-up/i", "networkd-dispatcher:routable/not-its")
    its = hooks("networkd-dispatcher:routable/a", "routable.d/not-its", "ifupdown:if-up/not-its")
    book = Playbook(evolve(configure(), compat=compat))
    book.fill(RunnerConnected(0), RunnerConnected(1), HooksListed(own, 0), HelperConnected())
    book.fill(seen("eth0", 2, dump=1), DumpEnded(1, consistent=True), has("192.0.2.1/24", 2))
    assert started(book) == [], "the first events wait for every runner that has scripts"

    book >> HooksListed(its, 1)
    assert started(book) == [("/routable.d/own", "eth0")]
    book >> finished(1)
    (start,) = [each for each in book.actions if isinstance(each, StartRun)]
    assert (start.hook.path, start.runner) == ("/networkd-dispatcher:routable/a", 1)
    book.pass_over()
    book >> finished(2)
    assert started(book) == [("/ifupdown:if-up/i", "eth0")]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(AbsolutePath("/ifupdown:if-up/i"), user=UserName("root")),
        Rule(AbsolutePath("/ifupdown:if-up/i"), capabilities=("CAP_NET_ADMIN",)),
        Rule(AbsolutePath("/ifupdown:if-up/i"), limits=Limits(processes=64)),  # type: ignore[arg-type]
    ],
)
def test_a_rule_gives_a_script_of_a_tree_no_more_than_its_tree(rule: Rule) -> None:
    """It is refused with the reason, and runs neither as the rule nor as the tree says."""
    book = begin(Compat(ifupdown=ON), "ifupdown:if-up/i", rules=(rule,))
    book.fill(RunnerConnected(1), HooksListed((), 1))

    book >> has("192.0.2.1/24", 2)

    assert not [each for each in book.actions if isinstance(each, StartRun)]
    assert OF_ITS_TREE in "\n".join(str(each) for each in book.actions)
    book.pass_over()


def test_a_rule_may_change_how_a_script_of_a_tree_runs() -> None:
    """Timeout and detach are the rule's; the mutex of its dispatcher stays."""
    rule = Rule(AbsolutePath("/networkmanager:dispatcher/n"), timeout=Duration(2.0), detach=True)
    book = begin(Compat(networkmanager=ON), "networkmanager:dispatcher/n", rules=(rule,), links=2)

    book.fill(has("192.0.2.1/24", 2))
    (start,) = [each for each in book.actions if isinstance(each, StartRun)]
    assert start.detach
    book >> has("192.0.2.2/24", 3)
    assert started(book) == []


def test_a_value_that_is_no_text_refuses_the_run() -> None:
    """Bytes that are not UTF-8 in what a backend tells reach nobody."""
    from netevd.model.backend import LinkReport
    from netevd.model.inputs import BackendFound, BackendSaid
    from netevd.model.link import IfIndex

    book = begin(Compat(networkmanager=ON), "networkmanager:dispatcher/a")
    report = LinkReport(
        "NetworkManager", IfIndex(2), device_state="activated", connection_id="caf\udce9"
    )
    book.fill(BackendFound("NetworkManager", "1.46"))
    book >> BackendSaid(report)

    assert not [each for each in book.actions if isinstance(each, StartRun)]
    assert "holds bytes that are not UTF-8" in "\n".join(str(each) for each in book.actions)
    book.pass_over()


def test_a_refused_run_lets_the_next_one_go() -> None:
    """A mutex is given back when the runner refuses."""
    book = begin(
        Compat(networkmanager=ON), "networkmanager:dispatcher/a", "networkmanager:dispatcher/b"
    )
    book.fill(has("192.0.2.1/24", 2))
    book >> RunRefused(1, "it is not what it was")

    assert started(book) == [("/networkmanager:dispatcher/b", "eth0")]
