"""
Peers that have a name for an endpoint: when it is looked up again, and which of its addresses is taken.

WireGuard looks a name up once, when the device is set up, and keeps the address for good. So when a
peer is wanted and does not answer, its name is asked for again: at once when this host's own network
changed, else after a while. Nothing is looked up for a peer that answers, or that nobody calls.
"""

from __future__ import annotations

from typing import Final

from netevd.config.schema import Wireguard, WireguardPeer
from netevd.core.wireguardwatch import WireguardWatch
from netevd.model.actions import Action, Kind, Note, ResolveEndpoint
from netevd.model.inputs import EndpointResolved, Now
from netevd.model.link import IfIndex
from netevd.model.wireguard import KnownPeer, PeerState

MOVED_S: Final = 5.0
"""Seconds between two look-ups of a name, however often the network changes."""
ANSWER_S: Final = 15.0
"""Seconds after which an answer is not waited for any more; the courier gives up before that."""


class _Followed:
    """One peer whose endpoint has a name."""

    def __init__(self, number: int, peer: WireguardPeer) -> None:
        self.number = number
        self.key = peer.public_key
        self.host, _, port = (peer.endpoint or "").rpartition(":")
        self.port = int(port)
        self.asked: float | None = None
        """When it was looked up last, or first missed, in monotonic seconds; None while it answers."""
        self.moved = False
        """Whether the network has changed since."""
        self.waits_until = 0.0
        """Until when an answer may come."""
        self.trouble = ""
        """Why it could not be looked up, as it was told."""


class Endpoints:
    """Every peer whose endpoint has a name."""

    def __init__(self, settings: Wireguard, watch: WireguardWatch) -> None:
        self._interval = settings.endpoint_reresolve
        self._watch = watch
        self._followed = [_Followed(number, each) for number, each in enumerate(settings.followed)]
        self._expect_never = {
            each.public_key for each in settings.peers if each.expect == "never"
        }  # fmt: skip
        self.due: float | None = None
        """When `tick` is wanted, in monotonic seconds; None for never."""

    def note_reading(self, now: Now) -> None:
        """Take in that a device was read."""
        if self._followed:
            self.due = now.monotonic

    def note_network(self, now: Now) -> None:
        """Take in that addresses or default routes of this host have changed."""
        for each in self._followed:
            each.moved = True
            self.due = now.monotonic

    def tick(self, now: Now, actions: list[Action]) -> None:
        """Have the names looked up whose time it is."""
        self.due = None
        for each in self._followed:
            if not self._find_silent(each):
                each.asked, each.moved = None, False
                continue
            if each.asked is None:
                each.asked = now.monotonic
            at = each.asked + (min(MOVED_S, self._interval) if each.moved else self._interval)
            at = max(at, each.waits_until)
            if now.monotonic >= at:
                each.asked, each.moved = now.monotonic, False
                each.waits_until = now.monotonic + ANSWER_S
                actions.append(ResolveEndpoint(each.number))
                at = each.asked + max(ANSWER_S, self._interval)
            self.due = at if self.due is None else min(self.due, at)

    def take(self, given: EndpointResolved, now: Now, actions: list[Action]) -> None:
        """Take in what a name leads to; have the device send there if it does not already."""
        if given.number >= len(self._followed):
            return
        followed = self._followed[given.number]
        if not followed.waits_until:
            return
        followed.waits_until = 0.0
        if given.reason:
            if given.reason != followed.trouble:
                text = (
                    f"The endpoint of a peer could not be looked up: {given.reason}; still trying"
                )
                actions.append(Note("warn", text, {"host": followed.host}, Kind.ROUTING))
            followed.trouble = given.reason
            return
        followed.trouble = ""
        for ifindex, known in self._find_silent(followed):
            host, _, port = known.peer.endpoint.rpartition(":")
            current = (host.strip("[]"), port)
            places = [(each, str(followed.port)) for each in given.addresses]
            # of several addresses the next one, since this one does not answer
            turn = places.index(current) + 1 if current in places else 0
            chosen = places[turn % len(places)] if places else current
            if chosen != current:
                self._watch.set_endpoint(ifindex, followed.key, (chosen[0], followed.port), now)

    def _find_silent(self, followed: _Followed) -> list[tuple[IfIndex, KnownPeer]]:
        """Return the devices with this peer on which it is wanted and does not answer."""
        if followed.key in self._expect_never:
            return []
        return [
            (ifindex, known)
            for ifindex, known in self._watch.find_peer(followed.key)
            if known.state in {PeerState.DISCONNECTED, PeerState.NEVER}
        ]
