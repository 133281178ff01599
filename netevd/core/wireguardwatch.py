"""
WireGuard devices: which links are some, when each is read again, and what is different then.

Composes core.wireguardpeers, which knows what peers mean. One device is read at a time. A link of
the kernel's kind is a device; one of kind tun may be, which its keeper's socket tells: it is asked
when the link appears and when it is set up, and left alone if nobody answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from attrs import evolve

from netevd.config.kinds import Expectation
from netevd.config.links import watches
from netevd.config.schema import Wireguard
from netevd.core.deadlines import find_earliest
from netevd.core.observe import Change
from netevd.core.wireguardpeers import PeerChange, Reading, compare, find_wait
from netevd.model.actions import Action, Note, ReadWireguard, SetEndpoint
from netevd.model.event import EventType
from netevd.model.inputs import Now, WireguardRead
from netevd.model.link import IfIndex
from netevd.model.snapshot import Snapshot
from netevd.model.wireguard import (
    Device,
    Implementation,
    KnownDevice,
    KnownPeer,
    Peer,
    PeerState,
    PublicKey,
    WireguardFact,
)

ANSWER_S: Final = 5.0
"""Seconds after which a device that has not answered is asked again later."""

PROBES_S: Final = (0.0, 0.2, 1.0, 5.0)
"""Seconds from the appearance of a tun link to each question whether it is a device."""

CLOCK_S: Final = 5.0
"""Seconds by which the wall clock may differ from the monotonic one between two readings; beyond
that it was set, or the machine slept."""


class News(NamedTuple):
    """One event of a device."""

    type: EventType
    ifindex: IfIndex
    fact: WireguardFact


class _Asked(NamedTuple):
    """What a device was asked for."""

    number: int
    ifindex: IfIndex
    until: float
    """When the answer is late, monotonic seconds."""
    place: str = ""
    """Of an endpoint that is to be set; "" for a reading."""
    key: PublicKey = ""
    """Of that peer."""


class FoundDevice(NamedTuple):
    """A device with its peers as it was read last."""

    ifindex: IfIndex
    device: Device
    since: float
    """When it was read for the first time, monotonic seconds; 0: by an earlier worker."""


class FoundPeer(NamedTuple):
    """A peer, for those who ask."""

    interface: str
    implementation: Implementation
    known: KnownPeer
    name: str
    """As the configuration has it, "" for none."""
    expected: Expectation


class _Watched:
    """One link that is a device, or may be one."""

    def __init__(self, ifindex: IfIndex, lane: int, *, userspace: bool) -> None:
        self.ifindex = ifindex
        self.lane = lane
        self.name = ""
        self.userspace = userspace
        self.device: Device | None = None
        """None until it was read for the first time."""
        self.peers: dict[PublicKey, KnownPeer] = {}
        self.up = False
        """As users know it."""
        self.is_up = False
        self.due: float | None = None
        self.probes = 0
        self.failures = 0
        self.read: Now | None = None
        """When it was read last."""
        self.counted = -1
        """Octets sent and received in all, then."""
        self.since = 0.0
        """When it was read for the first time, monotonic seconds."""
        self.frame: object = None
        """What of the last reading routes depend on."""


class WireguardWatch:
    """Every device of the watched links."""

    def __init__(self, settings: Wireguard) -> None:
        self._settings = settings
        self._watched: dict[IfIndex, _Watched] = {}
        self._number = 0
        self._reading: _Asked | None = None
        """What is under way: one thing for all devices."""
        self._wanted: dict[tuple[IfIndex, PublicKey], tuple[str, int]] = {}
        """Endpoints that are to be set."""
        self._wanted_since = 0.0
        self._troubles: dict[PublicKey, str] = {}
        """Why endpoints could not be set, as it was told."""
        self._changed: set[IfIndex] = set()
        """Devices that are to be remembered otherwise, see `take_memory`."""
        self._concerned = False
        self._names: dict[str, str] = {
            each.public_key: each.name for each in settings.peers if each.name
        }
        self._expected: dict[str, Expectation | None] = {
            each.public_key: each.expect for each in settings.peers
        }

    # --- links -----------------------------------------------------------------------------------

    def see(self, change: Change, now: Now) -> list[News]:
        """Take in what users were told of a link; return what else there is to tell."""
        link = change.after.link
        watched = self._watched.get(link.ifindex)
        if watched is not None and (change.gone or watched.lane != change.lane):
            return self._drop(watched)
        if change.gone or not self._may_be_device(change.after):
            return []
        if watched is None:
            watched = _Watched(link.ifindex, change.lane, userspace=link.kind != "wireguard")
            self._watched[link.ifindex] = watched
            watched.due = now.monotonic
        if watched.name != link.name or (link.up and change.before and not change.before.link.up):
            watched.probes = 0
            watched.due = now.monotonic
        watched.name = link.name
        watched.is_up = link.up and bool(change.after.addresses)
        return self._tell_up(watched)

    def _may_be_device(self, snapshot: Snapshot) -> bool:
        link = snapshot.link
        if not self._settings.enabled or link.kind not in {"wireguard", "tun"}:
            return False
        return watches(self._settings.interfaces, link.name, link.altnames, loopback=False)

    def _tell_up(self, watched: _Watched) -> list[News]:
        if watched.device is None or watched.up is watched.is_up:
            return []
        watched.up = watched.is_up
        self._changed.add(watched.ifindex)
        kind = EventType.WG_UP if watched.up else EventType.WG_DOWN
        return [News(kind, watched.ifindex, self._describe(watched))]

    def _drop(self, watched: _Watched) -> list[News]:
        del self._watched[watched.ifindex]
        if self._reading is not None and self._reading.ifindex == watched.ifindex:
            self._reading = None
        self._wanted = {
            each: place for each, place in self._wanted.items() if each[0] != watched.ifindex
        }
        self._changed.add(watched.ifindex)
        self._concerned = True
        watched.is_up = False
        return self._tell_up(watched)

    # --- readings --------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When `tick` is wanted, in monotonic seconds; None for never."""
        if self._reading is not None:
            return self._reading.until
        if self._wanted:
            return self._wanted_since
        return find_earliest([each.due for each in self._watched.values()])

    def restart(self, now: Now) -> None:
        """Ask again: a new helper knows nothing of what was asked of the last one."""
        if self._reading is not None and self._reading.ifindex in self._watched:
            self._watched[self._reading.ifindex].due = now.monotonic
        self._reading = None

    def hurry(self, now: Now) -> None:
        """Read every device anew, since the machine has slept."""
        for each in self._watched.values():
            if each.device is not None:
                each.due = now.monotonic

    def tick(self, now: Now, actions: list[Action]) -> None:
        """Have the next device read, if it is time and no other one is being read."""
        if self._reading is not None:
            if now.monotonic < self._reading.until:
                return
            late, reason = self._reading, f"it did not answer within {ANSWER_S:.0f} s"
            self._reading = None
            watched = self._watched.get(late.ifindex)
            if watched is not None and late.place:
                self._end_setting(watched, late, reason, now, actions)
            elif watched is not None:
                self._fail(watched, reason, now, actions)
        if self._wanted:
            self._set_next(now, actions)
            return
        ready = [
            each for each in self._watched.values()
            if each.due is not None and each.due <= now.monotonic
        ]  # fmt: skip
        if ready:
            first = min(ready, key=lambda each: each.due or 0.0)
            first.due = None
            self._number += 1
            self._reading = _Asked(self._number, first.ifindex, now.monotonic + ANSWER_S)
            actions.append(
                ReadWireguard(self._number, first.ifindex, first.name, userspace=first.userspace)
            )

    def take(self, given: WireguardRead, now: Now, actions: list[Action]) -> list[News]:
        """Take in what a device says; return what is different."""
        asked = self._reading
        if asked is None or asked.number != given.number:
            return []
        watched = self._watched.get(asked.ifindex)
        self._reading = None
        if watched is None:
            return []
        if asked.place:
            self._end_setting(watched, asked, given.reason, now, actions)
            return []
        if given.device is None:
            self._fail(watched, given.reason, now, actions)
            return []
        watched.failures = 0
        return self._compare(watched, given.device, now)

    # --- endpoints -------------------------------------------------------------------------------

    def find_peer(self, key: PublicKey) -> list[tuple[IfIndex, KnownPeer]]:
        """Return the devices that have this peer, with what is known of it there."""
        return [
            (each.ifindex, each.peers[key])
            for each in self._watched.values()
            if each.device is not None and key in each.peers
        ]

    def set_endpoint(
        self, ifindex: IfIndex, key: PublicKey, place: tuple[str, int], now: Now
    ) -> None:
        """
        Have a device send to a peer at this address and port, as soon as nothing else is asked.

        One that does not even answer is left alone: each attempt would hold the others up.
        """
        if self._watched[ifindex].failures:
            return
        if not self._wanted:
            self._wanted_since = now.monotonic
        self._wanted[ifindex, key] = place

    def _set_next(self, now: Now, actions: list[Action]) -> None:
        (ifindex, key), (host, port) = self._wanted.popitem()
        watched = self._watched[ifindex]
        self._number += 1
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._reading = _Asked(self._number, ifindex, now.monotonic + ANSWER_S, place, key)
        actions.append(
            SetEndpoint(
                self._number, ifindex, watched.name, watched.userspace, key, host, port
            )
        )  # fmt: skip

    def _end_setting(
        self, watched: _Watched, asked: _Asked, reason: str, now: Now, actions: list[Action]
    ) -> None:
        """Tell what came of it, and read the device to see it."""
        who = f"peer {self._names.get(asked.key) or asked.key}"
        fields: dict[str, str | int | float | bool] = {"interface": watched.name}
        told = self._troubles.pop(asked.key, "")
        if reason:
            self._troubles[asked.key] = reason
            text = (
                f"The endpoint of {who} could not be set to {asked.place}: {reason}; still trying"
            )
            actions.extend([Note("warn", text, fields)] if reason != told else [])
        else:
            text = f"The endpoint of {who} is {asked.place} now, as its name says"
            actions.append(Note("info", text, fields))
        watched.due = now.monotonic

    def _fail(self, watched: _Watched, reason: str, now: Now, actions: list[Action]) -> None:
        """Ask again later; who never was a device is asked a few times and then left alone."""
        if watched.device is None and watched.userspace:
            watched.probes += 1
            if watched.probes < len(PROBES_S):
                watched.due = now.monotonic + PROBES_S[watched.probes]
            return
        watched.failures += 1
        interval = self._settings.poll_interval
        watched.due = now.monotonic + min(60.0, interval * 2 ** min(watched.failures, 6))
        if watched.failures == 1:
            text = f"The WireGuard device could not be read: {reason}; still trying"
            actions.append(Note("warn", text, {"interface": watched.name}))

    def _compare(self, watched: _Watched, device: Device, now: Now) -> list[News]:
        first = watched.device is None
        reading = self._make_reading(watched, device, now)
        before = watched.peers
        watched.peers, changes = compare(before, reading, self._expect)
        counted = sum(each.rx_bytes + each.tx_bytes for each in device.peers)
        still = counted == watched.counted
        bare = evolve(device, peers=())
        if changes or watched.device != bare:
            self._changed.add(watched.ifindex)
        watched.device, watched.read, watched.counted = bare, now, counted
        frame = (device.fwmark, [(each.allowed_ips, each.endpoint) for each in device.peers])
        if watched.frame != frame:
            watched.frame, self._concerned = frame, True
        interval = self._settings.poll_interval
        watched.due = now.monotonic + find_wait(watched.peers, reading, interval, still=still)
        if first:
            watched.since = now.monotonic
            watched.up = watched.is_up  # as it was found: nothing has happened
            return []
        return [self._make_news(watched, change) for change in changes] + self._tell_up(watched)

    def _make_reading(self, watched: _Watched, device: Device, now: Now) -> Reading:
        stale_s = self._settings.handshake_timeout + self._settings.grace
        rebased = False
        if watched.read is not None:
            wall = (now.wall_ns - watched.read.wall_ns) / 1e9
            rebased = abs(wall - (now.monotonic - watched.read.monotonic)) > CLOCK_S
        return Reading(device, now.wall_ns, stale_s, rebased)

    def _expect(self, peer: Peer) -> Expectation:
        return self._expected.get(peer.public_key) or (
            "always" if peer.keepalive_s else "on-demand"
        )

    def _make_news(self, watched: _Watched, change: PeerChange) -> News:
        known = change.after or change.before
        assert known is not None
        before = change.before
        fact = evolve(
            self._describe(watched),
            peer=known.peer,
            name=self._names.get(known.peer.public_key, ""),
            state=known.state,
            previous_state=None if before is None else before.state,
            previous_endpoint="" if before is None else before.peer.endpoint,
            expected=self._expect(known.peer),
        )
        return News(change.type, watched.ifindex, fact)

    def _describe(self, watched: _Watched) -> WireguardFact:
        assert watched.device is not None
        connected = sum(each.state is PeerState.CONNECTED for each in watched.peers.values())
        device = watched.device
        return WireguardFact(
            device.implementation, device.public_key, device.listen_port, device.fwmark,
            len(watched.peers), connected,
        )  # fmt: skip

    # --- what is remembered and shown --------------------------------------------------------------

    def get_peers(self) -> list[FoundPeer]:
        """Return every peer as it was read last, in order of interface."""
        return [
            FoundPeer(
                each.name,
                each.device.implementation,
                known,
                self._names.get(known.peer.public_key, ""),
                self._expect(known.peer),
            )
            for each in sorted(self._watched.values(), key=lambda watched: watched.name)
            if each.device is not None
            for known in each.peers.values()
        ]

    def has(self, ifindex: IfIndex) -> bool:
        """Tell whether a link is a device."""
        watched = self._watched.get(ifindex)
        return watched is not None and watched.device is not None

    def take_concern(self) -> bool:
        """Tell whether what routes depend on has changed since the last call."""
        concerned, self._concerned = self._concerned, False
        return concerned

    def get_devices(self) -> list[FoundDevice]:
        """Return every device as it was read last."""
        return [
            FoundDevice(
                each.ifindex,
                evolve(each.device, peers=tuple(known.peer for known in each.peers.values())),
                each.since,
            )
            for each in self._watched.values()
            if each.device is not None
        ]

    def describe(self, ifindex: IfIndex) -> WireguardFact | None:
        """Return what there is to say of a device itself, None where there is none."""
        return self._describe(self._watched[ifindex]) if self.has(ifindex) else None

    def get_memory(self) -> tuple[KnownDevice, ...]:
        """Return all that users know of devices."""
        known = (_remember(each) for each in self._watched.values())
        return tuple(each for each in known if each is not None)

    def take_memory(self) -> tuple[tuple[IfIndex, KnownDevice | None], ...]:
        """Return what is to be remembered otherwise since the last call, None for a device that is gone."""
        if not self._changed:
            return ()
        changed, self._changed = self._changed, set()
        return tuple(
            (each, _remember(self._watched[each]) if each in self._watched else None)
            for each in sorted(changed)
        )

    def restore(
        self, devices: tuple[KnownDevice, ...], find: Callable[[IfIndex], Snapshot | None]
    ) -> None:
        """Take what was remembered; the next readings tell what is different. find: links as users know them."""
        for each in devices:
            snapshot = find(each.ifindex)
            if snapshot is None or not self._may_be_device(snapshot):
                continue
            userspace = each.device.implementation == "userspace"
            watched = _Watched(each.ifindex, each.lane, userspace=userspace)
            watched.name = snapshot.link.name
            watched.device, watched.up = each.device, each.up
            watched.is_up = snapshot.link.up and bool(snapshot.addresses)
            watched.peers = {known.peer.public_key: known for known in each.peers}
            watched.due = 0.0
            self._watched[each.ifindex] = watched


def _remember(watched: _Watched) -> KnownDevice | None:
    if watched.device is None:
        return None
    peers = tuple(watched.peers.values())
    return KnownDevice(watched.ifindex, watched.lane, watched.device, peers, watched.up)
