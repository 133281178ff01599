"""The examples of docs/reference/commands.md, in their order, against one real daemon."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.rig import find_socket
from tests.processes.rig import Daemon, ip
from tests.unit.cli.rig import NETEVD, environment

PAGE = Path(__file__).parents[2] / "docs/reference/commands.md"
SCRIPTS = {
    "routable.d/10-vpn": '#!/bin/sh\necho "the tunnel of $LINK is up"\n',
    "routable.d/20-dns": "#!/bin/sh\n",
    "carrier.d/10-check": "#!/bin/sh\necho 'no licence' >&2\nexit 3\n",
}
ANY_CODE = {"doctor"}
"""Commands whose exit code is a matter of the machine."""


def _read_examples() -> list[tuple[str, list[str]]]:
    """Return command and output of each example; what stands below `$ echo $?` is output, too."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"(?:^    .*\n)+", PAGE.read_text("utf-8"), re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("    $ netevd "):
                found.append((line[6:], []))
            elif found and block.startswith("    $ netevd"):
                found[-1][1].append(line[4:])
    return found


EXAMPLES = [each for each in _read_examples() if not each[0].startswith("netevd routing ")]
"""Those of policy routing are of a machine that has some, see tests/processes/test_policy_routing.py."""


def _make_pattern(line: str) -> str:
    """Return what a line of an example stands for: any numbers, any column widths, `...` anything."""
    if line == "...":
        return r"(?:.*\n)*"
    pieces = []
    for word in line.strip().split():
        escaped = re.escape(word).replace(r"\.\.\.", ".*")
        pieces.append(re.sub(r"\d+", r"\\d+", escaped))
    return " *" + " +".join(pieces) + " *\n"


@pytest.fixture
def story(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon that watches one link with an address, a gateway and three scripts."""
    daemon = make_daemon("network: {links: eth0}\napi: {config_writes: true}\n")
    daemon.configure(
        pause_after=1,
        rules=[{"path": f"{daemon.scripts}/routable.d/10-vpn", "user": "root", "timeout": "60s"}],
    )
    for name, text in SCRIPTS.items():
        event, _, script = name.partition(".d/")
        daemon.script(event, text, script)
    daemon.script("routable", "#!/bin/sh\n", "30-notes").chmod(0o644)
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f", "ops"]
    subprocess.run(key, cwd=daemon.root, check=True)
    (daemon.root / "new.yaml").write_text(
        daemon.config.read_text() + "script_timeout: 10s\ndebounce: {enabled: true}\n"
    )
    quiet = daemon.config.read_text() + "system: {log_level: warn}\n"
    (daemon.root / "quiet.yaml").write_text(quiet)
    (daemon.root / "rust.yaml").write_text("# the uplink\nmonitoring:\n  interfaces: [eth0]\n")
    (daemon.root / "options").write_text("networkd_dispatcher_args=--run-startup-triggers\n")
    clock = daemon.root / "dispatcher/routable.d/50-clock"
    clock.parent.mkdir(mode=0o755, parents=True)
    clock.write_text("#!/bin/sh\nsystemctl try-restart chrony\n")
    clock.chmod(0o755)
    broker = daemon.root / "broker"
    (broker / "routable.d").mkdir(parents=True)
    (broker / "network-broker.toml").write_text('[Network]\nLinks = "eth0"\n')
    mail = broker / "routable.d/10-mail"
    mail.write_text('#!/bin/sh\n[ -z "$DNS" ] || /usr/local/bin/tell "$LINK"\n')
    mail.chmod(0o755)
    ip("link add eth0 index 101 type veth peer name peth0 index 102")
    ip("link set eth0 addrgenmode none", "link set peth0 addrgenmode none")
    ip("link set eth0 up", "link set peth0 up")
    ip("addr add 192.0.2.10/24 dev eth0", "route add default via 192.0.2.1")
    ip("rule add from 192.0.2.10 lookup 100 priority 100 protocol static")
    daemon.start()
    daemon.expect(lambda entry: "10-check" in entry["message"] and "code 3" in entry["message"])
    daemon.expect(lambda entry: "20-dns" in entry["message"] and "code 0" in entry["message"])
    return daemon


def _run(daemon: Daemon, words: str) -> tuple[int, str]:
    """Return exit code and output, with the story's paths in the place of the daemon's own."""
    etc = words.replace("/etc/netevd/netevd.yaml", str(daemon.config))
    arguments = shlex.split(etc.replace("/etc/netevd", str(daemon.scripts)))[1:]
    if arguments[:2] == ["show", "run"]:
        arguments[2] = _find_run(daemon, "10-vpn")
    if arguments[0] == "run":
        return _run_daemon(daemon, arguments)
    result = subprocess.run(
        [*NETEVD, "--socket", str(find_socket(daemon)), *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(NO_COLOR="1"), cwd=daemon.root, timeout=60, check=False,
    )  # fmt: skip
    return result.returncode, _rename(daemon, result.stdout)


def _find_run(daemon: Daemon, script: str) -> str:
    """Return the number of the run of a script."""
    runs = json.loads(_run(daemon, "netevd -j list runs")[1])["runs"]
    return next(str(each["run"]) for each in runs if each["script"].endswith(script))


def _run_daemon(daemon: Daemon, arguments: list[str]) -> tuple[int, str]:
    """Run a second daemon until it has told of scripts; what else it tells before that is open."""
    process = subprocess.Popen(
        [*NETEVD, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment(NO_COLOR="1"), cwd=daemon.root,
    )  # fmt: skip
    assert process.stderr is not None
    told = next((line for line in process.stderr if "is skipped" in line), "")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return process.returncode, _rename(daemon, told)


def _rename(daemon: Daemon, text: str) -> str:
    named = text.replace(str(daemon.config), "/etc/netevd/netevd.yaml")
    named = named.replace(str(daemon.scripts), "/etc/netevd")
    return named.replace(f"{daemon.root}/", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a rule names it")
def test_every_example_gives_what_the_page_shows(story: Daemon) -> None:
    """Each command of the page is run; but for numbers its output is what stands below it."""
    wrong = []
    for command, lines in EXAMPLES:
        expected, code = lines, 0
        if "$ echo $?" in lines:
            at = lines.index("$ echo $?")
            expected, code = lines[:at], int(lines[at + 1])
        status, told = _run(story, command)
        fits = re.fullmatch("".join(map(_make_pattern, expected)), told)
        if not fits or (status != code and command.split()[1] not in ANY_CODE):
            wrong.append(f"$ {command}\n{told}(exit code {status})\n")
    assert not wrong, "these gave something else than the page shows:\n" + "\n".join(wrong)
