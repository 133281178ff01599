"""`netevd test script`: real scripts, real links, and the daemon beside it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boundary.rig import wait_for
from tests.processes.conftest import make_daemon, namespace
from tests.processes.rig import Daemon, ip
from tests.unit.cli.rig import (
    AS_NOBODY,
    NETEVD,
    Place,
    as_ordinary_user,
    environment,
    netevd,
    place,
)

__all__ = ["make_daemon", "namespace", "place"]

SURROUNDINGS = """\
#!/bin/sh
[ -z "$NETEVD_INITIAL" ] || exec > DIRECTORY/told
exec 2>&1
env -0 | tr '\\n\\0' ' \\n' | sort
id
pwd
umask
ulimit -a
grep -E '^(Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn)' /proc/self/status
readlink /proc/self/fd/0
ls /proc/self/fd
[ "$(cut -d' ' -f6 /proc/$$/stat)" = $$ ] && echo own session
"""
"""Tells all that a script can see of itself; of the daemon's initial event, into a file."""


@pytest.fixture
def links(namespace: None) -> None:
    """Make eth0 with carrier and addresses, eth1 without carrier, and lo."""
    ip(
        "link set lo up",
        "link add name eth1 index 101 type veth peer name p1 index 201",
        "link add name eth0 index 102 type veth peer name p0 index 202",
        "link set eth1 up", "link set eth0 up", "link set p0 up",
        "addr add 10.7.0.1/24 dev eth0", "addr add 2001:db8::7/64 dev eth0 nodad",
    )  # fmt: skip


def script(
    place: Place, path: Path | str, *options: str | bytes, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Test a script with the place's configuration."""
    return netevd("test", "script", str(path), "--config", str(place.config), *options, **more)


def variables(output: str) -> dict[str, str]:
    """Return what env(1) printed."""
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


# --- as the daemon would -----------------------------------------------------------------------------


def _find_tentative() -> str:
    command = ["ip", "-6", "addr", "show", "tentative"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _split(text: str) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """Return variables, JSON and the other lines of SURROUNDINGS, without what differs by run."""
    found = variables(text)
    whole = json.loads(found.pop("JSON"))
    for name in ("NETEVD_SEQUENCE", "NETEVD_TIME", "NETEVD_RUN", "NETEVD_INITIAL"):
        found.pop(name, None)
    for key in ("sequence", "time", "initial"):
        del whole["event"][key]
    for link in (whole["interface"], whole["before"] or {}):
        link.pop("statistics", None)
    return found, whole, [line for line in text.splitlines() if "=" not in line]


def test_script_finds_what_the_daemon_gives_it(
    links: None, make_daemon: Callable[..., Daemon]
) -> None:
    """Variables, user, capabilities, sandbox, limits, descriptors and session are the daemon's."""
    daemon = make_daemon("network: {links: eth0}")
    path = daemon.script("routable", SURROUNDINGS)
    wait_for(lambda: not _find_tentative() or None, "the end of duplicate address detection")
    daemon.start()
    told = daemon.scripts / "data" / "told"
    daemon.expect(lambda entry: "exited with code" in entry["message"])
    assert daemon.stop() == 0

    result = netevd(
        "test", "script", str(path), "--interface", "eth0", "--config", str(daemon.config)
    )

    assert result.returncode == 0, result.stderr
    by_daemon, by_command = _split(told.read_text()), _split(result.stdout)
    assert by_command[0] == by_daemon[0]
    assert by_command[1] == by_daemon[1]
    assert by_command[2] == by_daemon[2]
    assert by_command[0]["LINK"] == "eth0"
    assert "own session" in by_command[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run as another user")
def test_the_identity_of_its_rule(links: None, place: Place) -> None:
    """A script runs as whom its rule says; who can't change users has it refused, as in the daemon."""
    path = place.script("#!/bin/sh\nid -u; grep CapEff /proc/self/status\n")
    place.configure(f"  rules: [{{path: {path}, user: root, capabilities: [CAP_NET_ADMIN]}}]")

    result, refused = script(place, path), script(place, path, "--observe")

    assert result.stdout.split() == ["0", "CapEff:", f"{1 << 12:016x}"]
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "was not run: its rule gives it a user or capabilities of its own" in refused.stderr


def test_a_rule_that_is_not_heeded_is_said(links: None, place: Place) -> None:
    """What the daemon would do otherwise for this script is named; other scripts are not told of."""
    path = place.script("#!/bin/sh\n")
    other = place.script("#!/bin/sh\n", "20-other")
    place.configure(f"  rules: [{{path: {path}, mutex: m, timeout: 60s, retries: 2}}]")

    told, silent = script(place, path), script(place, other)

    assert (
        "its rule (timeout, mutex, retries) is for the daemon: here the script runs without it"
        in (told.stderr)
    )
    assert "rule" not in silent.stderr


def test_output_goes_where_it_belongs(place: Place) -> None:
    """Standard output and error of the script are those of the command; its end is said."""
    path = place.script("#!/bin/sh\necho data\necho words >&2\nprintf 'no line end'\n")

    result = script(place, path, "--interface", "lo")

    assert result.returncode == 0
    assert result.stdout == "data\nno line end"
    lines = result.stderr.splitlines()
    assert "words" in lines
    assert lines[-1].startswith(f"netevd: Script {path} exited with code 0 after ")
    assert "of CPU time" in lines[-1]


@pytest.mark.parametrize(
    ("ending", "said"),
    [("exit 3", "exited with code 3"), ("kill -KILL $$", "was ended by signal SIGKILL")],
)
def test_failing_script_is_exit_1(ending: str, said: str, place: Place) -> None:
    """However a script fails, the command exits 1 and says how it ended."""
    result = script(place, place.script(f"#!/bin/sh\n{ending}\n"), "--interface", "lo")

    assert result.returncode == 1
    assert said in result.stderr


def test_timeout_ends_the_script_and_fails(place: Place) -> None:
    """A script that outlives script_timeout gets TERM; even if it then exits 0, it failed."""
    place.configure("script_timeout: 300ms")
    path = place.script("#!/bin/sh\ntrap 'exit 0' TERM\nsleep 300 & wait\n")

    result = script(place, path, "--interface", "lo")
    told = json.loads(script(place, path, "--interface", "lo", "-j").stdout)

    assert result.returncode == 1
    assert "ran for 0.3 s, its limit (script_timeout), and got TERM" in result.stderr
    assert (told["result"], told["exit_code"]) == ("timeout", 0)


def test_leftovers_are_killed_and_counted(place: Place) -> None:
    """What a script leaves behind, in another session too, is gone when the command ends."""
    mark = f"300.{os.getpid()}"
    path = place.script(f"#!/bin/sh\nsetsid sleep {mark} &\nsleep {mark} &\n")

    result = script(place, path, "--interface", "lo")

    assert result.returncode == 0
    assert "left 2 processes behind, which were killed" in result.stderr
    assert not [command for command in _commands() if mark.encode() in command.split(b"\0")]


def _commands() -> list[bytes]:
    """Return the command lines of all processes."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append(Path(f"/proc/{name}/cmdline").read_bytes())
            except OSError:
                continue
    return found


def test_script_outside_the_directories_and_relative(place: Place) -> None:
    """PATH may be relative and stand anywhere, as long as its directories may be trusted."""
    path = place.path / "own.sh"
    path.write_text('#!/bin/sh\necho "$NETEVD_SCRIPT_PATH"\n')
    path.chmod(0o755)

    result = netevd("test", "script", "./own.sh", "--interface", "lo", "--config", "netevd.yaml",
                    cwd=place.path)  # fmt: skip

    assert (result.returncode, result.stdout) == (0, f"{path}\n")


# --- refusals ----------------------------------------------------------------------------------------


def test_untrusted_script_is_refused_with_the_reason(place: Place) -> None:
    """A script that the daemon would skip is not run: exit 1 and what would mend it."""
    path = place.script("#!/bin/sh\necho ran\n")
    path.chmod(0o777)

    result = script(place, path, "--interface", "lo")
    told = json.loads(script(place, path, "--interface", "lo", "-j").stdout)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"Script {path} was not run: it is writable by group and others" in result.stderr
    assert "chmod go-w" in result.stderr
    assert (told["result"], told["exit_code"]) == ("refused", None)
    assert "writable" in told["reason"]


def test_missing_script_is_exit_4_with_the_closest(place: Place) -> None:
    """A path that names nothing exits 4 and names what may have been meant."""
    path = place.script("#!/bin/sh\n", "10-vpn.sh")

    close = script(place, path.with_name("10-vnp.sh"))
    far = script(place, place.path / "nothing-like-it" / "x")

    assert close.returncode == far.returncode == 4
    assert f"did you mean '{path}'?" in close.stderr
    assert "No such file or directory" in far.stderr
    assert "did you mean" not in far.stderr


def test_script_in_a_closed_directory_is_exit_5(place: Place) -> None:
    """What the caller may not even look up is a matter of permission, not of existence."""
    if os.geteuid() != 0:
        pytest.skip("needs root to close a directory to an ordinary user")
    path = place.script("#!/bin/sh\n")
    path.parent.chmod(0o700)

    result = script(place, path, prefix=AS_NOBODY)

    assert result.returncode == 5
    assert "Permission denied" in result.stderr


def test_bad_configuration_runs_nothing(place: Place) -> None:
    """Problems of the configuration are shown with their places, and nothing runs."""
    path = place.script("#!/bin/sh\necho ran\n")
    place.config.write_text("netwrk: {}\n")

    result = script(place, path)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"{place.config}:1:1: unknown key 'netwrk'" in result.stderr


def test_problems_that_only_root_has_are_shown(place: Place) -> None:
    """What only the daemon's reader can find wrong, such as a missing user, is shown too."""
    if os.geteuid() != 0:
        pytest.skip("scripts.user counts for root only")
    path = place.script("#!/bin/sh\necho ran\n")
    place.configure(user="no-such-user")

    result = script(place, path, "--interface", "lo")

    assert (result.returncode, result.stdout) == (1, "")
    assert f"{place.config}:3:9: user: there is no system user 'no-such-user'" in result.stderr


# --- interfaces --------------------------------------------------------------------------------------


def test_default_interface_is_the_first_watched_with_carrier(links: None, place: Place) -> None:
    """Without --interface a link that is watched and has carrier is chosen, and said."""
    path = place.script("#!/bin/sh\necho $LINK\n")

    result = script(place, path)

    assert result.stdout == "eth0\n"
    assert "interface eth0: the first watched one with carrier" in result.stderr


def test_loopback_stands_in_where_no_link_fits(links: None, place: Place) -> None:
    """When no watched link has carrier, lo is taken, and said."""
    place.configure("network: {links: eth1}")
    path = place.script("#!/bin/sh\necho $LINK\n")

    result = script(place, path)

    assert result.stdout == "lo\n"
    assert "interface lo: no watched one has carrier" in result.stderr


def test_unknown_interface_is_exit_4_with_the_closest_or_all(links: None, place: Place) -> None:
    """A name that no link has exits 4; the closest is named, or all there are."""
    path = place.script("#!/bin/sh\n")

    close, far = (
        script(place, path, "--interface", "eht0"),
        script(place, path, "--interface", "wlan7"),
    )

    assert close.returncode == far.returncode == 4
    assert "there is no interface 'eht0'; did you mean 'eth0'?" in close.stderr
    offered = far.stderr.partition("expected one of ")[2].strip().split(", ")
    assert {"eth0", "eth1", "lo", "p0", "p1"} <= set(offered)


def test_alternative_name_is_a_name(links: None, place: Place) -> None:
    """An interface may be named by an alternative name; the script is told its real one."""
    ip("link property add dev eth1 altname enp7s0f1np1long")
    path = place.script("#!/bin/sh\necho $LINK\n")

    assert script(place, path, "--interface", "enp7s0f1np1long").stdout == "eth1\n"


def test_what_is_not_as_it_would_be_is_said(links: None, place: Place) -> None:
    """An unwatched link, another state and a missing address do not go by silently."""
    place.configure("network: {links: eth0}")
    path = place.script("#!/bin/sh\necho $STATE ${NETEVD_ADDRESS:--}\n")

    state = script(place, path, "--interface", "eth1")
    address = script(place, path, "--interface", "eth1", "--event", "address-added")

    assert "eth1 is not watched by this configuration" in state.stderr
    assert "eth1 is no-carrier now; the script is told routable" in state.stderr
    assert state.stdout == "routable -\n"
    assert "eth1 has no address, so there is no NETEVD_ADDRESS" in address.stderr
    assert address.stdout == "address-added -\n"


def test_address_events_tell_of_a_real_address(links: None, place: Place) -> None:
    """An address that comes is in ADDRESSES, one that goes is not; both are the subject."""
    path = place.script(
        '#!/bin/sh\necho "$NETEVD_ADDRESS $NETEVD_FAMILY $NETEVD_PREVIOUS_STATE:$ADDRESSES"\n'
    )

    added = script(place, path, "--interface", "eth0", "--event", "address-added")
    removed = script(place, path, "--interface", "eth0", "--event", "address-removed")

    assert added.stdout == "10.7.0.1 ipv4 routable:10.7.0.1 2001:db8::7\n"
    assert removed.stdout == "10.7.0.1 ipv4 routable:2001:db8::7\n"


@pytest.mark.parametrize("name", [b"eth\xff", b"a\x1b[2Jb", b"\x07bell"])
def test_hostile_interface_name_never_reaches_a_script(
    name: bytes, namespace: None, place: Place
) -> None:
    """A name that no script may see is refused as the daemon refuses it, and shown escaped."""
    subprocess.run([b"ip", b"link", b"add", b"name", name, b"type", b"veth"], check=True)
    path = place.script("#!/bin/sh\necho ran\n")

    result = script(place, path, "--interface", name)

    assert (result.returncode, result.stdout) == (1, "")
    assert "was not run: the interface name" in result.stderr
    assert not any(each < " " for each in result.stderr.replace("\n", ""))


@pytest.mark.parametrize("name", ["$(id)", "<b>&amp;", "a'b\"c;d", "ﬀ-häß", "x" * 15])
def test_odd_interface_name_is_a_value_like_any_other(
    name: str, namespace: None, place: Place
) -> None:
    """Markup, quotes and letters of other scripts arrive exactly as they are."""
    ip("link set lo up")
    subprocess.run(["ip", "link", "add", "name", name, "type", "veth"], check=True)
    path = place.script('#!/bin/sh\nprintf "%s" "$LINK"\n')

    assert script(place, path, "--interface", name).stdout == name


# --- variables ---------------------------------------------------------------------------------------


def test_env_replaces_and_adds_variables(place: Place) -> None:
    """--env gives variables of scripts another value, or one that they would not have."""
    path = place.script("#!/bin/sh\nenv\n")

    result = script(place, path, "--interface", "lo", "--env", "NETEVD_ADDRESS=192.0.2.9",
                    "--env", "NETEVD_INITIAL=1", "--env", "LINK=wwan0", "--env", "ADDRESSES=")  # fmt: skip

    found = variables(result.stdout)
    assert found["LINK"] == "wwan0"
    assert found["NETEVD_ADDRESS"] == "192.0.2.9"
    assert found["NETEVD_INITIAL"] == "1"
    assert found["ADDRESSES"] == ""
    assert found["EVENT"] == "routable"


def test_unknown_variable_lists_the_allowed_ones(place: Place) -> None:
    """A name that scripts never get is a usage error: the closest and all allowed ones."""
    path = place.script("#!/bin/sh\necho ran\n")

    result = script(place, path, "--env", "NETEVD_ADRESS=192.0.2.9")
    path_given = script(place, path, "--env", "PATH=/tmp")

    assert result.returncode == path_given.returncode == 2
    assert "did you mean NETEVD_ADDRESS?" in result.stderr
    for name in ("LINK", "STATE", "JSON", "NETEVD_SEQUENCE"):
        assert name in path_given.stderr
    assert result.stdout == path_given.stdout == ""


@pytest.mark.parametrize("assignment", [b"LINK", b"LINK=\xff"], ids=["no equals sign", "not UTF-8"])
def test_assignment_that_is_none_is_a_usage_error(assignment: bytes, place: Place) -> None:
    """What can't be a variable at all is refused before anything is looked at."""
    result = script(place, place.script("#!/bin/sh\necho ran\n"), "--env", assignment)

    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def test_value_of_a_wrong_type_is_refused_by_the_runner(place: Place) -> None:
    """A value that is not of its variable's type does not reach the script; the reason is shown."""
    path = place.script("#!/bin/sh\necho ran\n")

    result = script(place, path, "--interface", "lo", "--env", "LINKINDEX=1;reboot")

    assert (result.returncode, result.stdout) == (1, "")
    assert "was not run: LINKINDEX is not a number: '1;reboot'" in result.stderr


def test_unknown_event_type_is_a_usage_error_with_the_closest(place: Place) -> None:
    """A mistyped event type exits 2 and is corrected."""
    result = script(place, place.script("#!/bin/sh\n"), "--event", "routeable")

    assert result.returncode == 2
    assert "did you mean 'routable'?" in result.stderr


# --- formats -----------------------------------------------------------------------------------------


def test_json_is_one_object_with_everything(links: None, place: Place) -> None:
    """As JSON, nothing is streamed: output, environment, identity and end are one object."""
    path = place.script('#!/bin/sh\necho "$LINK é"\necho oops >&2\nsleep 300 &\nexit 4\n')

    result = script(place, path, "-o", "json", "--event", "carrier")

    told = json.loads(result.stdout)
    assert result.returncode == 1
    assert told["script"] == str(path)
    assert (told["event"], told["interface"]) == ("carrier", "eth0")
    assert told["environment"]["LINK"] == "eth0"
    assert json.loads(told["environment"]["JSON"])["event"]["type"] == "carrier"
    assert (told["result"], told["exit_code"], told["signal"]) == ("failed", 4, None)
    assert (told["stdout"], told["stderr"]) == ("eth0 é\n", "oops\n")
    assert told["leftovers"] == 1
    assert told["duration_seconds"] > 0
    assert told["uid"] != 0
    assert "oops" not in result.stderr


def test_terminal_gets_no_control_characters_of_a_script(place: Place) -> None:
    """On a terminal a script's escape sequences are shown, not obeyed; a pipe gets them as they are."""
    path = place.script("#!/bin/sh\nprintf 'a\\033[2Jb\\tc'\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*NETEVD, "test", "script", str(path), "--interface", "lo", "--config", str(place.config)],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"),
    )  # fmt: skip
    os.close(theirs)
    got = b""
    try:
        while piece := os.read(ours, 65536):
            got += piece
    except OSError:  # EIO: the last writer is gone
        pass
    os.close(ours)

    assert process.wait(timeout=20) == 0
    assert b"a\\x1b[2Jb\tc\r\nnetevd: Script" in got
    assert script(place, path, "--interface", "lo").stdout == "a\x1b[2Jb\tc"


# --- callers and signals -----------------------------------------------------------------------------


def test_ordinary_user_runs_it_as_himself_and_is_told(place: Place) -> None:
    """Without root the script runs as the caller, by the same checks, and the command says so."""
    path = place.script("#!/bin/sh\nid -u\n")

    result = script(place, path, "--interface", "lo", prefix=as_ordinary_user())

    uid = 65534 if os.geteuid() == 0 else os.geteuid()
    assert (result.returncode, result.stdout) == (0, f"{uid}\n")
    assert "observe mode: the script runs as the caller, " in result.stderr
    assert f"(uid {uid})" in result.stderr


def test_root_can_ask_to_be_the_caller(place: Place) -> None:
    """--observe runs the script as whoever calls."""
    result = script(place, place.script("#!/bin/sh\nid -u\n"), "--interface", "lo", "--observe")

    assert result.stdout == f"{os.geteuid()}\n"


def _start(place: Place, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*NETEVD, "test", "script", str(path), "--interface", "lo", "--config", str(place.config)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    )  # fmt: skip


def _start_waiting(place: Place) -> subprocess.Popen[str]:
    """Start a test run and return once its script waits, its pid said on standard output."""
    text = "#!/bin/sh\ntrap 'echo bye > \"$0.end\"; exit 0' TERM\necho $$\nsleep 300 & wait\n"
    path = place.script(text)
    path.parent.chmod(0o1777)  # it leaves a sign beside itself
    return _start(place, path)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_command_ends_its_script(
    number: signal.Signals, status: int, place: Place
) -> None:
    """Ctrl-C, TERM and HUP give the script TERM; when the command has ended, so has the script."""
    process = _start_waiting(place)
    assert process.stdout is not None
    pid = int(process.stdout.readline())

    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert process.returncode == status
    assert "Traceback" not in err
    assert "ending the script" in err
    assert not _is_alive(pid)
    assert (place.scripts / "routable.d" / "10-test.end").read_text() == "bye\n"


def test_reader_that_is_gone_ends_the_script_silently(place: Place) -> None:
    """A closed pipe ends the command with 141 and its script with it, without a word."""
    # slowly: what a pipe can hold would be printed, and the limit reached, before the reader goes
    path = place.script("#!/bin/sh\necho $$\nwhile :; do echo more; sleep 0.05; done\n")
    process = _start(place, path)
    assert process.stdout is not None and process.stderr is not None
    pid = int(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(timeout=30) == 141
    assert "Error" not in err
    assert "Traceback" not in err
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
