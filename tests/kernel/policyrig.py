"""Plans on the real kernel: look at it, plan, write as the helper would, look again."""

from __future__ import annotations

import subprocess
from contextlib import closing

from netevd.config.schema import Routing
from netevd.core.observe import Observer
from netevd.core.policydifference import Difference, find_difference
from netevd.core.policyplan import Known, Plan, get_ours, make_plan, matches
from netevd.core.policyslots import assign, find_hints, find_keys
from netevd.kernel.changes import make_request
from netevd.kernel.dump import snapshot_links
from netevd.model.inputs import AddressSeen, LinkSeen, RoutesDumped, RuleSeen
from netevd.model.route import Route
from netevd.model.routing import Change, Slot
from netevd.model.rule import Rule
from netevd.model.snapshot import Snapshot
from privsep import rtnetlink


def ip(*commands: str) -> None:
    """Run ip commands as one batch in this namespace."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def look() -> tuple[tuple[Snapshot, ...], list[Route], list[Rule]]:
    """Return what this namespace has."""
    observer = Observer(lambda _: True)
    routes: list[Route] = []
    rules: list[Rule] = []
    for given in snapshot_links(rules=True):
        match given:
            case LinkSeen(link=link):
                observer.see_link(link)
            case AddressSeen(address=address):
                observer.see_address(address)
            case RoutesDumped(routes=found):
                routes += found
            case RuleSeen(rule=rule):
                rules.append(rule)
    observer.settle()
    return observer.get_snapshots(), routes, rules


class Reconciler:
    """What the engine does about policy routing, without its times."""

    def __init__(self, routing: Routing) -> None:
        self.routing = routing
        self.ours = get_ours(routing)
        self.slots: tuple[Slot, ...] = ()

    def plan(self) -> tuple[Plan, Difference]:
        """Return what shall be, and how it differs from what is."""
        snapshots, routes, rules = look()
        links = [each.link for each in snapshots]
        keys = find_keys(links)
        wanted = {link.ifindex for link in links if matches(self.routing.policy, link)}
        keys = {ifindex: key for ifindex, key in keys.items() if ifindex in wanted}
        hints = find_hints(self.ours, routes)
        self.slots, numbers = assign(self.slots, keys, hints, 0)
        plan = make_plan(self.routing, Known(snapshots, routes, numbers))
        return plan, find_difference(plan, rules, routes, self.ours)

    def reconcile(self) -> list[int]:
        """Write what differs; return the kernel's errors."""
        return write(self.plan()[1].changes, self.ours.protocol)


def write(changes: tuple[Change, ...], protocol: int = 110) -> list[int]:
    """Write changes as the helper does."""
    errors: list[int] = []
    with closing(rtnetlink.open_request_socket(rtnetlink.CAP_ACK)) as sock:
        for start in range(0, len(changes), 64):
            part = [make_request(each) for each in changes[start : start + 64]]
            errors += rtnetlink.write(sock, part, protocol)
    return errors
