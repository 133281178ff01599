"""A runner as its scripts and its worker know it: real processes, real uids."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from privsep.channel import Closed
from privsep.protocol import (
    End,
    Entries,
    Finished,
    Forget,
    Incarnation,
    Known,
    Rescan,
    Run,
    Running,
    Signal,
    Started,
    Violated,
)
from tests.boundary.rig import RunnerRig, receive, script_identity, wait_for, write_script

Start = Callable[[], RunnerRig]


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_script_runs_with_built_environment(directory: Path, start_runner: Start) -> None:
    """A script sees its variables, a fixed PATH, the root directory and nothing else of ours."""
    write_script(directory, "show", "#!/bin/sh\nenv | sort\npwd\nulimit -c\n")
    runner = start_runner()

    runner.start(1, "show", [("LINK", "eth0"), ("STATE", "routable")])
    ended = runner.finish()
    lines = runner.output(1).splitlines()

    assert (ended.status, ended.leftovers) == (0, 0)
    names = {line.split("=")[0] for line in lines[:-2]}
    assert names == {"LINK", "STATE", "PATH", "NETEVD_SCRIPT_PATH", "NETEVD_RUN", "PWD"}
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in lines
    assert f"NETEVD_SCRIPT_PATH={directory}/show" in lines
    assert lines[-2:] == ["/", "0"]


def test_script_has_identity_and_no_way_up(directory: Path, start_runner: Start) -> None:
    """A script runs as the script user, without capabilities, under no_new_privs and seccomp."""
    write_script(directory, "status", "#!/bin/sh\ncat /proc/self/status\n")
    runner = start_runner()

    runner.start(1, "status")
    runner.finish()
    status = dict(line.split(":\t", 1) for line in runner.output(1).splitlines() if ":\t" in line)

    uid = str(script_identity().uid)
    assert status["Uid"].split() == [uid] * 4
    assert status["NoNewPrivs"] == "1"
    # posix_spawn of glibc ignores its two internal signals, 32 and 33, in what it starts
    assert int(status["SigIgn"], 16) & ~(1 << 31 | 1 << 32) == 0
    if os.geteuid() == 0:
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name


def test_script_inherits_only_its_three_descriptors(directory: Path, start_runner: Start) -> None:
    """A script finds stdin, stdout, stderr open and no descriptor of the daemon."""
    write_script(directory, "fds", "#!/bin/sh\nls /proc/$$/fd\n")
    runner = start_runner()

    runner.start(1, "fds")
    runner.finish()

    # dash keeps the script itself open as descriptor 10
    assert set(runner.output(1).split()) <= {"0", "1", "2", "10"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/nowhere/sh\n", "interpreter '/nowhere/sh' (first line) is not there"),
        ("echo no first line\n", "no interpreter line"),
        ("#!/etc/passwd\n", "interpreter '/etc/passwd' (first line) may not be executed"),
    ],
)
def test_script_that_cannot_be_executed_is_refused(
    directory: Path, start_runner: Start, text: str, expected: str
) -> None:
    """What the kernel can't execute is refused with the reason; no shell is tried instead."""
    write_script(directory, "broken", text)
    runner = start_runner()

    assert expected in runner.refuse(1, runner.entry("broken").id)


def test_table_says_why_a_file_is_skipped(directory: Path, start_runner: Start) -> None:
    """FIFOs, directories, writable, unexecutable, masked and dangling files have a reason each."""
    write_script(directory, "10-good", "#!/bin/sh\n")
    write_script(directory, "20-group", "#!/bin/sh\n", 0o775)
    write_script(directory, "30-plain", "#!/bin/sh\n", 0o644)
    os.mkfifo(directory / "40-fifo", 0o755)
    (directory / "50-dir").mkdir()
    (directory / "60-masked").symlink_to("/dev/null")
    (directory / "70-dangling").symlink_to("nowhere")
    (directory / "80-loop").symlink_to("80-loop")
    write_script(directory, "90-old.dpkg-old", "#!/bin/sh\n")
    write_script(directory, ".hidden", "#!/bin/sh\n")
    runner = start_runner()

    reasons = {entry.name: entry.reason for entry in runner.entries()}

    assert list(reasons) == [
        "10-good", "20-group", "30-plain", "40-fifo", "50-dir", "60-masked", "70-dangling", "80-loop"
    ]  # fmt: skip
    assert reasons["10-good"] == ""
    for name, words in {
        "20-group": "writable by group",
        "30-plain": "not executable",
        "40-fifo": "a FIFO",
        "50-dir": "a directory",
        "60-masked": "masked",
        "70-dangling": "not there",
        "80-loop": "symbolic links",
    }.items():
        assert words in reasons[name], name


def test_script_changed_after_the_scan_is_checked_again(
    directory: Path, start_runner: Start
) -> None:
    """A file that became writable after it was listed is refused at its run."""
    path = write_script(directory, "swap", "#!/bin/sh\n")
    runner = start_runner()
    entry = runner.entry("swap")
    directory.chmod(0o777)

    assert "writable by group and others" in runner.refuse(1, entry.id)
    directory.chmod(0o755)
    path.unlink()
    assert "not in the table any more" in runner.refuse(2, entry.id)


def test_new_script_is_told_without_being_asked(directory: Path, start_runner: Start) -> None:
    """A script that is added or chmod-ed while the runner lives is in the table at once."""
    runner = start_runner()
    runner.entries()

    path = write_script(directory, "late", "#!/bin/sh\n", 0o644)
    wait_for(lambda: "late" in [e.name for e in runner.expect(Entries).entries] or None, "entry")
    path.chmod(0o755)

    wait_for(lambda: [e for e in runner.expect(Entries).entries if e.runnable] or None, "runnable")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([("LD_PRELOAD", "/tmp/x.so")], "LD_PRELOAD is not a variable of netevd"),
        ([("LINK", "a b")], "LINK is not an interface name"),
        ([("LINK", "x" * 16)], "LINK is not an interface name"),
        ([("ADDRESSES", "10.0.0.1 $(id)")], "ADDRESSES is not addresses"),
        ([("STATE", "../routable")], "STATE is not a word"),
        ([("STATE", "off"), ("STATE", "off")], "STATE is given twice"),
        ([("JSON", '{"a":"\u2028"}')], "JSON is not one line of JSON"),
        ([("JSON", "{" + "x" * 98304 + "}")], "more than 98304"),
    ],
)
def test_value_of_a_wrong_type_refuses_the_run(
    directory: Path, start_runner: Start, values: list[tuple[str, str]], expected: str
) -> None:
    """A variable that is unknown or not of its type never reaches a script."""
    write_script(directory, "any", f"#!/bin/sh\ntouch {directory}/ran\n")
    runner = start_runner()

    assert expected in runner.refuse(1, runner.entry("any").id, values)
    assert not (directory / "ran").exists()


def test_escapees_die_with_their_run(directory: Path, start_runner: Start) -> None:
    """What a script left behind, by setsid and double fork too, is killed before `finished`."""
    write_script(
        directory,
        "daemonize",
        "#!/bin/sh\n"
        "sleep 1000 & echo $!\n"
        "setsid sh -c 'sleep 1000 & echo $!; env -i setsid sh -c \"sleep 1000 & echo \\$!\"'\n"
        "exit 3\n",
    )
    runner = start_runner()

    runner.start(1, "daemonize")
    ended = runner.finish()
    pids = [int(word) for word in runner.output(1).split()]

    assert (ended.status, len(pids), ended.leftovers) == (3, 3, 3)
    assert not any(_alive(pid) for pid in pids)


def test_run_without_a_marker_is_charged_to_live_runs(directory: Path, start_runner: Start) -> None:
    """An orphan without any sign of its run dies when the last run that may own it has ended."""
    write_script(
        directory, "hide", "#!/bin/sh\nenv -i setsid sh -c 'setsid sleep 1000 & echo $!'\n"
    )
    write_script(directory, "long", "#!/bin/sh\nread line < gate\n")
    write_script(directory, "long", f"#!/bin/sh\nread line < {directory.parent}/gate\n")
    os.mkfifo(directory.parent / "gate")
    (directory.parent / "gate").chmod(0o666)
    runner = start_runner()
    runner.start(1, "long")
    runner.start(2, "hide")
    pid = wait_for(lambda: int(runner.output(2).strip() or 0) or None, "pid")

    os.close(os.open(directory.parent / "gate", os.O_WRONLY))
    ended = {runner.finish().id, runner.finish().id}

    assert ended == {1, 2}
    assert not _alive(pid)


def test_term_reaches_every_process_and_kill_ends_it(directory: Path, start_runner: Start) -> None:
    """A signal goes to all processes of a run, its own session's and others; KILL ends the rest."""
    write_script(
        directory,
        "stubborn",
        "#!/bin/sh\ntrap : TERM\nsetsid sleep 1000 &\necho $!\nwhile :; do sleep 1000; done\n",
    )
    runner = start_runner()
    started = runner.start(1, "stubborn")
    child = wait_for(lambda: int(runner.output(1).strip() or 0) or None, "child")
    wait_for(lambda: b"sleep" in Path(f"/proc/{child}/comm").read_bytes() or None, "sleep")

    runner.scripts.send(Signal(1, "TERM"))
    wait_for(lambda: not _alive(child) or None, "death of the child by TERM")
    assert _alive(started.pid)
    runner.scripts.send(Signal(1, "KILL"))

    assert runner.finish().status == -signal.SIGKILL


def test_output_that_nobody_reads_blocks_no_other_run(directory: Path, start_runner: Start) -> None:
    """A script with endless output waits in its pipe; others start and end beside it."""
    write_script(directory, "endless", "#!/bin/sh\nexec yes\n")
    write_script(directory, "quick", "#!/bin/sh\nexit 7\n")
    runner = start_runner()
    runner.start(1, "endless")

    runner.start(2, "quick")

    assert (ended := runner.finish()).id == 2
    assert ended.status == 7
    runner.scripts.send(Signal(1, "KILL"))
    assert runner.finish().id == 1


def test_run_outlives_its_worker(directory: Path, start_runner: Start) -> None:
    """A new worker learns of every run that was not forgotten, with its pipes and its end."""
    write_script(directory, "say", "#!/bin/sh\necho said\n")
    write_script(directory, "wait", "#!/bin/sh\nread line\nexec sleep 1000\n")
    runner = start_runner()
    runner.start(1, "say")
    runner.finish()
    runner.start(2, "wait")
    runner.scripts.close()

    runner.connect()
    runner.scripts.send(Running())
    known = {message.id: message.ended for message in (runner.expect(Known), runner.expect(Known))}
    runner.expect(Incarnation)

    assert isinstance(known[1], Finished)
    assert known[2] is None
    assert runner.output(1) == "said\n"
    runner.scripts.send(Forget(1))
    runner.scripts.send(Running())
    assert runner.expect(Known).id == 2


def test_stop_ends_scripts_and_tells_their_end(directory: Path, start_runner: Start) -> None:
    """On `end` a runner gives TERM, reports each end, and exits with nothing of it alive."""
    write_script(directory, "wait", "#!/bin/sh\nexec sleep 1000\n")
    runner = start_runner()
    started = runner.start(1, "wait")

    runner.lead.send(End())

    assert runner.finish().status == -signal.SIGTERM
    assert os.waitpid(runner.pid, 0)[1] == 0
    assert not _alive(started.pid)


def test_worker_that_goes_on_talking_does_not_keep_a_runner(start_runner: Start) -> None:
    """A runner that was told to end leaves after a while, whatever its worker still asks."""
    runner = start_runner()
    runner.entries()

    runner.lead.send(End())

    def ask() -> bool:
        return not runner.scripts.offer(Rescan()) and os.waitpid(runner.pid, os.WNOHANG)[0] != 0

    wait_for(ask, "the end of the runner")


def test_death_of_the_supervisor_ends_runner_and_scripts(
    directory: Path, start_runner: Start
) -> None:
    """End of file on lead is the supervisor's death: scripts are ended, the runner too."""
    write_script(directory, "wait", "#!/bin/sh\nexec sleep 1000\n")
    runner = start_runner()
    started = runner.start(1, "wait")

    runner.lead.close()

    assert os.waitpid(runner.pid, 0)[1] == 0
    assert not _alive(started.pid)


@pytest.mark.parametrize(
    "packet",
    [b"\xc1", b"\x01", b"\x93\x28\x01", b"\x95\x28\x01\x01\x90\x00", b"\x92\x2b\xc3", b"\x80" * 9,
     b"\x93\x28\xc3\x01\x90", b"\x91" * 1000, b"\xdd\xff\xff\xff\xff", b"\x92\x3c\x01"],
)  # fmt: skip
def test_broken_packet_ends_the_worker_not_the_runner(
    directory: Path, start_runner: Start, packet: bytes
) -> None:
    """What is no message of the channel closes the worker's socket and is told the supervisor."""
    write_script(directory, "wait", "#!/bin/sh\nexec sleep 1000\n")
    runner = start_runner()
    runner.start(1, "wait")

    runner.scripts.sock.send(packet)

    assert isinstance(receive(runner.lead)[0], Violated)
    with pytest.raises(Closed):
        receive(runner.scripts)
    runner.connect()
    runner.scripts.send(Running())
    assert runner.expect(Known).id == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to count a role's descriptors")
def test_descriptor_from_the_worker_is_a_violation(directory: Path, start_runner: Start) -> None:
    """No privileged role takes a descriptor from a worker, whatever the message."""
    runner = start_runner()
    runner.entries()
    before = len(os.listdir(f"/proc/{runner.pid}/fd"))

    runner.scripts.send(Running(), (0,))

    assert isinstance(receive(runner.lead)[0], Violated)
    assert len(os.listdir(f"/proc/{runner.pid}/fd")) == before - 1


def test_flood_of_requests_is_bounded(directory: Path, start_runner: Start) -> None:
    """A worker that starts runs without end is refused at the limit; the runner stays alive."""
    write_script(directory, "wait", "#!/bin/sh\nexec sleep 1000\n")
    runner = start_runner()
    entry = runner.entry("wait").id
    for id_ in range(1, 300):
        runner.scripts.send(Run(id_, entry, []))
    answers = []
    for _ in range(1, 300):
        message, descriptors = receive(runner.scripts)
        answers.append(message)
        for descriptor in descriptors:
            os.close(descriptor)

    assert sum(isinstance(answer, Started) for answer in answers) == 224
    assert "224 runs" in answers[-1].reason  # type: ignore[union-attr]
    assert select.select([runner.lead], [], [], 0)[0] == []
