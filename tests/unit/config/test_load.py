"""What a configuration file may hold, and what is said of everything else: place and advice."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration, Network, Scripts, System
from netevd.config.tree import Problem

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file below a directory of the test and returns its path."""

    def write_file(text: str | bytes, name: str = "netevd.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        path.write_bytes(content)
        return str(path)

    return write_file


def _problems(path: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return the problems of a file without its directory."""
    loaded = load(path, environment or {})
    assert isinstance(loaded, list), loaded
    assert all(isinstance(problem, Problem) for problem in loaded)
    return [str(problem).replace(os.path.dirname(path) + "/", "") for problem in loaded]


def _configuration(path: str, environment: dict[str, str] | None = None) -> Configuration:
    loaded = load(path, environment or {})
    assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
    return loaded.configuration


def test_every_key_is_read(write: Write) -> None:
    """All settings with all their spellings become one value."""
    path = write(
        """
        system: {backend: [kernel], log_level: debug, log_format: json}
        network:
          links: "eth* !eth9"
          emit_json: false
        script_timeout: 1.5m
        scripts: {directory: /srv/hooks/, user: nobody, concurrency: 3, output_limit: 1MiB, initial: no}
        """.replace("initial: no}", "initial: false}")
    )

    assert _configuration(path) == Configuration(
        System(("kernel",), "debug", "json"),
        Network(("eth*", "!eth9"), False),
        90.0,
        Scripts("/srv/hooks", "nobody", 3, 1048576, False),
    )


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "---\n", "{}\n", "network:\n", "~\n"])
def test_nothing_means_defaults(write: Write, text: str) -> None:
    """An empty file, an empty document and an empty section are the defaults."""
    assert _configuration(write(text)) == Configuration()


def test_default_file_may_be_absent_and_a_given_one_may_not(tmp_path: Path) -> None:
    """Without a file given, defaults apply; a file that was given must be there."""
    assert _problems(str(tmp_path / "none.yaml")) == [
        "none.yaml: can't be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("netwrok: {}", ["1:1: unknown key 'netwrok'; did you mean 'network'?"]),
        ("system: {log_levl: info}", ["1:10: unknown key 'log_levl'; did you mean 'log_level'?"]),
        ("links: eth0", ["1:1: unknown key 'links'; it belongs below 'network'"]),
        ("system: {log_level: inof}",
         ["1:21: log_level: expected one of trace, debug, info, warn, error, found 'inof'; did you mean info?"]),
        ("routes: {tables: [main, man]}",
         [("1:18: tables: expected all, default, main, local or a number from 1 to 4294967295,"
           " found 'man'; did you mean main?")]),
        ("system: {log_format: xml}", ["1:22: log_format: expected one of text, json, journal, found 'xml'"]),
        ("system: {backend: [kernel, netwokrd]}",
         ["1:19: backend: expected one of auto, kernel, systemd-networkd, NetworkManager, dhclient, systemd-logind, found 'netwokrd'"]),
        ("network: {emit_json: maybe}", ["1:22: emit_json: expected true or false, found 'maybe'"]),
        ("network: {links: {a: b}}",
         ["1:18: links: expected interface names or globs, found a mapping"]),
        ("network: {links: [eth0, [a]]}",
         ["1:18: links: expected interface names or globs, found a list"]),
        ("network: [eth0]", ["1:10: network: expected keys and values, found a list"]),
        ("network: eth0", ["1:10: network: expected keys and values, found 'eth0'"]),
        ("script_timeout: 30", ["1:17: script_timeout: the unit is missing; write 30s for seconds"]),
        ("script_timeout: 0s",
         ["1:17: script_timeout: expected a duration from 1ms to one year, found '0s'"]),
        ("script_timeout: -1s",
         ["1:17: script_timeout: expected a duration such as 250ms, 30s, 5m or 1h, found '-1s'"]),
        ("script_timeout: soon",
         ["1:17: script_timeout: expected a duration such as 250ms, 30s, 5m or 1h, found 'soon'"]),
        ("script_timeout:", ["1:16: script_timeout: expected a duration such as 30s, found nothing"]),
        ("scripts: {concurrency: 0}",
         ["1:24: concurrency: expected a number from 1 to 200, found '0'"]),
        ("scripts: {concurrency: 1e3}",
         ["1:24: concurrency: expected a number from 1 to 200, found '1e3'"]),
        ("scripts: {output_limit: 1GB}",
         ["1:25: output_limit: expected a size such as 65536, 64KiB or 1MiB, found '1GB'"]),
        ("scripts: {output_limit: 1GiB}", ["1:25: output_limit: expected at most 16MiB, found '1GiB'"]),
        ("scripts: {directory: hooks}",
         ["1:22: directory: expected an absolute path such as /etc/netevd, found 'hooks'"]),
        ("scripts: {user: 'a b'}", ["1:17: user: expected the name of a system user, found 'a b'"]),
        ('scripts: {directory: "/a\\0b"}',
         ["1:22: directory: expected an absolute path, found a line end or NUL in it"]),
        ("- a\n- b", ["1:1: expected keys such as 'network:', found a list"]),
        ("just text", ["1:1: expected keys such as 'network:', found 'just text'"]),
        ("network: {links: a}\nnetwork: {}", ["2:1: key 'network' is given twice, first in line 1"]),
        ("a: 1\n---\nb: 2", ["3:1: a second document; expected one"]),
        ("network: !!python/object:os.system {}",
         ["1:10: tag tag:yaml.org,2002:python/object:os.system is not understood; write plain values"]),
        ("x: &a {b: c}\nnetwork:\n  <<: *a",
         ["3:3: merge keys (<<) are not understood; repeat the keys"]),
        ("network: &n\n  links: *n", None),
        ("? [a, b]\n: c", ["1:3: a key must be a word"]),
        ("forwards: []", None),
    ],
)  # fmt: skip
def test_problem_has_place_and_advice(write: Write, text: str, expected: list[str] | None) -> None:
    """What can't be meant is told with line, column, what was expected and what was found."""
    problems = _problems(write(text))

    if expected is None:
        assert len(problems) == 1
    else:
        assert problems == [f"netevd.yaml:{line}" for line in expected]


def test_all_problems_come_in_one_go(write: Write) -> None:
    """Each problem of each section is told, in order of their places."""
    path = write("""\
        system: {log_levl: info, log_format: xml}
        netwrok: {}
        script_timeout: 30
        scripts: {concurrency: 0, output_limit: x}
        """)

    assert [line.split(":")[1] for line in _problems(path)] == ["1", "1", "2", "3", "4", "4"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"network:\n  links: caf\xe9\n", "2:13: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"network:\n\tlinks: a\n", "2:1: not YAML: found character '\\t' that cannot start any token"),
        (b"network: [a\n", "2:1: not YAML"),
        (b"a: \x00", "not YAML"),
        (b"[" * 4000, "not YAML: nested too deeply"),
        (b"a: " + b"[" * 60 + b"]" * 60, "nested deeper than 32 levels"),
        (b"a: *nobody", "1:4: not YAML"),
        (b"x: " + b"y" * 1_100_000, "the file has 1100003 bytes, more than 1048576"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_configuration(write: Write, content: bytes, expected: str) -> None:
    """Other encodings, tabs, NUL, depth and size are told and stop nothing."""
    (problem,) = _problems(write(content))

    assert expected in problem


def test_byte_order_mark_is_passed_over(write: Write) -> None:
    """A file from an editor that writes a byte order mark is read."""
    assert _configuration(write(b"\xef\xbb\xbfscript_timeout: 5s\n")).script_timeout == 5.0


def test_alias_bomb_is_refused_before_it_grows(write: Write) -> None:
    """Aliases of aliases are counted as what they stand for."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    (problem,) = _problems(write("\n".join(lines)))

    assert "more than 20000 values once aliases are followed" in problem


def test_fifo_directory_and_device_are_no_files(tmp_path: Path) -> None:
    """What is no regular file is told, and a FIFO does not block."""
    os.mkfifo(tmp_path / "fifo.yaml")

    assert _problems(str(tmp_path / "fifo.yaml")) == [
        "fifo.yaml: expected a YAML file, found not a regular file"
    ]
    assert "found a directory" in _problems(str(tmp_path))[0]
    assert "found not a regular file" in _problems("/dev/null")[0]


# --- expansion -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "environment", "links"),
    [
        ("${A:-eth0 eth1}", {}, ("eth0", "eth1")),
        ("${A:-eth0}", {"A": "wan"}, ("wan",)),
        ("${A:-eth0}", {"A": ""}, ("eth0",)),
        ("${A}", {"A": "wan lan"}, ("wan", "lan")),
        ("pre${A}post", {"A": "X"}, ("preXpost",)),
        ("$${A}", {}, ("${A}",)),
        ("$A", {"A": "x"}, ("$A",)),
        ("${A}${B}", {"A": "x", "B": "y"}, ("xy",)),
        ("${A:-}", {}, ()),
        ("${A}", {"A": "${B}"}, ("${B}",)),
    ],
)
def test_variables_are_expanded_in_values(
    write: Write, text: str, environment: dict[str, str], links: tuple[str, ...]
) -> None:
    """${VAR}, ${VAR:-default} and $${ as in the seed; what comes in is not expanded again."""
    path = write(f'network: {{links: "{text}"}}\n')

    assert _configuration(path, environment).network.links == links


def test_expanded_text_is_read_as_its_fields_type(write: Write) -> None:
    """A quoted ${N:-4} is a number where a number belongs."""
    path = write("""
        scripts: {concurrency: "${N:-4}", initial: "${I:-false}"}
        script_timeout: "${T}s"
        """)

    configuration = _configuration(path, {"T": "7"})

    assert configuration.scripts.concurrency == 4
    assert configuration.scripts.initial is False
    assert configuration.script_timeout == 7.0


def test_keys_are_never_expanded(write: Write) -> None:
    """A variable in a key is a key of that name."""
    (problem,) = _problems(write('"${A}": x\n'), {"A": "network"})

    assert "unknown key '${A}'" in problem


def test_unset_and_malformed_variables_are_told(write: Write) -> None:
    """A variable without a value or a default has a place like any other problem."""
    problems = _problems(write('network:\n  links: ["${NOPE}", "${1x}", "${"]\n'))

    assert (
        "netevd.yaml:2:11: variable NOPE is not set; set it, or give ${NOPE:-default}" in problems
    )
    assert sum("is no variable" in problem for problem in problems) == 2


# --- includes ----------------------------------------------------------------------------------------


def test_included_files_merge_in_order(write: Write) -> None:
    """The including file first, then each included one, a glob sorted; later scalars win."""
    write("script_timeout: 1s\nnetwork: {links: [b]}\n", "conf.d/20-b.yaml")
    write(
        "script_timeout: 2s\nnetwork: {links: [a]}\nsystem: {log_level: warn}\n", "conf.d/10-a.yaml"
    )
    write("network: {emit_json: false}\n", "last.yaml")
    path = write("""
        include: [conf.d/*.yaml, last.yaml]
        script_timeout: 9s
        network: {links: [own], emit_json: true}
        system: {log_format: json}
        """)

    configuration = _configuration(path)

    assert configuration.script_timeout == 1.0
    assert configuration.network == Network(("b",), False)
    assert configuration.system == System(("auto",), "warn", "json")


def test_glob_may_match_nothing_and_a_path_may_not(write: Write) -> None:
    """A glob without a match is fine; a literal path must exist."""
    assert _configuration(write("include: conf.d/*.yaml\n")) == Configuration()
    (problem,) = _problems(write("include: missing.yaml\n"))
    assert problem == "netevd.yaml:1:10: included file missing.yaml does not exist"


def test_cycle_is_told_as_the_way_it_goes(write: Write) -> None:
    """A file that includes itself, directly or not, is told with the whole chain."""
    write("include: netevd.yaml\n", "b.yaml")
    (problem,) = _problems(write("include: b.yaml\n"))
    assert problem.startswith("b.yaml:1:10: a cycle of includes: ")
    assert problem.count(" -> ") == 2
    (own,) = _problems(write("include: netevd.yaml\n"))
    assert "a cycle of includes" in own


def test_problem_of_an_included_file_names_that_file(write: Write) -> None:
    """A problem stands where the value was written, not where it was included."""
    write("\n\nsystem: {log_level: loud}\n", "conf.d/x.yaml")

    (problem,) = _problems(write("include: conf.d/x.yaml\n"))

    assert problem.startswith("conf.d/x.yaml:3:21: log_level: expected one of")


@pytest.mark.parametrize("text", ["include: {a: b}", "include: [[a]]", "include: ['']"])
def test_include_of_a_wrong_type(write: Write, text: str) -> None:
    """An include is a path or a list of paths."""
    (problem,) = _problems(write(text))

    assert "expected a path or a list of paths" in problem


# --- properties --------------------------------------------------------------------------------------

_KEYS = ["system", "network", "scripts", "script_timeout", "include", "links", "log_level",
         "concurrency", "directory", "user", "initial", "netwrok"]  # fmt: skip
_SCALARS = st.one_of(
    st.sampled_from(["30s", "eth0", "${A}", "${A:-x}", "$${", "true", "64KiB", "/etc", "8", ""]),
    st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False),
)  # fmt: skip
_TREES = st.recursive(
    _SCALARS,
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=4), children, max_size=4),
    ),
    max_leaves=12,
)
_RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@_RELAXED
@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b"%YAML 9.9\n---\n")
@example(b"? ")
@example(b"&a *a")
def test_any_bytes_are_a_configuration_or_problems(tmp_path: Path, content: bytes) -> None:
    """No bytes raise anything."""
    path = tmp_path / "any.yaml"
    path.write_bytes(content)

    loaded = load(str(path), {})

    assert isinstance(loaded, Loaded) or (loaded and all(str(problem) for problem in loaded))


@_RELAXED
@given(_TREES)
def test_any_tree_is_a_configuration_or_problems(tmp_path: Path, tree: object) -> None:
    """No tree of keys and values raises anything, and what loads survives the way to the worker."""
    path = tmp_path / "any.yaml"
    path.write_bytes(msgspec.json.encode(tree))  # JSON is YAML

    loaded = load(str(path), {"A": "a"})

    if isinstance(loaded, Loaded):
        packed = msgspec.msgpack.encode(loaded.configuration)
        assert msgspec.msgpack.decode(packed, type=Configuration) == loaded.configuration
    else:
        assert loaded


def test_fingerprints_of_both_kinds_are_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of OpenPGP in any form, as one; where pysequoia is not installed they are a problem that says so."""
    openssh = "SHA256:uNiVztksCsDhcc0u9e8BrXQcgnaCdcxOZWPIHLNRWJg"
    spaced = "de60 2f7e 7f11 d7b2 6352  5b38 4307 9f03 d5a6 e612"
    signers = [openssh, spaced, "0xDE602F7E7F11D7B263525B3843079F03D5A6E612", "A1" * 32]
    listed = ", ".join(f'{{fingerprint: "{each}"}}' for each in signers)
    path = write(f"security: {{allowed_signers: [{listed}]}}")

    found = [each.fingerprint for each in _configuration(path).security.allowed_signers]
    assert found == [openssh, *["DE602F7E7F11D7B263525B3843079F03D5A6E612"] * 2, "A1" * 32]
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    problems = _problems(path)
    assert len(problems) == 3 and all("needs pysequoia, which is not" in each for each in problems)
    for wrong in ("de60", "G" * 40, "A" * 41, "ABC123..."):
        (problem,) = _problems(
            write(f'security: {{allowed_signers: [{{fingerprint: "{wrong}"}}]}}')
        )
        assert "expected SHA256: and 43 characters" in problem
