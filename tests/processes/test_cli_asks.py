"""What commands make of a running daemon's answers: the same JSON, states that are waited for, light imports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.conftest import client, daemon, make_daemon, namespace, served
from tests.http.rig import find_socket
from tests.processes.rig import Daemon, ip
from tests.unit.cli.rig import NETEVD, PROGRAM, PYTHON, environment, netevd

__all__ = ["client", "daemon", "make_daemon", "namespace", "served"]

HEAVY = {"trio", "quart", "pyroute2", "ruamel", "cattrs", "structlog", "hypercorn", "rich", "httpx"}
MOVING = {"uptime_seconds", "statistics"}
"""Values that are others a moment later."""
SAME = {
    "status": "status",
    "list interfaces": "interfaces",
    "list interfaces --state carrier": "interfaces?state=carrier",
    "list routes": "routes",
    "list routes --table main -4": "routes?table=254&family=ipv4",
    "list rules": "rules",
    "list rules -6": "rules?family=ipv6",
    "list hooks": "hooks",
    "list runs": "runs?limit=100",
    "list peers": "peers",
    "show interface eth0": "interfaces/eth0",
    "show routes": "routes",
    "show rules": "rules",
    "show config": "config",
    "events": "events?limit=100",
    "events --type carrier --limit 1": "events?type=carrier&limit=1",
    "explain --interface eth0 --event carrier": "explain?interface=eth0&event=carrier",
}


def ask(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command against a daemon."""
    return netevd("--socket", str(find_socket(daemon)), *words)


def settle(value: Any) -> Any:
    """Return JSON without what is another one a moment later."""
    if isinstance(value, dict):
        return {name: settle(each) for name, each in value.items() if name not in MOVING}
    return [settle(each) for each in value] if isinstance(value, list) else value


def test_json_of_the_command_line_is_that_of_the_api(served: Daemon, client: httpx.Client) -> None:
    """Value for value, in the same order of keys, for everything that is read."""
    for words, path in SAME.items():
        told = ask(served, *words.split(), "-j")
        answer = client.get(f"/api/v1/{path}", headers={"Accept": "application/json"})

        assert told.returncode == 0, told.stderr
        found, expected = settle(json.loads(told.stdout)), settle(answer.json())
        assert json.dumps(found) == json.dumps(expected), words


@pytest.mark.parametrize(
    "words",
    ["list interfaces", "events", "explain 1", "list routes", "list hooks", "reload"],
)
def test_commands_that_ask_import_nothing_heavy(words: str, served: Daemon) -> None:
    """Neither event loop nor YAML nor tables for terminals are paid for."""
    command = [*PYTHON, "-X", "importtime", *PROGRAM, "--socket", str(find_socket(served))]
    result = subprocess.run(
        [*command, *words.split()], capture_output=True, text=True, env=environment(), timeout=60,
        check=False,
    )  # fmt: skip

    imported = set(re.findall(r"^import time: .*\| +([\w.]+)$", result.stderr, re.MULTILINE))
    assert {"click", "netevd.cli.client"} <= imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


def test_no_color_and_json_are_plain(served: Daemon) -> None:
    """Whatever colours are asked for, JSON has none."""
    for colour in ("always", "never"):
        told = ask(served, "--color", colour, "-o", "json", "list", "interfaces")
        assert "\x1b" not in told.stdout
        json.loads(told.stdout)


# --- mistyped --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "meant"),
    [
        ("list interfaecs", 2, "interfaces"),
        ("list interfaces --stat x", 2, "--state"),
        ("list interfaces --state routabel", 2, "did you mean 'routable'?"),
        ("events --type routabel", 2, "did you mean 'routable'?"),
        ("explain --interface eth0 --event carier", 2, "did you mean 'carrier'?"),
        ("wait eth0 --for dormnt", 2, "did you mean 'dormant'?"),
        ("list routes --table mian", 2, "expected all, default, main, local"),
        ("show interface et0", 4, "did you mean 'eth0'?"),
        ("show run 99", 4, "there is no run 99"),
        ("explain 1", 4, "oldest one is"),
        ("resume /nowhere", 4, "no paused script"),
        ("list interfaces --fields nmae", 2, "did you mean name?"),
        ("events --follow --since 1h --limit 3", 2, "exclude each other"),
    ],
)
def test_mistyped_words_are_told_with_what_was_meant(
    words: str, code: int, meant: str, served: Daemon
) -> None:
    """Nothing on standard output, the nearest word on standard error, and its exit code."""
    told = ask(served, *words.split())

    assert (told.returncode, told.stdout) == (code, "")
    assert meant in told.stderr


# --- completion ------------------------------------------------------------------------------------


def offered(daemon: Daemon, shell: str, *words: str) -> str:
    """Return what is printed for the last word."""
    whole = ["netevd", "--socket", str(find_socket(daemon)), *words]
    return netevd(env={
        "_NETEVD_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(whole),
        "COMP_CWORD": str(len(whole) - 1),
    }).stdout  # fmt: skip


def test_completion_offers_what_the_daemon_knows(served: Daemon) -> None:
    """Interfaces, and the latest events with what they were."""
    assert offered(served, "bash", "wait", "et") == "plain,eth0\n"
    assert offered(served, "bash", "wait", "eth0", "--for", "deg").split() == [
        "plain,degraded",
        "plain,degraded-carrier",
    ]
    numbers = [str(each["sequence"]) for each in served.announced()]
    assert offered(served, "bash", "explain", "").split() == [
        f"plain,{number}" for number in reversed(numbers)
    ]
    assert "eth0 carrier" in offered(served, "zsh", "explain", "")


# --- wait ------------------------------------------------------------------------------------------


class Waiter:
    """`netevd wait` in the background."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self.process = subprocess.Popen(
            [*NETEVD, "--socket", str(find_socket(daemon)), "wait", *words, "-j"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip

    def read_word(self) -> str:
        """Return the next line that it says."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> tuple[int, Any, str]:
        """Return exit code, JSON and words."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, json.loads(out), err


def test_wait_tells_a_state_that_is_there(served: Daemon) -> None:
    """At once, also for an interface that nobody watches."""
    told = ask(served, "wait", "eth0", "--for", "off", "--for", "carrier")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr == "netevd: eth0 is carrier\n"
    assert ask(served, "wait", "lo", "--for", "carrier").returncode == 0


def test_wait_gives_up_after_its_time(served: Daemon) -> None:
    """Exit code 1, and what is so instead; what can't be told is not waited for."""
    late = Waiter(served, "eth0", "--for", "routable", "--timeout", "300ms")
    assert late.end()[0:2] == (
        1,
        {
            "interface": "eth0",
            "state": "carrier",
            "reached": False,
            "seconds": pytest.approx(0.3, abs=30),
        },
    )
    deaf = ask(served, "wait", "lo", "--for", "off", "--timeout", "1h")
    assert deaf.returncode == 1
    assert "lo is carrier, and not watched" in deaf.stderr


def test_wait_hears_of_an_interface_that_comes(served: Daemon) -> None:
    """One that is not there yet is waited for, and a near name is offered."""
    waiter = Waiter(served, "eth1", "--for", "carrier", "--timeout", "5m")
    assert "there is no interface 'eth1' yet; did you mean 'eth0'?" in waiter.read_word()
    ip("link add eth1 type veth peer name peth1", "link set eth1 addrgenmode none")
    ip("link set peth1 addrgenmode none", "link set eth1 up", "link set peth1 up")

    code, told, _ = waiter.end()

    assert (code, told["state"], told["reached"]) == (0, "carrier", True)


def test_wait_goes_on_over_reloads_deaths_and_restarts(served: Daemon) -> None:
    """The daemon may come and go meanwhile; what it becomes then counts."""
    waiter = Waiter(served, "eth1", "--for", "carrier", "--timeout", "5m")
    waiter.read_word()
    served.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    served.expect_serving(2)
    served.kill("worker")
    served.expect_serving(3)
    assert served.stop() == 0
    ip("link add eth1 type veth peer name peth1", "link set eth1 addrgenmode none")
    ip("link set peth1 addrgenmode none", "link set eth1 up", "link set peth1 up")
    served.start(ready=False)

    code, told, _ = waiter.end()

    assert (code, told["state"]) == (0, "carrier")


# --- diff ------------------------------------------------------------------------------------------


def test_diff_compares_what_runs_with_the_file(served: Daemon) -> None:
    """By default the file that the daemon has read; after a reload nothing differs any more."""
    same = ask(served, "diff")
    assert (same.returncode, same.stdout) == (0, "")
    assert f"{served.config}: the same as what is in force" in same.stderr

    served.config.write_text(f"script_timeout: 5s\n{served.config.read_text()}")
    other = ask(served, "diff")
    assert (other.returncode, other.stdout) == (
        1,
        f"{served.config}:1: script_timeout: 30s -> 5s\n",
    )
    assert json.loads(ask(served, "diff", "-j").stdout)["changes"] == [
        {
            "key": "script_timeout",
            "before": "30s",
            "after": "5s",
            "file": str(served.config),
            "line": 1,
        }
    ]

    assert ask(served, "reload").returncode == 0
    assert ask(served, "diff").returncode == 0


def test_configuration_that_is_shown_is_one(served: Daemon, tmp_path: Path) -> None:
    """What `show config` prints differs in nothing from what is in force."""
    shown = ask(served, "show", "config")
    (tmp_path / "shown.yaml").write_text(shown.stdout)

    assert f"made of {served.config}" in shown.stderr
    same = ask(served, "diff", str(tmp_path / "shown.yaml"))
    assert (same.returncode, same.stdout) == (0, "")


def test_diff_with_a_bad_file_says_what_is_wrong(served: Daemon, tmp_path: Path) -> None:
    """Its problems are words; nothing is compared."""
    (tmp_path / "bad.yaml").write_text("script_timeot: 5s\n")
    told = ask(served, "diff", str(tmp_path / "bad.yaml"))

    assert (told.returncode, told.stdout) == (1, "")
    assert "bad.yaml:1:1: unknown key 'script_timeot'" in told.stderr
