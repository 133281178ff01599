"""`netevd doctor` on a machine that is in some way not as it should be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.boundary.rig import wait_for
from tests.unit.cli.rig import (
    AS_NOBODY,
    PROGRAM,
    PYTHON,
    Place,
    environment,
    netevd,
    place,
)

__all__ = ["place"]

Findings = list[dict[str, Any]]

SETUP = """\
set -e
mount -t tmpfs tmpfs /run
cp -a /etc /run/.etc
mount --bind /run/.etc /etc
rm -rf /etc/netevd /etc/networkd-dispatcher /etc/NetworkManager
mkdir -m 755 /etc/netevd
install -m 640 -g netevd /dev/null /etc/netevd/netevd.yaml
echo ready
exec sleep infinity
"""
"""A machine beside this one: own /etc, own /run, own network; its users are this one's at first."""


class Machine:
    """A mount and a network namespace in which anything may be broken. Needs root."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        command = ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", SETUP]
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self.inside = ("nsenter", f"--target={self._holder.pid}", "--mount", "--net")

    def sh(self, command: str) -> str:
        """Run a shell command inside; return what it prints."""
        result = subprocess.run([*self.inside, "sh", "-euc", command],
                                stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True)  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    def write(self, path: str, text: str, mode: int = 0o755) -> None:
        """Write a file inside, as root."""
        self.sh(f"mkdir -p {os.path.dirname(path)}; printf %s {shlex.quote(text)} > {path};"
                f" chmod {mode:o} {path}")  # fmt: skip

    def start(self, *command: str, inside: bool = True) -> int:
        """Start a program that lasts as long as the machine, inside or not; return its pid."""
        prefix = self.inside if inside else ()
        process = subprocess.Popen([*prefix, *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self._started.append(process)
        program = os.fsencode(command[0])
        wait_for(lambda: program == read_arguments(process.pid)[0] or None, command[0])
        return process.pid

    def close(self) -> None:
        """End all that was started."""
        for process in [*self._started, self._holder]:
            process.terminate()
            process.wait(timeout=20)
        assert self._holder.stdout is not None
        self._holder.stdout.close()


def read_arguments(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Return a machine with an empty configuration and no scripts."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a machine of its own")
    made = Machine()
    try:
        yield made
    finally:
        made.close()


def examine(*arguments: str, prefix: tuple[str, ...] = (), **options: Any) -> tuple[int, Findings]:
    """Return exit status and findings."""
    result = netevd("-j", "doctor", *arguments, prefix=prefix, **options)
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert told["count"] == len(told["findings"])
    assert told["healthy"] == (result.returncode == 0)
    assert told["healthy"] == all(each["level"] != "problem" for each in told["findings"])
    return result.returncode, told["findings"]


def of(findings: Findings, check: str) -> Findings:
    """Return what one check found."""
    return [each for each in findings if each["check"] == check]


def only(findings: Findings, check: str) -> dict[str, Any]:
    """Return the one finding of a check."""
    (found,) = of(findings, check)
    return found


def levels(findings: Findings) -> set[str]:
    return {each["level"] for each in findings}


def not_fine(findings: Findings) -> Findings:
    return [each for each in findings if each["level"] != "ok"]


# --- healthy ---------------------------------------------------------------------------------------


def test_healthy_machine_has_nothing_to_say(machine: Machine) -> None:
    """Every line is ok, with a level and a subject, and nothing was changed or made."""
    machine.write("/etc/netevd/routable.d/10-test", "#!/bin/sh\nip link\n")
    before = machine.sh("find /etc /run -printf '%p %m %u %T@\\n' | sort")

    result = netevd("doctor", prefix=machine.inside)

    assert result.returncode == 0
    assert result.stderr == "netevd: no problems, no warnings, no notes\n"
    assert all(re.match(r"ok {7}\S.*: \S", line) for line in result.stdout.splitlines())
    assert "1 script: run as netevd-script" in result.stdout
    assert "privileged mode" in result.stdout
    assert machine.sh("find /etc /run -printf '%p %m %u %T@\\n' | sort") == before


def test_ordinary_user_hears_what_was_not_looked_at(machine: Machine) -> None:
    """What a daemon of the caller would find is told, and that root's has to be asked about."""
    machine.sh("chmod 755 /etc/netevd; chmod 644 /etc/netevd/netevd.yaml")
    machine.write("/etc/netevd/routable.d/10-test", "#!/bin/sh\n")
    machine.write("/etc/netevd/routable.d/20-closed", "#!/bin/sh\n", 0o711)
    prefix = (*machine.inside, *AS_NOBODY)

    code, findings = examine(prefix=prefix, env={"XDG_RUNTIME_DIR": "/run/none"})
    found = only(findings, "mode")

    assert code == 1
    assert (found["level"], found["command"]) == ("note", "sudo netevd doctor")
    assert "observe mode" in found["message"]
    assert [(each["level"], each["subject"]) for each in of(findings, "scripts")] == [
        ("note", "/etc/netevd/routable.d/20-closed"),
        ("ok", "1 script"),
    ]
    assert only(findings, "runtime")["level"] == "problem"
    assert "can't make it in /run/none" in only(findings, "runtime")["message"]
    assert {each["check"] for each in not_fine(findings)} <= {
        "leases",
        "mode",
        "scripts",
        "runtime",
        "buffers",
    }


def test_configuration_closed_to_the_caller_is_a_note(machine: Machine) -> None:
    """A file of root:netevd is no fault of the machine when an ordinary user looks at it."""
    code, findings = examine(prefix=(*machine.inside, *AS_NOBODY))
    found = only(findings, "configuration")

    assert code == 0
    assert (found["level"], found["command"]) == ("note", "sudo netevd doctor")
    assert "not looked at, nor the scripts: uid 65534 may not read it" in found["message"]
    assert of(findings, "scripts") == []


def test_formats_tell_the_same(machine: Machine) -> None:
    """A line of jsonl is a finding; YAML is JSON in other words."""
    lines = netevd("doctor", "-o", "jsonl", prefix=machine.inside).stdout.splitlines()
    text = netevd("doctor", "-o", "yaml", prefix=machine.inside).stdout

    findings = [json.loads(line) for line in lines]
    assert YAML(typ="safe", pure=True).load(text) == {
        "healthy": True, "findings": findings, "count": len(findings),
    }  # fmt: skip


def test_doctor_imports_no_event_loop(place: Place) -> None:
    """It looks at things with the standard library, and never at what only the daemon needs."""
    command = [*PYTHON, "-X", "importtime", *PROGRAM, "doctor", "--config", str(place.config)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())

    imported = set(re.findall(r"^import time: .*\| +(\w+)", result.stderr, re.MULTILINE))
    assert "netevd" in imported
    assert imported & {"trio", "quart", "pyroute2", "structlog", "pyseccomp"} == set()


# --- users and privileges --------------------------------------------------------------------------


def test_missing_users_are_made_by_the_command_that_run_prints(machine: Machine) -> None:
    """The command is the one of `netevd run`, and it really mends."""
    machine.sh("sed -i /^netevd/d /etc/passwd /etc/shadow /etc/group /etc/gshadow")
    run = netevd("run", prefix=machine.inside)

    code, findings = examine(prefix=machine.inside)
    found = only(findings, "users")
    machine.sh(found["command"])
    machine.sh("chgrp netevd /etc/netevd/netevd.yaml")
    healed, then = examine(prefix=machine.inside)

    assert (code, found["level"]) == (1, "problem")
    assert "user netevd, user netevd-net, user netevd-script, group netevd" in found["message"]
    assert found["command"] in run.stderr
    assert [each["check"] for each in not_fine(findings)] == ["users", "scripts"]
    assert only(findings, "scripts")["message"] == "not looked at: netevd run would not start"
    assert (healed, levels(of(then, "users"))) == (0, {"ok"})


def test_one_missing_user_is_made_alone(machine: Machine) -> None:
    """What exists already is not made again."""
    machine.sh("sed -i /^netevd-script:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow")

    _, findings = examine(prefix=machine.inside)
    found = only(findings, "users")
    machine.sh(found["command"])

    assert found["message"].startswith("user netevd-script does not exist")
    assert found["command"].count("useradd") == 1
    assert examine(prefix=machine.inside)[0] == 0


def test_missing_user_is_a_warning_for_others_than_root(machine: Machine) -> None:
    """Who may not make users can still run netevd."""
    machine.sh("sed -i /^netevd-script:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow")

    code, findings = examine(prefix=(*machine.inside, *AS_NOBODY))

    assert (code, only(findings, "users")["level"]) == (0, "warning")


def test_users_that_share_a_uid_are_a_problem(machine: Machine) -> None:
    """Separate users of the same uid separate nothing; the command makes them anew."""
    machine.sh('sed -i -E "s/^(netevd-script:x):[0-9]+/\\1:$(id -u netevd)/" /etc/passwd')

    code, findings = examine(prefix=machine.inside)
    found = only(findings, "users")
    machine.sh(found["command"].replace("userdel", "userdel --force"))

    assert (code, found["level"]) == (1, "problem")
    assert "each needs a uid of its own" in found["message"]
    assert only(examine(prefix=machine.inside)[1], "users")["level"] == "ok"


@pytest.mark.parametrize(
    ("name", "code", "level"), [("CAP_SYS_PTRACE", 1, "problem"), ("CAP_NET_ADMIN", 0, "warning")]
)
def test_missing_capability_is_named(name: str, code: int, level: str, machine: Machine) -> None:
    """Without some root's netevd does not start, without others it can less."""
    word = name.removeprefix("CAP_").lower()
    drop = ("setpriv", f"--bounding-set=-{word}", f"--inh-caps=-{word}", "--")

    status, findings = examine(prefix=(*machine.inside, *drop))
    found = only(findings, "capabilities")

    assert (status, found["level"]) == (code, level)
    assert f"root lacks {name}" in found["message"]
    assert f"--cap-add={name.removeprefix('CAP_')}" in found["message"]
    assert {each["check"] for each in not_fine(findings)} <= {
        "leases",
        "capabilities",
        "buffers",
        "scripts",
    }


def test_root_of_a_user_namespace_observes(machine: Machine) -> None:
    """Where the system users are not mapped, netevd runs as the caller, which is no problem."""
    machine.sh("chmod 755 /etc/netevd; chmod 644 /etc/netevd/netevd.yaml")
    prefix = (*machine.inside, "unshare", "--user", "--map-root-user", "--")

    code, findings = examine(prefix=prefix, env={"XDG_RUNTIME_DIR": "/dev/shm"})

    assert code == 0
    assert only(findings, "mode")["level"] == "note"
    assert "this user namespace does not map" in only(findings, "mode")["message"]


# --- kernel ----------------------------------------------------------------------------------------

DENY = """\
import errno, os, sys, pyseccomp
program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
call, argument, code = sys.argv[1], int(sys.argv[2]), getattr(errno, sys.argv[3])
first = [pyseccomp.Arg(0, pyseccomp.EQ, argument)] if argument >= 0 else []
program.add_rule(pyseccomp.ERRNO(code), call, *first)
program.load()
os.execvp(sys.argv[4], sys.argv[4:])
"""


def deny(call: str, code: str, argument: int = -1) -> tuple[str, ...]:
    """Return the prefix of a command for which the kernel refuses a system call."""
    return (sys.executable, "-I", "-c", DENY, call, str(argument), code)


def test_kernel_without_landlock_is_told_with_what_it_means(machine: Machine) -> None:
    """netevd runs, so it is a warning."""
    code, findings = examine(
        prefix=(*machine.inside, *deny("landlock_create_ruleset", "EOPNOTSUPP"))
    )
    found = next(each for each in findings if each["subject"] == "Landlock")

    assert (code, found["level"]) == (0, "warning")
    assert "was not switched on at boot" in found["message"]


def test_kernel_without_seccomp_is_a_problem(machine: Machine) -> None:
    """netevd does not run without, and the daemon's own words are not said a second time."""
    prefix = (*machine.inside, *deny("prctl", "EINVAL", 22))

    code, findings = examine(prefix=prefix)

    (found,) = [each for each in findings if each["level"] == "problem"]
    assert (code, found["subject"]) == (1, "seccomp")


def test_memory_files_that_are_refused_are_a_problem_with_its_command(machine: Machine) -> None:
    """netevd does not run without, and the daemon's own words are not said a second time."""
    code, findings = examine(prefix=(*machine.inside, *deny("memfd_create", "EACCES")))

    (found,) = [each for each in findings if each["level"] == "problem"]
    assert (code, found["check"], found["command"]) == (
        1, "memory", "sysctl -w vm.memfd_noexec=1",
    )  # fmt: skip


# --- configuration and runtime directory -----------------------------------------------------------


def test_problems_of_the_configuration_have_their_places(machine: Machine) -> None:
    """All of them, as `netevd validate` tells them; scripts are not looked at then."""
    machine.write("/etc/netevd/netevd.yaml", "netwrk: {}\nscript_timeout: 30\n", 0o644)

    code, findings = examine(prefix=machine.inside)
    found = of(findings, "configuration")

    assert code == 1
    assert [(each["level"], each["subject"]) for each in found] == [
        ("problem", "/etc/netevd/netevd.yaml:1:1"),
        ("problem", "/etc/netevd/netevd.yaml:2:17"),
    ]
    assert "did you mean 'network'?" in found[0]["message"]
    assert of(findings, "scripts") == []


def test_more_problems_than_fit_are_counted(place: Place) -> None:
    """A wrong file gives a screenful, and the command that lists all."""
    place.config.write_text("".join(f"key{number}: 1\n" for number in range(50)))

    _, findings = examine("--config", str(place.config))
    found = of(findings, "configuration")

    assert len(found) == 21
    assert found[-1]["message"].startswith("30 more problems")
    assert found[-1]["command"] == f"netevd validate {place.config}"


@pytest.mark.parametrize("broken", ["chmod 600 /etc/netevd/netevd.yaml", "chmod 700 /etc/netevd"])
def test_configuration_that_the_reader_may_not_read_is_mended(
    broken: str, machine: Machine
) -> None:
    """root reading it is not enough: netevd-net:netevd must; the command sees to that."""
    machine.sh(broken)

    code, findings = examine(prefix=machine.inside)
    found = only(findings, "configuration")
    machine.sh(found["command"])

    assert (code, found["level"]) == (1, "problem")
    assert "user netevd-net may not" in found["message"]
    assert examine(prefix=machine.inside)[0] == 0


def test_keys_of_the_rust_daemon_are_a_note(machine: Machine) -> None:
    """Nothing is wrong with them; the command shows them as today's."""
    machine.write("/etc/netevd/netevd.yaml", "monitoring: {interfaces: [eth0]}\n", 0o644)

    status, findings = examine(prefix=machine.inside)

    assert status == 0
    found = next(each for each in of(findings, "configuration") if each["level"] == "note")
    assert found["message"].startswith("settings in words of the Rust daemon: 1,")
    shown = machine.sh(
        f"{shlex.join([sys.executable, '-I', *PROGRAM])} {found['command'].removeprefix('netevd ')}"
    )
    assert shown == "network:\n  links: [eth0]\n"


def test_fifo_as_configuration_is_told_at_once(place: Place) -> None:
    """Nobody writes into it, and doctor does not wait for that."""
    place.config.unlink()
    os.mkfifo(place.config)

    code, findings = examine("--config", str(place.config))

    assert code == 1
    assert "not a regular file" in only(findings, "configuration")["message"]


def test_directory_of_a_typing_error_is_emptied(machine: Machine) -> None:
    """A directory that no event looks into is a warning; the command moves its scripts."""
    machine.write("/etc/netevd/routeable.d/10-test", "#!/bin/sh\n")
    machine.sh("mkdir /etc/netevd/routable.d")

    code, findings = examine(prefix=machine.inside)
    found = next(each for each in of(findings, "configuration") if each["level"] == "warning")
    machine.sh(found["command"])

    assert code == 0
    assert "/etc/netevd/routeable.d is never looked into" in found["message"]
    assert machine.sh("ls /etc/netevd").split() == ["netevd.yaml", "routable.d"]
    assert not_fine(examine(prefix=machine.inside)[1]) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("touch /run/netevd", "is no directory"),
        ("mkdir -m 777 /run/netevd", "has mode 0777"),
        ("install -d -o nobody /run/netevd", "belongs to uid 65534"),
    ],
)
def test_runtime_directory_that_the_daemon_would_refuse(
    broken: str, message: str, machine: Machine
) -> None:
    """The daemon refuses it too, and takes it after the command."""
    machine.sh(broken)

    code, findings = examine(prefix=machine.inside)
    found = only(findings, "runtime")
    refused = netevd("run", prefix=machine.inside)
    machine.sh(found["command"])

    assert (code, found["level"], found["subject"]) == (1, "problem", "/run/netevd")
    assert message in found["message"]
    assert (refused.returncode, "runtime directory" in refused.stderr) == (1, True)
    again = netevd("run", "--config", "/none", prefix=machine.inside)  # gets as far as that
    assert "/none: can't be read" in again.stderr


def test_running_daemon_is_seen_and_not_disturbed(machine: Machine) -> None:
    """Its pid is told; a stale lock is none."""
    machine.sh("mkdir /run/netevd; echo 1 > /run/netevd/lock")
    _, before = examine(prefix=machine.inside)
    pid = machine.start(sys.executable, "-I", "-m", "privsep", "run")
    wait_for(lambda: machine.sh("cat /run/netevd/lock") == f"{pid}\n" or None, "lock")

    code, findings = examine(prefix=machine.inside)

    assert only(before, "runtime")["message"].endswith("no daemon runs")
    assert (code, only(findings, "runtime")["message"]) == (
        0, f"root's alone; a daemon runs (pid {pid})",
    )  # fmt: skip


# --- scripts ---------------------------------------------------------------------------------------


def test_each_script_has_the_verdict_of_the_daemon(machine: Machine) -> None:
    """What is skipped is told as `netevd list hooks` tells it, and the commands mend it."""
    top = "/etc/netevd/routable.d"
    machine.write(f"{top}/10-good", "#!/bin/sh\n")
    machine.write(f"{top}/20-writable", "#!/bin/sh\n", 0o777)
    machine.write(f"{top}/40-plain", "#!/bin/sh\n", 0o644)
    machine.write(f"{top}/45-foreign", "#!/bin/sh\n")
    machine.sh(f"chown nobody {top}/45-foreign")
    machine.write(f"{top}/60-sudo", "#!/bin/sh\nip link\nsudo ip link set $LINK up\n")
    machine.write(f"{top}/70-dos", "#!/bin/sh\r\n")
    machine.sh(f"cd {top}; mkfifo -m 755 30-fifo; ln -s /dev/null 50-masked")

    code, findings = examine(prefix=machine.inside)
    found = {os.path.basename(each["subject"]): each for each in of(findings, "scripts")}
    hooks = json.loads(netevd("-j", "list", "hooks", prefix=machine.inside).stdout)["hooks"]

    assert code == 0
    assert found.pop("1 script")["level"] == "ok"
    assert {each["level"] for each in found.values()} == {"warning"}
    skipped = {each["name"]: each["reason"] for each in hooks if not each["runnable"]}
    assert skipped.pop("50-masked").startswith("it is masked")
    assert set(found) == {*skipped, "60-sudo", "70-dos"}
    for name, reason in skipped.items():
        assert f"is skipped: {reason}".startswith(found[name]["message"])
    assert found["30-fifo"]["message"] == "is skipped: it is a FIFO, not a regular file"
    assert "sudo in line 3 gains nothing" in found["60-sudo"]["message"]
    assert f'{{path: "{top}/60-sudo", user: root}}' in found["60-sudo"]["message"]
    for name in ("20-writable", "40-plain", "45-foreign", "70-dos"):
        machine.sh(found[name]["command"])
    rest = [os.path.basename(each["subject"])
            for each in not_fine(of(examine(prefix=machine.inside)[1], "scripts"))]  # fmt: skip
    assert rest == ["30-fifo", "60-sudo"]


def test_script_that_a_rule_runs_as_root_needs_no_sudo(machine: Machine) -> None:
    """The rule that is advised ends the finding; an ordinary user's daemon refuses it."""
    path = "/etc/netevd/routable.d/10-sudo"
    machine.write(path, "#!/bin/sh\nsudo ip link\n")
    rule = f'{{path: "{path}", user: root}}'
    machine.write("/etc/netevd/netevd.yaml", f"scripts:\n  rules:\n  - {rule}\n", 0o644)
    prefix = (*machine.inside, *AS_NOBODY)

    code, findings = examine(prefix=machine.inside)
    _, observed = examine(prefix=prefix)

    assert code == 0
    assert levels(of(findings, "scripts")) == {"ok"}
    assert of(observed, "scripts")[0]["level"] == "warning"
    assert "can't do in observe mode" in of(observed, "scripts")[0]["message"]


def test_script_for_the_user_of_its_rule_alone_is_a_note(machine: Machine) -> None:
    """It was checked for scripts.user, so whether its own user may execute it is not known."""
    path = "/etc/netevd/routable.d/10-own"
    machine.write(path, "#!/bin/sh\n", 0o750)
    machine.sh(f"chgrp nogroup {path}")
    rule = f"scripts: {{rules: [{{path: {path}, user: nobody}}]}}\n"
    machine.write("/etc/netevd/netevd.yaml", rule, 0o644)

    code, findings = examine(prefix=machine.inside)
    found = only(findings, "scripts")

    assert (code, found["level"]) == (0, "note")
    assert found["command"] == f"netevd test script {path}"
    assert netevd(*found["command"].split()[1:], prefix=machine.inside).returncode == 0


def test_hostile_names_stay_one_line(place: Place) -> None:
    """A file name with escape sequences and line ends can't forge a finding."""
    config = place.configure(user="nobody")
    place.script("#!/bin/sh\n", name="10\n\x1b[2Jok       all: fine").chmod(0o644)

    result = netevd("doctor", "--config", config)

    assert re.search(r"[\x00-\x09\x0b-\x1f]", result.stdout) is None
    assert "\nok       all" not in result.stdout
    assert r"10\x0a\x1b[2Jok       all: fine: is skipped" in result.stdout


# --- neighbours ------------------------------------------------------------------------------------


@contextlib.contextmanager
def programs(*names: str) -> Iterator[Path]:
    """Yield a directory with a long-running program of each name."""
    directory = Path("/var/tmp") / f"netevd-{os.getpid()}-programs"
    directory.mkdir(mode=0o755)
    try:
        for name in names:
            shutil.copy("/bin/sleep", directory / name)
        yield directory
    finally:
        shutil.rmtree(directory)


def test_script_of_two_dispatchers_is_told(machine: Machine) -> None:
    """A link to our script among those of a running dispatcher runs twice; the command ends that."""
    machine.write("/etc/netevd/routable.d/10-vpn", "#!/bin/sh\nip link\n")
    machine.write("/etc/NetworkManager/dispatcher.d/20-other", "#!/bin/sh\nip rule\n")
    machine.sh("ln -s /etc/netevd/routable.d/10-vpn /etc/NetworkManager/dispatcher.d/10-vpn;"
               " mkfifo -m 755 /etc/NetworkManager/dispatcher.d/30-fifo")  # fmt: skip
    machine.sh("cd /etc/NetworkManager/dispatcher.d; cp -L 10-vpn 40-off; chmod -x 40-off")
    with programs("NetworkManager") as directory:
        outside = str(directory / "NetworkManager")
        pid = machine.start(outside, "1000")
        machine.start(outside, "1001", inside=False)  # of another network, and not seen

        code, findings = examine(prefix=machine.inside)
        found = only(findings, "dispatchers")
        machine.sh(found["command"])
        _, then = examine(prefix=machine.inside)

    assert (code, found["level"]) == (0, "warning")
    assert found["subject"] == "/etc/NetworkManager/dispatcher.d/10-vpn"
    assert only(findings, "backends")["message"] == f"kernel, NetworkManager (pid {pid}) beside it"
    assert only(then, "dispatchers")["level"] == "ok"
    assert machine.sh("ls /etc/netevd/routable.d") == "10-vpn\n"


def test_compiled_netevd_beside_this_one_is_told(machine: Machine) -> None:
    """It runs the same directories; the command stops it."""
    with programs("netevd") as directory:
        pid = machine.start(str(directory / "netevd"), "1000")

        code, findings = examine(prefix=machine.inside)

    found = only(findings, "dispatchers")
    assert (code, found["level"], found["subject"]) == (0, "warning", f"netevd (pid {pid})")
    assert found["command"].startswith(("kill ", "systemctl disable --now "))


LISTEN = """\
import socket, sys
server = socket.create_server((sys.argv[1], 9090), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
server.accept()
"""


@pytest.mark.parametrize("address", ["127.0.0.1", "::"])
def test_port_of_somebody_else_names_who_has_it(address: str, machine: Machine) -> None:
    """Root hears the name, others that root would."""
    machine.sh("ip link set lo up")
    pid = machine.start(sys.executable, "-I", "-c", LISTEN, address)
    wait_for(
        lambda: ":2382" in machine.sh("cat /proc/self/net/tcp /proc/self/net/tcp6") or None,
        "listener",
    )

    code, findings = examine(prefix=machine.inside)
    _, others = examine(prefix=(*machine.inside, *AS_NOBODY))

    assert code == 0
    assert only(findings, "port")["level"] == only(others, "port")["level"] == "note"
    assert re.search(rf"taken by python\S* \(pid {pid}\)", only(findings, "port")["message"])
    assert "a process that root can name" in only(others, "port")["message"]


def test_configured_ports_are_looked_at(place: Place) -> None:
    """Where the configuration has API and metrics; nothing where neither is served."""
    with socket.create_server(("127.0.0.2", 0)) as server, socket.socket() as kept:
        kept.bind(("127.0.0.2", 0))  # nobody listens there, and nobody else will
        port, other = server.getsockname()[1], kept.getsockname()[1]
        given = f"api: {{bind_address: 127.0.0.2, port: {port}}}\nmetrics: {{port: {other}}}\n"
        place.config.write_text(given)
        _, findings = examine("--config", str(place.config))
        place.config.write_text("api: {enabled: false}\n")
        _, silent = examine("--config", str(place.config))

    told = of(findings, "port")
    assert [each["subject"] for each in told] == [f"127.0.0.2:{port}", f"127.0.0.2:{other}"]
    assert told[0]["level"] == "note"
    assert "taken by python" in told[0]["message"]
    assert told[1]["message"] == "free for metrics"
    assert of(silent, "port") == []
