"""scripts.rules in a whole daemon: as whom scripts run, how long, how often, beside which others."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.conftest import JSON_LOG
from tests.processes.rig import RECORD, Daemon, children, comm, ip

Make = Callable[..., Daemon]

WHO = (
    '#!/bin/sh\n{ echo "uid $(id -u) groups $(id -G)"; grep -E "^(Cap...|NoNewPrivs):" /proc/self/status; '
    'echo end; } > DIRECTORY/who-${0##*/}.tmp; mv DIRECTORY/who-${0##*/}.tmp DIRECTORY/who-${0##*/}\n'
)  # fmt: skip
"""A script that writes who it is to a file of its own name."""

CAP_NET_ADMIN = 1 << 12


def rule(daemon: Daemon, name: str, **settings: Any) -> dict[str, Any]:
    """Return the rule of a script of the event address-added."""
    return {"path": str(daemon.scripts / "address-added.d" / name), **settings}


def begin(daemon: Daemon, *rules: dict[str, Any], links: int = 1, **settings: Any) -> Daemon:
    """Start a daemon with these rules and some links without addresses."""
    daemon.configure(rules=list(rules), **settings)
    for number in range(links):
        index = 101 + number
        ip(
            f"link add name eth{number} index {index} type veth peer name p{number} index {index + 100}"
        )
    daemon.start()
    for number in range(links):
        daemon.wait_event(f"eth{number}", "off")
    return daemon


def add(number: int = 0, octet: int = 1) -> None:
    """Give a link an address, for which the scripts of address-added run."""
    ip(f"addr add 10.1.{octet}.1/24 dev eth{number}")


def who(daemon: Daemon, name: str) -> dict[str, str]:
    """Return who a script said it is."""
    path = daemon.scripts / "data" / f"who-{name}"
    text = wait_for(lambda: path.read_text(encoding="utf-8") if path.exists() else None, str(path))
    lines = text.splitlines()
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in lines[1:-1])}
    return {"who": lines[0], **found}


def ends(daemon: Daemon, what: str) -> list[dict[str, Any]]:
    """Return the records about scripts that hold these words."""
    return [each for each in list(daemon.log) if "run" in each and what in each["message"]]


def test_each_script_is_who_its_rule_says_and_no_other(daemon: Daemon) -> None:
    """Root, a user, one capability: each for the scripts of its rule, and never for the others."""
    names = ("10-plain", "20-root", "30-admin", "40-nobody", "50-weak-root", "60-plain-with-rule")
    for name in names:
        daemon.script("address-added", WHO, name)
    begin(
        daemon,
        rule(daemon, "20-root", user="root"),
        rule(daemon, "30-admin", capabilities=["CAP_NET_ADMIN"]),
        rule(daemon, "40-nobody", user="nobody"),
        rule(daemon, "50-weak-root", user="root", capabilities=["CAP_NET_ADMIN"]),
        rule(daemon, "60-plain-with-rule", timeout="20s", mutex="m"),
    )

    add()

    def say(user: str) -> str:
        entry = pwd.getpwnam(user)
        groups = os.getgrouplist(user, entry.pw_gid)
        return f"uid {entry.pw_uid} groups {' '.join(str(group) for group in groups)}"

    for name, user, capabilities in (
        ("10-plain", "netevd-script", 0), ("30-admin", "netevd-script", CAP_NET_ADMIN),
        ("40-nobody", "nobody", 0), ("50-weak-root", "root", CAP_NET_ADMIN),
        ("60-plain-with-rule", "netevd-script", 0),
    ):  # fmt: skip
        told = who(daemon, name)
        assert told["who"] == say(user), name
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(told[kind], 16) == capabilities, f"{name}: {kind}"
        assert told["NoNewPrivs"] == "1"
    told = who(daemon, "20-root")
    assert told["who"] == say("root")
    own = Path("/proc/self/status").read_text(encoding="utf-8")
    permitted = int(own.split("CapPrm:")[1].split()[0], 16)
    assert int(told["CapEff"], 16) == permitted, "root without capabilities has netevd's"
    assert not ends(daemon, "was not run")


def test_a_capability_does_what_it_is_for(daemon: Daemon) -> None:
    """With CAP_NET_ADMIN a script adds a route, without it the same script can't."""
    text = "#!/bin/sh\nip route add blackhole 192.0.2.NUMBER/32\n"
    daemon.script("address-added", text.replace("NUMBER", "1"), "10-plain")
    daemon.script("address-added", text.replace("NUMBER", "2"), "20-admin")
    begin(daemon, rule(daemon, "20-admin", capabilities=["CAP_NET_ADMIN"]))

    add()

    plain = daemon.expect(lambda entry: "10-plain exited with code" in entry["message"])
    admin = daemon.expect(lambda entry: "20-admin exited with code" in entry["message"])
    assert not plain["message"].endswith("code 0")
    assert admin["message"].endswith("code 0")


def test_limits_hold(daemon: Daemon) -> None:
    """Each limit of a rule is the script's soft and hard limit; others have the daemon's."""
    text = '#!/bin/sh\nfor n in n u f v l s t c; do echo "$n $(ulimit -S$n) $(ulimit -H$n)"; done\n'
    text = text.replace("#!/bin/sh", "#!/bin/bash")
    daemon.script("address-added", text, "10-limited")
    begin(
        daemon,
        rule(
            daemon, "10-limited",
            limits={"open_files": 64, "processes": 500, "file_size": "1MiB", "memory": "1GiB",
                    "locked_memory": "1MiB", "stack": "4MiB"},
        ),
    )  # fmt: skip

    add()

    daemon.expect(lambda entry: "10-limited exited" in entry["message"])
    lines = [entry["message"] for entry in daemon.log if entry.get("stream") == "out"]
    told = {name: (soft, hard) for name, soft, hard in (line.split() for line in lines)}
    expected = {"n": 64, "u": 500, "f": 1024, "v": 1024 * 1024, "l": 1024, "s": 4096}
    assert {name: told[name] for name in expected} == {
        name: (str(value), str(value)) for name, value in expected.items()
    }
    assert told["c"] == ("0", "0"), "no script leaves a core dump"


def test_what_a_detached_script_left_lives_until_the_daemon_stops(daemon: Daemon) -> None:
    """A detached run ends with its first process; what it started ends with the daemon."""
    text = "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 & echo $! > DIRECTORY/PID-${0##*/}\n"
    daemon.script("address-added", text, "10-detached")
    daemon.script("address-added", text, "20-bound")
    begin(daemon, rule(daemon, "10-detached", detach=True))

    add()

    daemon.expect(lambda entry: "20-bound left 1 processes behind" in entry["message"])
    pids = {
        name: int((daemon.scripts / "data" / f"PID-{name}").read_text())
        for name in ("10-detached", "20-bound")
    }
    assert Path(f"/proc/{pids['10-detached']}").exists()
    assert not Path(f"/proc/{pids['20-bound']}").exists()
    assert not ends(daemon, "10-detached left")
    assert daemon.stop() == 0
    assert not Path(f"/proc/{pids['10-detached']}").exists()


def test_a_rules_timeout_is_its_own(daemon: Daemon) -> None:
    """A script that runs for longer than its rule says gets TERM; script_timeout is not asked."""
    daemon.script("address-added", "#!/bin/sh\nexec sleep 1000\n", "10-slow")
    begin(daemon, rule(daemon, "10-slow", timeout="200ms"))

    add()

    daemon.expect(lambda entry: "10-slow has run for 0.2 s, its limit" in entry["message"])
    daemon.expect(lambda entry: "10-slow was ended by signal SIGTERM" in entry["message"])


def test_scripts_of_a_mutex_never_overlap(daemon: Daemon) -> None:
    """Eight links at once, one mutex: the scripts find the lock free each time."""
    text = (
        "#!/bin/sh\nmkdir DIRECTORY/lock || echo clash >> DIRECTORY/clash\n"
        "sleep 0.05\nrmdir DIRECTORY/lock\necho $LINK >> DIRECTORY/done\n"
    )
    daemon.script("address-added", text, "10-locked")
    begin(daemon, rule(daemon, "10-locked", mutex="lock"), links=8)

    ip(*(f"addr add 10.{number}.1.1/24 dev eth{number}" for number in range(8)))

    done = daemon.scripts / "data" / "done"
    lines = wait_for(
        lambda: text if done.exists() and (text := done.read_text()).count("\n") == 8 else None,
        "eight scripts",
    )
    assert not (daemon.scripts / "data" / "clash").exists()
    assert lines.split() == [f"eth{number}" for number in range(8)], "in the order of the events"


def test_a_script_is_tried_until_it_does_well(daemon: Daemon) -> None:
    """Two failures, then success: three attempts of one run, in one place of the queue."""
    text = (
        "#!/bin/sh\necho x >> DIRECTORY/tries\n"
        '[ "$(wc -l < DIRECTORY/tries)" -ge 3 ] || exit 7\necho done >> DIRECTORY/record\n'
    )
    daemon.script("address-added", text, "10-flaky")
    daemon.script("address-added", RECORD, "20-next")
    begin(daemon, rule(daemon, "10-flaky", retries=5, retry_delay="10ms"))

    add()

    wait_for(lambda: len(daemon.record()) == 2 or None, "both scripts")
    assert daemon.record()[0] == ["done"]
    wait_for(lambda: len(ends(daemon, "10-flaky exited")) >= 3 or None, "the ends of all attempts")
    codes = [each["message"].rsplit(" ", 1)[1] for each in ends(daemon, "10-flaky exited")]
    assert codes == ["7", "7", "0"]
    again = [each["message"].rsplit(" is ", 1)[1] for each in ends(daemon, "tried again")]
    assert again == ["tried again in 0.01 s", "tried again in 0.02 s"]
    assert len({each["run"] for each in ends(daemon, "10-flaky")}) == 1


def test_a_paused_script_runs_again_after_chmod(daemon: Daemon) -> None:
    """Two failures pause a script; chmod -x and +x let it run again, without a restart."""
    path = daemon.script("address-added", "#!/bin/sh\necho $LINK >> DIRECTORY/record\nexit 1\n")
    begin(daemon, pause_after=2)

    for octet in (1, 2):
        add(octet=octet)
        wait_for(lambda n=octet: len(daemon.record()) == n or None, "a failure")  # type: ignore[misc]
    daemon.expect(lambda entry: "is paused, since 2 runs in a row" in entry["message"])
    add(octet=3)
    daemon.expect(lambda entry: "was not run: it is paused" in entry["message"])
    path.chmod(0o644)
    daemon.expect(lambda entry: "is skipped: it is not executable" in entry["message"])
    daemon.expect(lambda entry: "is no longer paused" in entry["message"])
    path.chmod(0o755)
    octets = iter(range(10, 200))

    def run_again() -> bool | None:
        add(octet=next(octets))
        return len(daemon.record()) > 2 or None

    wait_for(run_again, "a run after the pause")


def test_the_death_of_one_runner_leaves_the_scripts_of_others(daemon: Daemon) -> None:
    """A killed runner loses its own script alone, and its successor takes the next."""
    text = "#!/bin/sh\n[ $LINK = NAME ] || exit 0\necho $$ >> DIRECTORY/pid-NAME\nexec sleep 1000\n"
    daemon.script("address-added", text.replace("NAME", "eth0"), "10-plain")
    daemon.script("address-added", text.replace("NAME", "eth1"), "20-nobody")
    begin(daemon, rule(daemon, "20-nobody", user="nobody"), links=2)
    uid = pwd.getpwnam("nobody").pw_uid

    def read_pids(name: str) -> list[int] | None:
        path = daemon.scripts / "data" / f"pid-{name}"
        return [int(word) for word in path.read_text().split()] if path.exists() else None

    add(0)
    add(1)
    (plain,) = wait_for(lambda: read_pids("eth0"), "the plain script")
    (nobody,) = wait_for(lambda: read_pids("eth1"), "the other script")
    (victim,) = [
        pid for pid in children(daemon.pid)
        if comm(pid).startswith("netevd-runner") and f"\t{uid}\t" in read_status(pid)
    ]  # fmt: skip
    os.kill(victim, signal.SIGKILL)

    daemon.expect(lambda entry: "20-nobody is lost" in entry["message"])
    wait_for(lambda: not Path(f"/proc/{nobody}").exists() or None, "death of the script")
    add(1, octet=2)
    wait_for(lambda: len(read_pids("eth1") or ()) == 2 or None, "a run by the successor")
    assert Path(f"/proc/{plain}").exists()
    assert not ends(daemon, "10-plain is lost")


def read_status(pid: int) -> str:
    """Return what /proc says of a process."""
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


def test_a_dry_run_says_what_rules_would_run(make_daemon: Make) -> None:
    """Scripts of every identity are told, and none is run."""
    daemon = make_daemon(JSON_LOG)
    for name in ("10-plain", "20-root"):
        daemon.script("address-added", RECORD, name)
    daemon.configure(rules=[rule(daemon, "20-root", user="root", mutex="m")])
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.start("--dry-run")
    daemon.wait_event("eth0", "off")

    add()

    daemon.expect(lambda entry: entry["message"].endswith("address-added.d/20-root"))
    assert [each["message"].rsplit("/", 1)[1] for each in daemon.log if "would" in each["message"]] == [
        "10-plain", "20-root",
    ]  # fmt: skip
    assert daemon.stop() == 0
    assert daemon.record() == []


@pytest.mark.parametrize("key", [{"user": "nobody"}, {"capabilities": ["CAP_NET_ADMIN"]}])
def test_observe_mode_refuses_what_it_can_not_do(daemon: Daemon, key: dict[str, Any]) -> None:
    """The script is not run as somebody else, the log says why, and others run."""
    for name in ("10-ruled", "20-plain", "30-limited"):
        daemon.script("address-added", RECORD, name)
    daemon.configure(
        rules=[
            rule(daemon, "10-ruled", **key),
            rule(daemon, "30-limited", limits={"open_files": 64}),
        ]
    )
    ip("link add name eth0 index 101 type veth peer name p0")
    daemon.start("--observe")
    daemon.wait_event("eth0", "off")

    add()

    refused = daemon.expect(lambda entry: "10-ruled was not run" in entry["message"])
    assert "which netevd can't do in observe mode; start netevd as root" in refused["message"]
    wait_for(lambda: len(daemon.record()) == 2 or None, "the other scripts")
