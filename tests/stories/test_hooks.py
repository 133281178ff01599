"""Which scripts an event has."""

from netevd.model.actions import StartRun
from netevd.model.inputs import Hook, HooksListed
from tests.stories.playbook import NOTHING, Play, finished, hooks, seen

A, B = "/etc/netevd/no-carrier.d/a", "/etc/netevd/no-carrier.d/b"


def test_an_event_without_scripts_runs_nothing(play: Play) -> None:
    """Only the directory of the event's type counts."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts("/etc/netevd/carrier.d/a")

    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"


def test_a_skipped_file_is_told_once_with_its_reason(play: Play) -> None:
    """A file that can't run is named once, and again only for another reason."""
    story = play().begin(seen("eth0", 2, dump=1))
    bad = Hook(1, "no-carrier", "a", A, runnable=False, reason="it is not executable")
    worse = Hook(2, "no-carrier", "a", A, runnable=False, reason="group may write it")

    story >> HooksListed((bad,)) << f"warn: Script {A} is skipped: it is not executable"
    story >> HooksListed((bad,)) << NOTHING
    story >> HooksListed((worse,)) << f"warn: Script {A} is skipped: group may write it"
    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"


def test_a_script_is_chosen_when_the_event_happens(play: Play) -> None:
    """A script that is added while an event's scripts wait does not run for that event."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts(A)

    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), seen("eth0", 2, carrier=False))
    story >> HooksListed(hooks(A, B)) << NOTHING
    story.fill(finished(1))
    story >> finished(2) << f"end 2: ok\ninfo: Script {A} exited with code 0"
    story >> seen("eth0", 2) << "5 eth0 carrier"
    story >> seen("eth0", 2, carrier=False) << f"6 eth0 no-carrier\nstart 3: {A} for 6"


def test_a_script_that_changed_while_it_waited_runs_as_it_is_now(play: Play) -> None:
    """A changed file has a new entry in the runner's table; that one is asked for."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts(A)

    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), seen("eth0", 2, carrier=False))
    story.fill(HooksListed(hooks(A, first=9)), finished(1))

    (start,) = [each for each in story.actions if isinstance(each, StartRun)]
    assert start.hook.entry == 9


def test_a_script_that_vanished_while_it_waited_is_refused(play: Play) -> None:
    """A script that is no longer there, or no longer runnable, ends without being asked for."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts(A, B)

    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), seen("eth0", 2, carrier=False))
    bad = Hook(5, "no-carrier", "b", B, runnable=False, reason="it is not executable")
    story.fill(HooksListed((bad,)))
    (
        story
        >> finished(1)
        << f"""
        end 1: ok
        info: Script {A} exited with code 0
        end 2: refused
        warn: Script {B} was not run: it is not executable
        end 3: refused
        warn: Script {A} was not run: it is not there any more
        end 4: refused
        warn: Script {B} was not run: it is not executable
        """
    )


def test_a_table_replaces_the_one_before(play: Play) -> None:
    """A script that was removed does not run for later events."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts(A)
    story.fill(HooksListed(()))

    story >> seen("eth0", 2, carrier=False) << "2 eth0 no-carrier"
