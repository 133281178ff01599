"""Webhooks in a file: addresses, headers files, and what can't be meant."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from netevd.config.headers import LIMIT, SIZE_LIMIT, read_all
from netevd.config.load import Loaded, load
from netevd.config.schema import Configuration
from netevd.config.targets import Destination, list_targets, pack_targets, read_targets
from netevd.config.webhooks import list_webhooks
from tests.unit.config.test_filters import _problems

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file, and returns its path."""

    def write_file(text: str) -> str:
        path = tmp_path / "netevd.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_file


def hooks(inside: str, more: str = "") -> str:
    """Return a file with one filter that has these webhooks."""
    return f"{more}filters: [{{action: execute, webhooks: [{inside}]}}]\n"


EXPECTED = "url: expected an address such as https://hooks.example.com/netevd"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp|a.example/", f"{EXPECTED}, found the scheme 'ftp'"),
        ("a.example", f"{EXPECTED}, found the scheme ''"),
        ("https|/x", f"{EXPECTED}, found no host, or one that can't be"),
        ("https|a b/", f"{EXPECTED} of ASCII characters: a name of others as xn--..."),
        ("https|hööks.example/", f"{EXPECTED} of ASCII characters: a name of others as xn--..."),
        ("https|me:pw@a.example/", "url: user name and password don't belong here; use headers_file"),
        ("https|a.example/#x", "url: a part behind # is never sent; take it out"),
        ("https|a.example:0/", f"{EXPECTED}, found no host, or one that can't be"),
        ("https|a.example:99999/", f"{EXPECTED}: Port out of range 0-65535"),
        ("https|a.example:x/", f"{EXPECTED}: Port could not be cast to integer value"),
        ("https|[::1%25eth0]/", f"{EXPECTED}, found no host, or one that can't be"),
        ("https|[zz]/", f"{EXPECTED}: 'zz' does not appear to be an IPv4 or IPv6 address"),
        ("https|127.1/", f"{EXPECTED}, found a host that is neither a name nor an IP address"),
        ("https|2130706433/", f"{EXPECTED}, found a host that is neither a name nor an IP address"),
        ("https|0x7f.0.0.1/", f"{EXPECTED}, found a host that is neither a name nor an IP address"),
        ("https|127.0.0.1/",
         "url: 127.0.0.1 is loopback; webhooks.allow_local: true allows it"),
        ("https|localhost./",
         "url: localhost is this machine; webhooks.allow_local: true allows it"),
        ("https|[::ffff:169.254.169.254]/",
         "url: ::ffff:169.254.169.254 is link-local; webhooks.allow_local: true allows it"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_a_problem(write: Write, url: str, expected: str) -> None:
    """With its place, and never with what may be a secret. url: with a bar, since it names no host."""
    url = url.replace("|", "://")
    assert _problems(write(hooks(f'{{url: "{url}"}}'))) == [f"netevd.yaml:1:46: {expected}"]


def test_no_secret_of_an_address_is_shown(write: Write) -> None:
    """Of a password nothing is in the message."""
    (problem,) = _problems(
        write(hooks('{url: "https|me:hunter2@a.example/s3cret"}'.replace("|", "://")))
    )

    assert "hunter2" not in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (hooks("{retries: 3}"), "1:40: url is missing"),
        (hooks('{url: "https://a.example/", retries: 1001}'),
         "1:77: retries: expected a number from 0 to 1000, found '1001'"),
        (hooks('{url: "https://a.example/", retry: 1}'), "1:68: unknown key 'retry'; did you mean 'retries'?"),
        (hooks('{url: "https://a.example/", headers_file: x}'),
         "1:82: headers_file: expected an absolute path such as /etc/netevd, found 'x'"),
        ('filters: [{action: log, webhooks: [{url: "https://a.example/"}]}]\n',
         ("1:35: webhooks: nothing is posted with action log; take them out, or write execute")),
        (hooks('{url: "https://a.example/"}, {url: "https://a.example/"}'), "1:75: url: this filter names it twice"),
        (('filters:\n- {action: execute, webhooks: [{url: "https://a.example/", retries: 1}]}\n'
         '- {action: execute, webhooks: [{url: "https://a.example/", retries: 2}]}\n'),
         "3:32: retries: another filter gives the same webhook 1; make them agree"),
        ("webhooks: {allow_locals: true}\n", "1:12: unknown key 'allow_locals'; did you mean 'allow_local'?"),
        ("webhooks: {timeout: 5}\n", "1:21: timeout: the unit is missing; write 5s for seconds"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_problem(write: Write, text: str, expected: str) -> None:
    """With file, line and column."""
    assert _problems(write(text)) == [f"netevd.yaml:{expected}"]


def test_there_may_be_thirty_two(write: Write) -> None:
    """One more is a problem, at its place and once."""
    many = ", ".join(f'{{url: "https://a.example/{number}"}}' for number in range(34))
    (problem,) = _problems(write(hooks(many)))

    assert problem.endswith("url: more than 32 different webhooks")


def test_the_same_webhook_in_two_filters_is_one(write: Write) -> None:
    """Numbers are by first appearance, so reader and core agree."""
    path = write(
        "filters:\n"
        '- {action: execute, webhooks: [{url: "https://b.example/"}, {url: "https://a.example/"}]}\n'
        '- {action: execute, scripts: [], webhooks: [{url: "https://a.example/"}]}\n'
    )
    loaded = load(path, {})

    assert isinstance(loaded, Loaded)
    found = list_webhooks(loaded.configuration)
    assert [each.url for each in found] == ["https://b.example/", "https://a.example/"]
    assert loaded.configuration.filters[1].scripts == ()


# --- headers files -----------------------------------------------------------------------------


def read(write: Write, file: Path, *, observe: bool = True) -> tuple[object, list[str]]:
    """Return the headers of a file that a webhook names, and the problems with it."""
    text = hooks(
        f'{{url: "https://a.example/", headers_file: {file}}}', "webhooks: {timeout: 5s}\n"
    )
    loaded = load(write(text), {})
    assert isinstance(loaded, Loaded), loaded
    headers, problems = read_all(loaded, observe=observe)
    found = list_targets(loaded.configuration, headers)[0].headers
    return found, [str(each).replace(str(file.parent) + "/", "") for each in problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a headers file that is fine."""
    path = tmp_path / "headers"
    path.write_text("# a comment\n\nAuthorization: Bearer  a:b\r\nX-Empty:\n")
    path.chmod(0o600)
    return path


def test_headers_are_lines_of_name_and_value(write: Write, file: Path) -> None:
    """Comments and blank lines are passed over, space around a value is not its own."""
    headers = [("Authorization", "Bearer  a:b"), ("X-Empty", "")]
    assert read(write, file) == (headers, [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("secret", "expected a line such as Authorization: ..."),
        ("Two Words: secret", "expected a line such as Authorization: ..."),
        (": secret", "expected a line such as Authorization: ..."),
        ("X: sec\x00ret", "expected a line such as Authorization: ..."),
        ("Host: secret", "Host is not for a file to say"),
        ("content-LENGTH: 5", "content-LENGTH is not for a file to say"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding is not for a file to say"),
        ("Netevd-Sequence: 1", "Netevd-Sequence is not for a file to say"),
        ("Idempotency-Key: secret", "Idempotency-Key is not for a file to say"),
    ],
)
def test_a_line_that_is_no_header_is_a_problem(
    write: Write, file: Path, line: str, problem: str
) -> None:
    """At its place in the headers file, and without its value."""
    file.write_text(f"X: y\n{line}\n")

    assert read(write, file) == ([("X", "y")], [f"headers:2:1: headers: {problem}"])


def test_a_file_has_bounds(write: Write, file: Path) -> None:
    """So many headers, so many bytes, ASCII alone."""
    file.write_text("X: y\n" * (LIMIT + 1))
    assert read(write, file)[1] == [f"headers:{LIMIT + 1}:1: headers: more than {LIMIT} of them"]

    file.write_text("X: " + "y" * SIZE_LIMIT)
    assert f"more than {SIZE_LIMIT}" in read(write, file)[1][0]

    file.write_text("X: ü")
    assert read(write, file)[1] == ["headers: headers: expected ASCII characters alone"]


def test_a_file_that_is_not_there_is_a_problem_of_the_setting(write: Write, file: Path) -> None:
    """With the setting's place; so is what is no file."""
    file.unlink()
    assert read(write, file)[1] == ["netevd.yaml:2:82: headers_file: headers is not there"]

    file.mkdir()
    assert read(write, file)[1] == ["netevd.yaml:2:82: headers_file: headers is no regular file"]
    file.rmdir()
    os.mkfifo(file)
    assert read(write, file)[1] == ["netevd.yaml:2:82: headers_file: headers is no regular file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "fine"),
    [
        ("root", "netevd-net", 0o640, True), ("root", "root", 0o600, True),
        ("root", "netevd-net", 0o644, False), ("root", "netevd-net", 0o660, False),
        ("nobody", "netevd-net", 0o640, False), ("netevd", "netevd-net", 0o600, False),
        ("root", "netevd", 0o640, False), ("root", "netevd-net", 0o641, False),
    ],
)  # fmt: skip
def test_a_secret_is_roots_and_closed(
    write: Write, file: Path, owner: str, group: str, mode: int, fine: bool
) -> None:
    """Neither others nor the worker, whose group is netevd, may read or change it."""
    gid = pwd.getpwnam(group).pw_gid if group != "root" else 0
    os.chown(file, pwd.getpwnam(owner).pw_uid, gid)
    file.chmod(mode)

    headers, problems = read(write, file, observe=False)

    assert (problems == []) == fine
    assert bool(headers) == fine
    if not fine:
        assert "chown root:netevd-net" in problems[0]


def test_targets_are_packed_and_read_back(write: Write, file: Path) -> None:
    """What the reader writes is what the courier reads."""
    text = hooks(
        f'{{url: "https://a.example/x", headers_file: {file}}}, {{url: "https://b.example/"}}'
    )
    loaded = load(write("webhooks: {timeout: 500ms, allow_local: true}\n" + text), {})
    assert isinstance(loaded, Loaded)
    headers, _ = read_all(loaded, observe=True)
    packed = pack_targets(loaded.configuration, headers)

    assert read_targets(packed).destinations == [
        Destination("https://a.example/x", headers[str(file)], 0.5, allow_local=True),
        Destination("https://b.example/", [], 0.5, allow_local=True),
    ]
    assert pack_targets(Configuration(), {}) == b""
