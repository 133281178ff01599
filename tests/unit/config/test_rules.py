"""scripts.rules in a file: what is read, what is refused and where, how files add up."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration, Limits, Rule

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file below a directory of the test and returns its path."""

    def write_file(text: str, name: str = "netevd.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write_file


def _problems(path: str) -> list[str]:
    """Return the problems of a file without its directory."""
    loaded = load(path, {})
    assert isinstance(loaded, list), loaded
    return [str(problem).replace(os.path.dirname(path) + "/", "") for problem in loaded]


def _loaded(path: str) -> Loaded:
    loaded = load(path, {"N": "3"})
    assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
    return loaded


def test_every_key_of_a_rule_is_read(write: Write) -> None:
    """All keys with all their spellings become one value, which survives the way to the worker."""
    path = write("""
        scripts:
          obsolete: skip
          pause_after: 10
          rules:
            - path: /etc/netevd//routable.d/../routable.d/vpn.sh
              user: root
              capabilities: [CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_ADMIN]
              timeout: 60s
              detach: true
              mutex: xtables
              retries: "${N}"
              retry_delay: 500ms
              limits:
                open_files: 64
                processes: 32
                file_size: 1GiB
                memory: 256MiB
                locked_memory: 0
                stack: 8MiB
            - {path: /b, capabilities: CAP_NET_RAW CAP_SYS_TIME, user: , limits: }
            - path: /c
        """)

    configuration = _loaded(path).configuration

    scripts = configuration.scripts
    assert (scripts.obsolete, scripts.pause_after) == ("skip", 10)
    assert scripts.rules == (
        Rule(
            "/etc/netevd/routable.d/vpn.sh", "root", ("CAP_NET_ADMIN", "CAP_NET_RAW"), 60.0, True,
            "xtables", 3, 0.5, Limits(64, 32, 1 << 30, 256 << 20, 0, 8 << 20),
        ),
        Rule("/b", capabilities=("CAP_NET_RAW", "CAP_SYS_TIME")),
        Rule("/c"),
    )  # fmt: skip
    packed = msgspec.msgpack.encode(configuration)
    assert msgspec.msgpack.decode(packed, type=Configuration) == configuration


@pytest.mark.parametrize("text", ["scripts: {rules: }", "scripts: {rules: []}", "scripts: {}"])
def test_no_rules(write: Write, text: str) -> None:
    """An empty list, and nothing in its place, is no rule."""
    assert _loaded(write(text)).configuration == Configuration()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{path: /a}", "1:18: rules: expected a list, found a mapping"),
        ("eth0", "1:18: rules: expected a list, found 'eth0'"),
        ("[/a]", "1:19: rules: expected keys and values, found '/a'"),
        ("[~]", "1:19: rules: expected keys and values, found nothing"),
        ("[{user: root}]", "1:19: path is missing"),
        ("[{path: a.sh}]",
         "1:26: path: expected an absolute path such as /etc/netevd, found 'a.sh'"),
        ("[{path: /a, usr: b}]", "1:30: unknown key 'usr'; did you mean 'user'?"),
        ("[{path: /a, user: 'a b'}]",
         "1:36: user: expected the name of a system user, found 'a b'"),
        ("[{path: /a, capabilities: [CAP_NET_ADMIN, CAP_NET_ADMN]}]",
         ("1:44: capabilities: expected capabilities such as CAP_NET_ADMIN, found 'CAP_NET_ADMN';"
          " did you mean CAP_NET_ADMIN?")),
        ("[{path: /a, capabilities: net_raw}]",
         ("1:44: capabilities: expected capabilities such as CAP_NET_ADMIN, found 'net_raw';"
          " did you mean CAP_NET_RAW?")),
        ("[{path: /a, capabilities: everything}]",
         ("1:44: capabilities: expected capabilities such as CAP_NET_ADMIN, found 'everything';"
          " see capabilities(7)")),
        ("[{path: /a, timeout: 60}]",
         "1:39: timeout: the unit is missing; write 60s for seconds"),
        ("[{path: /a, detach: 2}]", "1:38: detach: expected true or false, found '2'"),
        ("[{path: /a, mutex: a b}]",
         ("1:37: mutex: expected a name of at most 64 letters, digits, dots, hyphens and"
          " underscores, found 'a b'")),
        ("[{path: /a, retries: -1}]", "1:39: retries: expected a number from 0 to 1000, found '-1'"),
        ("[{path: /a, limits: 3}]", "1:38: limits: expected keys and values, found '3'"),
        ("[{path: /a, limits: {nofile: 3}}]",
         "1:39: unknown key 'nofile'; did you mean 'open_files'?"),
        ("[{path: /a, limits: {RLIMIT_STACK: 3}}]",
         "1:39: unknown key 'RLIMIT_STACK'; did you mean 'stack'?"),
        ("[{path: /a, limits: {open_file: 3}}]",
         "1:39: unknown key 'open_file'; did you mean 'open_files'?"),
        ("[{path: /a, limits: {colour: 3}}]",
         ("1:39: unknown key 'colour'; expected file_size, locked_memory, memory,"
          " open_files, processes, stack")),
        ("[{path: /a, limits: {open_files: 3}}]",
         "1:51: open_files: expected a number from 16 to 1048576, found '3'"),
        ("[{path: /a, limits: {file_size: 2TiB}}]",
         "1:50: file_size: expected a size such as 65536, 64KiB or 1MiB, found '2TiB'"),
        ("[{path: /a, limits: {file_size: 2048GiB}}]",
         "1:50: file_size: expected at most 1024GiB, found '2048GiB'"),
        ("[{path: /a, limits: {memory: 1MiB}}]",
         ("1:47: memory: expected at least 64MiB, found 1MiB: what starts the script lives under its"
          " limits too")),
        ("[{path: /a, limits: {stack: 1000}}]",
         ("1:46: stack: expected at least 1MiB, found 1000: what starts the script lives under its"
          " limits too")),
        ("[{path: /a}, {path: /b}, {path: /x/../a}]",
         "1:50: path: /a has a rule at netevd.yaml:1:26; make one of the two"),
    ],
)  # fmt: skip
def test_problem_of_a_rule_has_place_and_advice(write: Write, rules: str, expected: str) -> None:
    """What can't be meant is told with line, column, what was expected and what was found."""
    assert _problems(write(f"scripts: {{rules: {rules}}}")) == [f"netevd.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("obsolete: skp", "2:12: obsolete: expected one of run, skip, found 'skp'; did you mean skip?"),
        ("pause_after: x", "2:15: pause_after: expected a number from 0 to 1000, found 'x'"),
    ],
)  # fmt: skip
def test_settings_for_all_scripts_are_checked(write: Write, text: str, expected: str) -> None:
    """obsolete is a word of two, pause_after a number."""
    assert _problems(write(f"scripts:\n {text}")) == [f"netevd.yaml:{expected}"]


def test_each_rule_has_its_own_problems(write: Write) -> None:
    """Problems of several rules come in one go, each with its place."""
    path = write("""\
        scripts:
          rules:
            - path: a
            - path: /b
              timeout: never
            - {path: /c, user: '', retries: many}
        """)

    assert [":".join(line.split(":")[1:4]) for line in _problems(path)] == [
        "3:13: path", "5:16: timeout", "6:24: user", "6:37: retries",
    ]  # fmt: skip


def test_rules_of_all_files_are_one_list(write: Write) -> None:
    """Included rules come after those before them; other lists are replaced as ever."""
    write("scripts: {rules: [{path: /c}]}\nnetwork: {links: [b]}\n", "conf.d/20.yaml")
    write("scripts: {rules: [{path: /b, mutex: m}], concurrency: 2}\n", "conf.d/10.yaml")
    write("scripts: {rules: }\n", "conf.d/30.yaml")
    write("scripts:\n", "conf.d/40.yaml")
    path = write("""
        include: conf.d/*.yaml
        scripts: {rules: [{path: /a}]}
        network: {links: [a]}
        """)

    loaded = _loaded(path)

    assert [rule.path for rule in loaded.configuration.scripts.rules] == ["/a", "/b", "/c"]
    assert loaded.configuration.scripts.concurrency == 2
    assert loaded.configuration.network.links == ("b",)
    place = loaded.places["scripts", "rules", "1", "mutex"]
    assert (place.file.rpartition("/")[2], place.line, place.column) == ("10.yaml", 1, 37)


def test_two_files_may_not_have_rules_for_one_script(write: Write) -> None:
    """A second rule is told with the place of the first, whichever file that is in."""
    write("\nscripts: {rules: [{path: /a}]}\n", "conf.d/10.yaml")
    path = write("include: conf.d/*.yaml\nscripts: {rules: [{path: /a}]}\n")

    (problem,) = _problems(path)

    first = "netevd.yaml:2:26"
    assert problem == f"conf.d/10.yaml:2:26: path: /a has a rule at {first}; make one of the two"


def test_identities_are_counted(write: Write) -> None:
    """Scripts that all want something else would cost a process each; 32 are the most."""
    rules = "".join(f"    - {{path: /{n}, user: u{n}}}\n" for n in range(33))

    (problem,) = _problems(write(f"scripts:\n  rules:\n{rules}"))

    assert problem == (
        "netevd.yaml:34:14: more than 32 different combinations of user, capabilities and limits,"
        " each of which costs a process; have scripts share them"
    )
