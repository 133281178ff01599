"""The worker's notes: what they say, and that one kind leaves room for the others."""

from __future__ import annotations

from netevd.report.audit import AuditNotes
from privsep.protocol import REPORT, Audit, Message, pack


def make() -> tuple[AuditNotes, list[Message], list[float]]:
    """Return notes, what they have sent, and their clock."""
    sent: list[Message] = []
    clock = [0.0]
    return AuditNotes(sent.append, lambda: clock[0]), sent, clock


def test_note_says_what_and_by_whom() -> None:
    """The message is one that the supervisor understands, whatever a client had put into it."""
    note, sent, _ = make()

    note("reload", "asked", by="uid 1000", detail="a\udcff\n" * 400)

    assert isinstance(sent[0], Audit)
    assert (sent[0].what, sent[0].outcome, sent[0].by) == ("reload", "asked", "uid 1000")
    assert REPORT.unpack(pack(sent[0])) == sent[0]
    assert len(sent[0].detail) == 512


def test_flood_of_one_kind_leaves_room_for_others() -> None:
    """20 at once, then one in 5 s; what was too much is counted; another kind is not touched."""
    note, sent, clock = make()
    for _ in range(1000):
        note("request", "refused")
    note("reload", "asked")
    clock[0] += 5.1
    note("request", "refused")
    note("request", "refused")

    assert [each.what for each in sent if isinstance(each, Audit)] == (
        ["request"] * 20 + ["reload", "request"]
    )
    assert [each.lost for each in sent if isinstance(each, Audit)] == [0] * 20 + [980, 0]


def test_kinds_are_bounded() -> None:
    """However many kinds there are, what is remembered of them is not."""
    note, sent, _ = make()
    for number in range(500):
        note(f"kind-{number}", "done")

    assert len(sent) == 32 + 20
