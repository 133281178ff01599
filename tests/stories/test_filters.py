"""Filters: which events run scripts, which scripts, and why."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from netevd.config.identities import Identities
from netevd.model.actions import Publish
from netevd.model.inputs import DumpEnded, HelperConnected, HooksListed, RunnerConnected
from netevd.model.verdict import EXECUTE, Verdict
from tests.stories.configurations import configure, filters, rule
from tests.stories.playbook import Play, Playbook, finished, gone, has, hooks, link, lost, seen

SCRIPTS = (
    "/etc/netevd/address-added.d/a",
    "/etc/netevd/carrier.d/a",
    "/etc/netevd/carrier.d/b",
    "/etc/netevd/no-carrier.d/a",
)


def begin(play: Play, *wanted: dict[str, Any], **more: Any) -> Playbook:
    """Return a story of the links eth0 and wg0 with these filters and some scripts."""
    story = play(configure(filters=filters(*wanted), **more))
    story.begin(seen("eth0", 2, dump=1), seen("wg0", 3, dump=1, kind="wireguard"))
    return story.with_scripts(*SCRIPTS)


def verdict(story: Playbook) -> Verdict:
    """Return the verdict on the only event of the last input."""
    (found,) = [each.verdict for each in story.actions if isinstance(each, Publish)]
    return found


def test_without_a_filter_that_matches_the_directory_runs(play: Play) -> None:
    """No match is execute, and says that nothing matched."""
    story = begin(play, {"match": {"interface": "eth9"}, "action": "ignore"})

    story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {SCRIPTS[3]} for 3"
    assert verdict(story) == EXECUTE
    assert EXECUTE.reason == "no filter matched: action execute"


def test_the_first_filter_that_matches_decides(play: Play) -> None:
    """A later one is not asked; ignore and log run nothing, and the event is published."""
    story = begin(
        play,
        {"match": {"interface": "eth0"}, "action": "ignore"},
        {"match": {"event_type": ("no-carrier",)}, "action": "log"},
        {"match": {}, "action": "execute"},
    )

    story >> seen("eth0", 2, carrier=False) << "3 eth0 no-carrier"
    assert verdict(story) == Verdict(
        "ignore", 1, "filter 1 (netevd.yaml:10): action ignore", "/etc/netevd/netevd.yaml", 10
    )
    story >> seen("wg0", 3, carrier=False, kind="wireguard") << "4 wg0 no-carrier"
    assert verdict(story).reason == "filter 2 (netevd.yaml:20): action log"
    (
        story
        >> seen("wg0", 3, kind="wireguard")
        << f"""
        5 wg0 carrier
        start 1: {SCRIPTS[1]} for 5
        """
    )
    assert verdict(story).rule == 3
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {SCRIPTS[1]} exited with code 0
        start 2: {SCRIPTS[2]} for 5
        """
    )


def test_scripts_of_a_filter_replace_the_directory(play: Play) -> None:
    """They run in the filter's order, whatever directory they stand in; the event's own do not."""
    named = (SCRIPTS[2], SCRIPTS[0])
    story = begin(
        play, {"match": {"event_type": ("no-carrier",)}, "action": "execute", "scripts": named}
    )

    story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {SCRIPTS[2]} for 3"
    assert story.get_values()["STATE"] == "no-carrier"
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {SCRIPTS[2]} exited with code 0
        start 2: {SCRIPTS[0]} for 3
        """
    )


def test_a_script_of_a_filter_that_is_not_there_is_refused(play: Play) -> None:
    """It is recorded and said, and the others run."""
    named = ("/etc/netevd/carrier.d/z", SCRIPTS[1])
    story = begin(
        play, {"match": {"event_type": ("no-carrier",)}, "action": "execute", "scripts": named}
    )

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"""
        3 eth0 no-carrier
        end 1: refused
        warn: Script /etc/netevd/carrier.d/z was not run: a filter names it, and it is not there or has the name of a leftover
        start 2: {SCRIPTS[1]} for 3
        """
    )


def test_a_script_of_a_filter_that_is_skipped_is_refused_with_the_runners_reason(
    play: Play,
) -> None:
    """What the runner says of a file holds for filters too."""
    story = begin(play, {"match": {}, "action": "execute", "scripts": (SCRIPTS[0],)})
    (hook,) = hooks(SCRIPTS[0])
    story.fill(HooksListed((evolve(hook, runnable=False, reason="it is not executable"),)))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"""
        3 eth0 no-carrier
        end 3: refused
        warn: Script {SCRIPTS[0]} was not run: it is not executable
        """
    )


def test_a_script_of_a_filter_is_run_by_the_runner_of_its_rule(play: Play) -> None:
    """user and capabilities of scripts.rules hold for it."""
    story = begin(
        play,
        {"match": {"event_type": ("no-carrier",)}, "action": "execute", "scripts": (SCRIPTS[0],)},
        rules=(rule(SCRIPTS[0], user="root"),),
    )
    assert (
        len(Identities(configure(rules=(rule(SCRIPTS[0], user="root"),)), observe=False).all) == 2
    )
    story.fill(RunnerConnected(1), HooksListed(hooks(SCRIPTS[0], first=7), 1))

    (
        story
        >> seen("eth0", 2, carrier=False)
        << f"3 eth0 no-carrier\nstart 1: {SCRIPTS[0]} for 3 by 1"
    )


def test_events_from_before_the_first_table_keep_the_scripts_of_their_filter(play: Play) -> None:
    """What was decided at the event holds when the runner lists its scripts."""
    story = play(configure(filters=filters({"action": "execute", "scripts": (SCRIPTS[2],)})))
    story.fill(RunnerConnected(), HelperConnected(), seen("eth0", 2, carrier=False, dump=1))
    story.fill(DumpEnded(1, consistent=True))

    story >> HooksListed(hooks(*SCRIPTS)) << f"start 1: {SCRIPTS[2]} for 1"


def test_ip_family_is_that_of_the_address_or_of_the_link(play: Play) -> None:
    """An address event goes by its address, another by the addresses the link has and can use."""
    story = begin(
        play,
        {"match": {"ip_family": "ipv6", "event_type": ("address-*",)}, "action": "log"},
        {"match": {"ip_family": "ipv4", "event_type": ("no-carrier",)}, "action": "log"},
        {"match": {}, "action": "ignore"},
    )

    story.fill(has("fe80::1/64", 2, flags=0x40))
    assert verdict(story).rule == 1
    story.fill(seen("eth0", 2, carrier=False))
    assert verdict_of(story, "no-carrier").rule == 3
    story.fill(seen("eth0", 2), has("169.254.1.1/16", 2, scope=253), seen("eth0", 2, carrier=False))
    assert verdict_of(story, "no-carrier").rule == 3, "a link-local address does not count"
    story.fill(seen("eth0", 2), has("192.0.2.1/24", 2), seen("eth0", 2, carrier=False))
    assert verdict_of(story, "no-carrier").rule == 2
    story.fill(seen("eth0", 2), lost("192.0.2.1/24", 2), seen("eth0", 2, carrier=False))
    assert verdict_of(story, "no-carrier").rule == 3


def verdict_of(story: Playbook, kind: str) -> Verdict:
    """Return the verdict on the event of this type."""
    (found,) = [
        each.verdict
        for each in story.actions
        if isinstance(each, Publish) and each.event.type == kind
    ]
    return found


def test_a_condition_is_asked_last_and_matches_when_it_is_true(play: Play) -> None:
    """The event's own link decides, as it is after the event."""
    story = begin(
        play,
        {
            "match": {
                "interface": "wg0",
                "condition": "event == 'address-added' && '10.0.0.1' in addresses && mtu == 1500",
            },
            "action": "log",
        },
    )

    story.fill(has("10.0.0.1/24", 2))
    assert verdict_of(story, "address-added") == EXECUTE
    story.fill(has("10.0.0.1/24", 3))
    assert verdict_of(story, "address-added").rule == 1
    assert verdict_of(story, "routable") == EXECUTE


def test_a_condition_without_an_answer_does_not_match_and_is_said_once(play: Play) -> None:
    """An error at run time is a non-match; later filters are asked."""
    story = begin(
        play,
        {"match": {"condition": "!initial && gateways[0] == ''"}, "action": "execute"},
        {"match": {}, "action": "ignore"},
    )

    (
        story
        >> seen("eth0", 2, carrier=False)
        << """
        warn: The condition of filter 1 (netevd.yaml:10) has no answer and does not match: Index error: index=0 size=0
        3 eth0 no-carrier
        """
    )
    story >> seen("eth0", 2) << "4 eth0 carrier"
    assert verdict(story).rule == 2


def test_what_is_not_true_does_not_match(play: Play) -> None:
    """A value of another type than bool is no match, and no error."""
    story = begin(
        play,
        {"match": {"condition": "{'a': 'true', 'b': dyn(1)}.a"}, "action": "ignore"},
        {"match": {"condition": "dyn(1)"}, "action": "ignore"},
    )

    story >> seen("eth0", 2, carrier=False) << f"3 eth0 no-carrier\nstart 1: {SCRIPTS[3]} for 3"


def test_a_rename_and_another_kind_are_seen(play: Play) -> None:
    """What is remembered of a link's name is that of this name."""
    story = begin(
        play,
        {"match": {"interface_pattern": "wan*"}, "action": "log"},
        {"match": {"kind": "wireguard"}, "action": "ignore"},
        {"match": {"backend": "NetworkManager"}, "action": "ignore"},
    )

    story.fill(seen("eth0", 2, carrier=False))
    assert verdict(story) == EXECUTE
    story.fill(seen("wan0", 2, carrier=False))
    assert verdict(story).rule == 1
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2, carrier=True))
    assert verdict(story) == EXECUTE
    story.fill(seen("wg0", 3, carrier=False, kind="wireguard"))
    assert verdict(story).rule == 2
    story.fill(gone(3))
    assert verdict(story).rule == 2, "the removal goes by what was known of the link"


def test_an_alternative_name_matches(play: Play) -> None:
    """As in network.links, a link is meant by each of its names."""
    story = begin(play, {"match": {"interface": "uplink"}, "action": "log"})

    named = evolve(link("eth0", 2, carrier=False), altnames=("uplink",))
    story.fill(evolve(seen("eth0", 2), link=named))
    assert verdict(story).rule == 1
