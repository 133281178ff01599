"""
Writes the tables of docs/security/roles.md from the policy data of privsep: `packaging/check roles`.

What stands between the two marks of that page is made here and held by tests/promises/test_security.py; the rest of
it is written by hand.
"""

from __future__ import annotations

import typing
from pathlib import Path
from typing import NamedTuple

from privsep import protocol
from privsep.sandbox import DENIED_TO_ALL, POLICIES

PAGE = Path(__file__).parent.parent / "docs" / "security" / "roles.md"
BEGIN, END = "<!-- begin: packaging/roles.py -->\n", "<!-- end: packaging/roles.py -->\n"


class Role(NamedTuple):
    """What is no data of the sandbox: who it is, and over which channels it speaks."""

    user: str
    capabilities: str
    hears: tuple[str, ...]
    """Unions of privsep.protocol that it takes."""
    says: tuple[str, ...]


ROLES = {
    "supervisor": Role("root", "those it was started with", ("LeadReply", "ControlReply"), ("Lead", "Control")),
    "reader": Role("netevd-net, groups netevd-net and netevd", "", (), ("launch.Verdict",)),
    "helper": Role("netevd-net", "", ("Lead", "Request"), ("LeadReply", "Reply", "FeedMessage")),
    "runner": Role("netevd-script, or what a rule says", "none, or what a rule says", ("Lead", "ScriptsRequest"), ("LeadReply", "ScriptsReply")),
    "worker": Role("netevd", "", ("Control", "FeedMessage", "Reply", "ScriptsReply"), ("ControlReply", "Request", "ScriptsRequest")),
    "courier": Role("netevd, group netevd-net", "", ("Lead", "errand.Deliver"), ("LeadReply", "errand.Delivered")),
}  # fmt: skip
PLACES = {
    "code": "code and settings (Python, netevd, /usr, /lib, /etc)",
    "state": "its state directory",
    "leases": "directories of DHCP leases",
}
"""What words of a policy stand for."""
NARROW = {
    "helper": "; `setsockopt` to join a group of netlink messages",
    "worker": "; `shutdown` of writing, `socketpair` of streams, `setsockopt` of TCP_NODELAY, TCP_NOTSENT_LOWAT and sizes of buffers",
    "courier": "; sockets of IPv4 and IPv6, connected, `socketpair` of streams, and threads",
}
"""What stands in `_NARROW` of privsep/sandbox.py, in words."""


def render() -> str:
    """Return the tables."""
    lines = [
        "| role | user | capabilities | system calls | reads | writes | limits |",
        "| --- " * 7 + "|",
    ]
    for name, role in ROLES.items():
        policy = POLICIES.get(name)
        if policy is None:
            row = [
                name,
                role.user,
                role.capabilities,
                "all but those refused to all",
                "as its user",
                "as its user",
                "",
            ]
        else:
            reads = ", ".join(PLACES.get(each, f"`{each}`") for each in policy.readable or [])
            writes = ", ".join(PLACES.get(each, f"`{each}`") for each in policy.writable)
            row = [
                name, role.user, ", ".join(policy.capabilities) or "none", f"{len({*policy.calls})}, see below",
                "as its user (no Landlock)" if policy.readable is None else reads or "nothing",
                "as its user, of which it has nothing" if policy.readable is None else writes or "nothing",
                ", ".join(f"{limit} {value}" for limit, value in policy.limits.items()),
            ]  # fmt: skip
        lines.append(f"| {' | '.join(row)} |".replace("|  |", "| |"))
    lines += ["", "| role | may be told | may say |", "| --- | --- | --- |"]
    for name, role in ROLES.items():
        told, says = (", ".join(_list(unions)) for unions in (role.hears, role.says))
        lines.append(f"| {name} | {told or 'nothing'} | {says} |")
    lines += ["", f"Refused to all, scripts included: {_show(DENIED_TO_ALL)}."]
    for name, policy in POLICIES.items():
        more = NARROW.get(name, "")
        lines += ["", f"All that **{name}** may call: {_show(policy.calls)}{more}."]
    return "\n".join(lines) + "\n"


def _show(calls: list[str]) -> str:
    return ", ".join(f"`{call}`" for call in sorted({*calls}))


def _list(unions: tuple[str, ...]) -> list[str]:
    """Return the names of all messages of these unions."""
    found: list[str] = []
    for union in unions:
        if "." in union:
            found.append(union.rpartition(".")[2])
            continue
        members = typing.get_args(getattr(protocol, union))
        found += [each.__name__ for each in members]
    return [f"`{each}`" for each in found]


def update(page: str) -> str:
    """Return the page with tables of now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(update(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
