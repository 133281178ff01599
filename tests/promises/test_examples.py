"""Each example is whole: scripts for event types that exist, rules for them, a README, its place in the docs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from netevd.model.event import EventType
from privsep.variables import VARIABLES

TOP = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted(
    path for path in (TOP / "examples").iterdir() if path.name not in {"quickstart", "compat"}
)
SETTINGS = {
    "wifi-wired-failover": "",
    "ddns": "WATCH=eth0 NAME=host.example.org SERVER=192.0.2.53 MEMORY=.",
    "nft-reload": "",
    "chrony": "",
    "notify": "MAIL_TO=ops@example.org",
    "vpn-routes": "WATCH=eth0 ROUTES=10.0.0.0/8",
    "mtu-fix": "MTUS=eth0=1400",
    "restart-service": "SERVICES=nginx.service",
    "mount-wake": "MOUNTS=/srv/data SERVER=192.0.2.20",
    "tell-container": "CONTAINERS=proxy",
}
"""What must be set for an example to do anything for a link eth0 that is routable with 192.0.2.1."""
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)


def scripts(example: Path) -> list[Path]:
    """Return the scripts of an example, links included."""
    return sorted(example.glob("*.d/*"))


def run(
    example: Path, script: Path, directory: Path, settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a script where no program is installed, as if `directory` were /etc/netevd."""
    (directory / f"{example.name}.conf").write_text(settings.replace(" ", "\n") + "\n")
    variables = {
        "LINK": "eth0", "LINKINDEX": "2", "STATE": "routable", "EVENT": "routable", "JSON": "{}",
        "ADDRESSES": "203.0.113.7", "NETEVD_ADDRESS": "203.0.113.7", "NETEVD_TIME": "now",
        "NETEVD_SCRIPT_PATH": f"{directory}/{script.parent.name}/{script.name}", "PATH": "/nowhere",
    }  # fmt: skip
    return subprocess.run(
        ["/bin/sh", str(script)], env=variables, cwd=directory,
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


@every_example
def test_scripts_belong_to_event_types_and_say_what_they_are(example: Path) -> None:
    """Each is executable, portable, strict, and begins by saying when it runs and what to edit."""
    assert scripts(example)
    for script in scripts(example):
        assert script.parent.name.removesuffix(".d") in {kind.value for kind in EventType}
        assert script.stat().st_mode & 0o111
        assert script.resolve().parent.parent == example
        head = script.read_text(encoding="utf-8").split("set -eu", 1)[0]
        assert head.startswith("#!/bin/sh\n# ")
        assert "\n# When: " in head
        assert "\n# Edit: the setting" in head
        assert f" {example.name}.conf in the directory above" in head.replace("\n# ", " ")
        assert all(line.startswith("#") or not line for line in head.splitlines())


@every_example
def test_scripts_use_variables_that_exist(example: Path) -> None:
    """Whatever begins with NETEVD_ is in the reference."""
    for script in scripts(example):
        text = script.read_text(encoding="utf-8")
        known = {*VARIABLES, "NETEVD_SCRIPT_PATH"}
        assert set(re.findall(r"NETEVD_[A-Z0-9_]+", text)) <= known
        assert "sudo" not in text


@every_example
def test_rules_are_for_the_scripts_that_are_there(example: Path) -> None:
    """There is one rule for each script, under the path that it has after installing."""
    rules = YAML(typ="safe").load(example / "netevd.yaml")["scripts"]["rules"]
    there = [f"/etc/netevd/{path.parent.name}/{path.name}" for path in scripts(example)]

    assert sorted(rule["path"] for rule in rules) == there
    assert all("timeout" in rule for rule in rules)


@every_example
def test_readme_is_short_and_its_commands_fit(example: Path) -> None:
    """At most 40 lines; it installs this example in three commands and tests one of its scripts."""
    text = (example / "README.md").read_text(encoding="utf-8")
    name = example.name
    needs, install = text.split("\n## Needs\n")[1].split("\n## Install\n")
    install, test = install.split("\n## Test\n")
    (tested,) = re.findall(r"^    netevd test script /etc/netevd/(\S+)", test, re.MULTILINE)

    assert len(text.splitlines()) <= 40
    assert needs.strip()
    assert re.findall(r"^    (.*)$", install, re.MULTILINE) == [
        f"cp -r examples/{name}/*.d /etc/netevd/",
        f"install -D -m 0640 -g netevd examples/{name}/netevd.yaml /etc/netevd/conf.d/{name}.yaml",
        "netevd validate --strict",
    ]
    assert example / tested in scripts(example)
    event = re.search(r"--event (\S+)", test)
    assert tested.split(".d/")[0] == (event[1] if event else "routable")


def test_the_page_names_each_example_and_its_event_types() -> None:
    """docs/examples.md has a row for each folder, with its event types, and README leads to it."""
    page = (TOP / "docs/examples.md").read_text(encoding="utf-8")
    rows = {}
    for row in page.splitlines():
        if link := re.search(r"\[(.*)\]\(\.\./examples/\1/README\.md\) \|$", row):
            rows[link[1]] = set(re.findall(r"`(.*?)`", row.split("|")[2]))

    assert rows == {
        each.name: {path.parent.name.removesuffix(".d") for path in scripts(each)}
        for each in EXAMPLES
    }
    assert len(rows) == 10
    assert "(docs/examples.md)" in (TOP / "README.md").read_text(encoding="utf-8")
    assert set(SETTINGS) == set(rows)


@every_example
def test_missing_programs_are_named(example: Path, tmp_path: Path) -> None:
    """Without the programs that it needs a script exits with 69 and says which to install."""
    script = next(path for path in scripts(example) if not path.is_symlink())

    result = run(example, script, tmp_path, SETTINGS[example.name])

    assert result.returncode == 69, result.stderr
    assert re.fullmatch(r"\S+ is missing; .*\n", result.stderr)


@pytest.mark.parametrize("name", [name for name, needed in SETTINGS.items() if needed])
def test_missing_settings_are_named(name: str, tmp_path: Path) -> None:
    """Without settings that must be given a script exits with 78 and says which, and where."""
    example = TOP / "examples" / name
    script = next(path for path in scripts(example) if not path.is_symlink())

    result = run(example, script, tmp_path, "WATCH=eth0" if name == "vpn-routes" else "")

    assert result.returncode == 78, result.stderr
    assert f"must be set, in {tmp_path}/{name}.conf" in result.stderr
