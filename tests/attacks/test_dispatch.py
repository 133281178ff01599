"""Cases 1, 15 and 17 to 24: messages that are well-formed, and not this role's to send, here or now."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from privsep.protocol import (
    VERSION,
    Alive,
    Candidate,
    Decide,
    Denied,
    Dump,
    DumpFinished,
    End,
    Finished,
    Forget,
    Hello,
    Message,
    Ping,
    Ready,
    Reload,
    Run,
    Running,
    Signal,
    Violated,
    WantWireguard,
    Wireguard,
    Write,
)
from tests.attacks.rig import Hostile, Refused

encode = msgspec.msgpack.encode
RUN = Run(1 << 40, 1, [("STATE", "routable")])


def replace_worker(hostile: Hostile) -> None:
    """Have another worker in the place of one that has cut itself off."""
    os.kill(hostile.worker, signal.SIGKILL)
    hostile.reach()


@pytest.mark.parametrize("channel", ["rpc", "scripts", "feed", "control"])
@pytest.mark.parametrize("how", ["empty", "no reading", "no writing", "closed"])
def test_end_of_file_is_the_end_of_the_talk_alone(hostile: Hostile, channel: str, how: str) -> None:
    """An empty packet and ends shut down in the middle (1, 40): the next worker is served, nobody spins."""
    with hostile.attack(notes=("role died",)):
        if how == "empty":
            hostile.send(channel, b"")
        elif how == "no reading":
            with pytest.raises(Refused):
                hostile.do("shut", channel, 0)
        else:
            hostile.do("shut", channel, {"no writing": 1, "closed": 3}[how])
        replace_worker(hostile)


def test_names_are_judged_where_they_come_in(hostile: Hostile) -> None:
    """NUL, line ends, surrogates and names of 16 octets end the worker (15); what may be a name is looked up."""
    for name in ("a\0b", "a\nb", "x" * 16, "é" * 8, "..", "a/b", ""):
        with hostile.attack("broke the protocol"):
            hostile.send("rpc", Wireguard(1, 5, name, userspace=True))
    with hostile.attack("broke the protocol"):
        hostile.send("rpc", b"\x95\x18\x01\x05\xa3\xed\xa0\x80\xc3")
    for number, name in enumerate(("x" * 15, "é" * 7, "\u202etxt"), 1):
        with hostile.attack():
            assert "Done" in hostile.ask("rpc", Wireguard(number, 5, name, userspace=True))
            assert "errno=1" in hostile.do("hear", "feed")


@pytest.mark.parametrize(
    ("channel", "message"),
    [("rpc", Denied("x")), ("rpc", DumpFinished(1, 0, False)), ("scripts", Finished(1, 0, 0.0, 0.0, 0)),
     ("control", End())],
)  # fmt: skip
def test_answer_is_no_request(hostile: Hostile, channel: str, message: Message) -> None:
    """What only the other side says is no message of this direction (17)."""
    with hostile.attack("broke the protocol"):
        hostile.send(channel, message)


@pytest.mark.parametrize(
    ("channel", "value"),
    [("rpc", ["os.system", "id"]), ("rpc", [22, "__import__"]), ("rpc", ["__class__"]),
     ("scripts", ["privsep.sandbox", "become"]), ("scripts", [40, "__init__", 1, []]),
     ("control", ["reload", "/etc/shadow"]), ("control", [83, "/etc/shadow"]),
     ("rpc", [21, 1, "os.system", 0])],
)  # fmt: skip
def test_names_of_methods_are_nothing(hostile: Hostile, channel: str, value: object) -> None:
    """Numbers name what can be asked, and none of them is looked up anywhere (18)."""
    with hostile.attack("broke the protocol"):
        hostile.send(channel, encode(value))


def test_nothing_before_hello(hostile: Hostile) -> None:
    """A helper that was not greeted does nothing (19)."""
    for message in (Ping(1), Dump(1, "links"), Wireguard(1, 5, "eth0", userspace=False)):
        hostile.daemon.kill("helper")
        hostile.do("renew")
        with hostile.attack("request before hello"):
            hostile.send("rpc", message)


def test_hello_once_and_of_this_version(hostile: Hostile) -> None:
    """A second hello, and one of another version, end the worker (20)."""
    for version in (VERSION, VERSION + 1, 0):
        with hostile.attack("hello of version"):
            hostile.send("rpc", Hello(version))


def test_numbers_only_grow(hostile: Hostile) -> None:
    """A dump, a reading or a run that there was already ends the worker (21)."""
    with hostile.attack("dump 5 after dump 5"):
        assert "Done" in hostile.ask("rpc", Dump(5, "links"))
        while "DumpFinished" not in hostile.do("hear", "feed"):
            pass
        hostile.send("rpc", Dump(5, "links"))
    with hostile.attack("reading 7 after 7"):
        assert "Done" in hostile.ask("rpc", Wireguard(7, 5, "wg0", userspace=True))
        hostile.send("rpc", Wireguard(7, 5, "wg0", userspace=True))
    hostile.do("send", "scripts", encode([44]).hex())
    entry = hostile.do("hear", "scripts").partition("Entry(id=")[2].partition(",")[0]
    run = Run(1 << 41, int(entry), [("STATE", "routable")])
    with hostile.attack("exists already"):
        assert "Started" in hostile.ask("scripts", run)
        hostile.send("scripts", run)
    hostile.send("scripts", Signal(1 << 41, "KILL"))
    hostile.do("count", "scripts", "Finished", 1)
    hostile.send("scripts", Forget(1 << 41))


def test_what_never_was_is_not_forgotten(hostile: Hostile) -> None:
    """The end of a run that there is not can't be acknowledged (22); a signal to it finds nobody."""
    with hostile.attack("not one that has ended"):
        hostile.send("scripts", Forget(2**63 - 1))
    with hostile.attack():
        hostile.send("scripts", Signal(2**63 - 1, "KILL"))
        hostile.send("control", Alive(2**62))


@pytest.mark.parametrize(
    ("channel", "message"),
    [("rpc", RUN), ("rpc", Reload()), ("rpc", Running()), ("scripts", Ping(1)), ("scripts", Hello(VERSION)),
     ("control", Ready()), ("control", Violated("helper is to blame")), ("control", WantWireguard("wg0")),
     ("control", Candidate(b"scripts: {user: root}\n", False, False, 0)), ("control", RUN), ("scripts", Reload()),
     ("scripts", Write([]))],
)  # fmt: skip
def test_words_of_another_role(hostile: Hostile, channel: str, message: Message) -> None:
    """What one role takes another does not, and the supervisor knows whose words are whose (23)."""
    with hostile.attack("broke the protocol|is not its to say|may not send"):
        hostile.send(channel, message)


def test_a_decision_without_a_trial_is_nothing(hostile: Hostile) -> None:
    """There is nothing to keep and nothing to bring back (23)."""
    with hostile.attack():
        hostile.send("control", Decide(True))


def test_standard_error_takes_no_request(hostile: Hostile) -> None:
    """What is written to the log is text, whatever it looks like (24)."""
    with hostile.attack():
        for message in (Reload(), Decide(True), RUN):
            hostile.do("say", f"{encode(message)!r}\n")
            hostile.do("say", "<0>netevd: READY=1\x1b[2J\n")
