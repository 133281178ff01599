"""`netevd record`, `replay` and `test event` on real links."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

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

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
SCRIPT = "#!/bin/sh\n"


class Recorder:
    """One `netevd record` that has written what there is, and goes on."""

    def __init__(self, file: Path, *options: str, prefix: tuple[str, ...] = ()) -> None:
        self.file = file
        self.process = subprocess.Popen(
            [*prefix, *NETEVD, "record", str(file), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline()
        assert "recording" in self.first, self.first + self.process.stderr.read()

    def wait_for(self, text: str, times: int) -> None:
        """Wait until a text is in the file this often."""
        wait_for(lambda: self.file.read_text().count(text) >= times or None, text)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """End it; return status, output and words."""
        self.process.send_signal(number)
        output, words = self.process.communicate(timeout=10)
        return self.process.returncode, output, words


@pytest.fixture
def record(namespace: None, place: Place) -> Iterator[Callable[..., Recorder]]:
    """Return a function that starts recorders in a namespace with eth0 and its peer p0."""
    ip(
        "link set lo up",
        "link add name eth0 index 101 type veth peer name p0 index 201",
        "link set eth0 addrgenmode none", "link set p0 addrgenmode none",
        "link set eth0 addrgenmode none", "link set p0 addrgenmode none",
        "link set p0 up", "link set eth0 up", "addr add 10.7.0.1/24 dev eth0",
        "route add default via 10.7.0.2",
    )  # fmt: skip
    made: list[Recorder] = []
    directory = place.path / "made"
    directory.mkdir()
    directory.chmod(0o777)

    def start(*options: str, **more: Any) -> Recorder:
        made.append(Recorder(directory / "made.jsonl", *options, **more))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.communicate()


def replay(
    file: Path, place: Place, *options: str, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Replay a file with the place's configuration."""
    return netevd("replay", str(file), "--config", str(place.config), *options, **more)


def table(output: str) -> list[list[str]]:
    """Return the cells of a printed table without its head and the times."""
    return [re.split(r"  +", line.strip())[1:] for line in output.splitlines()[1:]]


# --- record and replay ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [(), AS_NOBODY], ids=["root", "nobody"])
def test_whoever_records_has_it_all(
    record: Callable[..., Recorder], place: Place, prefix: tuple[str, ...]
) -> None:
    """Links, addresses and routes of the beginning, then what changes; no privilege is needed."""
    script = place.script(SCRIPT, event="no-carrier")
    recorder = record(prefix=prefix)
    ip("link set p0 down")
    recorder.wait_for('{"kind":"datagrams"', 1)
    recorder.wait_for('"part":"routes4","errno":0', 2)  # read again, since a link went down
    status, _, words = recorder.stop()

    assert status == 0
    assert re.search(
        r"made\.jsonl: \d+ messages?, \d+ dumps, 0 overruns in [\d.]+ s, \d+ bytes", words
    )
    result = replay(recorder.file, place)
    assert result.returncode == 0, result.stderr
    of_eth0 = [row[1:] for row in table(result.stdout) if row[1] == "eth0"]
    assert of_eth0 == [
        ["eth0", "carrier", "has carrier (at the start)"],
        ["eth0", "routable", "is routable (at the start)"],
        ["eth0", "no-carrier", "lost carrier"],
        ["eth0", "run", f"{script} as netevd-script"],
    ]
    assert "2 x " + str(script) in result.stderr  # p0 has lost its carrier too
    assert "not in the recording" not in result.stderr


def test_replay_tells_what_the_daemon_told(
    record: Callable[..., Recorder], place: Place, make_daemon: Callable[..., Daemon]
) -> None:
    """The same events in the same order for each link, silently lost routes included."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: eth0 p0 br0}")
    daemon.start()
    recorder = record()

    def expect(link: str, message: str) -> None:
        daemon.expect(lambda e: e.get("interface") == link and e["message"].startswith(message))

    ip("link set eth0 down")
    expect("eth0", "del default")
    recorder.wait_for('"part":"routes4","errno":0', 2)
    ip("link set eth0 up", "route add default via 10.7.0.2")
    expect("eth0", "new default")
    ip("link add name br0 index 50 type bridge", "link set br0 addrgenmode none")
    ip("link set br0 up", "link set eth0 master br0", "link set eth0 nomaster", "link del br0")
    ip("link del eth0")
    daemon.wait_event("p0", "link-removed")
    daemon.wait_event("eth0", "link-removed")
    assert daemon.stop() == 0
    recorder.stop()

    result = netevd("replay", str(recorder.file), "--config", str(daemon.config), "-j")

    assert result.returncode == 0, result.stderr
    events = [e for e in json.loads(result.stdout)["entries"] if e["kind"] == "event"]
    for name in ("eth0", "p0", "br0"):
        told = [
            (e["event"], e["message"]) for e in daemon.announced() if e.get("interface") == name
        ]
        found = [(e["type"], e["what"]) for e in events if e["interface"] == name]
        assert sorted(found) == sorted(told)
        # routes come over another socket, and those of one dump in the order of an earlier one
        routes = {"routes", "gateway-changed"}
        assert [e for e in found if e[0] not in routes] == [e for e in told if e[0] not in routes]
    assert "del default via 10.7.0.2 dev eth0 proto boot" in [e["what"] for e in events]


def test_ctrl_c_ends_a_recording_in_good_order(record: Callable[..., Recorder]) -> None:
    """It is the ordinary end: status 0, and the file says that it is whole."""
    recorder = record("--command", "nothing at all")
    status, output, _ = recorder.stop(signal.SIGINT)

    lines = [json.loads(line) for line in recorder.file.read_text().splitlines()]
    assert (status, output) == (0, "")
    assert lines[0]["format"] == "netevd-recording"
    assert lines[0]["version"] == 1
    assert lines[0]["commands"] == ["nothing at all"]
    assert lines[0]["kernel"].startswith("Linux ")
    assert lines[-1]["kind"] == "end"


def test_duration_ends_a_recording(namespace: None, place: Place) -> None:
    """After that time it ends by itself; as JSON it says what it has."""
    file = place.path / "made.jsonl"
    result = netevd("record", str(file), "--duration", "300ms", "-j")

    assert result.returncode == 0
    told = json.loads(result.stdout)
    assert told == {
        "file": str(file), "bytes": file.stat().st_size, "seconds": told["seconds"],
        "messages": 0, "dumps": 2, "overruns": 0,
    }  # fmt: skip
    assert told["seconds"] >= 0.3


@pytest.mark.parametrize("text", ["30", "soon", "0s"])
def test_duration_has_a_unit(text: str, place: Place) -> None:
    """It is written as durations in the configuration are; nothing is recorded otherwise."""
    result = netevd("record", str(place.path / "made"), "--duration", text)

    assert result.returncode == 2
    assert "--duration" in result.stderr
    assert not (place.path / "made").exists()


def test_no_file_is_overwritten_unasked(namespace: None, place: Place) -> None:
    """A file that is there stays as it is, unless --force is given."""
    file = place.path / "made.jsonl"
    file.write_text("precious")

    refused = netevd("record", str(file), "--duration", "1ms")
    kept = file.read_text()
    forced = netevd("record", str(file), "--duration", "1ms", "--force")

    assert refused.returncode == 1
    assert f"{file} exists; give another name, or --force" in refused.stderr
    assert kept == "precious"
    assert forced.returncode == 0
    assert "precious" not in file.read_text()


def test_place_that_takes_no_file(place: Place) -> None:
    """The error names the file and what the system says of it."""
    result = netevd("record", str(place.path / "none" / "made"), "--duration", "1ms")
    denied = netevd(
        "record", str(place.path / "made"), "--duration", "1ms", prefix=as_ordinary_user()
    )

    assert result.returncode == 1
    assert f"{place.path / 'none' / 'made'}: No such file or directory" in result.stderr
    if os.geteuid() == 0:
        assert denied.returncode == 5
        assert "Permission denied" in denied.stderr


def test_recording_of_events_alone(record: Callable[..., Recorder], place: Place) -> None:
    """Without dumps only what changes is in it, and a replay says what that means."""
    recorder = record("--no-dump")
    ip("link set p0 down")
    recorder.wait_for('{"kind":"datagrams"', 1)
    recorder.stop()

    assert "dump-" not in recorder.file.read_text()
    result = replay(recorder.file, place)
    assert "eth0       link-added" in result.stdout
    assert "2 dumps that the daemon would make here not in the recording" in result.stderr


def test_recorder_that_was_killed_leaves_what_it_had(
    record: Callable[..., Recorder], place: Place
) -> None:
    """Each line is in the file at once; that the end is missing is said."""
    recorder = record()
    ip("link set p0 down")
    recorder.wait_for('{"kind":"datagrams"', 1)
    recorder.stop(signal.SIGKILL)

    result = replay(recorder.file, place)

    assert result.returncode == 0
    assert "no-carrier" in result.stdout
    assert re.search(r"made\.jsonl:\d+: the recording has no line of kind end", result.stderr)


def test_overrun_is_recorded_and_told(record: Callable[..., Recorder], place: Place) -> None:
    """More than the kernel keeps while nobody reads: the loss is marked, what is so is read again."""
    place.configure("network: {links: eth0}")
    recorder = record()
    recorder.process.send_signal(signal.SIGSTOP)
    ip(*(f"link set p0 mtu {1400 - number % 2}" for number in range(12_000)))
    ip("link set eth0 mtu 1300")
    recorder.process.send_signal(signal.SIGCONT)
    recorder.wait_for('"part":"rules","errno":0', 2)
    status, _, words = recorder.stop()

    assert status == 0
    assert "1 overrun in" in words
    assert "messages were lost" in words
    result = replay(recorder.file, place, "-j")
    found = json.loads(result.stdout)
    assert found["summary"]["overruns"] == 1
    assert found["summary"]["dumps_missing"] == 0
    later = [each for each in found["entries"] if not each.get("initial")]
    assert [each.get("what") or each["message"] for each in later] == [
        "Kernel messages were lost: the receive buffer was full; reading all links again",
        "mtu 1300 (was 1500)",
        "All links were read again: the receive buffer was full",
    ]


# --- replay -----------------------------------------------------------------------------------------------


@pytest.fixture
def file(place: Place) -> Path:
    """Return a copy of a recorded situation."""
    made = place.path / "made.jsonl"
    made.write_bytes((RECORDINGS / "cable-pull.jsonl").read_bytes())
    return made


def test_replay_is_the_same_every_time(file: Path, place: Place) -> None:
    """The same recording, configuration and scripts give the same bytes."""
    place.script(SCRIPT, event="carrier")
    for output in ("table", "json"):
        first, second = (replay(file, place, "-o", output) for _ in range(2))

        assert first.returncode == 0, first.stderr
        assert first.stdout
        assert (first.stdout, first.stderr) == (second.stdout, second.stderr)


def test_formats_say_the_same(file: Path, place: Place) -> None:
    """JSON, its lines and YAML have the same entries; the lines end with the summary."""
    script = place.script(SCRIPT, event="no-carrier")
    whole = json.loads(replay(file, place, "-j").stdout)
    lines = [json.loads(line) for line in replay(file, place, "-o", "jsonl").stdout.splitlines()]
    yaml = YAML(typ="safe", pure=True).load(replay(file, place, "-o", "yaml").stdout)

    assert yaml == whole
    assert lines == [*whole["entries"], whole["summary"]]
    assert whole["count"] == len(whole["entries"]) == 6
    (run,) = [each for each in whole["entries"] if each["kind"] == "run"]
    began = next(each for each in whole["entries"] if each.get("type") == "no-carrier")
    assert run == {
        "kind": "run", "at": began["at"], "time": began["time"], "sequence": 3,
        "interface": "eth0", "run": 1, "script": str(script), "user": "netevd-script",
        "timeout_seconds": 30.0,
    }  # fmt: skip
    assert whole["summary"]["runs_by_script"] == {str(script): 1}
    assert whole["recording"]["commands"][0] == "ip -n switch link set port0 down"


def test_replay_says_where_it_would_post(file: Path, place: Place) -> None:
    """As a row, an entry and a number; nothing is looked up and nobody connected to."""
    place.configure(
        "filters: [{match: {event_type: no-carrier}, action: execute,"
        ' webhooks: [{url: "https://hooks.example.com/secret"}]}]'
    )

    words, whole = replay(file, place), json.loads(replay(file, place, "-j").stdout)

    (post,) = [each for each in whole["entries"] if each["kind"] == "post"]
    assert (post["sequence"], post["interface"]) == (3, "eth0")
    assert post["webhook"] == "https://hooks.example.com/..."
    assert whole["summary"]["posts"] == 1
    assert "to https://hooks.example.com/..." in words.stdout
    assert "1 post to webhooks" in words.stderr


def test_scripts_of_another_directory(file: Path, place: Place) -> None:
    """--scripts stands for scripts.directory; --script-duration moves what comes after."""
    place.configure("script_timeout: 10s")
    place.script(SCRIPT, event="off")
    other = place.path / "other"
    for kind in ("carrier", "no-carrier"):
        (other / f"{kind}.d").mkdir(parents=True)
        (other / f"{kind}.d" / "10-x").write_text(SCRIPT)
        (other / f"{kind}.d" / "10-x").chmod(0o777)  # the daemon would not have it

    result = replay(file, place, "--scripts", str(other), "--script-duration", "2s", "-j")

    assert result.returncode == 0, result.stderr
    runs = [each for each in json.loads(result.stdout)["entries"] if each["kind"] == "run"]
    directory = place.scripts
    assert [each["script"] for each in runs] == [
        f"{directory}/{kind}.d/10-x" for kind in ("carrier", "no-carrier", "carrier")
    ]
    assert [round(each["at"] - runs[0]["at"], 3) for each in runs] == [0.0, 2.0, 4.0]


def test_script_that_would_be_skipped_is_told(file: Path, place: Place) -> None:
    """Files are judged as by the daemon; the reason stands at the beginning."""
    path = place.script(SCRIPT, event="carrier")
    path.chmod(0o644)

    result = replay(file, place)

    assert f"Script {path} is skipped: it is not executable" in result.stdout.splitlines()[1]
    assert "0 runs" in result.stderr


def test_replay_without_privilege(file: Path, place: Place) -> None:
    """An ordinary user may replay; whom scripts were checked for is said."""
    script = place.script(SCRIPT, event="carrier")
    result = replay(file, place, prefix=as_ordinary_user())

    assert result.returncode == 0, result.stderr
    assert f"{script} as netevd-script" in result.stdout
    assert "scripts were checked for the caller" in result.stderr


def test_damaged_recordings_are_refused(file: Path, place: Place) -> None:
    """The error names file and line; a last line that is cut off is told and left out."""
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"kind":"datagrams"', b'"kind":"dtagrams"', 1))
    damaged = replay(file, place)
    file.write_bytes(whole.replace(b'"version":1', b'"version":7'))
    newer = replay(file, place)
    file.write_bytes(whole[:-200])
    cut = replay(file, place)
    missing = replay(place.path / "none", place)

    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert re.search(rf"^netevd: {file}:\d+: kind: expected one of datagrams,", damaged.stderr)
    assert newer.returncode == 1
    assert f"{file}:1: version: expected 1, which this netevd reads, found 7" in newer.stderr
    assert cut.returncode == 0
    assert re.search(rf"^netevd: {file}:\d+: the last line is cut off", cut.stderr)
    assert "no-carrier" in cut.stdout
    assert missing.returncode == 1
    assert f"{place.path / 'none'}: No such file or directory" in missing.stderr


def test_bad_configuration_is_refused(file: Path, place: Place) -> None:
    """Its problems are said as by validate, and nothing is replayed."""
    place.configure("script_timeout: 30")
    result = replay(file, place)

    assert (result.returncode, result.stdout) == (1, "")
    assert "script_timeout: the unit is missing" in result.stderr


# --- test event ---------------------------------------------------------------------------------------------


@pytest.fixture
def links(namespace: None) -> None:
    """Make eth0 with carrier and an address, and its peer p0."""
    ip(
        "link set lo up",
        "link add name eth0 index 101 type veth peer name p0 index 201",
        "link property add dev eth0 altname uplink",
        "link set eth0 addrgenmode none", "link set p0 addrgenmode none",
        "link set p0 up", "link set eth0 up", "addr add 10.7.0.1/24 dev eth0",
    )  # fmt: skip


def foresee(
    place: Place, kind: str, interface: str, *options: str, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Ask what an event would do."""
    words = ("test", "event", kind, "--interface", interface, "--config", str(place.config))
    return netevd(*words, *options, **more)


def test_event_says_what_would_run(links: None, place: Place) -> None:
    """Scripts in their order, as whom and how long; those that are skipped, and why. None runs."""
    told = place.scripts / "told"
    text = f"#!/bin/sh\ntouch {told}\n"
    second = place.script(text, name="20-second")
    first = place.script(text, name="10-first")
    third = place.script(text, name="30-third")
    third.chmod(0o644)
    place.script(text, event="carrier")
    rule = f"{{path: {second}, user: root, capabilities: [CAP_NET_ADMIN], timeout: 5s}}"
    place.configure(rules=f"[{rule}]")

    result = foresee(place, "routable", "eth0")

    assert result.returncode == 0, result.stderr
    rows = [re.split(r"  +", line) for line in result.stdout.splitlines()[1:]]
    assert rows == [
        [str(first), "run", "at once", "netevd-script", "30 s"],
        [str(second), "run", "at once", "root +CAP_NET_ADMIN", "5 s"],
        [str(third), "skipped", "-", "-", "-",
         f"it is not executable; mend it with: chmod +x {third}"],
    ]  # fmt: skip
    assert not told.exists()


def test_event_says_where_it_would_be_posted(links: None, place: Place) -> None:
    """With the time, debounce included; the address without what may be a secret."""
    place.configure(
        "filters: [{match: {event_type: routable}, action: execute,"
        ' webhooks: [{url: "https://hooks.example.com/secret"}]}]\n'
        "debounce: {enabled: true, window: 3s}"
    )

    words, told = foresee(place, "routable", "eth0"), foresee(place, "routable", "eth0", "-j")

    assert "would post to https://hooks.example.com/..., after 3 s" in words.stderr
    assert json.loads(told.stdout)["webhooks"] == [
        {"webhook": "https://hooks.example.com/...", "after_seconds": 3.0}
    ]
    assert "would post" not in foresee(place, "carrier", "eth0").stderr


def test_environment_is_what_the_script_would_get(links: None, place: Place) -> None:
    """The variables are those of `test script`; --verbose shows them."""
    script = place.script(SCRIPT, event="address-added")
    asked = json.loads(foresee(place, "address-added", "uplink", "-j").stdout)
    options = ("--interface", "eth0", "--event", "address-added", "--config", str(place.config))
    tried = json.loads(netevd("test", "script", str(script), *options, "-j").stdout)
    shown = foresee(place, "address-added", "eth0", "-v").stdout

    (entry,) = asked["scripts"]
    assert (entry["verdict"], entry["after_seconds"]) == ("run", 0.0)
    changing = {"NETEVD_TIME", "JSON"}
    assert {k: v for k, v in entry["environment"].items() if k not in changing} == {
        k: v for k, v in tried["environment"].items() if k not in changing
    }
    assert entry["environment"]["NETEVD_ADDRESS"] == "10.7.0.1"
    assert asked["event"]["interface"] == "eth0"
    assert f"{script}: NETEVD_ADDRESS=10.7.0.1" in shown.splitlines()


def test_rule_that_observe_mode_refuses(links: None, place: Place) -> None:
    """With --observe it is decided as by a daemon that can't change users."""
    script = place.script(SCRIPT)
    place.configure(rules=f"[{{path: {script}, user: root}}]")

    (entry,) = json.loads(foresee(place, "routable", "eth0", "--observe", "-j").stdout)["scripts"]

    assert entry["verdict"] == "refused"
    assert "observe mode" in entry["reason"]


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "yaml"])
def test_event_of_an_interface_that_is_not_watched(links: None, place: Place, output: str) -> None:
    """Nothing would run, and the reason is said."""
    place.script(SCRIPT)
    place.configure("network: {links: p0}")

    result = foresee(place, "routable", "eth0", "-o", output)

    assert result.returncode == 0
    assert "network.links does not match the interface" in result.stdout
    assert "skipped" in result.stdout


def test_event_without_scripts(links: None, place: Place) -> None:
    """Where scripts would have to stand is said."""
    result = foresee(place, "carrier", "eth0")

    assert (result.returncode, result.stdout) == (0, "")
    assert (
        f"no script in {place.scripts}/carrier.d, nor in /usr/lib/netevd/carrier.d" in result.stderr
    )


def test_words_that_are_not_known(links: None, place: Place) -> None:
    """The nearest and all that there are; exit 2 for a type, 4 for an interface."""
    kind = foresee(place, "routeable", "eth0")
    interface = foresee(place, "routable", "eht0")

    assert kind.returncode == 2
    assert "did you mean 'routable'? There are activated," in kind.stderr
    assert interface.returncode == 4
    assert (
        "there is no interface 'eht0'; did you mean 'eth0'? There are eth0, lo, p0"
        in interface.stderr
    )


def test_event_without_privilege(links: None, place: Place) -> None:
    """One dump needs none; files are checked for the caller then."""
    script = place.script(SCRIPT)
    result = foresee(place, "routable", "eth0", prefix=as_ordinary_user())

    assert result.returncode == 0, result.stderr
    assert str(script) in result.stdout
