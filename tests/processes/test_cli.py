"""What holds for every command: levels of help, exit codes, formats, streams, imports."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

import netevd as package
from netevd.cli.lazy import Lazy
from netevd.cli.main import root
from tests.boundary.rig import wait_for
from tests.processes.rig import children
from tests.unit.cli.rig import (
    NETEVD,
    PROGRAM,
    PYTHON,
    Place,
    as_ordinary_user,
    environment,
    netevd,
    place,
)

__all__ = ["place"]

HEAVY = {"trio", "quart", "pyroute2", "ruamel", "cattrs", "structlog", "hypercorn", "rich"}


def levels(command: click.Command = root, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    yield words
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            real = child.load() if isinstance(child, Lazy) else child
            yield from levels(real, (*words, name))


@pytest.mark.parametrize("words", list(levels()), ids=lambda words: " ".join(words) or "netevd")
def test_help_is_there_on_every_level(words: tuple[str, ...]) -> None:
    """Help goes to standard output and is fine, whatever else a command would need."""
    result = netevd(*words, "--help")

    assert result.returncode == 0
    assert result.stdout.startswith("Usage: " + " ".join(("netevd", *words)))
    assert result.stderr == ""


def test_version_is_the_package_s() -> None:
    """`--version` names the program and its version."""
    result = netevd("--version")

    assert (result.returncode, result.stdout) == (0, f"netevd {package.__version__}\n")


@pytest.mark.parametrize("words", ["--version", "--help", "completion bash", "record"])
def test_light_commands_import_nothing_heavy(words: str, place: Place) -> None:
    """Commands that need no event loop, YAML or HTTP library do not pay for one."""
    options = [str(place.path / "made"), "--duration", "1ms"] if words == "record" else []
    command = [*PYTHON, "-X", "importtime", *PROGRAM, *words.split(), *options]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=60, check=False
    )

    imported = set(re.findall(r"^import time: .*\| +([\w.]+)$", result.stderr, re.MULTILINE))
    assert {"click", "netevd.cli.main"} <= imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


@pytest.mark.parametrize(
    ("words", "meant"), [("lsit", "list"), ("list hoks", "hooks"), ("tset", "test")]
)
def test_unknown_command_is_a_usage_error_with_the_closest(words: str, meant: str) -> None:
    """A mistyped command exits 2, names the one that was meant, and does nothing."""
    result = netevd(*words.split())

    assert result.returncode == 2
    assert f"Did you mean '{meant}'?" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("words", ["", "list", "test"])
def test_missing_command_shows_help_and_exits_2(words: str) -> None:
    """A group alone asks for nothing: help on standard error, exit 2."""
    result = netevd(*words.split())

    assert result.returncode == 2
    assert "Commands:" in result.stderr
    assert result.stdout == ""


# --- run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["--dry-run"], ["run", "--dry-run"], ["--color", "never", "--dry-run"]]
)
def test_bare_dry_run_is_run_dry_run(words: list[str], place: Place) -> None:
    """Both become the supervisor itself, in the same process, with the same words."""
    process = subprocess.Popen(
        [*as_ordinary_user(), *NETEVD, *words],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(),
        cwd=place.path,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        log = iter(process.stderr.readline, "")
        assert any("dry run" in line for line in log)
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        started_with = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    finally:
        process.terminate()
        process.stderr.read()
        process.stderr.close()

    assert process.wait(timeout=20) == 0
    assert command[1:] == [b"-I", b"-m", b"privsep", b"run", b"--dry-run", b""]
    assert (b"NO_COLOR=1" in started_with) == ("never" in words)


@pytest.mark.parametrize("words", [["--dry-run"], ["run"]])
def test_run_finds_a_relative_configuration(words: list[str], place: Place) -> None:
    """A relative --config is the caller's, and options of run may follow a bare --dry-run."""
    place.config.write_text("netwrk: {}\n")

    result = netevd(*words, "--observe", "--config", "netevd.yaml",
                    "--runtime-dir", str(place.path / "run"), cwd=place.path)  # fmt: skip

    assert result.returncode == 1
    assert f"{place.config}:1:1: unknown key 'netwrk'" in result.stderr


def test_dry_run_before_another_command_is_refused() -> None:
    """`--dry-run validate` is no promise that validate could keep."""
    result = netevd("--dry-run", "validate")

    assert result.returncode == 2
    assert "--dry-run belongs to 'run'" in result.stderr


@pytest.mark.parametrize("words", [["run"], ["completion", "bash"]])
def test_command_without_data_has_no_format(words: list[str]) -> None:
    """A format that would change nothing is refused, not ignored."""
    result = netevd("-o", "json", *words)

    assert result.returncode == 2
    assert "has no --output" in result.stderr


# --- formats and colours ---------------------------------------------------------------------------


def test_formats_say_the_same(place: Place) -> None:
    """JSON, JSON lines and YAML hold the same values; -o may stand on any level, the last wins."""
    place.script("#!/bin/sh\n", "10-é")
    place.script("#!/bin/sh\n", "20-open").chmod(0o777)
    config = ["--config", str(place.config)]

    whole = json.loads(netevd("-o", "json", "list", "hooks", *config).stdout)
    lines = netevd("list", "hooks", "--output", "jsonl", *config).stdout.splitlines()
    yaml = YAML(typ="safe").load(netevd("-j", "list", "hooks", "-o", "yaml", *config).stdout)

    assert [hook["name"] for hook in whole["hooks"]] == ["10-é", "20-open"]
    assert [hook["runnable"] for hook in whole["hooks"]] == [True, False]
    assert whole["count"] == 2
    assert [json.loads(line) for line in lines] == whole["hooks"]
    assert yaml == whole


def _on_terminal(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Return exit status and what a terminal gets of both streams."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*NETEVD, *arguments],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env=environment(**{"TERM": "xterm", **(env or {})}),
    )  # fmt: skip
    os.close(theirs)
    got = b""
    try:
        while piece := os.read(ours, 65536):
            got += piece
    except OSError:  # EIO: the last writer is gone
        pass
    os.close(ours)
    return process.wait(timeout=20), got


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_terminal_gets_colours_unless_told_not_to(
    options: list[str], env: dict[str, str], coloured: bool, place: Place
) -> None:
    """Colour is for terminals; NO_COLOR, TERM=dumb and --color decide in this order of strength."""
    place.script("#!/bin/sh\n")

    status, got = _on_terminal("list", "hooks", *options, "--config", str(place.config), env=env)

    assert status == 0
    assert (b"\x1b[" in got) is coloured
    assert b"10-test" in got


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [([], {}, False), ([], {"FORCE_COLOR": "1"}, True), (["--color", "always"], {}, True)],
)
def test_pipe_gets_colours_only_if_asked(
    options: list[str], env: dict[str, str], coloured: bool, place: Place
) -> None:
    """What is piped is plain unless FORCE_COLOR or --color always say otherwise."""
    place.script("#!/bin/sh\n")

    result = netevd("list", "hooks", *options, "--config", str(place.config), env=env)

    assert ("\x1b[" in result.stdout) is coloured


# --- streams ---------------------------------------------------------------------------------------


def test_reader_that_is_gone_is_silent(place: Place) -> None:
    """A closed pipe ends a command as it ends any Unix tool: no message, status 141."""
    ours, theirs = os.pipe()
    os.close(ours)
    result = subprocess.run(
        [*NETEVD, "list", "hooks", "-j", "--config", str(place.config)],
        stdout=theirs, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False,
    )  # fmt: skip
    os.close(theirs)

    assert result.returncode == 141
    assert b"Error" not in result.stderr
    assert b"Traceback" not in result.stderr


def test_full_disk_is_one_line_and_exit_1(place: Place) -> None:
    """Output that can't be written is a failure that says why."""
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*NETEVD, "list", "hooks", "-j", "--config", str(place.config)],
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=60,
            check=False,
        )  # fmt: skip

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "netevd: No space left on device"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(closed: str, place: Place) -> None:
    """A caller may close standard streams; the command does its work and exits as always."""
    place.script("#!/bin/sh\n")
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *NETEVD, "list", "hooks", "--config",
         str(place.config)],
        capture_output=True, text=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip

    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    assert ("10-test" in result.stdout) is (">&-" not in closed.replace("2>&-", ""))


# --- list hooks ------------------------------------------------------------------------------------


def test_hooks_are_listed_with_their_verdict(place: Place) -> None:
    """Each script file has a line with event, path and `ok` or the reason why it is skipped."""
    good, bad = place.script("#!/bin/sh\n"), place.script("#!/bin/sh\n", "20-open")
    bad.chmod(0o777)
    first = place.script("#!/bin/sh\n", event="carrier")

    result = netevd("list", "hooks", "--config", str(place.config))

    assert result.returncode == 0
    rows = [re.split(r"  +", line, maxsplit=2) for line in result.stdout.splitlines()]
    assert rows[0] == ["EVENT", "SCRIPT", "VERDICT"]
    assert rows[1] == ["carrier", str(first), "ok"]
    assert rows[2] == ["routable", str(good), "ok"]
    assert rows[3][:2] == ["routable", str(bad)]
    assert "writable by group and others" in rows[3][2]


def test_hostile_file_names_stay_one_line(place: Place) -> None:
    """A file name with escape sequences, line ends or foreign bytes can't forge output."""
    hostile = b"x\x1b[2J\nroutable  fine  ok\xff"
    place.script("#!/bin/sh\n").rename(
        os.path.join(place.scripts / "routable.d", os.fsdecode(hostile))
    )

    table = netevd("list", "hooks", "--config", str(place.config)).stdout
    found = json.loads(netevd("-j", "list", "hooks", "--config", str(place.config)).stdout)

    assert len(table.splitlines()) == 2
    assert "\x1b" not in table
    assert r"x\x1b[2J\x0aroutable" in table
    assert found["hooks"][0]["name"] == r"x\x1b[2J\x0aroutable  fine  ok\xff"


def test_ordinary_user_sees_own_verdicts_and_is_told(place: Place) -> None:
    """Without root, files are checked for the caller, and standard error says so."""
    place.script("#!/bin/sh\n")

    result = netevd("list", "hooks", "--config", str(place.config), prefix=as_ordinary_user())

    assert result.returncode == 0
    assert "observe mode: checked for the caller" in result.stderr
    assert "10-test" in result.stdout


def test_no_scripts_is_fine_and_said(place: Place) -> None:
    """An empty table is no table: words on standard error, an empty list as JSON."""
    table = netevd("list", "hooks", "--config", str(place.config))
    whole = netevd("-j", "list", "hooks", "--config", str(place.config))

    assert (table.returncode, table.stdout) == (0, "")
    assert "there are no scripts" in table.stderr
    assert json.loads(whole.stdout) == {"hooks": [], "count": 0}


def test_bad_configuration_lists_nothing(place: Place) -> None:
    """Problems of the configuration are words: exit 1, nothing on standard output."""
    place.config.write_text("a: 1\nb: 2\n")

    result = netevd("list", "hooks", "--config", str(place.config))

    assert (result.returncode, result.stdout) == (1, "")
    assert f"{place.config}:1:1: unknown key 'a'" in result.stderr
    assert f"{place.config}:2:1: unknown key 'b'" in result.stderr


def test_root_that_can_not_separate_is_told_and_helped(place: Place) -> None:
    """Where root lacks capabilities the refusal is shown, and the way out it names works."""
    if os.geteuid() != 0:
        pytest.skip("needs root to give up capabilities of it")
    place.script("#!/bin/sh\n")
    prefix = ("setpriv", "--bounding-set=-setuid,-setpcap", "--")
    config = ("--config", str(place.config))

    refused = netevd("list", "hooks", *config, prefix=prefix)
    observed = netevd("list", "hooks", "--observe", *config, prefix=prefix)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--observe" in refused.stderr
    assert observed.returncode == 0
    assert "10-test" in observed.stdout


# --- completion ------------------------------------------------------------------------------------


def _complete(*words: str) -> list[str]:
    """Return what is offered for the last word."""
    variables = {
        "_NETEVD_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("netevd", *words)),
        "COMP_CWORD": str(len(words)),
    }
    lines = netevd(env=variables).stdout.splitlines()
    return [line.partition(",")[2] for line in lines]


def test_completion_knows_commands_types_and_interfaces() -> None:
    """Commands, options, event types, variables and interfaces are offered where they fit."""
    assert _complete("li") == ["list"]
    assert _complete("list", "") == [
        "hooks",
        "interfaces",
        "peers",
        "routes",
        "rules",
        "runs",
    ]
    assert "--interface" in _complete("test", "script", "--i")
    assert _complete("test", "script", "--event", "routa") == ["routable"]
    assert _complete("test", "script", "--env", "NETEVD_AD") == ["NETEVD_ADDRESS="]
    assert "lo" in _complete("test", "script", "--interface", "")
    assert _complete("completion", "f") == ["fish"]


def test_bash_completes_with_the_printed_script(place: Place) -> None:
    """What `completion bash` prints works in bash."""
    shim = place.path / "netevd"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c "{PROGRAM[1]}" "$@"\n')
    shim.chmod(0o755)
    program = (
        f'PATH={place.path}:$PATH; eval "$(netevd completion bash)";'
        " COMP_WORDS=(netevd test scr); COMP_CWORD=2; _netevd_completion netevd;"
        ' echo "${COMPREPLY[*]}"; complete -p netevd'
    )

    result = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, env=environment(), timeout=60,
        check=False,
    )  # fmt: skip

    assert result.stdout.splitlines() == [
        "script",
        "complete -o nosort -F _netevd_completion netevd",
    ]
    assert result.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(shell: str) -> None:
    """zsh and fish get a script that asks in their own format."""
    result = netevd("completion", shell)

    assert result.returncode == 0
    assert f"_NETEVD_COMPLETE={shell}_complete" in result.stdout


# --- interrupts ------------------------------------------------------------------------------------


def test_ctrl_c_is_silent_and_130(place: Place) -> None:
    """Ctrl-C ends a command without a traceback, with the status a shell expects."""
    process = subprocess.Popen(
        [*NETEVD, "list", "hooks", "-j", "--config", str(place.config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    lister = wait_for(lambda: _find_lister(process.pid), "the process that lists")
    os.kill(lister, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    os.kill(lister, signal.SIGCONT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert out == ""


def _find_lister(pid: int) -> int | None:
    """Return the child of a command once it is what it shall be."""
    for child in children(pid):
        if b"privsep" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    return None
