"""Which backends are followed, by what the configuration says, and the tasks that do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio

from netevd.backends.bus import Bus
from netevd.backends.networkd import Networkd
from netevd.config.kinds import Backend
from netevd.model.backend import BackendName
from netevd.model.inputs import Input

_KNOWN: Final[tuple[BackendName, ...]] = ("systemd-networkd",)
"""Those that `auto` looks for."""


def choose(wanted: Iterable[Backend]) -> dict[BackendName, bool]:
    """Return which backends are followed, and whether the configuration names them."""
    words = set(wanted)
    return {each: each in words for each in _KNOWN if words & {each, "auto"}}


class Following:
    """Every backend that is followed."""

    def __init__(
        self,
        wanted: Iterable[Backend],
        submit: Callable[[Input], None],
        dial: Callable[[], Awaitable[int]],
    ) -> None:
        """wanted: as `system.backend`. submit: takes inputs. dial: as of `Bus`."""
        chosen = choose(wanted)
        self.names: Final = tuple(chosen)
        """Backends that will say whether they are there."""
        self._services = [
            Networkd(submit, wanted=named)
            for name, named in chosen.items()
            if name == "systemd-networkd"
        ]
        self._bus = Bus(dial, self._services)

    async def run(self) -> None:
        """Follow them for ever."""
        async with trio.open_nursery() as nursery:
            if self._services:
                nursery.start_soon(self._bus.run)

    def note(self, inputs: list[Input]) -> None:
        """Show what the kernel has said to those for whom it is a hint."""
        for service in self._services:
            service.note(inputs)
