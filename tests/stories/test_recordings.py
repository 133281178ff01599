"""What really happened on a host, and what netevd makes of it."""

from __future__ import annotations

import msgspec
import pytest

from netevd.cli.recordings.playback import Told
from netevd.config.kinds import AbsolutePath, Duration, Patterns, Protocols, Tables, UserName
from netevd.config.schema import Configuration, Network, Routes, Rule, Scripts
from netevd.kernel.recorded import LineTranslator
from netevd.kernel.recording import DumpBegin, DumpEnd, DumpPart, Line, Overrun
from netevd.model.describe import describe
from netevd.model.event import EventType
from netevd.model.inputs import AddressSeen
from netevd.worker.perform import describe as in_log
from tests.stories.recordings import DIRECTORY, expect, load, replay, tell

NO_ROUTES = Routes(tables=Tables(()), default_routes=False)


def watching(words: str, **more: object) -> Configuration:
    """Return a configuration for these links."""
    network = Network(links=Patterns(tuple(words.split())))
    return Configuration(network=network, **more)  # type: ignore[arg-type]


def test_cable_is_pulled_and_plugged_in_again() -> None:
    """No route is lost without a carrier: the link is routable again at once."""
    configuration = Configuration(
        scripts=Scripts(
            rules=(Rule(AbsolutePath("/etc/netevd/routable.d/10-up"), user=UserName("root")),)
        )
    )
    replayer = replay(load("cable-pull"), configuration, "routable.d/10-up", "no-carrier.d/10-down")

    expected = """
        1 eth0 carrier has carrier (at the start)
        2 eth0 routable is routable (at the start)
        2 eth0 run /etc/netevd/routable.d/10-up as root
        3 eth0 no-carrier lost carrier
        3 eth0 run /etc/netevd/no-carrier.d/10-down as netevd-script
        4 eth0 carrier got carrier
        5 eth0 routable no-carrier -> routable
        5 eth0 run /etc/netevd/routable.d/10-up as root
    """
    expect(tell(replayer, configuration), expected)
    assert replayer.missing == 0


def test_lease_is_renewed() -> None:
    """A lease that is bound, renewed and released: the renewal changes no fact and fires nothing."""
    configuration = Configuration()
    recording = load("dhcp-renew")
    replayer = replay(recording, configuration, "routable.d/10-up", "routes.d/10-route")

    expected = """
        1 eth0 carrier has carrier (at the start)
        2 eth0 degraded is degraded (at the start)
        3 eth0 address-added 192.0.2.50/24
        4 eth0 address-usable 192.0.2.50/24
        5 eth0 routable degraded -> routable
        5 eth0 run /etc/netevd/routable.d/10-up as netevd-script
        6 eth0 routes new 192.0.2.0/24 dev eth0 proto kernel src 192.0.2.50
        6 eth0 run /etc/netevd/routes.d/10-route as netevd-script
        7 eth0 routes new default via 192.0.2.1 dev eth0 proto dhcp
        8 eth0 gateway-changed IPv4 gateway 192.0.2.1 (was none)
        7 eth0 run /etc/netevd/routes.d/10-route as netevd-script
        9 eth0 address-removed 192.0.2.50/24
        10 eth0 degraded routable -> degraded
        11 eth0 routes del 192.0.2.0/24 dev eth0 proto kernel src 192.0.2.50
        11 eth0 run /etc/netevd/routes.d/10-route as netevd-script
        12 eth0 routes del default via 192.0.2.1 dev eth0 proto dhcp
        13 eth0 gateway-changed IPv4 gateway none (was 192.0.2.1)
        12 eth0 run /etc/netevd/routes.d/10-route as netevd-script
    """
    expect(tell(replayer, configuration), expected)
    translated = [each for line in recording.lines for each in LineTranslator().translate(line)]
    leased = [
        each
        for each in translated
        if isinstance(each, AddressSeen) and each.address.ip == "192.0.2.50"
    ]
    assert len(leased) > 1, "the renewal is not in the recording"


def test_containers_come_and_go() -> None:
    """Of a bridge alone three containers are one carrier that comes and goes, not three."""
    configuration = watching("br*", routes=NO_ROUTES)
    replayer = replay(load("bridge-containers"), configuration, "carrier.d/1", "no-carrier.d/1")

    expected = """
        1 br0 link-added ifindex 50, bridge
        2 br0 no-carrier has no carrier
        3 br0 off is off
        2 br0 run /etc/netevd/no-carrier.d/1 as netevd-script
        4 br0 address-added 10.88.0.1/16
        5 br0 address-usable 10.88.0.1/16
        6 br0 link-changed up
        7 br0 carrier got carrier
        8 br0 routable no-carrier -> routable
        7 br0 run /etc/netevd/carrier.d/1 as netevd-script
        9 br0 address-added fe80::ff:fe00:50/64
        10 br0 address-usable fe80::ff:fe00:50/64
        11 br0 no-carrier lost carrier
        11 br0 run /etc/netevd/no-carrier.d/1 as netevd-script
    """
    expect(tell(replayer, configuration), expected)


def test_ports_of_a_bridge() -> None:
    """The ports come and go one after another, each in the order in which its state changed."""
    configuration = watching("veth*", routes=NO_ROUTES)
    replayer = replay(
        load("bridge-containers"), configuration, "enslaved.d/10-in", "link-removed.d/10-out"
    )

    told = tell(replayer, configuration).splitlines()
    of_one = [line.split(" ", 1)[1] for line in told if " veth2 " in line]
    expected = """
        veth2 link-added ifindex 112, veth
        veth2 no-carrier has no carrier
        veth2 off is off
        veth2 link-changed master br0 (was none)
        veth2 link-changed up
        veth2 carrier got carrier
        veth2 enslaved no-carrier -> enslaved
        veth2 run /etc/netevd/enslaved.d/10-in as netevd-script
        veth2 address-added fe80::ff:fe00:102/64
        veth2 address-usable fe80::ff:fe00:102/64
        veth2 link-changed down
        veth2 no-carrier lost carrier
        veth2 off enslaved -> off
        veth2 address-removed fe80::ff:fe00:102/64
        veth2 link-removed was off
        veth2 run /etc/netevd/link-removed.d/10-out as netevd-script
    """
    expect("\n".join(of_one), expected)
    assert [line.split()[1] for line in told if line.split()[2] == "link-added"] == [
        "veth1", "veth2", "veth3",
    ]  # fmt: skip


def test_vpn_starts_and_ends() -> None:
    """Routes of the tunnel, but not those that the kernel makes; those it drops unsaid are told."""
    configuration = watching("tun*", routes=Routes(protocols=Protocols(("boot", "static"))))
    replayer = replay(load("vpn-start"), configuration, "routes.d/10-route", "routable.d/10-up")

    expected = """
        1 tun0 link-added ifindex 2, tun
        2 tun0 no-carrier has no carrier
        3 tun0 off is off
        4 tun0 address-added 10.8.0.2/32
        5 tun0 address-usable 10.8.0.2/32
        6 tun0 link-changed mtu 1400 (was 1500)
        7 tun0 link-changed up
        8 tun0 carrier got carrier
        9 tun0 routable off -> routable
        9 tun0 run /etc/netevd/routable.d/10-up as netevd-script
        10 tun0 routes new 0.0.0.0/1 via 10.8.0.1 dev tun0 proto boot
        10 tun0 run /etc/netevd/routes.d/10-route as netevd-script
        11 tun0 routes new 128.0.0.0/1 via 10.8.0.1 dev tun0 proto boot
        11 tun0 run /etc/netevd/routes.d/10-route as netevd-script
        12 tun0 link-changed down
        13 tun0 no-carrier lost carrier
        14 tun0 off routable -> off
        15 tun0 address-removed 10.8.0.2/32
        16 tun0 routes del 0.0.0.0/1 via 10.8.0.1 dev tun0 proto boot
        17 tun0 routes del 128.0.0.0/1 via 10.8.0.1 dev tun0 proto boot
        18 tun0 link-removed was off
        16 tun0 run /etc/netevd/routes.d/10-route as netevd-script
        17 tun0 run /etc/netevd/routes.d/10-route as netevd-script
    """
    expect(tell(replayer, configuration), expected)


def test_network_manager_restarts() -> None:
    """Setting the link down loses IPv4 routes of which the kernel says nothing."""
    configuration = watching("eth0", routes=Routes(protocols=Protocols(("static",))))
    replayer = replay(
        load("manager-restart"), configuration, "routable.d/10-up", "gateway-changed.d/10-gw"
    )

    expected = """
        1 eth0 carrier has carrier (at the start)
        2 eth0 routable is routable (at the start)
        2 eth0 run /etc/netevd/routable.d/10-up as netevd-script
        3 eth0 link-changed down
        4 eth0 no-carrier lost carrier
        5 eth0 off routable -> off
        6 eth0 address-removed 2001:db8::7/64
        7 eth0 address-removed fe80::ff:fe00:1/64
        8 eth0 routes del default via 192.0.2.1 dev eth0 proto static
        9 eth0 gateway-changed IPv4 gateway none (was 192.0.2.1)
        9 eth0 run /etc/netevd/gateway-changed.d/10-gw as netevd-script
        10 eth0 address-removed 192.0.2.7/24
        11 eth0 link-changed up
        12 eth0 carrier got carrier
        13 eth0 address-added 192.0.2.7/24
        14 eth0 address-usable 192.0.2.7/24
        15 eth0 routable carrier -> routable
        15 eth0 run /etc/netevd/routable.d/10-up as netevd-script
        16 eth0 address-added 2001:db8::7/64
        17 eth0 address-usable 2001:db8::7/64
        18 eth0 routes new default via 192.0.2.1 dev eth0 proto static
        19 eth0 gateway-changed IPv4 gateway 192.0.2.1 (was none)
        19 eth0 run /etc/netevd/gateway-changed.d/10-gw as netevd-script
        20 eth0 address-added fe80::ff:fe00:1/64
        21 eth0 address-usable fe80::ff:fe00:1/64
    """
    expect(tell(replayer, configuration), expected)


def test_scripts_take_their_time() -> None:
    """Scripts of a link run one after another, later than their events; outdated ones are skipped."""
    scripts = Scripts(obsolete="skip")
    configuration = watching("eth0", routes=NO_ROUTES, scripts=scripts)
    names = ("routable.d/10-up", "off.d/10-off", "carrier.d/10-c", "address-added.d/10-a")
    replayer = replay(load("manager-restart"), configuration, *names, script_duration_s=1.0)

    runs = [
        line for line in tell(replayer, configuration, times=True).splitlines()
        if line.split()[3] in {"run", "obsolete"}
    ]  # fmt: skip
    expected = """
        0.001 1 eth0 run /etc/netevd/carrier.d/10-c as netevd-script
        1.001 2 eth0 obsolete /etc/netevd/routable.d/10-up: a later state of its link is waiting
        1.001 5 eth0 run /etc/netevd/off.d/10-off as netevd-script
        2.001 10 eth0 run /etc/netevd/carrier.d/10-c as netevd-script
        3.001 11 eth0 run /etc/netevd/address-added.d/10-a as netevd-script
        4.001 13 eth0 run /etc/netevd/routable.d/10-up as netevd-script
        5.001 14 eth0 run /etc/netevd/address-added.d/10-a as netevd-script
        6.001 16 eth0 run /etc/netevd/address-added.d/10-a as netevd-script
    """
    expect("\n".join(runs), expected)


def test_script_that_outlives_its_timeout() -> None:
    """A script that takes longer than it may gets TERM then, and what waits for it runs."""
    configuration = watching("eth0", routes=NO_ROUTES, script_timeout=Duration(2.0))
    replayer = replay(load("cable-pull"), configuration, "carrier.d/10-slow", script_duration_s=9.0)

    ends = [
        line for line in tell(replayer, configuration, times=True).splitlines() if "10-slow" in line
    ]
    expected = """
        0.002 1 eth0 run /etc/netevd/carrier.d/10-slow as netevd-script
        2.002 1 eth0 timeout /etc/netevd/carrier.d/10-slow
        2.002 4 eth0 run /etc/netevd/carrier.d/10-slow as netevd-script
        4.002 4 eth0 timeout /etc/netevd/carrier.d/10-slow
    """
    expect("\n".join(ends), expected)


# --- dumps that the recording lacks -----------------------------------------------------------------


def drop_dumps(lines: list[Line], *, after: int) -> list[Line]:
    """Return lines without the dumps after those of the beginning."""
    return [
        line for line in lines
        if not (isinstance(line, DumpBegin | DumpPart | DumpEnd) and line.dump > after)
    ]  # fmt: skip


def test_without_a_later_dump_silence_goes_unnoticed() -> None:
    """What the messages say is the answer: IPv4 routes that the kernel dropped unsaid stay."""
    whole = load("manager-restart")
    bare = msgspec.structs.replace(whole, lines=drop_dumps(whole.lines, after=2))
    configuration = watching("eth0")

    noticed, unnoticed = replay(whole, configuration), replay(bare, configuration)

    line = "eth0 routes del default via 192.0.2.1 dev eth0 proto static"
    assert line in tell(noticed, configuration)
    assert noticed.missing == 0
    assert line not in tell(unnoticed, configuration)
    assert "routes del 2001:db8::/64" in tell(unnoticed, configuration)  # the kernel says IPv6
    assert unnoticed.missing > 0


def test_recording_without_any_dump() -> None:
    """Nothing is known at the start: a link is new when it is first spoken of."""
    whole = load("cable-pull")
    bare = msgspec.structs.replace(whole, lines=drop_dumps(whole.lines, after=0))
    configuration = watching("eth0")
    replayer = replay(bare, configuration)

    expected = """
        1 eth0 link-added ifindex 101, veth
        2 eth0 no-carrier has no carrier
        3 eth0 carrier got carrier
    """
    expect(tell(replayer, configuration), expected)
    assert replayer.missing == 2


def test_overrun_is_answered_by_the_next_dump() -> None:
    """Messages that are missing in a recording show as what a later dump finds otherwise."""
    whole = load("cable-pull")
    end = whole.lines[-1].at
    later = [
        msgspec.structs.replace(line, at=end, dump=line.dump + 10)
        for line in whole.lines
        if isinstance(line, DumpBegin | DumpPart | DumpEnd) and line.dump == 1
    ]
    kept = [line for line in whole.lines if isinstance(line, DumpBegin | DumpPart | DumpEnd)]
    down = [line for line in whole.lines if line not in kept][:1]
    lines = [*kept, *down, Overrun(end, "links"), *later]
    configuration = watching("eth0", routes=NO_ROUTES)

    replayer = replay(msgspec.structs.replace(whole, lines=lines), configuration)

    expected = """
        1 eth0 carrier has carrier (at the start)
        2 eth0 routable is routable (at the start)
        3 eth0 no-carrier lost carrier
        - - warn Kernel messages were lost: the receive buffer was full; reading all links again
        4 eth0 carrier got carrier
        5 eth0 routable no-carrier -> routable
        - - info All links were read again: the receive buffer was full
    """
    expect(tell(replayer, configuration), expected)
    assert (replayer.missing, replayer.overruns) == (0, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.jsonl")))
def test_every_recording_says_the_same_twice(name: str) -> None:
    """A replay is a function of recording, configuration and scripts; it lacks no dump."""
    configuration = Configuration(routes=Routes(tables=Tables(("all",))))
    scripts = [f"{kind.value}.d/10-x" for kind in EventType]
    recording = load(name)

    first, second = (replay(recording, configuration, *scripts) for _ in range(2))

    assert first.playback.entries == second.playback.entries
    assert first.missing == 0
    assert recording.doubts == []


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.jsonl")))
def test_commands_and_log_use_the_same_words(name: str) -> None:
    """What replay says of an event is what the daemon's log says of it."""
    replayer = replay(load(name), Configuration(routes=Routes(tables=Tables(("all",)))))

    events = [each.event for each in replayer.playback.entries if isinstance(each, Told)]
    assert events
    assert [describe(event) for event in events] == [in_log(event) for event in events]
