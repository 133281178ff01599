"""The script table."""

from __future__ import annotations

from attrs import evolve

from netevd.core.hooks import HookTable
from netevd.model.inputs import Hook

A = Hook(1, "carrier", "a", "/etc/netevd/carrier.d/a", runnable=True, reason="")
B = Hook(2, "carrier", "b", "/usr/lib/netevd/carrier.d/b", runnable=True, reason="")
BAD = Hook(3, "off", "c", "/etc/netevd/off.d/c", runnable=False, reason="it is empty")


def test_an_empty_table() -> None:
    """Before the first list no event has a script."""
    assert HookTable().find("carrier") == ()
    assert HookTable().renew(A) is None


def test_scripts_of_an_event_in_listed_order() -> None:
    """The runner's order is kept; what can't run is not found."""
    table = HookTable()
    table.replace((B, BAD, A))

    assert table.find("carrier") == (B, A)
    assert table.find("off") == ()
    assert table.find("routable") == ()


def test_a_skipped_file_is_noted_once_for_each_reason() -> None:
    """A file is named when it is first skipped, again for another reason or after it was well."""
    table = HookTable()
    told = [
        [note.message for note in table.replace(hooks)]
        for hooks in (
            (BAD,),
            (BAD,),
            (evolve(BAD, reason="it is a FIFO"),),
            (evolve(BAD, runnable=True, reason=""),),
            (BAD, evolve(BAD, event="carrier")),
        )
    ]

    first = "Script /etc/netevd/off.d/c is skipped: it is empty"
    assert told == [
        [first],
        [],
        ["Script /etc/netevd/off.d/c is skipped: it is a FIFO"],
        [],
        [first],
    ]


def test_a_script_of_an_earlier_table_is_found_by_its_path() -> None:
    """Entry numbers change; event type and path are what a script is known by."""
    table = HookTable()
    table.replace((evolve(A, entry=9), BAD))

    assert table.renew(A) == evolve(A, entry=9)
    assert table.renew(BAD) == BAD
    assert table.renew(B) is None
    assert table.renew(evolve(A, event="off")) is None
