"""A configuration of the Rust daemon is accepted: each key once, where it is read now, what differs."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netevd.cli.migrations.rust import migrate
from netevd.config.legacy import VARIABLES
from netevd.config.load import Loaded, load
from netevd.config.schema import (
    Api,
    AuditLog,
    Configuration,
    Filter,
    Match,
    MetricsSettings,
    Network,
    Origin,
    Policy,
    Routing,
    System,
)
from netevd.config.tree import Unreadable
from tests.unit.config.rust import CONFIGURATIONS

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a configuration and returns its path."""

    def write_file(text: str) -> str:
        path = tmp_path / "netevd.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write_file


def accept(path: str, environment: dict[str, str] | None = None) -> Loaded:
    """Return what a file is as a configuration, filters without their places."""
    loaded = load(path, environment or {})
    assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
    filters = tuple(attrs.evolve(each, origin=Origin()) for each in loaded.configuration.filters)
    return attrs.evolve(loaded, configuration=attrs.evolve(loaded.configuration, filters=filters))


def list_notices(loaded: Loaded) -> list[str]:
    """Return the notices, with the file's name alone."""
    return [
        str(each).replace(f"{os.path.dirname(each.place.file)}/", "") for each in loaded.notices
    ]


def list_problems(path: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong with a file, with the file's name alone."""
    loaded = load(path, environment or {})
    assert not isinstance(loaded, Loaded)
    return [str(each).replace(os.path.dirname(path) + "/", "") for each in loaded]


def test_every_key_is_read_as_that_of_today(write: Write) -> None:
    """All that is only called otherwise, and all that is left out, become one configuration."""
    loaded = accept(
        write(
            """
            monitoring:
              interfaces: [eth0, eth1]
            routing:
              policy_rules: [eth1]
            backends:
              systemd_networkd: {emit_json: false}
              networkmanager: {}
            api:
              port: 8080
              tls: {enabled: false, cert_file: /etc/a, key_file: /etc/b}
            metrics: {enabled: true, port: 9091, endpoint: /m}
            audit: {enabled: true, path: /var/log/netevd/audit.log, retention_days: 90, log_path: x}
            """
        )
    )

    assert loaded.configuration == Configuration(
        network=Network(("eth0", "eth1"), emit_json=False),
        routing=Routing(Policy(True, ("eth1",), primary="include")),
        api=Api(port=8080),
        metrics=MetricsSettings(port=9091),
        audit=AuditLog(enabled=True, path="/var/log/netevd/audit.log"),
    )
    beginnings = [
        "3:3: monitoring.interfaces of the Rust daemon is read as network.links; there every",
        "5:3: routing.policy_rules of the Rust daemon is read as routing.policy.interfaces; with",
        "7:22: backends.systemd_networkd.emit_json of the Rust daemon is read as network.emit_json",
        "8:3: backends.networkmanager of the Rust daemon is left out: there it held nothing",
        "11:9: api.tls.enabled of the Rust daemon is left out: there nothing was ever served",
        "12:38: metrics.endpoint of the Rust daemon is left out: there it was never read",
        "13:57: audit.retention_days of the Rust daemon is left out: there nothing was ever removed",
        "13:77: audit.log_path of the Rust daemon is left out: there it was never read",
    ]
    notices = list_notices(loaded)
    assert len(notices) == len(beginnings)
    for notice, beginning in zip(notices, beginnings, strict=True):
        assert notice.startswith(f"netevd.yaml:{beginning}"), notice


EXAMPLE = Path(__file__).parents[2] / "data/rust-netevd.yaml"


def test_an_example_with_every_key_is_accepted() -> None:
    """A whole file of that daemon is exactly this one of today's."""
    loaded = accept(str(EXAMPLE))

    assert loaded.configuration == Configuration(
        system=System(("systemd-networkd",), log_level="debug"),
        network=Network(("enp1s0", "enp2s0"), use_dns=True),
        routing=Routing(Policy(True, ("enp2s0",), primary="include")),
        filters=(
            Filter(
                "execute",
                Match(None, "enp*", ("routable",), "ipv4", "systemd-networkd"),
                ("/etc/netevd/routable.d/10-tell",),
            ),
            Filter("ignore", Match(interface_pattern="docker*")),
            Filter("execute", Match("wg0", condition="has_gateway && dns_count > 0")),
        ),
        audit=AuditLog(True, "/var/log/netevd/audit.log"),
        metrics=MetricsSettings(port=9091),
    )
    assert [each.place.line for each in loaded.notices] == [
        9, 15, 20, 22, 23, 24, 25, 32, 44, 48, 54, 58, 63, 65, 69,
    ]  # fmt: skip


def test_settings_are_where_they_are_written(write: Write) -> None:
    """Later messages about a setting name the line in which the user has it."""
    loaded = accept(write("monitoring:\n  interfaces: [a, b]\nrouting: {policy_rules: [b]}\n"))

    place = loaded.places["network", "links"]
    assert (place.line, place.column) == (2, 15)
    assert loaded.places["network", "links", "1"].column == 19
    assert loaded.places["routing",].line == 3
    assert loaded.places["routing", "policy", "enabled"].line == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("monitoring: {interfaces: [eth0]}\nnetwork: {links: eth0}",
         [("1:14: monitoring.interfaces says the same as network.links at netevd.yaml:2:11;"
          " delete monitoring.interfaces")]),
        ("routing: {policy_rules: [a], policy: {interfaces: b}}",
         [("1:11: routing.policy_rules says the same as routing.policy.interfaces at"
          " netevd.yaml:1:39; delete routing.policy_rules")]),
        ("filters: [{match_rule: {}, match: {}, action: ignore}]",
         [("1:12: filters.match_rule says the same as filters.match at netevd.yaml:1:28; delete"
          " filters.match_rule")]),
        ("monitoring: {interfaces: {a: b}}",
         ["1:26: monitoring.interfaces: expected interface names or globs, found a mapping"]),
        ("monitoring: eth0", ["1:13: monitoring: expected keys and values, found 'eth0'"]),
        ("monitoring: {interface: [a]}",
         ["1:14: unknown key 'interface' below monitoring; expected interfaces"]),
        ("backends: {dhclient: {leases: x}, wicked: {}}",
         ["1:23: unknown key 'leases'; did you mean 'lease_files'?",
          "1:35: unknown key 'wicked'; expected dhclient"]),
        ("backends: {systemd_networkd: {emit_json: 3}}",
         ["1:42: backends.systemd_networkd.emit_json: expected true or false, found '3'"]),
        ("api: {tls: {enabled: true}}",
         ["1:13: enabled: TLS needs cert_file and key_file, and here nothing is served without it then"]),
        ("api: {tls: {enabled: [1]}}", ["1:22: enabled: expected true or false, found a list"]),
        ("filters: [{match_rule: [a], action: ignore}]",
         ["1:24: filters.match_rule: expected keys and values, found a list"]),
        ("filters: [{match_rule: {interface: a}}]", ["1:11: action is missing"]),
        ("filters: [{match_rule: {interfaces: a}, action: ignore}]",
         [("1:25: unknown key 'interfaces'; did you mean 'interface'?")]),
        ("network: eth0\nmonitoring: {interfaces: [a]}",
         ["1:10: network: expected keys and values, found 'eth0'"]),
    ],
)  # fmt: skip
def test_problems_name_what_the_user_wrote(write: Write, text: str, expected: list[str]) -> None:
    """What is wrong is told at its place, and of two keys that mean the same one has to go."""
    assert list_problems(write(text)) == [f"netevd.yaml:{each}" for each in expected]


FILTER = """
filters:
  - match_rule: {MATCH}
    action: ACTION
"""


@pytest.mark.parametrize(
    ("match", "action", "expected", "notice"),
    [
        ("{interface: eth0, event_type: routable, ip_family: ipv4, backend: dhclient}", "execute",
         Filter("execute", Match("eth0", None, ("routable",), "ipv4", "dhclient")), None),
        ('{interface_pattern: "docker*"}', "ignore",
         Filter("ignore", Match(interface_pattern="docker*")), None),
        ('{interface_pattern: "a?[0]*"}', "ignore",
         Filter("ignore", Match(interface_pattern="a[?][[]0]*")),
         "interface_pattern 'a?[0]*' is 'a[?][[]0]*' here: only * was special there"),
        ("{ip_family: any, interface: a}", "ignore", Filter("ignore", Match("a")),
         "ip_family any is left out: it is what no ip_family says"),
        ('{condition: "has_gateway && dns_count > 0"}', "execute",
         Filter("execute", Match(condition="has_gateway && dns_count > 0")),
         "condition: has_gateway was the state routable there, here it is a default route with gateway"),
        ("""{condition: 'interface = "a" || interface=="b"'}""", "ignore",
         Filter("ignore", Match(condition='interface == "a" || interface=="b"')),
         "condition: = is == here"),
        ('{condition: "mtu > 1500"}', "ignore", Filter("ignore", Match(condition="mtu > 1500")),
         "condition: there it was not understood and never true, here it is an expression of CEL"),
        ('{condition: "has_gateway and so on"}', "ignore", None,
         ("this filter of the Rust daemon is left out: condition 'has_gateway and so on' was not understood"
         " there, so it never matched")),
        ('{condition: ""}', "ignore", None,
         ("this filter of the Rust daemon is left out: condition '' was not understood there, so it"
         " never matched")),
        ("{event_type: missing}", "ignore", None,
         ("this filter of the Rust daemon is left out: event_type 'missing' is no event, there it never was"
         " one either")),
        ("{event_type: routable}", "log", None,
         ("this filter of the Rust daemon is left out: action log went on to the next filter there, and every"
         " event is logged here anyway; for one whose scripts do not run write match and action: log")),
        ("", "ignore", Filter("ignore"), None),
    ],
)  # fmt: skip
def test_filter_does_what_it_did(
    write: Write, match: str, action: str, expected: Filter | None, notice: str | None
) -> None:
    """Words of a filter that mean something else here are exchanged, or the filter did nothing there."""
    text = FILTER.replace("{MATCH}", match).replace("ACTION", action)
    loaded = accept(write(text))

    assert loaded.configuration.filters == (() if expected is None else (expected,))
    texts = [each.message for each in loaded.notices]
    if expected is not None:
        assert texts.pop(0).startswith(
            "filters.match_rule of the Rust daemon is read as filters.match;"
        )
    assert texts == ([] if notice is None else [notice])


def test_filters_keep_their_order_and_those_of_today_stay(write: Write) -> None:
    """One that is left out takes no other with it; what is written as today is not touched."""
    loaded = accept(
        write(
            """
            filters:
              - {match_rule: {event_type: a}, action: ignore}
              - {match: {interface: b}, action: log}
              - {match_rule: {}, action: log}
              - {match_rule: {interface: c}, action: ignore}
            """
        )
    )

    assert [(each.match.interface, each.action) for each in loaded.configuration.filters] == [
        ("b", "log"),
        ("c", "ignore"),
    ]


@pytest.mark.parametrize(
    ("given", "action", "expected", "notice"),
    [
        ("[/etc/netevd/routable.d/a]", "execute", ("/etc/netevd/routable.d/a",),
         "scripts: there it was never read and the whole directory ran; here only these run"),
        ("[/opt/a]", "execute", None,
         ("scripts is left out: /opt/a is never run: scripts stand in /etc/netevd/TYPE.d and"
         " /usr/lib/netevd/TYPE.d, so the scripts of the event's directory run, as there")),
        ("[]", "execute", None, "scripts is left out: it names none"),
        ("[/opt/a]", "ignore", None, "scripts is left out: none run anyway"),
    ],
)  # fmt: skip
def test_scripts_of_a_filter(
    write: Write, given: str, action: str, expected: tuple[str, ...] | None, notice: str
) -> None:
    """They were never read there; here they are, where they can be."""
    loaded = accept(write(f"filters: [{{match_rule: {{}}, action: {action}, scripts: {given}}}]"))

    assert loaded.configuration.filters[0].scripts == expected
    assert [each.message for each in loaded.notices][1:] == [notice]


def test_variables_are_stronger_than_the_file(write: Write) -> None:
    """As there; an empty one is none, and what they say is checked like any setting."""
    path = write("system: {log_level: warn}\nmetrics: {enabled: true}\n")
    environment = {
        "NETEVD_LOG_LEVEL": "debug",
        "NETEVD_BACKEND": "kernel",
        "NETEVD_API_ENABLED": "false",
        "NETEVD_API_BIND_ADDRESS": "::1",
        "NETEVD_API_PORT": "8080",
        "NETEVD_METRICS_ENABLED": "",
        "NETEVD_AUDIT_ENABLED": "true",
    }
    assert set(environment) == set(VARIABLES)
    loaded = accept(path, environment)

    configuration = loaded.configuration
    assert (configuration.system.log_level, configuration.system.backend) == ("debug", ("kernel",))
    assert configuration.api == Api(False, ("::1",), 8080)
    assert configuration.metrics.enabled
    assert configuration.audit.enabled
    notices = list_notices(loaded)
    assert len(notices) == 6
    assert (
        "environment variable NETEVD_LOG_LEVEL: is read as system.log_level, as by the Rust daemon, and not"
        f" what stands at {path}:1:21"
    ) in [str(each) for each in loaded.notices]

    assert list_problems(path, {"NETEVD_API_PORT": "many", "NETEVD_AUDIT_ENABLED": "yes"}) == [
        "environment variable NETEVD_API_PORT: port: expected a number from 1 to 65535, found 'many'",
        "environment variable NETEVD_AUDIT_ENABLED: enabled: expected true or false, found 'yes'",
    ]


def test_a_configuration_of_today_has_no_notice(write: Write) -> None:
    """Nothing is said where nothing is called otherwise."""
    path = write("network: {links: a}\nfilters: [{match: {interface: a}, action: log}]\n")

    assert accept(path).notices == ()


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    CONFIGURATIONS,
    st.dictionaries(st.sampled_from([*VARIABLES]), st.sampled_from(["", "true", "9", "x"])),
)
def test_whatever_stands_there_is_accepted_or_told(
    write: Write, text: str, environment: dict[str, str]
) -> None:
    """Any shape of these keys is a configuration or problems; migrated, it is the same configuration."""
    path = write(text)
    loaded = load(path, environment)

    if not isinstance(loaded, Loaded):
        assert loaded
        return
    if not isinstance(load(path, {}), Loaded):  # a variable has taken the place of what is wrong
        with pytest.raises(Unreadable):
            migrate(path, os.path.dirname(path), environment)
        return
    made = migrate(path, os.path.dirname(path), environment).text
    again = load(path, environment, made.encode())
    assert isinstance(again, Loaded)
    assert {each.place.file for each in again.notices} <= {
        f"environment variable {name}" for name in environment
    }
    evolved = [
        attrs.evolve(
            each, filters=tuple(attrs.evolve(one, origin=Origin()) for one in each.filters)
        )
        for each in (loaded.configuration, again.configuration)
    ]
    assert evolved[0] == evolved[1]
