"""What a worker can have the helper write, a hostile one included: real process, real kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from privsep.channel import Closed
from privsep.launch import WritePolicy
from privsep.policy import WRITES
from privsep.protocol import (
    VERSION,
    AddRoute,
    AddRule,
    Change,
    DeleteRoute,
    DeleteRule,
    Denied,
    Done,
    Dump,
    DumpFinished,
    Hello,
    Violated,
    Write,
)
from tests.boundary.rig import HelperRig, receive

EEXIST, ENOENT, ESRCH = 17, 2, 3

RULE = AddRule(4, 21001, 21001, "10.0.0.1/32")
ROUTE = AddRoute(4, 21501, "0.0.0.0/0", 0, 102, "10.0.0.254", onlink=True)


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _show() -> str:
    """Return every rule and every route of this namespace, as ip tells them."""
    text = ""
    for family in ("-4", "-6"):
        for words in (["rule"], ["route", "show", "table", "all"]):
            text += subprocess.run(
                ["ip", "-details", "-N", family, *words],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
    return text


@pytest.fixture
def writer(namespace: None) -> Iterator[HelperRig]:
    """Return a helper that may write, greeted, in a namespace with a link and rules of others."""
    _ip(
        "link set lo up",
        "link add name eth0 index 102 type veth peer name p0",
        "link set eth0 up",
        "addr add 10.0.0.1/24 dev eth0",
        "addr add 2001:db8::1/64 dev eth0 nodad",
        "rule add from 10.0.0.1 table 21001 priority 21001 protocol 4",
        "rule add from 10.0.0.0/8 table 52 priority 5270",
        "route add default via 10.0.0.9 dev eth0 table 21501 protocol 4",
        "route add default via 2001:db8::9 dev eth0 table 21501 metric 1024 protocol 4",
    )
    words = "ip -6 rule add from 2001:db8::/32 table 52 priority 21400"
    subprocess.run(words.split(), check=True)
    rig = HelperRig(WritePolicy(adds=True))
    assert isinstance(rig.ask(Hello(VERSION)), Done)
    yield rig
    rig.close()


def _write(helper: HelperRig, *changes: Change) -> list[int]:
    reply = helper.ask(Write(list(changes)))
    assert isinstance(reply, Done), reply
    return reply.errors


def test_changes_are_made_in_order_and_answered_one_by_one(writer: HelperRig) -> None:
    """Each change has its own answer: what is there already, or is not there, harms no other."""
    before = _show()
    gone_rule = DeleteRule(4, 21001, 21001, "10.0.0.1/32")
    gone_route = DeleteRoute(4, 21501, "0.0.0.0/0", 0, 102, "10.0.0.254")

    assert _write(writer, ROUTE, RULE, RULE, ROUTE) == [0, 0, EEXIST, EEXIST]
    assert "proto 110" in _show()
    assert _write(writer, gone_rule, gone_route, gone_rule, gone_route) == [0, 0, ENOENT, ESRCH]
    assert _show() == before


def test_what_others_have_made_stays(writer: HelperRig) -> None:
    """A rule and a route that are the same but for their owner are neither removed nor replaced."""
    before = _show()
    answers = _write(
        writer,
        DeleteRule(4, 21001, 21001, "10.0.0.1/32"),
        DeleteRoute(4, 21501, "0.0.0.0/0", 0, 102, "10.0.0.9"),
        DeleteRoute(4, 21501, "0.0.0.0/0", 0, 102),
        DeleteRoute(6, 21501, "::/0", 1024, 102, "2001:db8::9"),
        DeleteRoute(6, 21501, "::/0", 1024, 102),
    )

    assert answers == [ENOENT, ESRCH, ESRCH, ESRCH, ESRCH]
    assert _show() == before
    # beside them ours are made and removed
    six = AddRoute(6, 21501, "::/0", 1024, 102, "fe80::1")
    assert _write(writer, RULE, ROUTE, six) == [0, 0, 0]
    assert _write(
        writer,
        DeleteRule(4, 21001, 21001, "10.0.0.1/32"),
        DeleteRoute(4, 21501, "0.0.0.0/0", 0, 102, "10.0.0.254"),
        DeleteRoute(6, 21501, "::/0", 1024, 102, "fe80::1"),
    ) == [0, 0, 0]
    assert _show() == before


@pytest.mark.parametrize(
    "change",
    [
        AddRule(4, 5270, 52, "10.0.0.0/8"), DeleteRule(4, 5270, 52, "10.0.0.0/8"), DeleteRule(4, 32766, 254),
        DeleteRule(4, 0, 255), AddRule(4, 21001, 254, "10.0.0.1/32"), AddRule(4, 20001, 21001, "10.0.0.0/8"),
        AddRoute(4, 254, "0.0.0.0/0", 0, 102, "10.0.0.9"), DeleteRoute(4, 254, "10.0.0.0/24", 0, 102),
        DeleteRoute(4, 255, "10.0.0.1/32", 0, 102), AddRoute(4, 52, "0.0.0.0/0", 0, 102),
        AddRoute(4, 21501, "0.0.0.0/99", 0, 102), AddRoute(4, 21501, "::/0", 0, 102),
        AddRoute(6, 21501, "::/0", 0, 102, "10.0.0.999"), AddRule(4, 21001, 21001, "10.0.0.1/33"),
        AddRule(4, 20001, 200, iif="../../etc"), AddRule(4, 21001, 21001, "0.0.0.0/0"),
    ],
)  # fmt: skip
def test_a_worker_that_asks_for_what_is_not_ours_is_ended(
    writer: HelperRig, change: Change
) -> None:
    """It is told the supervisor, nothing of the request is written, and the helper serves the next."""
    before = _show()
    writer.rpc.send(Write([RULE, change]))

    message = receive(writer.lead)[0]
    assert isinstance(message, Violated)
    with pytest.raises(Closed):
        receive(writer.rpc)
    assert _show() == before
    writer.connect()
    assert isinstance(writer.ask(Hello(VERSION)), Done)


def test_a_helper_that_may_not_add_still_cleans_up(writer: HelperRig) -> None:
    """Where nothing is configured, ours of earlier may go, and nothing is made."""
    _write(writer, RULE, ROUTE)
    plain = HelperRig()
    try:
        plain.ask(Hello(VERSION))
        assert _write(plain, DeleteRule(4, 21001, 21001, "10.0.0.1/32")) == [0]
        plain.rpc.send(Write([RULE]))
        assert isinstance(receive(plain.lead)[0], Violated)
    finally:
        plain.close()


def test_a_flood_is_bounded(writer: HelperRig) -> None:
    """A worker that writes without end gets answers until the quota, and the helper lives."""
    many = [AddRule(4, 21001, 21001, f"10.{n // 64}.{n % 64}.0/24") for n in range(64)]
    undo = [DeleteRule(4, 21001, 21001, each.source) for each in many]
    asked = 0
    while not isinstance(reply := writer.ask(Write(many if asked % 128 == 0 else undo)), Denied):
        asked += 64
        assert asked <= WRITES
    assert "changes" in reply.reason
    assert asked > WRITES - 65


def test_writing_while_a_dump_is_read(writer: HelperRig) -> None:
    """A dump under way neither delays a write nor takes its answer."""
    writer.rpc.send(Dump(1, "rules"))
    writer.rpc.send(Write([RULE]))

    assert receive(writer.rpc)[0] == Done()
    assert receive(writer.rpc)[0] == Done([0])
    while not isinstance(message := receive(writer.feed)[0], DumpFinished):
        pass
    assert message == DumpFinished(1, 0, False)
