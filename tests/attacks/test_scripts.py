"""Cases 55 to 70: what somebody could put in the place of a script, and what a script can't do."""

from __future__ import annotations

import json
import os
import pwd
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netevd.config.load import load
from privsep.protocol import Forget, Rescan, Run, Started, pack
from tests.attacks.rig import Hostile
from tests.boundary.rig import RunnerRig, wait_for, write_script
from tests.processes.rig import Daemon, ip

Start = Callable[[], RunnerRig]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
NOBODY = 65534


@pytest.mark.parametrize(
    "name", ["../x", "routable.d/x", "", ".", "..", "x" * 256, "-rf", "a\nb", "a\0b", "~root/x", "$(reboot)"]
)  # fmt: skip
def test_names_in_a_configuration_lead_nowhere(tmp_path: Path, name: str) -> None:
    """A script is named by an absolute path (55): whatever else is a problem, with its place."""
    file = tmp_path / "netevd.yaml"
    for text in (
        {"scripts": {"rules": [{"path": name}]}},
        {"scripts": {"directory": name}},
        {"filters": [{"action": "execute", "scripts": [name]}]},
    ):
        file.write_text(json.dumps(text))
        assert isinstance(load(str(file), {}), list), text


def test_names_of_files_are_names_of_files(directory: Path, start_runner: Start) -> None:
    """Whatever a file is called (55), it is run by its whole path, and told as one line."""
    names = ["-rf", "a\nb", "$(reboot)", "x" * 255, "a b;c", "é", "\x1b[2J"]
    for name in names:
        write_script(directory, name, '#!/bin/sh\nprintf %s "$0"\n')
    runner = start_runner()
    entries = runner.entries()
    assert len(entries) == len(names)
    for number, entry in enumerate(entries, 1):
        assert entry.name.isprintable() and entry.runnable, entry
        runner.scripts.send(Run(number, entry.id, []))
        _finish(runner, number)
        assert runner.output(number).rpartition("/")[2] in names


def _finish(runner: RunnerRig, number: int) -> None:
    runner.expect(Started)
    assert runner.finish().id == number


@needs_root
def test_links_and_owners_above_a_script(root: Path, directory: Path, start_runner: Start) -> None:
    """A link is what it leads to, and every directory on the way counts (56); devices and their like are no scripts (58)."""
    theirs = root / "theirs"
    theirs.mkdir()
    write_script(theirs, "good", "#!/bin/sh\n")
    os.chown(theirs, NOBODY, NOBODY)
    (directory / "10-link").symlink_to(theirs / "good")
    (root / "way").symlink_to(theirs)
    (directory / "20-way").symlink_to(root / "way" / "good")
    os.mknod(directory / "30-device", 0o20755, os.makedev(1, 3))
    os.mkfifo(directory / "40-fifo", 0o755)
    (directory / "50-shadow").symlink_to("/etc/shadow")
    owned = write_script(directory, "60-owned", "#!/bin/sh\n")
    os.chown(owned, NOBODY, NOBODY)
    listed = write_script(directory, "70-list", "#!/bin/sh\n")
    entries = [
        (1, 7, 0xFFFFFFFF),
        (2, 7, NOBODY),
        (4, 5, 0xFFFFFFFF),
        (16, 7, 0xFFFFFFFF),
        (32, 5, 0xFFFFFFFF),
    ]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)
    os.setxattr(listed, "system.posix_acl_access", acl)  # nobody may write it (59). Source: acl(5)
    reasons = {entry.name: entry.reason for entry in start_runner().entries()}

    for name, words in {
        "10-link": f"belongs to uid {NOBODY}", "20-way": f"belongs to uid {NOBODY}", "30-device": "a device",
        "40-fifo": "a FIFO", "50-shadow": "not executable", "60-owned": f"belongs to uid {NOBODY}",
        "70-list": "writable by group",
    }.items():  # fmt: skip
        assert words in reasons[name], (name, reasons[name])


@needs_root
def test_swapping_a_script_of_root(directory: Path, start_runner: Start) -> None:
    """Somebody who keeps renaming in a directory that all may write and is sticky (56): what runs is root's, or nothing."""
    directory.chmod(0o1777)
    write_script(directory, "10-good", "#!/bin/sh\nprintf good\n")
    evil = (
        "import os, sys\nos.setgid(65534); os.setuid(65534)\nos.chdir(sys.argv[1])\n"
        "open('20-evil', 'w').write('#!/bin/sh\\nprintf evil\\n'); os.chmod('20-evil', 0o755)\nprint(flush=True)\n"
        "while True:\n"
        "    for attempt in (lambda: os.rename('20-evil', '10-good'), lambda: os.unlink('10-good'),\n"
        "                    lambda: os.link('10-good', '15-hard'), lambda: os.rename('20-evil', '30-evil'),\n"
        "                    lambda: os.rename('30-evil', '20-evil'), lambda: os.symlink('20-evil', '25-link')):\n"
        "        try: attempt()\n"
        "        except OSError: pass\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", evil, str(directory)], stdout=subprocess.PIPE
    ) as attacker:
        try:
            assert attacker.stdout is not None
            attacker.stdout.readline()
            runner = start_runner()
            ran = 0
            for number in range(1, 121):
                for entry in runner.entries():
                    if entry.runnable:
                        ran += 1
                        runner.scripts.send(Run(1000 * number + ran, entry.id, []))
                        _finish(runner, 1000 * number + ran)
                        assert entry.name == "10-good"
                        assert runner.output(1000 * number + ran) in {"good", ""}
                        runner.scripts.send(Forget(1000 * number + ran))
            assert ran >= 120
        finally:
            attacker.kill()


ENVIRONMENT = [
    ("LD_PRELOAD", "/tmp/x.so"), ("LD_LIBRARY_PATH", "/tmp"), ("LD_AUDIT", "/tmp/x.so"), ("BASH_ENV", "/tmp/x"), ("ENV", "/tmp/x"),
    ("IFS", "/"), ("PATH", "/tmp"), ("PYTHONPATH", "/tmp"), ("PERL5OPT", "-Mx"), ("BASH_FUNC_ls%%", "() { reboot; }"),
    ("NETEVD_RUN", "1"), ("NETEVD_SCRIPT_PATH", "/bin/sh"), ("HOME", "/root"), ("", "x"), ("A=B", "c"), ("LINK\0X", "a"),
    ("LINK", "a\nLD_PRELOAD=x"), ("LINK", "a/../b"), ("LINK", "a\0b"), ("STATE", "routable; reboot"), ("STATE", "../../bin"),
    ("DHCP_HOSTNAME", "$(reboot)"), ("DHCP_DOMAIN", "a;b"), ("NETEVD_ADDRESS", "10.0.0.1 -x"), ("JSON", '{"a": "\n"}'),
    ("NETEVD_WG_PEER_NAME", "`id`"), ("DHCP_LEASE", "x'; reboot; '"), ("NETEVD_GATEWAY", "::1%eth0"),
]  # fmt: skip


def test_environment_of_a_script_is_not_the_workers_to_make(hostile: Hostile) -> None:
    """Variables that are none of netevd's, and values that are not of their type, refuse the run (62)."""
    hostile.do("send", "scripts", pack(Rescan()).hex())
    entry = int(hostile.do("hear", "scripts").partition("Entry(id=")[2].partition(",")[0])
    with hostile.attack(notes=("run refused",) * len(ENVIRONMENT)):
        for number, pair in enumerate(ENVIRONMENT, 1 << 50):
            told = hostile.ask("scripts", Run(number, entry, [("STATE", "routable"), pair]))
            assert "Refused" in told, (pair, told)


HOSTILE_SCRIPT = """#!/usr/bin/python3
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
place = "DIRECTORY/"
pids, state, config, run = json.load(open(place + "targets"))
told = {}
def attempt(name, act):
    try:
        act()
        told[name] = 0
    except OSError as error:
        told[name] = error.errno
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
for role, pid in pids.items():
    if role != "runner":
        attempt("signal " + role, lambda: os.kill(pid, 15))
    attempt("trace " + role, lambda: call("ptrace", 16, pid, 0, 0))
    for name in ("mem", "environ", "maps", "fd"):
        attempt(name + " of " + role, lambda: os.listdir(f"/proc/{pid}/fd") if name == "fd" else open(f"/proc/{pid}/{name}").close())
for name, act in {
    "state": lambda: os.listdir(state), "write state": lambda: open(state + "/x", "w").close(),
    "configuration": lambda: open(config, "a").close(), "socket": lambda: connect(run + "/api.sock"),
    "runtime": lambda: open(run + "/x", "w").close(), "lock": lambda: open(run + "/lock", "a").close(),
    "root": lambda: os.setresuid(0, 0, 0), "mount": lambda: call("mount", b"x", b"/mnt", b"tmpfs", 0, None),
    "rule": lambda: os.stat("/proc/1/root") and None, "raw": lambda: socket.socket(17, 3, 0).close(),
    "write script": lambda: open(os.environ["NETEVD_SCRIPT_PATH"], "a").close(),
}.items():
    attempt(name, act)
import subprocess
told["setuid"] = subprocess.run([place + "../id", "-u"], capture_output=True, text=True).stdout.strip()
told["uid"] = str(os.getuid())
told["ip"] = subprocess.run(["ip", "rule", "add", "priority", "4711"], capture_output=True).returncode
open(place + "told.new", "w").write(json.dumps(told))
os.rename(place + "told.new", place + "told")
"""


@needs_root
def test_script_can_do_nothing_to_those_who_run_it(daemon: Daemon) -> None:
    """A script tries signals, tracing, memory, files, socket and rules (66), and a setuid program (67)."""
    daemon.script("link-added", HOSTILE_SCRIPT)
    (daemon.scripts / "id").write_bytes(Path("/usr/bin/id").read_bytes())
    (daemon.scripts / "id").chmod(0o4755)
    daemon.start()
    roles = {role: daemon.role(role) for role in ("helper", "worker", "runner")}
    targets = [
        {"supervisor": daemon.pid, **roles},
        str(daemon.root / "state"),
        str(daemon.config),
        str(daemon.root / "run"),
    ]
    (daemon.scripts / "data" / "targets").write_text(json.dumps(targets))
    rules = subprocess.run(["ip", "rule"], capture_output=True, text=True, check=True).stdout
    ip("link add name eth0 type veth peer name p0")
    told = json.loads(
        wait_for(
            lambda: (path := daemon.scripts / "data" / "told").exists() and path.read_text(),
            "its report",
        )
    )

    assert told.pop("setuid") == told.pop("uid") == str(pwd.getpwnam("netevd-script").pw_uid)
    assert told.pop("ip") != 0
    assert {name: code for name, code in told.items() if code not in {1, 13}} == {}
    assert (
        subprocess.run(["ip", "rule"], capture_output=True, text=True, check=True).stdout == rules
    )
    assert {role: daemon.role(role) for role in roles} == roles


@pytest.fixture
def passwd(daemon: Daemon) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Return a list of users that the daemon alone has, and what to start it by."""
    path = daemon.root / "passwd"
    path.write_text(Path("/etc/passwd").read_text() + "netevd-gone:x:4242:4242::/:/bin/sh\n")
    path.chmod(0o644)
    words = 'mount --bind "$0" /etc/passwd; exec "$@"'
    yield path, ("unshare", "--mount", "--propagation", "private", "sh", "-c", words, str(path))


@needs_root
def test_user_that_is_deleted_later(daemon: Daemon, passwd: tuple[Path, tuple[str, ...]]) -> None:
    """Names are looked up when a configuration is read (68): what is in force goes on by number, the next is refused."""
    list_, prefix = passwd
    path = daemon.script("link-added", "#!/bin/sh\nid -u > DIRECTORY/uid\n")
    daemon.configure(rules=[{"path": str(path), "user": "netevd-gone"}])
    daemon.start(prefix=prefix)
    list_.write_text(Path("/etc/passwd").read_text())
    ip("link add name eth0 type veth peer name p0")
    told = daemon.scripts / "data" / "uid"
    wait_for(lambda: (told.exists() and told.read_text()) or None, "the run")
    assert told.read_text() == "4242\n"

    assert daemon.process is not None
    daemon.process.send_signal(1)
    daemon.expect(lambda each: "netevd-gone" in each["message"] and each["level"] == "error")
    daemon.expect(lambda each: "stays in force" in each["message"])


@needs_root
def test_directory_that_another_is_mounted_over(root: Path, directory: Path) -> None:
    """Where somebody else's file system is mounted (69), its owners count, not those of what is below it."""
    write_script(directory, "10-good", "#!/bin/sh\n")
    program = (
        "import os, shutil, sys; from privsep.scripts import Table\n"
        "root = sys.argv[1]; table = Table([root], ['routable'], frozenset({0})); table.scan()\n"
        "print(table.entries[0].runnable)\n"
        "os.system(f'mount -t tmpfs -o mode=755,uid=65534 none {root}/routable.d')\n"
        "shutil.copy('/bin/true', f'{root}/routable.d/10-good'); print(*table.find_fault(1)); table.scan()\n"
        "print(table.entries[0].runnable)\n"
    )
    told = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", program, str(root)],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip

    assert told[0] == "True"
    assert f"belongs to uid {NOBODY}" in told[1]
    assert told[2] == "False"
