"""
Which leases hold: what lease files say, what the kernel says of their addresses, and the time.

Pure. A file keeps leases of other networks, of links that are gone and of before the last boot. So a
lease holds while it is the last one of its client, link and family, is neither given back nor over,
and its address is on the link. A client may write first, or set the address first. The reasons of lease
events follow in the core from what is reported here: a lease that appears is bound, one whose times
or content changed is renewed or rebound, one that vanishes when its time is up is expired, and
released otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from netevd.backends.leasefile import Record
from netevd.model.backend import BackendName, Lease, LinkReport
from netevd.model.link import IfIndex
from netevd.model.snapshot import Snapshot

CHANGE_NS: Final = 10 * 10**9
"""
How long the lease of before is still told after its address has left, when the client has written one
with another address already, which its script is about to set.
"""

END_NS: Final = 2 * 10**9
"""How long before its end a lease may lose its address and is expired nevertheless, not released."""

FindLink: TypeAlias = Callable[[str], Snapshot | None]
"""Returns what is known of a watched link of this name."""

Key: TypeAlias = tuple[BackendName, str, str]
Place: TypeAlias = tuple[Key, IfIndex]
Subject: TypeAlias = tuple[BackendName, IfIndex]


@frozen(slots=True)
class Source:
    """What one file says."""

    records: tuple[Record, ...]
    modified_ns: int
    """When it was written."""


_NOTHING: Final = Source((), 0)


@frozen(slots=True)
class _Told:
    """A lease that was reported."""

    record: Record
    lease: Lease
    until_ns: int | None = None
    """Until when it is still told though its address has left; None: as long as the address is there."""


@frozen(slots=True)
class Judgement:
    """What holds now."""

    reports: Mapping[Subject, LinkReport] = field(factory=dict)
    """Of each client and link that has a lease."""
    due_ns: int | None = None
    """When it is to be judged again even if nothing happens, wall clock; None: not at all."""


class Leases:
    """All that lease files say, and what was told of it."""

    def __init__(self) -> None:
        self._files: dict[str, Source] = {}
        self._chosen: dict[Key, Record] | None = None
        """See `_choose`; None: not known since a file has changed."""
        self._told: dict[Place, _Told] = {}

    @property
    def clients(self) -> frozenset[BackendName]:
        """Return the clients that any file has a lease of."""
        return frozenset(
            record.lease.backend for each in self._files.values() for record in each.records
        )

    def take(self, path: str, source: Source | None) -> None:
        """
        Take in what a file says now, None for one that is gone.

        What it says no more is not taken back by that: dhclient empties its file before it writes it
        anew. A lease that was told from it counts until its time is up or its address leaves.
        """
        said = () if source is None else source.records
        before = self._files.pop(path, _NOTHING)
        self._chosen = None
        keys = {each.key for each in said}
        told = {id(each.record) for each in self._told.values()}
        kept = tuple(each for each in before.records if id(each) in told and each.key not in keys)
        if said or kept:
            modified = before.modified_ns if source is None else source.modified_ns
            self._files[path] = Source((*kept, *said), modified)

    def judge(self, now_ns: int, find_link: FindLink) -> Judgement:
        """Return which leases hold. now_ns: wall clock."""
        if self._chosen is None:
            self._chosen = self._choose()
        told: dict[Place, _Told] = {}
        for key, record in self._chosen.items():
            link = find_link(record.interface)
            if link is None:
                continue
            place = (key, link.link.ifindex)
            found = _judge(record, link, self._told.get(place), now_ns)
            if found is not None:
                told[place] = found
        self._told = told
        return Judgement(_report(told), _find_due(told))

    def _choose(self) -> dict[Key, Record]:
        """Return the record of each client, link and family that counts: in a file it is the last."""
        chosen: dict[Key, tuple[tuple[int, int], Record]] = {}
        for source in self._files.values():
            for key, record in {each.key: each for each in source.records}.items():
                rank = (source.modified_ns, record.written_ns)
                if key not in chosen or rank > chosen[key][0]:
                    chosen[key] = (rank, record)
        return {key: record for key, (_, record) in sorted(chosen.items())}


def _judge(record: Record, link: Snapshot, before: _Told | None, now_ns: int) -> _Told | None:
    """Return the lease that is to be told of one client, link and family; None: there is none."""
    if before is not None and not _is_over(before.record, now_ns):
        if before.record.lease.address != record.lease.address:
            return _change(record, link, before, now_ns)
        is_older = record.written_ns < before.record.written_ns <= now_ns
        if is_older and not record.released:
            record = before.record  # the file is being written anew, its latest lease last
    if record.released or _is_over(record, now_ns):
        return None
    found = _find(record, link)
    if found is None and before is not None and _ends_soon(record, now_ns):
        return _Told(before.record, before.lease)  # its client has looked at another clock
    return found


def _change(record: Record, link: Snapshot, before: _Told, now_ns: int) -> _Told | None:
    """Return the lease of before as long as that of another address does not hold yet."""
    if not (record.released or _is_over(record, now_ns)) and (found := _find(record, link)):
        return found
    if _has_address(link, before.lease.address):
        return _Told(before.record, before.lease)
    until = before.until_ns or now_ns + CHANGE_NS
    return _Told(before.record, before.lease, until) if now_ns < until else None


def _find(record: Record, link: Snapshot) -> _Told | None:
    """Return the lease of a record if its address is on the link."""
    lease = record.lease
    for address in link.addresses:
        if address.ip == lease.address:
            unmasked = lease.family == "ipv4" and not _has_mask(lease)
            return _Told(record, evolve(lease, prefix=address.prefix) if unmasked else lease)
    return None


def _has_address(link: Snapshot, address: str) -> bool:
    return any(each.ip == address for each in link.addresses)


def _ends_soon(record: Record, now_ns: int) -> bool:
    return record.ends_ns is not None and record.ends_ns - now_ns <= END_NS


def _is_over(record: Record, now_ns: int) -> bool:
    return record.ends_ns is not None and record.ends_ns <= now_ns


def _has_mask(lease: Lease) -> bool:
    return any(name == "subnet_mask" for name, _ in lease.options)


def _find_due(told: Mapping[Place, _Told]) -> int | None:
    moments = [each.until_ns for each in told.values()]
    moments += [each.record.ends_ns for each in told.values()]
    return min((each for each in moments if each is not None), default=None)


def _report(told: Mapping[Place, _Told]) -> dict[Subject, LinkReport]:
    by_subject: dict[Subject, list[Lease]] = {}
    for ((backend, _, _), ifindex), each in told.items():
        by_subject.setdefault((backend, ifindex), []).append(each.lease)
    return {subject: make_report(subject, tuple(leases)) for subject, leases in by_subject.items()}


def make_report(subject: Subject, leases: tuple[Lease, ...]) -> LinkReport:
    """Return what a client with these leases of a link has to say of it."""
    backend, ifindex = subject
    return LinkReport(
        backend=backend,
        ifindex=ifindex,
        leases=leases,
        dns=tuple(dict.fromkeys(each for lease in leases for each in lease.dns)),
        domains=tuple(dict.fromkeys(each for lease in leases for each in lease.domains)),
        ntp=tuple(each for lease in leases for each in _list_ntp(lease)),
        hostname=next((lease.hostname for lease in leases if lease.hostname), ""),
    )


def _list_ntp(lease: Lease) -> list[str]:
    names = ("ntp_servers", "dhcp6_sntp_servers")
    return [word for name, text in lease.options if name in names for word in text.split(" ")]
