"""Cases 34, 47 to 54 and what else a worker that was taken over can do to have others do no work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from privsep.protocol import (
    Alive,
    Dump,
    Message,
    Ping,
    Reload,
    Rescan,
    Run,
    Running,
    Serving,
    Signal,
    WantBus,
    pack,
)
from tests.attacks.rig import FAULT, Gone, Hostile, Refused, make_hostile, show_kernel
from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to have a worker of another user"
)


def hexes(*messages: object) -> list[str]:
    """Return packets as a deed takes them."""
    return [pack(each).hex() for each in messages]  # type: ignore[arg-type]


def test_worker_that_never_reads_its_answers_is_ended(hostile: Hostile) -> None:
    """Requests without end whose answers nobody takes (47, 48): the helper waits for nobody."""
    with hostile.attack("replies are not read"), pytest.raises((Gone, Refused)):
        while True:
            hostile.do("flood", "rpc", hexes(Ping(1)), 100_000)


def test_flood_whose_answers_are_read_is_served(hostile: Hostile) -> None:
    """A flood of pings (48) that keeps to the rules is answered one by one."""
    with hostile.attack():
        for _ in range(20):
            sent = hostile.do("flood", "rpc", hexes(Ping(1)), 100)
            assert hostile.do("count", "rpc", "Done", sent) == 0


def test_worker_that_reads_no_events_stops_only_itself(hostile: Hostile) -> None:
    """What happens meanwhile stays in the kernel (47, 49); helper and runner answer, the next worker gets all anew."""
    with hostile.attack():
        assert "Done" in hostile.ask("rpc", Dump(9, "links"))
        for _ in range(5):
            ip(*[f"link add name x{n} type veth peer name y{n}" for n in range(40)])
            ip(*[f"link del x{n}" for n in range(40)])
        hostile.expect_service()


@needs_root
def test_supervisor_waits_for_nobody_who_hears_nothing(make_daemon: Callable[..., Daemon]) -> None:
    """A worker that never takes what control brings: a reload goes on, and it is replaced."""
    hostile = make_hostile(make_daemon).start()
    daemon, deaf = hostile.daemon, hostile.worker
    os.kill(daemon.pid, signal.SIGHUP)  # while there is a line to it, the puppet does not look

    wait_for(lambda: hostile.count("configuration", "in-force") == 2 or None, "a reload")
    assert not os.path.exists(f"/proc/{deaf}")
    hostile.reach()
    hostile.expect_service()


@needs_root
def test_reloads_without_end_are_few_in_the_log(make_daemon: Callable[..., Daemon]) -> None:
    """What asks while a reload is under way is one more (53); what is noted of them counts as the worker's."""
    hostile = make_hostile(make_daemon).start()
    before = show_kernel()
    hostile.daemon.config.write_text("nonsense: 1\n")

    for _ in range(3):
        count = hostile.count("reload", "refused")
        assert hostile.do("flood", "control", hexes(Reload()), 1000) == 1000
        wait_for(lambda: hostile.count("reload", "refused") > count or None, "a refusal")

    assert hostile.count("reload", "begun") <= 10
    assert {each["by"] for each in hostile.records() if each["what"] == "reload"} == {"the worker"}
    assert hostile.daemon.role("worker") == hostile.worker
    hostile.expect_service()
    assert show_kernel() == before


@pytest.mark.parametrize("message", [Alive(1), Serving("x")], ids=["alive", "serving"])
def test_who_says_too_much_to_the_supervisor_is_ended(hostile: Hostile, message: Message) -> None:
    """Each goes on to the service manager, which has others to serve: a flood is cut off, and its sender ended."""
    with hostile.attack("it says too much"):
        for _ in range(20):
            with contextlib.suppress(Gone, Refused):
                hostile.do("flood", "control", hexes(message), 1000)


def test_connections_to_the_bus_are_few(hostile: Hostile) -> None:
    """Each is made by a process of its own, so it is made at most once in a while; asking is no crime."""
    with hostile.attack():
        assert hostile.do("flood", "control", hexes(WantBus()), 500) == 500
        hostile.expect_service()
        told = hostile.do("drain")
        assert sum("BusPeer(errno=0)" in each for each in told) <= 2


def test_rescans_without_end_hold_up_no_script(hostile: Hostile) -> None:
    """A flood of them is worked off, and between two of them scripts end and are told."""
    hostile.do("send", "scripts", pack(Rescan()).hex())
    entry = int(hostile.do("hear", "scripts").partition("Entry(id=")[2].partition(",")[0])
    with hostile.attack():
        assert "Started" in hostile.ask("scripts", Run(77, entry, [("STATE", "routable")]))
        sent = hostile.do("flood", "scripts", hexes(Rescan()), 1000)
        hostile.do("send", "scripts", pack(Signal(77, "KILL")).hex())
        assert hostile.do("count", "scripts", "Finished", 1) <= sent
    hostile.do(
        "send", "scripts", pack(Run(77, entry, [])).hex()
    )  # not forgotten: this ends the worker
    hostile.reach()


@needs_root
def test_pipes_that_nobody_takes_end_the_worker_and_no_script(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Descriptors on their way are limited for each user (34): who asks for ever more of them is ended, the runner not."""
    hostile = make_hostile(make_daemon)
    hostile.daemon.script("routable", "#!/bin/sh\nexec sleep 1000\n")
    hostile.start(prefix=("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"))
    hostile.do("send", "scripts", pack(Rescan()).hex())
    entry = int(hostile.do("hear", "scripts").partition("Entry(id=")[2].partition(",")[0])
    for number in range(1, 101):
        assert "Started" in hostile.ask("scripts", Run(number, entry, [("STATE", "routable")]))

    with hostile.attack("does not take the pipes"), pytest.raises((Gone, Refused)):
        while True:
            hostile.do("flood", "scripts", hexes(Running()), 50)
            hostile.do("mute", 0.05)

    hostile.do("send", "scripts", pack(Running()).hex())
    assert hostile.do("count", "scripts", "Incarnation", 1) == 100


def test_log_of_others_is_not_made_to_vanish(hostile: Hostile) -> None:
    """Standard error is one for all: that a worker has it block nobody, and keeps it full, costs no line of the supervisor's."""
    after = len(hostile.daemon.log)
    with hostile.attack("broke the protocol"):
        hostile.do("shout", 2000)
        hostile.send("rpc", b"\xc1")
        hostile.daemon.expect(lambda each: "broke the protocol" in each["message"], after)


@needs_root
def test_terminal_of_root_is_nobody_elses(make_daemon: Callable[..., Daemon]) -> None:
    """A daemon in the foreground of a terminal: no role has that as its own, so none can type into it."""
    hostile = make_hostile(make_daemon)
    terminal = "import os; os.setsid(); n = os.open(os.ttyname(os.openpty()[1]), os.O_RDWR); os.dup2(n, 1)\n"
    hostile.fault = terminal + hostile.fault
    hostile.start()

    with hostile.attack():
        with pytest.raises(Refused) as refusal:
            hostile.do("type_into", 1, "reboot\n")
        assert refusal.value.errno in {1, 5}  # EPERM, or EIO where the kernel has no such thing
    for pid in (*hostile.privileged().values(), hostile.worker):
        terminal_number = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
        assert (terminal_number == "0") == (pid != hostile.daemon.pid)


@needs_root
def test_courier_that_accuses_every_worker_is_ended_with_it(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Who speaks with strangers is not believed twice: it is started again itself, ever later."""
    daemon = make_daemon(
        "system: {log_format: json}\nwebhooks: {allow_local: true}\n"
        "filters: [{action: execute, webhooks: [{url: 'http://127.0.0.1:1/'}]}]\n"
    )
    hostile = Hostile(daemon)
    shutil.copy(Path(__file__).with_name("accuser.py"), daemon.root / "accuser.py")
    (daemon.root / "accuser.py").chmod(0o644)
    fault = (
        FAULT.replace('"worker"]', '"courier"]')
        .replace("'worker'", "'courier'")
        .replace("'puppet'", "'accuser'")
    )
    fault = fault.replace("roles.BACKOFF, roles.HAND_OVER_TIME = (0.02,), 0.5\n", "").replace(
        "DIRECTORY", repr(str(daemon.root))
    )
    daemon.start(fault=fault, ready=False)

    def accusations() -> int:
        return len([e for e in hostile.records() if "told by courier" in e["detail"]])

    wait_for(lambda: accusations() >= 3 or None, "accusations")
    deaths = [
        e["detail"] for e in hostile.records() if (e["what"], e["outcome"]) == ("role", "died")
    ]
    assert sum(each.startswith("courier") for each in deaths) >= accusations() - 1
    hostile.marker.unlink()
    daemon.expect_serving(1)


@needs_root
def test_signals_in_a_row_are_a_few_reloads(daemon: Daemon) -> None:
    """100 SIGHUPs (53): some reloads and no death; what happens meanwhile is told once."""
    daemon.start()
    for number in range(100):
        os.kill(daemon.pid, signal.SIGHUP)
        if number == 50:
            ip("link add name eth0 type veth peer name p0")
    daemon.expect_serving(2)
    daemon.wait_event("eth0", "link-added")

    assert not [each for each in daemon.log if "died" in each["message"]]
    assert daemon.events("eth0").count("link-added") == 1
    assert sum("reads its configuration" in each["message"] for each in daemon.log) < 10


def test_bomb_of_aliases_is_a_problem_with_a_place(daemon: Daemon) -> None:
    """A configuration that would be gigabytes once its aliases are resolved (52) changes nothing, and that soon."""
    daemon.start()
    bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    bomb += [
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(12)
    ]
    worker = daemon.role("worker")
    for text in (
        "\n".join(bomb),
        "[" * 5_000,
        "a: !!python/object:os.system {}",
        json.dumps({"a": 1}) * 9,
        "\x00",
    ):
        after = len(daemon.log)
        daemon.config.write_text(text)
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.expect(lambda each: "stays in force" in each["message"], after)
    assert daemon.role("worker") == worker
