"""Settings of tunnels' routes and endpoints: what they may be, and what can't be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from netevd.config.load import Loaded, load
from netevd.config.reversepath import find_strict, write_setting
from netevd.config.routing import find_tunnel_doubts
from netevd.config.schema import Configuration, Patterns, Policy, Routing

KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


def read(tmp_path: Path, text: str) -> Loaded | list[str]:
    """Return what a section wireguard says, or its problems."""
    path = tmp_path / "netevd.yaml"
    path.write_text("wireguard:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    loaded = load(str(path), {})
    return loaded if isinstance(loaded, Loaded) else [str(each) for each in loaded]


def test_nothing_is_written_or_looked_up_by_default(tmp_path: Path) -> None:
    loaded = read(tmp_path, "enabled: true")

    assert isinstance(loaded, Loaded)
    settings = loaded.configuration.wireguard
    assert (settings.routed, settings.manages, settings.followed) == (False, False, ())
    assert not loaded.configuration.needs_routes


def test_tables_marks_and_names_are_read(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        "routes: {mode: manage, table: 21905, metric: 50, fwmark: 0xCA6C, force: true}\n"
        "endpoint_reresolve: 30s\nnames_from: /etc/wireguard/*.conf\n"
        f'peers: [{{public_key: "{KEY}", endpoint: "VPN.Example.org:51820"}}]',
    )

    assert isinstance(loaded, Loaded)
    settings = loaded.configuration.wireguard
    assert (settings.routes.table_number, settings.routes.mark_number) == (21905, 0xCA6C)
    assert [each.endpoint for each in settings.followed] == ["vpn.example.org:51820"]
    assert settings.names_from == ("/etc/wireguard/*.conf",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("routes: {mode: manage, table: main}", "expected auto or 21901 to 21949, found 254"),
        ("routes: {mode: manage, table: 21900}", "found 21900"),
        ("routes: {mode: manage, table: 21950}", "found 21950"),
        ("routes: {mode: on}", "expected one of off, observe, manage"),
        ("routes: {fwmark: red}", "expected a number"),
        ("endpoint_reresolve: 30s", "needs wireguard.routes.mode: manage"),
        ("endpoint_reresolve: 100ms", "at least 1s"),
        ("names_from: wg0.conf", "absolute paths"),
        (
            f'peers: [{{public_key: "{KEY}", endpoint: "192.0.2.1:51820"}}]',
            "a host name and a port",
        ),
        (
            f'peers: [{{public_key: "{KEY}", endpoint: "[2001:db8::1]:51820"}}]',
            "a host name and a port",
        ),
        (
            f'peers: [{{public_key: "{KEY}", endpoint: "vpn.example.org"}}]',
            "a host name and a port",
        ),
        (f'peers: [{{public_key: "{KEY}", endpoint: "vpn.example.org:0"}}]', "from 1 to 65535"),
    ],
)
def test_what_the_helper_would_refuse_is_a_problem(tmp_path: Path, text: str, problem: str) -> None:
    found = read(tmp_path, text)

    assert isinstance(found, list), found
    assert len(found) == 1 and problem in found[0], found


def test_what_has_no_effect_is_a_doubt(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        "routes: {mode: observe, table: 200, force: true}\n"
        f'peers: [{{public_key: "{KEY}", endpoint: "vpn.example.org:51820"}}]',
    )

    assert isinstance(loaded, Loaded)
    doubts = [
        str(each) for each in find_tunnel_doubts(loaded.configuration.wireguard, loaded.places)
    ]
    assert len(doubts) == 2
    assert "force: has no effect with wireguard.routes.mode: observe" in doubts[0]
    assert "endpoint: has no effect" in doubts[1]


def test_links_with_a_strict_filter_are_found(tmp_path: Path) -> None:
    """The higher one of the link's own and of all; only links of policy routing; what is not there is passed over."""
    values = {
        "all": "0",
        "default": "1",
        "lo": "1",
        "eth0": "1",
        "eth1": "2",
        "eth2": "0",
        "docker0": "1",
        "eth9": "1",
    }
    for name, value in values.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "rp_filter").write_text(f"{value}\n")
    (tmp_path / "eth4").mkdir()
    routing = Routing(Policy(enabled=True, interfaces=Patterns(("eth*", "!eth9"))))

    assert find_strict(Configuration(routing=routing), str(tmp_path)) == ["eth0"]
    (tmp_path / "all" / "rp_filter").write_text("1\n")
    assert find_strict(Configuration(routing=routing), str(tmp_path)) == ["eth0", "eth2", "eth4"]
    assert find_strict(Configuration(), str(tmp_path)) == []
    assert find_strict(Configuration(routing=routing), str(tmp_path / "none")) == []


def test_setting_of_a_vlan_is_found_by_sysctl() -> None:
    """A dot in a link's name would be one between keys: sysctl(8) takes a / for it."""
    assert write_setting("eth0") == "net.ipv4.conf.eth0.rp_filter"
    assert write_setting("eth0.100") == "net.ipv4.conf.eth0/100.rp_filter"
