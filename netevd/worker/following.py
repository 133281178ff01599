"""Which services of the bus are followed and told, by what the configuration says, and the tasks that do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio

from netevd.backends.bus import Bus, Service
from netevd.backends.hostname import HostName
from netevd.backends.logind import Logind
from netevd.backends.networkd import Networkd
from netevd.backends.networkmanager import NetworkManager
from netevd.backends.resolved import Resolved, give
from netevd.config.kinds import Backend
from netevd.config.schema import Configuration
from netevd.model.actions import GiveAdvice
from netevd.model.backend import BackendName
from netevd.model.inputs import Input

_FOLLOWED: Final[dict[BackendName, type[Networkd | NetworkManager | Logind]]] = {
    "systemd-networkd": Networkd,
    "NetworkManager": NetworkManager,
    "systemd-logind": Logind,
}
"""Those on the bus that `auto` looks for."""


def choose(wanted: Iterable[Backend]) -> dict[BackendName, bool]:
    """Return which backends are followed, and whether the configuration names them."""
    words = set(wanted)
    return {each: each in words for each in _FOLLOWED if words & {each, "auto"}}


class Following:
    """Every service of the bus that is followed, and those that are told what leases say."""

    def __init__(
        self,
        configuration: Configuration,
        submit: Callable[[Input], None],
        dial: Callable[[], Awaitable[int]],
        name: int | None = None,
    ) -> None:
        """submit: takes inputs. dial: as of `Bus`. name: descriptor of the host's name, see `open_name`."""
        chosen = choose(configuration.system.backend)
        network = configuration.network
        names = list(chosen)
        self._submit = submit
        self._hinted = [_FOLLOWED[name](submit, wanted=named) for name, named in chosen.items()]
        services: list[Service] = [*self._hinted]
        if network.use_dns or network.use_domain:
            services.append(Resolved(submit))
            names.append("systemd-resolved")
        self._name = None if name is None else HostName(name, submit)
        if name is not None:
            names.append("kernel")
        self.names: Final = tuple(names)
        """Backends that will say whether they are there."""
        self._wanted = bool(services) or network.use_hostname
        self._bus = Bus(dial, services)
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Follow them for ever."""
        async with trio.open_nursery() as self._nursery:
            if self._wanted:
                self._nursery.start_soon(self._bus.run)
            if self._name is not None:
                self._nursery.start_soon(self._name.run)
            await trio.sleep_forever()

    def note(self, inputs: list[Input]) -> None:
        """Show what the kernel has said to those for whom it is a hint."""
        for service in self._hinted:
            service.note(inputs)

    def give_advice(self, action: GiveAdvice) -> None:
        """Have a service told, and its answer submitted."""
        self._nursery.start_soon(self._give, action)

    async def _give(self, action: GiveAdvice) -> None:
        self._submit(await give(action, self._bus.connection))
