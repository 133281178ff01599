"""filters in a file: what is read, what is refused, and where a mistake in a condition stands."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from attrs import evolve

from netevd.config.condition import VARIABLES, Condition, Unanswered, check
from netevd.config.load import Loaded, load
from netevd.config.scalars import locate
from netevd.config.schema import Configuration, Filter, Match, Origin
from netevd.config.tree import Tree, parse
from netevd.core.variables import make_variables
from netevd.model.event import Event, EventType

Write = Callable[..., str]

SEED = """\
filters:
  - match:
      interface_pattern: "eth*"
      event_type: "routable"
      ip_family: "ipv4"
    action: execute
    scripts:
      - /etc/netevd/routable.d/custom.sh

  - match:
      interface_pattern: "docker*"
    action: ignore

  - match:
      interface: "wg0"
      condition: "has_gateway && dns_count > 0"
    action: execute
"""
"""The example that the feature was asked for with."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file below a directory of the test and returns its path."""

    def write_file(text: str, name: str = "netevd.yaml") -> str:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write_file


def _problems(path: str, **environment: str) -> list[str]:
    """Return the problems of a file without its directory."""
    loaded = load(path, environment)
    assert isinstance(loaded, list), loaded
    return [str(problem).replace(os.path.dirname(path) + "/", "") for problem in loaded]


def _filters(path: str, **environment: str) -> tuple[Filter, ...]:
    loaded = load(path, environment)
    assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
    return loaded.configuration.filters


def test_the_seed_example_is_read(write: Write) -> None:
    """It loads as it stands, and each filter knows its line."""
    path = write(SEED)

    assert _filters(path) == (
        Filter(
            "execute", Match(interface_pattern="eth*", event_type=("routable",), ip_family="ipv4"),
            ("/etc/netevd/routable.d/custom.sh",), Origin(path, 2),
        ),
        Filter("ignore", Match(interface_pattern="docker*"), None, Origin(path, 10)),
        Filter(
            "execute", Match(interface="wg0", condition="has_gateway && dns_count > 0"), None,
            Origin(path, 14),
        ),
    )  # fmt: skip


def test_every_key_of_a_match_is_read(write: Write) -> None:
    """All keys with all their spellings become one value, which survives the way to the worker."""
    path = write("""
        filters:
          - match:
              interface: "${WAN:-wan}"
              interface_pattern: w*
              event_type: [carrier, "address-*"]
              ip_family: ipv6
              backend: systemd-networkd
              kind: veth
              condition: "true"
            action: log
          - {match: {kind: "", event_type: off carrier}, action: ignore}
          - {match: , action: ignore}
          - {action: execute, scripts: [/usr/lib/netevd//off.d/a]}
        """)

    found = _filters(path)

    assert [evolve(each, origin=Origin()) for each in found] == [
        Filter(
            "log",
            Match(
                "wan", "w*", ("carrier", "address-*"), "ipv6", "systemd-networkd", "veth", "true"
            ),
        ),
        Filter("ignore", Match(kind="", event_type=("off", "carrier"))),
        Filter("ignore"),
        Filter("execute", scripts=("/usr/lib/netevd/off.d/a",)),
    ]
    configuration = Configuration(filters=found)
    packed = msgspec.msgpack.encode(configuration)
    assert msgspec.msgpack.decode(packed, type=Configuration) == configuration


def test_filters_of_all_files_are_one_list(write: Write) -> None:
    """The including file's come first, and each knows its own file."""
    other = write("filters: [{action: log}]", "other.yaml")
    path = write("include: other.yaml\nfilters:\n- {action: ignore}\n")

    assert _filters(path) == (
        Filter("ignore", origin=Origin(path, 3)), Filter("log", origin=Origin(other, 1)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "1:10: filters: expected a list, found a mapping"),
        ("[eth0]", "1:11: filters: expected keys and values, found 'eth0'"),
        ("[{match: {}}]", "1:11: action is missing"),
        ("[{action: run}]", "1:20: action: expected one of execute, ignore, log, found 'run'"),
        ("[{action: log, line: 3}]", "1:25: unknown key 'line'; expected action, match, scripts, webhooks"),
        ("[{action: log, origin: {}}]", "1:25: unknown key 'origin'; expected action, match, scripts, webhooks"),
        ("[{action: log, match: eth0}]", "1:32: match: expected keys and values, found 'eth0'"),
        ("[{action: log, match: {iface: a}}]",
         "1:33: unknown key 'iface'; did you mean 'interface'?"),
        ("[{action: log, match: {interface: eth*}}]",
         "1:44: interface: expected a name, found a glob; write interface_pattern: 'eth*'"),
        ("[{action: log, match: {interface: a b}}]",
         "1:44: interface: expected one interface name, found 'a b'"),
        ("[{action: log, match: {interface_pattern: '!a'}}]",
         ("1:52: interface_pattern: a glob that excludes is understood in network.links alone")),
        ("[{action: log, match: {event_type: rotable}}]",
         "1:45: event_type: 'rotable' is no event type; did you mean routable?"),
        ("[{action: log, match: {event_type: []}}]",
         "1:45: event_type: expected an event type or glob, found none"),
        ("[{action: log, match: {ip_family: 4}}]",
         "1:44: ip_family: expected one of ipv4, ipv6, found '4'"),
        ("[{action: log, match: {backend: networkmanager}}]",
         ("1:42: backend: expected one of kernel, systemd-networkd, NetworkManager, dhclient, dhcpcd, systemd-logind, found"
          " 'networkmanager'; did you mean NetworkManager?")),
        ("[{action: log, match: {kind: a b}}]",
         "1:39: kind: expected the kind of a link such as veth or bridge, found 'a b'"),
        ("[{action: log, match: {condition: []}}]",
         '1:44: condition: expected a CEL expression such as "mtu > 1500", found a list'),
        ("[{action: log, match: {condition: ' '}}]",
         "1:44: condition: expected a CEL expression such as \"mtu > 1500\", found ' '"),
        ("[{action: log, scripts: [/etc/netevd/off.d/a]}]",
         "1:34: scripts: none runs with action log; take them out, or write execute"),
        ("[{action: execute, scripts: []}]",
         "1:38: scripts: expected at least one, or webhooks; action log runs none"),
        ("[{action: execute, scripts: /a}]", "1:38: scripts: expected a list, found '/a'"),
        ("[{action: execute, scripts: [a]}]",
         "1:39: scripts: expected an absolute path such as /etc/netevd, found 'a'"),
        ("[{action: execute, scripts: [/opt/a]}]",
         ("1:39: scripts: /opt/a is never run: scripts stand in /etc/netevd/TYPE.d and"
          " /usr/lib/netevd/TYPE.d")),
        ("[{action: execute, scripts: [/etc/netevd/rotable.d/a]}]",
         ("1:39: scripts: /etc/netevd/rotable.d/a is never run: 'rotable.d' is no directory of an"
          " event type; did you mean routable.d?")),
        ("[{action: execute, scripts: [/etc/netevd/off.d/a, /etc/netevd/off.d//a]}]",
         "1:60: scripts: /etc/netevd/off.d/a is named twice"),
    ],
)  # fmt: skip
def test_problem_of_a_filter_has_place_and_advice(write: Write, text: str, expected: str) -> None:
    """What can't be meant is told with line, column, what was expected and what was found."""
    assert _problems(write(f"filters: {text}")) == [f"netevd.yaml:{expected}"]


UNKNOWN = "wrong is neither a variable nor a function; there are " + ", ".join(VARIABLES)


HEAD = "filters:\n- action: log\n  match:\n    condition: "
BEGINNING = (4, 16)
"""Where an expression behind HEAD begins."""


@pytest.mark.parametrize(
    "text",
    [
        "up && wrong",
        "'up && wrong'",
        '"up && wrong"',
        r'"interface == \"\u00e9\x41\U0001d11e\" && wrong"',
        "'interface == ''\u00e9'' && wrong'",
        "interface == '\u00e9\u20ac\U0001d11e' && wrong",
        r'"up &&\n wrong"',
        "|\n      up &&\n        wrong\n",
        "|-2 # as a block\n       up &&\n\n        wrong\n",
        "'wrong'",
    ],
)
def test_a_mistake_in_a_condition_has_its_column(write: Write, text: str) -> None:
    """It is exact where the expression is written in one line, and in a literal block."""
    lines = (HEAD + text).split("\n")
    line = next(number for number, each in enumerate(lines, 1) if "wrong" in each)
    column = lines[line - 1].index("wrong") + 1

    assert _problems(write(HEAD + text)) == [f"netevd.yaml:{line}:{column}: condition: {UNKNOWN}"]


@pytest.mark.parametrize(
    "text",
    [
        ">\n      up &&\n      wrong\n",
        "up &&\n      wrong",
        "'up &&\n      wrong'",
        "up && ${X:-wrong}",
    ],
)
def test_a_mistake_in_a_folded_condition_has_the_place_of_its_beginning(
    write: Write, text: str
) -> None:
    """So it is too where a variable was expanded."""
    line, column = BEGINNING

    assert _problems(write(HEAD + text)) == [f"netevd.yaml:{line}:{column}: condition: {UNKNOWN}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mtu", ["1:1: expected an expression that is true or false, found one of type int"]),
        ("mtu > 'a'", ["1:5: found no matching overload for '_>_' applied to '(int, string)'"]),
        ("mtu >", ["1:6: Syntax error: the expression ends too early"]),
        ("has_gatway", ["1:1: has_gatway is neither a variable nor a function; did you mean has_gateway?"]),
        ("kind.startWith('a')",
         ["1:15: startWith is neither a variable nor a function; did you mean startsWith?"]),
        ("mtu > 'a' ||\n wrong", ["1:5: found no matching overload for '_>_' applied to '(int, string)'",
                                  f"2:2: {UNKNOWN}"]),
        ("(" * 40 + "up" + ")" * 40, ["1:1: Expression recursion limit exceeded. limit: 32"]),
        ("up", []),
        ("wireguard.up", []),
        ("now - timestamp('2026-01-01T00:00:00Z') > duration('1h')", []),
    ],
)  # fmt: skip
def test_types_are_checked(text: str, expected: list[str]) -> None:
    """Every variable has its type, and the whole is true or false."""
    assert [f"{line}:{column}: {message}" for line, column, message in check(text)] == expected


def test_every_mistake_of_every_condition_is_told_beside_other_problems(write: Write) -> None:
    """All problems come in one go."""
    path = write("""\
        filters:
        - match: {condition: mtuu > carrie}
          action: lag
        - {match: {condition: up, kindd: x}, action: log}
        - {match: {condition: dwon}, action: log}
        """)

    assert [line.split(" ")[0] for line in _problems(path)] == [
        "netevd.yaml:2:22:", "netevd.yaml:2:29:", "netevd.yaml:3:11:", "netevd.yaml:4:27:",
        "netevd.yaml:5:23:",
    ]  # fmt: skip


def test_each_variable_has_a_value_of_its_type_for_every_event() -> None:
    """Also for an event that no link has: then it is empty, and never missing."""
    event = Event(1, EventType.CARRIER, 1_700_000_000_123_456_789, None, None, 0)
    values = make_variables(event, VARIABLES)
    tests = {
        "string": "{} == ''", "int": "{} == 0", "bool": "!{}", "list(string)": "{} == []",
        "map(string, dyn)": "{} == {{}}", "timestamp": "{}.getFullYear() == 2023",
    }  # fmt: skip
    known = {"event": "'carrier'", "backend": "'kernel'"}

    for name, kind in VARIABLES.items():
        text = f"{name} == {known[name]}" if name in known else tests[kind].format(name)
        condition = Condition(text)
        assert check(text) == []
        assert name in condition.names
        assert condition.holds(values), text


def test_what_has_no_answer_raises() -> None:
    """The reason is the library's, in one line."""
    with pytest.raises(Unanswered, match=r"^divide by zero\Z"):
        Condition("1 / ifindex == 1").holds({"ifindex": 0})
    with pytest.raises(Unanswered):
        Condition("kind == 'a'").holds({"kind": "\udcff"})
    assert Condition("kind == 'a'").holds({"kind": "a"})


def test_a_place_beyond_the_text_is_its_end() -> None:
    """Whatever the library says, the place is in the file."""
    tree = parse(b"a: 'b'", "x")
    assert isinstance(tree, Tree)
    assert isinstance(tree.value, dict)
    found = tree.value["a"][1]

    assert str(locate(found, 1, 99)) == "x:1:6"
    assert str(locate(found, 7, 1)) == "x:1:6"


def test_the_library_of_conditions_is_loaded_by_the_first_condition() -> None:
    """Who has none does not pay for it: neither the modules of the daemon nor an engine load it."""
    code = (
        "import sys\n"
        "import netevd.worker.main, netevd.config.reader\n"
        "from netevd.config.schema import Configuration, Filter, Match\n"
        "from netevd.core.engine import Engine\n"
        "Engine(Configuration(filters=(Filter('log', Match(interface='a')),)), 1)\n"
        "assert not any('cel' in name.split('.')[0] for name in sys.modules)\n"
        "Engine(Configuration(filters=(Filter('log', Match(condition='up')),)), 1)\n"
        "assert 'cel_expr_python' in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
