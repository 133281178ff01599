"""Playbooks whose last actions are checked too."""

from collections.abc import Iterator

import pytest

from netevd.config.schema import Configuration
from netevd.core.policyrouting import Start
from netevd.model.backend import BackendName
from netevd.model.memory import State
from tests.stories.playbook import Play, Playbook


@pytest.fixture
def play() -> Iterator[Play]:
    """Return a maker of playbooks; at the end of the test none may have an unread action."""
    made: list[Playbook] = []

    def make(
        configuration: Configuration | None = None,
        *,
        observe: bool = False,
        start: Start | None = None,
        backends: tuple[BackendName, ...] = (),
        state: State | None = None,
    ) -> Playbook:
        made.append(
            Playbook(configuration, observe=observe, start=start, backends=backends, state=state)
        )
        return made[-1]

    yield make
    for story in made:
        story.check_read()
