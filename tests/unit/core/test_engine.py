"""Composition where stories do not reach."""

from __future__ import annotations

import pytest

from netevd.core import engine as engine_module
from netevd.core.engine import Engine
from netevd.model.inputs import DumpEnded, HooksListed, Now, Overran
from tests.stories.configurations import configure
from tests.stories.playbook import Playbook, gone, hooks, seen


def test_the_deadline_is_the_earliest() -> None:
    """A run's limit and a dump's pause are both kept."""
    story = Playbook().begin(seen("eth0", 2, dump=1)).with_scripts("/etc/netevd/no-carrier.d/a")
    assert story.engine.deadline() is None

    story.fill(seen("eth0", 2, carrier=False))
    assert story.engine.deadline() == 1010.0
    story.fill(Overran(), DumpEnded(2, consistent=False))

    assert story.engine.deadline() == 1000.1


def test_a_first_engine_wants_nothing() -> None:
    """Before anything is connected there is nothing to wait for."""
    engine = Engine(configure(), first_sequence=1)

    assert engine.deadline() is None
    assert engine.insight.get_snapshots() == ()
    assert engine.handle(HooksListed(hooks("/etc/netevd/carrier.d/a")), Now(0.0, 0)) == []


def test_removed_indexes_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the indexes removed last are looked at when one is used again."""
    monkeypatch.setattr(engine_module, "_GONE_LIMIT", 2)
    story = Playbook().begin(*(seen(f"eth{n}", n, dump=1) for n in (2, 3, 4)))
    story.fill(gone(2), gone(3), gone(4))

    story >> seen("eth2", 2) << "7 eth2 link-added\n8 eth2 carrier"
    story >> seen("eth4", 4) << "9 eth4 link-added\n10 eth4 carrier\ndump 2"
