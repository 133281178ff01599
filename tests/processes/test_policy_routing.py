"""Policy routing of a whole daemon: two uplinks, two families, real connections from outside."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip
from tests.processes.uplinks import Uplinks

MakeDaemon = Callable[..., Daemon]

COMMAND = "import sys; from netevd.cli.main import main; sys.exit(main())"

POLICY = """
system: {log_format: json}
network: {links: [eth0, eth1]}
routing: {policy: {enabled: true, resync: 5s}}
"""


def show_ours() -> list[str]:
    """Return every rule and route that is netevd's, as ip shows them."""
    found = []
    for family in ("-4", "-6"):
        for words in (["rule", "show"], ["route", "show", "table", "all"]):
            text = subprocess.run(
                ["ip", "-N", family, *words], check=True, capture_output=True, text=True
            ).stdout
            found += [
                f"{family} {' '.join(line.split())}"
                for line in text.splitlines()
                if "proto 110" in line
            ]
    return sorted(found)


def show_others() -> str:
    """Return every rule and route that is not netevd's."""
    text = ""
    for family in ("-4", "-6"):
        for words in (["rule", "show"], ["route", "show", "table", "all"]):
            shown = subprocess.run(
                ["ip", "-N", family, *words], check=True, capture_output=True, text=True
            ).stdout
            text += "".join(line + "\n" for line in shown.splitlines() if "proto 110" not in line)
    return text


@pytest.fixture
def uplinks(make_daemon: MakeDaemon) -> Iterator[Uplinks]:
    """Return two uplinks of this namespace, in different subnets."""
    with Uplinks() as made:
        wait_for(lambda: made.reached() == made.primary or None, "answers of the primary alone")
        yield made


def wait_complete(uplinks: Uplinks) -> list[str]:
    """Return the rules and routes of netevd once both uplinks answer from outside."""
    wait_for(lambda: len(show_ours()) >= 10 or None, "rules and routes")
    return show_ours()


def test_nothing_is_left_behind_where_that_is_wanted(
    make_daemon: MakeDaemon, uplinks: Uplinks
) -> None:
    """With on_exit: remove, the kernel is after the daemon as it was before it."""
    before = show_others()
    daemon = make_daemon(POLICY.replace("resync: 5s", "on_exit: remove")).start()
    wait_for(lambda: len(show_ours()) >= 10 or None, "rules and routes")

    assert daemon.stop() == 0
    assert show_ours() == []
    assert show_others() == before


def test_both_addresses_answer_from_outside(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """
    Connections to either address are answered by the link they came over, in both families; before
    netevd only those of the primary were.
    """
    daemon = make_daemon(POLICY).start()
    before = show_others()

    wait_for(lambda: uplinks.reached() == uplinks.all or None, "answers over both uplinks")
    assert daemon.stop() == 0
    assert show_others() == before
    assert uplinks.reached() == uplinks.all  # on_exit: keep


def answers(uplinks: Uplinks) -> frozenset[tuple[str, int]]:
    """Return where a connection is answered, once it is everywhere."""
    return wait_for(lambda: uplinks.reached() == uplinks.all and uplinks.all, "answers over both")


@pytest.mark.parametrize("same_subnet", [False, True])
def test_it_stays_so_whatever_happens(make_daemon: MakeDaemon, *, same_subnet: bool) -> None:
    """
    Both addresses answer by their own link before and after: a new gateway, a bounce of the link,
    the removal of all rules and routes of netevd, a daemon that is killed, a reload.
    """
    with Uplinks(same_subnet=same_subnet) as uplinks:
        daemon = make_daemon(POLICY).start()
        answers(uplinks)
        ip(
            f"route replace default via {uplinks.gateway4(1, 2)} dev eth1 metric 200",
            f"route del ::/0 via {uplinks.gateway6(1)} dev eth1 metric 200",
            f"route add ::/0 via {uplinks.gateway6(1, 2)} dev eth1 metric 200",
        )
        wait_for(
            lambda: any(uplinks.gateway6(1, 2) in each for each in show_ours()) or None,
            "new gateway",
        )
        answers(uplinks)
        ip("link set eth1 down")
        wait_for(lambda: not any("eth1" in each for each in show_ours()) or None, "nothing of eth1")
        ip(
            "link set eth1 up",
            f"addr replace {uplinks.address6(1)}/64 dev eth1 nodad",
            f"route add default via {uplinks.gateway4(1)} dev eth1 metric 200",
            f"route add ::/0 via {uplinks.gateway6(1)} dev eth1 metric 200",
        )
        answers(uplinks)
        whole = show_ours()
        flush_ours()
        daemon.expect(lambda entry: entry.get("event") == "routing-drift")
        wait_for(lambda: show_ours() == whole or None, "all of it again")
        answers(uplinks)

        os.kill(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        flush_ours("4")
        daemon.start(ready=False)
        wait_for(lambda: show_ours() == whole or None, "all of it by another daemon")
        answers(uplinks)
        daemon.configure(initial=False)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.expect(lambda entry: "reads its configuration again" in entry["message"])
        assert answers(uplinks) == uplinks.all
        assert show_ours() == whole


def flush_ours(families: str = "46") -> None:
    """Remove all that is netevd's, as its enemy would."""
    for family in families:
        for rule in ("21001", "21002", "21400", "21501", "21502"):
            while not subprocess.run(
                ["ip", f"-{family}", "rule", "del", "priority", rule],
                capture_output=True,
                check=False,
            ).returncode:
                pass
        for table in ("21001", "21002", "21501", "21502"):
            subprocess.run(
                ["ip", f"-{family}", "route", "flush", "table", table],
                capture_output=True,
                check=False,
            )


def test_a_container_bridge_stays_reachable(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """From every address of the host, what main has a route for is reached by that route."""
    ip(
        "link add docker0 type bridge", "link set docker0 up", "addr add 172.17.0.1/16 dev docker0",
        "addr add 2001:db8:d::1/64 dev docker0 nodad",
    )  # fmt: skip
    make_daemon(POLICY.replace("resync: 5s", "primary: include")).start()
    answers(uplinks)

    for source, target in [
        (uplinks.address4(0), "172.17.0.5"), (uplinks.address4(1), "172.17.0.5"),
        (uplinks.address6(0), "2001:db8:d::5"), (uplinks.address6(1), "2001:db8:d::5"),
    ]:  # fmt: skip
        found = subprocess.run(
            ["ip", "route", "get", target, "from", source],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "dev docker0" in found, (source, found)


def test_who_keeps_removing_is_told_and_outlasted(
    make_daemon: MakeDaemon, uplinks: Uplinks
) -> None:
    """
    Something that removes one thing of netevd's after another is told as a contest; when it ends all
    is there again, and what others have is byte for byte as before. When it goes on, things are put back
    less and less often, and that is said.
    """
    seconds = float(os.environ.get("NETEVD_CONTEST_SECONDS", "4"))
    daemon = make_daemon(POLICY).start()
    answers(uplinks)
    whole, others = show_ours(), show_others()
    chance = random.Random(4)
    be_hostile(chance, seconds)

    daemon.expect(lambda entry: entry.get("event") == "routing-contested")
    assert any("ManageForeign" in each["message"] for each in daemon.log)
    wait_for(lambda: show_ours() == whole or None, "all of it again", 40.0)
    assert show_others() == others
    answers(uplinks)
    restored = count_restored(daemon)
    be_hostile(chance, seconds)
    # it waits twice as long each time: by now for longer than the loop before has lasted
    assert count_restored(daemon) - restored <= 2
    assert any("they are put back less often" in each["message"] for each in daemon.log)
    assert "less and less often" in run_command(daemon, "routing", "plan").stderr
    wait_for(lambda: show_ours() == whole or None, "all of it again", 80.0)
    assert show_others() == others


def be_hostile(chance: random.Random, seconds: float) -> None:
    """Remove a rule or route of netevd's, whichever chance says, every 50 ms."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for line in chance.sample(found, 1) if (found := show_ours()) else ():
            remove(line)
        time.sleep(0.05)


def count_restored(daemon: Daemon) -> int:
    """Return how often rules and routes were made again."""
    return sum(each.get("event") == "routing-applied" for each in list(daemon.log))


def remove(line: str) -> None:
    """Remove a rule or route as `show_ours` tells it."""
    family, *words = line.split()
    if words[0].endswith(":"):
        command = ["ip", family, "rule", "del", "priority", words[0][:-1], *words[1:]]
        command = [word for word in command if word not in {"proto", "110"}] + ["protocol", "110"]
    else:
        drop = {"pref", "medium", "onlink"}
        command = ["ip", family, "route", "del", *[word for word in words if word not in drop]]
    with suppress(subprocess.CalledProcessError):
        subprocess.run(command, check=True, capture_output=True)


def test_a_configuration_that_wants_less(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """A link that is not named any more loses what it had, and policy routing that is off all of it."""
    daemon = make_daemon(POLICY.replace("enabled: true", "enabled: true, primary: include")).start()
    answers(uplinks)
    before = show_others()
    for settings in ("enabled: true, primary: include, interfaces: [eth1]", "enabled: false"):
        text = daemon.config.read_text()
        daemon.config.write_text(
            "\n".join(
                f"routing: {{policy: {{{settings}}}}}" if line.startswith("routing:") else line
                for line in text.splitlines()
            )
        )
        daemon.process.send_signal(signal.SIGHUP)
        name = "eth1" if "eth1" in settings else "nobody"
        gone = "eth0" if "eth1" in settings else "dev"
        wait_for(
            lambda gone=gone: not any(gone in each for each in show_ours()) or None,
            f"only what {name} needs", 60.0,
        )  # fmt: skip
    wait_for(lambda: show_ours() == [] or None, "nothing", 60.0)
    assert show_others() == before


def test_dry_run_prints_the_plan_and_writes_nothing(
    make_daemon: MakeDaemon, uplinks: Uplinks
) -> None:
    """With --dry-run each change is said, and none is made."""
    daemon = make_daemon(POLICY).start("--dry-run")

    daemon.expect(lambda entry: "would ask for: rule add priority 21400" in entry["message"])
    daemon.expect(lambda entry: "would ask for: route append default" in entry["message"])
    assert show_ours() == []
    assert daemon.stop() == 0


def run_command(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command against a daemon."""
    socket = str(daemon.root / "run" / "api.sock")
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "--socket", socket, *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_commands_tell_the_plan_and_remove_it(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """`routing plan` says what is wanted and why, `diff` what is missing, `flush` removes it all."""
    others = show_others()
    daemon = make_daemon(POLICY).start()
    answers(uplinks)

    wait_for(
        lambda: run_command(daemon, "routing", "diff").returncode == 0 or None, "no difference"
    )
    plan = run_command(daemon, "routing", "plan").stdout
    assert "eth0 ipv4: nothing, it is the primary: main has its default route" in plan
    assert (
        f"eth1 ipv6: slot 2, from {uplinks.address6(1)}/128, gateway {uplinks.gateway6(1)}" in plan
    )
    rules = run_command(daemon, "show", "rules").stdout
    assert rules.count("netevd's own") == 6
    assert run_command(daemon, "routing", "flush").returncode == 0
    wait_for(lambda: show_ours() == [] or None, "nothing of netevd's")
    assert show_others() == others
    after = run_command(daemon, "routing", "diff")
    assert (after.returncode, after.stdout.count("rule add")) == (1, 6)
    assert run_command(daemon, "routing", "confirm").returncode == 1
    assert run_command(daemon, "reload").returncode == 0
    answers(uplinks)


def test_a_configuration_that_nobody_confirms(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """
    A configuration that cuts a link off and is not confirmed is given up: what was before is back. One
    that is confirmed stays.
    """
    daemon = make_daemon(POLICY).start()
    answers(uplinks)
    whole = show_ours()
    text = daemon.config.read_text()
    bad = text.replace("resync: 5s}", "resync: 5s, families: ipv4}, confirm: 3s")
    daemon.config.write_text(bad)
    assert run_command(daemon, "reload").returncode == 0
    wait_for(lambda: not any(each.startswith("-6") for each in show_ours()) or None, "no IPv6")
    daemon.kill("worker")

    daemon.expect(lambda entry: "that of before is in force again" in entry["message"])
    wait_for(lambda: show_ours() == whole or None, "what was before")
    assert "was not confirmed" in run_command(daemon, "routing", "plan").stderr
    daemon.config.write_text(bad.replace("confirm: 3s", "confirm: 60s"))
    assert run_command(daemon, "reload").returncode == 0
    wait_for(lambda: not any(each.startswith("-6") for each in show_ours()) or None, "no IPv6")
    assert run_command(daemon, "routing", "confirm").returncode == 0
    assert "on trial" not in run_command(daemon, "routing", "plan").stderr


RADVD = """
interface near {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 60;
    AdvDefaultPreference high;
    prefix 2001:db8:77::/64 { AdvOnLink on; AdvAutonomous on; };
};
"""


def test_a_router_that_advertises_itself(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    """
    A prefix from a router advertisement has rules as a whole, its router is copied, and both go when
    the router says that its lifetime is over.
    """
    if shutil.which("radvd") is None:
        pytest.skip("needs radvd")
    router = f"nt{os.getpid() % 100000}a"
    subprocess.run(["ip", "netns", "add", router], check=True)
    inside = ["ip", "netns", "exec", router]
    (tmp_path / "radvd.conf").write_text(RADVD)
    program = None
    try:
        ip(
            "link add name eth0 type veth peer name p0", "link set eth0 up", "link set p0 up",
            "addr add 2001:db8:1::1/64 dev eth0 nodad", "route add ::/0 via fe80::9 dev eth0 metric 10",
            f"link add name eth1 type veth peer name near netns {router}", "link set eth1 up",
        )  # fmt: skip
        Path("/proc/sys/net/ipv6/conf/eth1/accept_ra").write_text("2")
        subprocess.run([*inside, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"], check=True)
        subprocess.run([*inside, "ip", "link", "set", "near", "up"], check=True)
        make_daemon(POLICY).start()
        words = ["radvd", "-n", "-C", str(tmp_path / "radvd.conf"), "-p", str(tmp_path / "pid")]
        program = subprocess.Popen([*inside, *words, "-m", "stderr"], stderr=subprocess.DEVNULL)

        def has(text: str) -> bool:
            return any(text in each for each in show_ours())

        wait_for(lambda: has("from 2001:db8:77::/64 lookup 21502") or None, "a rule of the prefix")
        wait_for(lambda: has("default via fe80") or None, "the router")
        assert has("2001:db8:77::/64 dev eth1 table 21002")
        program.terminate()
        wait_for(lambda: not has("default via fe80") or None, "no router any more")
        assert has("from 2001:db8:77::/64 lookup 21502")
    finally:
        if program is not None:
            program.kill()
            program.wait()
        subprocess.run(["ip", "netns", "del", router], check=False)


def test_a_port_forward_is_answered_by_its_link(make_daemon: MakeDaemon, uplinks: Uplinks) -> None:
    """
    A connection that is forwarded to a container is answered by the link that it came over, by the
    mark that the nftables of docs/routing.md keep.
    """
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
    table = page[page.index("    table inet netevd {") : page.index("Choose bits that")]
    inside = f"nt{os.getpid() % 100000}d"
    subprocess.run(["ip", "netns", "add", inside], check=True)
    server = None
    try:
        ip(
            "link add docker0 type bridge", "link set docker0 up", "addr add 172.17.0.1/16 dev docker0",
            f"link add name vdock type veth peer name eth0 netns {inside}",
            "link set vdock master docker0", "link set vdock up",
        )  # fmt: skip
        uplinks.run(
            inside,
            "link set eth0 up",
            "addr add 172.17.0.5/16 dev eth0",
            "route add default via 172.17.0.1",
        )
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        forward = (
            "table ip forward { chain pre { type nat hook prerouting priority dstnat;\n"
            f"ip daddr {uplinks.address4(1)} tcp dport 7008 dnat to 172.17.0.5:7007\n}}\n}}\n"
        )
        subprocess.run(["nft", "-f", "-"], input=forward, text=True, check=True)
        program = (
            "import socket\ns = socket.create_server(('', 7007))\n"
            "while True:\n    c, _ = s.accept()\n    c.sendall(b'here')\n    c.close()\n"
        )
        server = subprocess.Popen(["ip", "netns", "exec", inside, "python3", "-I", "-c", program])
        settings = "resync: 5s, return_path: conntrack-mark, mark_mask: 0xff00"
        daemon = make_daemon(POLICY.replace("resync: 5s", settings)).start()
        answers(uplinks)
        assert not uplinks.answers_at(uplinks.address4(1), 7008)
        subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)

        wait_for(lambda: uplinks.answers_at(uplinks.address4(1), 7008) or None, "the container")
        answers(uplinks)
        assert daemon.stop() == 0
    finally:
        if server is not None:
            server.kill()
            server.wait()
        subprocess.run(["ip", "netns", "del", inside], check=False)


def test_what_is_written_is_in_the_audit_log(make_daemon: MakeDaemon) -> None:
    """Each change of rules and routes is noted by the helper, with the kernel's answer."""
    ip(
        "link add name eth0 type veth peer name p0", "link add name eth1 type veth peer name p1",
        *[f"link set {name} up" for name in ("eth0", "eth1", "p0", "p1")],
        "addr add 10.0.0.1/24 dev eth0", "addr add 10.0.1.1/24 dev eth1",
    )  # fmt: skip
    daemon = make_daemon(POLICY.replace("{enabled: true", "{enabled: true, families: ipv4"))
    file = Path("/var/log") / f"netevd-test-{os.getpid()}" / "audit.jsonl"
    with daemon.config.open("a") as config:
        config.write(f"audit: {{enabled: true, path: {file}}}\n")
    try:
        daemon.start()

        def noted() -> bool:
            text = file.read_text() if file.exists() else ""
            lines = [line for line in text.splitlines() if '"what":"network"' in line]
            return sum(line.count("AddRule(") for line in lines) == 5

        wait_for(lambda: noted() or None, "five rules in the audit log")
        assert all(
            '"source":"helper"' in line for line in file.read_text().splitlines() if "AddR" in line
        )
    finally:
        shutil.rmtree(file.parent, ignore_errors=True)


def test_a_strict_filter_is_told_once_and_left_as_it_is(
    make_daemon: MakeDaemon, uplinks: Uplinks
) -> None:
    """rp_filter 1 on a link of policy routing is said in the log and by doctor, and not changed."""
    setting = Path("/proc/sys/net/ipv4/conf/eth1/rp_filter")
    setting.write_text("1")
    daemon = make_daemon(POLICY).start()

    told = daemon.expect(lambda entry: "rp_filter is 1 (strict) on eth1" in entry["message"])
    assert "2 (loose)" in told["message"]
    shown = subprocess.run(
        [sys.executable, "-c", COMMAND, "doctor", "--config", str(daemon.config)],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert "net.ipv4.conf.eth1.rp_filter" in shown and "eth0.rp_filter" not in shown
    assert setting.read_text().strip() == "1"
    assert sum("rp_filter" in entry["message"] for entry in daemon.log) == 1
