"""`netevd migrate`: a configuration on standard output, everything that differs on standard error."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from tests.unit.cli.rig import as_ordinary_user, netevd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="scripts have to belong to root")


@pytest.fixture
def tree() -> Iterator[Path]:
    """Return a directory of root's that everybody may read."""
    path = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def add(root: Path, place: str, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    """Write a script below a root, its directory too; return its path."""
    path = root / place
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def read(text: str, tree: Path) -> Configuration:
    """Return what the printed text is as a configuration, without any notice."""
    path = tree / "printed.yaml"
    path.write_text(text)
    loaded = load(str(path), {})
    assert isinstance(loaded, Loaded), loaded
    assert not loaded.notices
    return loaded.configuration


def remarks(stderr: str, root: Path) -> list[str]:
    """Return the lines of standard error, without our name and without the root."""
    assert all(line.startswith("netevd: ") for line in stderr.splitlines())
    return [line.removeprefix("netevd: ").replace(f"{root}/", "") for line in stderr.splitlines()]


def list_runnable(text: str, tree: Path) -> set[str]:
    """Return the scripts that the daemon would run with what was printed, without the root."""
    path = tree / "printed.yaml"
    own = "" if "scripts:" in text else f"scripts: {{directory: {tree}/none}}\n"
    path.write_text(text + own)  # else those of this machine's own netevd count
    hooks = json.loads(netevd("list", "hooks", "--config", str(path), "-j").stdout)["hooks"]
    return {each["path"].removeprefix(f"{tree}/") for each in hooks if each["runnable"]}


def list_running(said: list[str]) -> set[str]:
    """Return the scripts of which it was said that they run."""
    return {line.partition(": ")[0] for line in said if ": runs " in line}


# --- Rust ------------------------------------------------------------------------------------------

RUST = """\
# my host
monitoring:
  # uplinks
  interfaces: [wan, "lan*"]
filters:
  # containers
  - match_rule: {interface_pattern: "docker*"}
    action: ignore
audit:
  # a quarter
  retention_days: 90
"""

RUST_TODAY = """\
# my host
network:
  # uplinks
  links: [wan, "lan*"]
filters:
  # containers
  - match: {interface_pattern: "docker*"}
    action: ignore
"""


def test_rust_configuration_is_printed_in_today_s_keys(tree: Path) -> None:
    """Comments stay, each key has its line on standard error, and nothing is written."""
    config = tree / "netevd.yaml"
    config.write_text(RUST)
    before = sorted(os.listdir(tree))

    result = netevd("migrate", "rust-netevd", str(config), str(tree))

    assert result.returncode == 0
    assert result.stdout == RUST_TODAY
    assert [line.partition(" of the Rust daemon")[0] for line in remarks(result.stderr, tree)] == [
        "netevd.yaml:4: monitoring.interfaces",
        "netevd.yaml:7: filters.match_rule",
        "netevd.yaml:11: audit.retention_days",
        "netevd.yaml: goes with what it was about: # a quarter",
    ]
    assert (config.read_text(), sorted(os.listdir(tree))) == (RUST, before)
    assert netevd("validate", "-j", str(config)).stdout.count('"notice"') == 3
    assert read(result.stdout, tree).network.links == ("wan", "lan*")


def test_rust_file_with_aliases_loses_its_comments_and_nothing_else(tree: Path) -> None:
    """What can't be changed line by line is written anew, and that is said."""
    config = tree / "netevd.yaml"
    config.write_text(
        "x: 1\nmonitoring: {interfaces: &all [a, b]}\nrouting:\n  policy_rules: *all # c\n"
    )
    broken = netevd("migrate", "rust-netevd", str(config), str(tree))
    config.write_text("monitoring: {interfaces: &all [a, b]}\nrouting:\n  policy_rules: *all # c\n")
    result = netevd("migrate", "rust-netevd", str(config), str(tree))

    assert broken.returncode == 1
    assert broken.stdout == ""
    assert "netevd.yaml:1:1: unknown key 'x'" in broken.stderr
    assert result.returncode == 0
    configuration = read(result.stdout, tree)
    assert configuration.network.links == configuration.routing.policy.interfaces == ("a", "b")
    assert "netevd.yaml: its comments can't be kept: " in result.stderr


def test_rust_keys_of_an_included_file_come_first(tree: Path) -> None:
    """One file is printed; another one that it includes has to be migrated before."""
    config, other = tree / "netevd.yaml", tree / "other.yaml"
    config.write_text("include: other.yaml\nmonitoring: {interfaces: [a]}\n")
    other.write_text("audit: {retention_days: 1}\n")
    refused = netevd("migrate", "rust-netevd", str(config), str(tree))
    other.write_text(netevd("migrate", "rust-netevd", str(other), str(tree)).stdout)
    result = netevd("migrate", "rust-netevd", str(config), str(tree))
    config.write_text(result.stdout)
    again = netevd("migrate", "rust-netevd", str(config), str(tree))

    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{other} has keys of the Rust daemon too" in refused.stderr
    assert result.stdout == again.stdout == "include: other.yaml\nnetwork:\n  links: [a]\n"
    assert remarks(again.stderr, tree) == ["netevd.yaml: has no key that is called otherwise today"]


def test_rust_scripts_are_looked_at(tree: Path) -> None:
    """Where each runs, what keeps it from that, what it needs and what it misses, by line."""
    config = tree / "netevd.yaml"
    config.write_text(f"scripts: {{directory: {tree}}}\n")
    add(
        tree,
        "routable.d/10-vpn",
        '#!/bin/sh\n# ip route add\necho $HOME "$JSON"\nip route add 10.0.0.0/8 dev $LINK\n',
    )
    add(tree, "routable.d/20-mode", mode=0o644)
    add(tree, "carrier.d/10-foreign")
    os.chown(tree / "carrier.d/10-foreign", 65534, 65534)
    add(tree, "missing.d/10-never")
    add(tree, "routable.d/30-left~")
    add(tree, "routable.d/40-mine", mode=0o750)
    add(tree, "dormant.d/10-a").parent.chmod(0o770)
    (tree / "off.d").mkdir(mode=0o755)
    (tree / "off.d/10-link").symlink_to(add(tree, "shared/plain"))

    result = netevd("migrate", "rust-netevd", str(config))

    assert result.returncode == 0
    vpn = tree / "routable.d/10-vpn"
    assert remarks(result.stderr, tree) == [
        "netevd.yaml: has no key that is called otherwise today",
        (
            "carrier.d: is looked into at other times: here on every carrier that comes, there when"
            " systemd-networkd's operational state was it"
        ),
        (
            "carrier.d/10-foreign: warning: is skipped: it belongs to uid 65534; mend it with: chown root"
            " carrier.d/10-foreign"
        ),
        (
            "dormant.d/10-a: warning: is skipped: netevd-script may not enter its directory dormant.d; mend it"
            " with: chmod o+x dormant.d"
        ),
        "missing.d: warning: is never looked into: 'missing' is no event type here; 1 script in it",
        "off.d/10-link: runs on off as netevd-script, there as netevd with CAP_NET_ADMIN",
        (
            "routable.d: is looked into at other times: there on every lease of dhclient too, also a renewed one;"
            " here that is lease.d"
        ),
        "routable.d/10-vpn: runs on routable as netevd-script, there as netevd with CAP_NET_ADMIN",
        "routable.d/10-vpn:4: warning: ip, which changes something, needs CAP_NET_ADMIN, which scripts don't"
        f' have; add to scripts.rules: {{path: "{vpn}", capabilities: [CAP_NET_ADMIN]}}'.replace(
            f"{tree}/", ""
        ),
        (
            "routable.d/10-vpn:3: variable JSON is another one here: its keys are those of the API,"
            " docs/reference/events.md"
        ),
        "routable.d/10-vpn:3: warning: variable HOME is not set here: the daemon's was handed on there",
        "routable.d/20-mode: warning: is skipped: it is not executable; mend it with: chmod +x routable.d/20-mode",
        (
            "routable.d/40-mine: warning: is skipped: netevd-script may not read and execute it; mend it with:"
            " chmod o+rx routable.d/40-mine"
        ),
    ]
    assert list_running(remarks(result.stderr, tree)) == list_runnable(result.stdout, tree)


def test_rust_variables_of_the_environment_are_told(tree: Path) -> None:
    """They would be stronger than what is printed, so they are no part of it."""
    config = tree / "netevd.yaml"
    config.write_text("api: {port: 9090}\n")

    result = netevd(
        "migrate", "rust-netevd", str(config), str(tree), env={"NETEVD_API_PORT": "8080"}
    )

    assert result.stdout == "api: {port: 9090}\n"
    assert "environment variable NETEVD_API_PORT: is set here" in result.stderr


# --- network-event-broker --------------------------------------------------------------------------

BROKER = """\
[System]
LogLevel = "warning"
LogFormat = "json"
# not ours
Colour = true
Generator = "dhclient"

[Network]
Links = "eth0 eth1"
RoutingPolicyRules = "eth1"
EmitJSON = true
UseDNS = "true"
"""


def test_broker_configuration_and_scripts(tree: Path) -> None:
    """TOML becomes YAML that names its lines; scripts run where they stand."""
    (tree / "network-broker.toml").write_text(BROKER)
    add(tree, "routable.d/10-a", '#!/bin/sh\n[ "$OperationalState" = routable ] && echo ${DNS}\n')
    add(tree, "online.d/10-b")

    result = netevd("migrate", "network-event-broker", str(tree))

    assert result.returncode == 0
    assert result.stdout == (
        "# Made by netevd migrate network-event-broker.\n"
        "system:\n"
        "  log_level: warn  # network-broker.toml:2\n"
        "  log_format: json  # network-broker.toml:3\n"
        "  backend: dhclient  # network-broker.toml:6\n"
        "network:\n"
        "  links: [eth0, eth1]  # network-broker.toml:9\n"
        "  emit_json: true  # network-broker.toml:11\n"
        "  use_dns: true  # network-broker.toml:12\n"
        "routing:\n"
        "  policy:\n"
        "    enabled: true  # network-broker.toml:10\n"
        "    interfaces: [eth1]  # network-broker.toml:10\n"
        "    primary: include\n"
        "scripts:\n"
        f"  directory: {tree}\n"
    )
    configuration = read(result.stdout, tree)
    assert configuration.routing.policy.interfaces == ("eth1",)
    said = remarks(result.stderr, tree)
    for line in (
        "network-broker.toml:2: LogLevel warning is warn here",
        "network-broker.toml:5: warning: unknown key System.Colour is left out",
        "network-broker.toml:12: UseDNS: here it is for links of which no manager tells systemd-resolved",
        "online.d: warning: is never looked into: 'online' is no event type here; 1 script in it",
        (
            "routable.d/10-a: runs on routable as netevd-script, there as network-broker with CAP_NET_ADMIN and"
            " CAP_SYS_ADMIN"
        ),
        (
            "routable.d/10-a:2: warning: variable OperationalState is not set here: the directory's word is in"
            " STATE, the others are in JSON"
        ),
        "routable.d/10-a:2: warning: variable DNS is not set here: use DHCP_DNS",
    ):
        assert line in said
    assert list_running(said) == list_runnable(result.stdout, tree) == {"routable.d/10-a"}


def test_broker_file_that_is_no_toml(tree: Path) -> None:
    """What can't be read is said with its line, and nothing is printed."""
    path = tree / "network-broker.toml"
    path.write_text("[System\n")

    result = netevd("migrate", "network-event-broker", str(path))

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"netevd: {path}: not TOML: ")
    assert "line 1" in result.stderr


# --- all -------------------------------------------------------------------------------------------


def test_as_json_text_and_remarks_are_one_object(tree: Path) -> None:
    """For programs: the text as it would be printed, and each remark with file and line."""
    config = tree / "netevd.yaml"
    config.write_text(RUST)

    result = netevd("migrate", "rust-netevd", str(config), str(tree), "-o", "json")

    shape = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (0, "")
    assert shape["configuration"] == RUST_TODAY
    assert shape["count"] == len(shape["remarks"]) == 4
    assert shape["remarks"][0]["line"] == 4
    assert shape["remarks"][0]["severity"] == "note"


def test_an_ordinary_user_may_ask(tree: Path) -> None:
    """Nothing of it needs root; what can't be read is said."""
    config = tree / "netevd.yaml"
    config.write_text(RUST)
    add(tree, "routable.d/10-closed", mode=0o700)

    result = netevd("migrate", "rust-netevd", str(config), str(tree), prefix=as_ordinary_user())

    assert result.stdout == RUST_TODAY
    assert (
        "routable.d/10-closed: warning: it is empty, or can't be read by who asks" in result.stderr
    )


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["rust-netevd", "/dev/null", "/etc/hostname"], 2, "One configuration at a time, not 2."),
        (["rust-netevd", "/", "/usr"], 2, "One directory of script directories at a time, not 2."),
        (["network-event-broker", "/nonexistent"], 2, "does not exist"),
    ],
)
def test_what_can_t_be_asked(words: list[str], status: int, text: str) -> None:
    """Two configurations at a time are none."""
    result = netevd("migrate", *words)

    assert (result.returncode, result.stdout) == (status, "")
    assert text in result.stderr


# --- networkd-dispatcher ---------------------------------------------------------------------------

OPTIONS = """\
# Options of the daemon
networkd_dispatcher_args="--run-startup-triggers -v --script-dir ETC:LIB"
"""


def test_dispatcher_trees_and_options(tree: Path) -> None:
    """Its trees run as they are: the same files win, and what did not run there does not run here."""
    etc, lib = tree / "etc", tree / "lib"
    add(etc, "routable.d/10-a", "#!/bin/sh\nnft -f /etc/rules\n")
    add(lib, "routable.d/10-a")
    add(etc, "routable.d/20-b", mode=0o700)
    add(lib, "routable.d/20-b")
    add(lib, "missing.d/10-c")
    add(lib, "online.d/10-d")
    options = tree / "options"
    options.write_text(OPTIONS.replace("ETC", str(etc)).replace("LIB", str(lib)))

    result = netevd("migrate", "networkd-dispatcher", str(options))

    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "# Made by netevd migrate networkd-dispatcher.\n"
        "compat:\n"
        "  networkd_dispatcher:\n"
        "    enabled: true\n"
        f"    roots: [{etc}, {lib}]\n"
    )
    tree_settings = read(result.stdout, tree).compat.networkd_dispatcher
    assert (tree_settings.enabled, tree_settings.roots) == (True, (str(etc), str(lib)))
    said = remarks(result.stderr, tree)
    for line in (
        "options:2: -v is left out: system.log_level is for that here",
        "options: states at the start run scripts here too (scripts.initial)",
        "etc/routable.d/10-a: runs when the operational state becomes routable, as netevd-script; there as root",
        (
            "etc/routable.d/10-a:2: warning: nft needs CAP_NET_ADMIN, which scripts don't have; all scripts of the"
            " tree have it with compat.networkd_dispatcher: {capabilities: [CAP_NET_ADMIN]}"
        ),
        "lib/routable.d/10-a: does not run, there neither: etc/routable.d/10-a comes before it",
        (
            "etc/routable.d/20-b: does not run, there neither: it has mode 0700, uid 0, gid 0, where 0755, root and"
            " root is asked for"
        ),
        "lib/routable.d/20-b: runs when the operational state becomes routable, as netevd-script; there as root",
        "lib/missing.d/10-c: warning: never runs: no link has the state missing here; one that goes is linger",
        "lib/online.d: is no state of it, so its scripts ran never, and don't here",
    ):
        assert line in said, said
    never = {"lib/missing.d/10-c"}  # it may be run, and no event is of this state
    assert list_running(said) | never == list_runnable(result.stdout, tree)


def test_dispatcher_without_startup_triggers(tree: Path) -> None:
    """Where it did not replay the states at its start, nothing does."""
    (tree / "etc").mkdir(mode=0o755)
    result = netevd("migrate", "networkd-dispatcher", str(tree / "etc"))
    options = tree / "options"
    options.write_text("networkd_dispatcher_args='-S'\nFOO=1\n")
    odd = netevd("migrate", "networkd-dispatcher", str(options), str(tree / "etc"))

    assert result.returncode == 0, result.stderr
    assert not read(result.stdout, tree).scripts.initial
    assert "options:1: warning: -S has no value and is left out" in remarks(odd.stderr, tree)
    assert (
        "options:2: warning: is no assignment of networkd_dispatcher_args and left out"
        in remarks(odd.stderr, tree)
    )
