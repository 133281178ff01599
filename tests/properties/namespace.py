"""
A network namespace in miniature: links and addresses that change, messages of each change, a
receive buffer that can overrun, dumps that are read while all this goes on, a helper that can die.

What the kernel and the helper guarantee, and nothing more, is guaranteed here: messages in order;
after a loss none until the buffer is empty, and the mark of the loss right after that; a dump's
end after every event that was queued before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from attrs import evolve

from netevd.core.engine import Engine
from netevd.core.memory import fold
from netevd.model.actions import Action, Publish, RequestDump
from netevd.model.address import IFA_F_DEPRECATED, IFA_F_TENTATIVE, Address, AddressKey
from netevd.model.event import Event
from netevd.model.inputs import (
    AddressGone,
    AddressSeen,
    DumpEnded,
    HelperConnected,
    Input,
    LinkGone,
    LinkSeen,
    Now,
    Overran,
    Tick,
)
from netevd.model.link import IFF_LOWER_UP, IFF_RUNNING, IFF_UP, IfIndex, Link
from netevd.model.memory import State

NAMES = ("w0", "w1", "w2", "w3", "u0", "u1")
"""Names that links may have; those with w are watched."""

LINKS = 5
"""Links have an ifindex from 1 to this: few, so that each is used again."""

_FLAGS = (0, IFF_UP, IFF_UP | IFF_LOWER_UP, IFF_UP | IFF_LOWER_UP | IFF_RUNNING)
_OPERSTATES = (2, 6, 6, 0, 5)
_ADDRESSES = (
    ("192.0.2.1", 24, 0), ("192.0.2.2", 24, 0), ("2001:db8::1", 64, 0), ("fe80::1", 64, 253),
)  # fmt: skip
_ADDRESS_FLAGS = (0, IFA_F_TENTATIVE, IFA_F_DEPRECATED)


Operation: TypeAlias = Callable[["Namespace", int, int], None]
"""Takes two numbers that choose where and what."""


class Namespace:
    """The truth, the way from it to an engine, and what the engine made of it."""

    def __init__(self, make_engine: Callable[[State | None], Engine]) -> None:
        """make_engine: returns a new engine that goes on from what is remembered, if anything is."""
        self.links: dict[IfIndex, Link] = {}
        self.addresses: dict[tuple[IfIndex, AddressKey], Address] = {}
        self.events: list[Event] = []
        self.actions: list[Action] = []
        self.engine = make_engine(None)
        self.memory: State | None = None
        """What is remembered, as the engine's records tell."""
        self._make_engine = make_engine
        self._queue: deque[Input] = deque()
        self._losing = False
        self._dump: deque[Callable[[], list[Input]]] = deque()
        self._dump_number = 0
        self._consistent = True
        self._time = 0.0

    # --- what happens in the kernel --------------------------------------------------------------

    def change_link(self, where: int, what: int) -> None:
        """Make a link, or change one thing of it."""
        ifindex = IfIndex(where % LINKS + 1)
        link = self.links.get(ifindex)
        free = [each for each in NAMES if each not in {other.name for other in self.links.values()}]
        if link is None:
            name, state = free[what % len(free)], _OPERSTATES[what // 5 % len(_OPERSTATES)]
            master = self._choose_master(ifindex, what)
            link = Link(ifindex, name, _FLAGS[-1], state, 1500, "", master=master)
        elif what % 5 == 0:
            link = evolve(link, name=free[what // 5 % len(free)])
        elif what % 5 == 1:
            link = evolve(link, flags=_FLAGS[what // 5 % len(_FLAGS)])
        elif what % 5 == 2:
            link = evolve(link, operstate=_OPERSTATES[what // 5 % len(_OPERSTATES)])
        elif what % 5 == 3:
            link = evolve(link, mtu=1500 + what // 5 % 3)
        else:
            link = evolve(link, master=self._choose_master(ifindex, what))
        self.links[ifindex] = link
        self._send(LinkSeen(link))

    def remove_link(self, where: int, what: int) -> None:
        """Remove a link: its ports are released, its addresses go, then it goes."""
        ifindex = IfIndex(where % LINKS + 1)
        if ifindex not in self.links:
            return
        for port in [each for each in self.links.values() if each.master == ifindex]:
            self.links[port.ifindex] = evolve(port, master=IfIndex(0))
            self._send(LinkSeen(self.links[port.ifindex]))
        for place, address in list(self.addresses.items()):
            if place[0] == ifindex:
                del self.addresses[place]
                if what % 2:
                    self._send(AddressGone(address))
        del self.links[ifindex]
        self._send(LinkGone(ifindex))

    def change_address(self, where: int, what: int) -> None:
        """Add an address or change its flags."""
        ifindex = IfIndex(where % LINKS + 1)
        if ifindex in self.links:
            address = self._make_address(ifindex, what)
            self.addresses[ifindex, address.key] = address
            self._send(AddressSeen(address))

    def remove_address(self, where: int, what: int) -> None:
        """Remove an address if it is there."""
        place = (IfIndex(where % LINKS + 1), self._make_address(IfIndex(1), what).key)
        address = self.addresses.pop(place, None)
        if address is not None:
            self._send(AddressGone(address))

    def lose(self, where: int, what: int) -> None:
        """Have the receive buffer overrun: nothing more comes in until it was emptied."""
        del where, what
        self._losing = True

    # --- what happens on the way -----------------------------------------------------------------

    def connect(self, where: int, what: int) -> None:
        """Replace the helper; the last one had read some messages and forwarded none of them."""
        del where
        for _ in range(min(what % 4, len(self._queue))):
            self._queue.popleft()
        self._dump.clear()
        self._dump_number = 0
        self._hand_in(HelperConnected())

    def crash(self, where: int, what: int) -> None:
        """Replace the worker; the last one had got some messages and had not looked at them."""
        self.engine = self._make_engine(self.memory)
        self.connect(where, what)

    def reload(self, where: int, what: int) -> None:
        """Replace the worker by one that gets every message that the last one had not got."""
        del where, what
        self.crash(0, 0)

    def deliver(self, where: int, what: int) -> None:
        """Hand some messages to the engine."""
        for _ in range(min(where + what, len(self._queue))):
            self._hand_in(self._queue.popleft())
        if self._losing and not self._queue:
            self._losing = False
            self._hand_in(Overran())

    def read_dump(self, where: int, what: int) -> None:
        """Read some of the dump; at its end it may count as inconsistent."""
        del where
        if not self._dump_number:
            return
        if self._dump:
            for _ in range(min(1 + what % 4, len(self._dump))):
                for part in self._dump.popleft()():
                    self._hand_in(part)
            return
        number, self._dump_number = self._dump_number, 0
        self.deliver(len(self._queue), 0)
        if not self._dump_number:  # the engine has not asked for another one meanwhile
            self._hand_in(DumpEnded(number, consistent=what % 3 != 0))

    def wait(self, where: int, what: int) -> None:
        """Let time pass, up to the engine's deadline."""
        del where, what
        deadline = self.engine.deadline()
        if deadline is not None:
            self._time = max(self._time, deadline)
            self._hand_in(Tick())

    def come_to_rest(self) -> None:
        """Let everything arrive."""
        while self._queue or self._losing or self._dump_number or self.engine.deadline():
            self.deliver(len(self._queue), 0)
            self.read_dump(0, 1)
            self.wait(0, 0)

    # --- inside ------------------------------------------------------------------------------------

    def _choose_master(self, ifindex: IfIndex, what: int) -> IfIndex:
        """Return a link with a higher ifindex, so that there is no circle, or none."""
        above = [each for each in self.links if each > ifindex]
        return above[what // 5 % len(above)] if above and what % 3 else IfIndex(0)

    def _make_address(self, ifindex: IfIndex, what: int) -> Address:
        ip, prefix, scope = _ADDRESSES[what % len(_ADDRESSES)]
        flags = _ADDRESS_FLAGS[what // 4 % len(_ADDRESS_FLAGS)]
        return Address(ifindex, 6 if ":" in ip else 4, ip, prefix, scope, flags)

    def _send(self, message: Input) -> None:
        if not self._losing:
            self._queue.append(message)

    def _hand_in(self, given: Input) -> None:
        actions = self.engine.handle(given, Now(self._time, 0))
        self._remember()
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Publish):
                self.events.append(action.event)
            elif isinstance(action, RequestDump):
                self._begin_dump(action.dump)

    def _remember(self) -> None:
        record, state = self.engine.take_record(), self.engine.get_state()
        if self.memory is None:
            self.memory = state
        elif record is not None:
            self.memory = fold(self.memory, [record])
        assert _normalize(self.memory) == _normalize(state), (
            "records and state tell different things"
        )

    def _begin_dump(self, number: int) -> None:
        """Have the dump read link by link, then address by address, each when its turn comes."""
        self._dump_number = number
        indexes = [IfIndex(each) for each in range(1, LINKS + 1)]

        def read_link(ifindex: IfIndex) -> list[Input]:
            link = self.links.get(ifindex)
            return [] if link is None else [LinkSeen(link, number)]

        def read_addresses(ifindex: IfIndex) -> list[Input]:
            places = [place for place in self.addresses if place[0] == ifindex]
            return [AddressSeen(self.addresses[place], number) for place in places]

        self._dump = deque(partial(read_link, each) for each in indexes)
        self._dump.extend(partial(read_addresses, each) for each in indexes)


def _normalize(state: State | None) -> object:
    """Return what a state says, without what the next dump tells anyway."""
    if state is None:
        return None
    links = {each.link.ifindex: (each.lane, each.told) for each in state.links}
    return evolve(state, links=()), links


KERNEL_OPERATIONS: tuple[Operation, ...] = (
    *[Namespace.change_link] * 6,
    *[Namespace.change_address] * 6,
    *[Namespace.remove_link] * 2,
    *[Namespace.remove_address] * 2,
)
"""What happens in the kernel, each as often as it shall be chosen."""

OPERATIONS: tuple[Operation, ...] = (
    *KERNEL_OPERATIONS,
    *[Namespace.deliver] * 6,
    *[Namespace.read_dump] * 8,
    *[Namespace.lose] * 2,
    Namespace.wait,
    Namespace.connect,
    Namespace.crash,
    Namespace.reload,
)
"""The same, and what happens on the way."""
