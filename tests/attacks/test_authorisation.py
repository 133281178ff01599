"""Cases 25 to 32: rules and routes that a worker must not be able to have written or removed."""

from __future__ import annotations

import os
import signal

import pytest

from privsep.protocol import (
    AddRoute,
    AddRule,
    Change,
    DeleteRoute,
    DeleteRule,
    Message,
    SetEndpoint,
    Wireguard,
    Write,
    pack,
)
from tests.attacks.rig import Hostile, show_kernel
from tests.processes.rig import ip

OURS = AddRule(4, 21001, 21001, "10.0.0.1/32")


def write(*changes: Change) -> Message:
    """Return the request for these changes."""
    return Write(list(changes))


TABLES = [
    AddRoute(4, table, "198.51.100.0/24", 0, 102)
    for table in (0, 52, 253, 254, 255, 20999, 21000, 21900, 2**32 - 1)
]
PRIORITIES = [
    AddRule(4, priority, 21001, "10.0.0.1/32")
    for priority in (0, 5270, 19999, 21002, 21900, 32766, 32767, 2**32 - 1)
]  # fmt: skip
OF_OTHERS = [
    DeleteRule(4, 5270, 52, "10.0.0.0/8"), DeleteRule(4, 0, 255), DeleteRule(4, 32766, 254), DeleteRule(4, 32767, 253),
    DeleteRoute(4, 254, "10.0.0.0/24", 0, 102), DeleteRoute(4, 255, "10.0.0.1/32", 0, 102),
]  # fmt: skip
WIDE = [
    AddRule(4, 20500, 200), AddRule(4, 21001, 21001), AddRule(4, 21001, 21001, "0.0.0.0/0"),
    AddRule(6, 21001, 21001, "::/0"), AddRule(4, 21400, 254), AddRule(4, 21001, 21001, "10.0.0.0/7"),
]  # fmt: skip
MALFORMED = [
    AddRule(4, 21001, 21001, "10.0.0.1/33"), AddRule(4, 21001, 21001, "::ffff:10.0.0.1/128"),
    AddRule(6, 21001, 21001, "10.0.0.1/32"), AddRoute(4, 21501, "0.0.0.0/99", 0, 102), AddRoute(4, 21501, "::/0", 0, 102),
    AddRoute(6, 21501, "::/0", 0, 102, "10.0.0.999"), AddRule(4, 20001, 200, iif="../../etc"), AddRule(4, 20001, 200, oif="x" * 16),
]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [*TABLES, *PRIORITIES, *OF_OTHERS, *WIDE, *MALFORMED],
    ids=lambda change: f"{type(change).__name__}-{change.table}-{getattr(change, 'priority', '')}",
)
def test_what_is_not_ours_is_not_written(hostile: Hostile, change: Change) -> None:
    """Tables and priorities of others (25, 26, 28), all traffic (29), what is no prefix (30): no change of the request is made."""
    with hostile.attack("broke the protocol"):
        hostile.send("rpc", write(OURS, change))


def test_numbers_that_do_not_fit_are_no_request(hostile: Hostile) -> None:
    """A table or priority of 33 bits, and one that is negative (25, 26)."""
    good = pack(write(OURS))
    for wrong in (b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", b"\xff"):
        with hostile.attack("broke the protocol"):
            hostile.send("rpc", good.replace(b"\xcd\x52\x09", wrong, 1))


def test_links_of_others_are_not_reached(hostile: Hostile) -> None:
    """What is named but not configured (27) is told as refused; of a link that there is not the kernel says so."""
    with hostile.attack():
        for number, name in enumerate(("lo", "eth0", "nobody"), 1):
            assert "Done" in hostile.ask("rpc", Wireguard(number, 1, name, userspace=True))
            assert "errno=1" in hostile.do("hear", "feed")
    with hostile.attack(notes=("network changed",)):
        nowhere = AddRoute(4, 21501, "0.0.0.0/0", 0, 4711, "10.0.0.9")
        assert "errors=[101]" in hostile.ask("rpc", write(nowhere))  # ENETUNREACH


def test_endpoints_of_others_are_not_set(hostile: Hostile) -> None:
    """No peer is sent elsewhere but those that root's configuration names (27), at the port that it names."""
    key = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
    for device in ("wg0", "eth0"):
        with hostile.attack("no peer whose endpoint may be set"):
            endpoint = SetEndpoint(1 << 30, 5, device, False, key, "198.51.100.1", 51820)
            hostile.send("rpc", endpoint)


def test_same_rule_of_somebody_else_stays(hostile: Hostile) -> None:
    """A rule and a route that differ in nothing but their owner are not removed (28)."""
    ip("rule add from 10.0.0.7 table 21007 priority 21007 protocol 4",
       "route add default via 10.0.0.9 dev eth0 table 21507 protocol 4")  # fmt: skip
    with hostile.attack(notes=("network changed",)):
        told = hostile.ask("rpc", write(
            DeleteRule(4, 21007, 21007, "10.0.0.7/32"), DeleteRoute(4, 21507, "0.0.0.0/0", 0, 102, "10.0.0.9"),
        ))  # fmt: skip
        assert "errors=[2, 3]" in told
    ip("rule del priority 21007", "route del default table 21507")


def test_host_bits_select_no_more_than_the_prefix(hostile: Hostile) -> None:
    """A prefix with host bits (30) is refused, or is what the kernel makes of it: never another one."""
    before = show_kernel()
    message = write(AddRule(4, 21001, 21001, "10.0.0.1/24"))
    told = hostile.ask("rpc", message)
    made = {*show_kernel().splitlines()} - {*before.splitlines()}
    assert all("from 10.0.0.0/24" in line or "from 10.0.0.1/24" in line for line in made), told
    hostile.ask("rpc", write(DeleteRule(4, 21001, 21001, "10.0.0.1/24")))
    assert show_kernel() == before


def test_quota_is_an_answer_and_bounds(hostile: Hostile) -> None:
    """More than the policy grants (31) is denied, and nothing of it written; what was is ours and goes."""
    before = show_kernel()
    many = [AddRule(4, 20001, 200, f"10.{n}.0.0/16") for n in range(64)]
    undo = [DeleteRule(4, 20001, 200, each.source) for each in many]
    assert "errors" in hostile.ask("rpc", Write([*many]))
    assert "errors" in hostile.ask("rpc", Write([*undo]))
    assert show_kernel() == before
    with hostile.attack("broke the protocol"):
        hostile.send(
            "rpc", pack(write(OURS)).replace(b"\x91", b"\xdc\x00\x41", 1) + pack(OURS) * 64
        )


def test_worker_that_is_killed_while_rules_are_written(hostile: Hostile) -> None:
    """All of a request is written or nothing (40), it is marked as ours, and the next worker can remove it."""
    before = show_kernel()
    many = [AddRule(4, 20001, 200, f"10.{n}.0.0/16") for n in range(64)]
    for _ in range(5):
        hostile.do("send", "rpc", pack(Write([*many])).hex())
        os.kill(hostile.worker, signal.SIGKILL)
        hostile.reach()
        made = [line for line in show_kernel().splitlines() if line.startswith("20001:")]
        assert len(made) in {0, 64}
        assert all("proto 110" in line for line in made)
        if made:
            undo = [DeleteRule(4, 20001, 200, each.source) for each in many]
            assert set(hostile.ask("rpc", Write([*undo]))) <= set("Done(errors=[0, ])")
        assert show_kernel() == before
    hostile.expect_service()
