"""`netevd validate` on real files."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.unit.cli.rig import AS_NOBODY, Place, netevd, place

__all__ = ["place"]

BAD = """\
netwrk: {}
script_timeout: 30
network:
  links: [eth0, {}]
"""


def _me() -> str:
    """Return a user that exists and is not root."""
    return "nobody"


def test_every_problem_has_a_line_with_its_place(place: Place) -> None:
    """All problems come in one go, as `file:line:column: problem`, and the exit code is 1."""
    place.config.write_text(BAD)

    result = netevd("validate", str(place.config))

    assert result.returncode == 1
    lines = result.stdout.splitlines()
    places = [line.split(": ", 1)[0].removeprefix(str(place.config)) for line in lines]
    assert places == [":1:1", ":2:17", ":4:10"]
    assert "did you mean 'network'?" in lines[0]
    assert "write 30s for seconds" in lines[1]


def test_headers_file_of_a_webhook_is_checked(place: Place) -> None:
    """Its owner and mode are a problem of the setting, its lines have places of their own."""
    headers = place.path / "hooks.headers"
    hook = f'{{url: "https://a.example/", headers_file: {headers}}}'
    config = place.configure(f"filters: [{{action: execute, webhooks: [{hook}]}}]", user=_me())

    missing = netevd("validate", config)
    headers.write_text("Authorization secret\n")
    headers.chmod(0o644)
    open_to_all = netevd("validate", config)
    headers.chmod(0o600)
    bad_line = netevd("validate", config)
    headers.write_text("Authorization: secret\n")
    fine = netevd("validate", config)

    assert f"{config}:4:82: headers_file: {headers} is not there" in missing.stdout
    assert "with mode 0644; mend it with: ch" in open_to_all.stdout
    assert f"{headers}:1:1: headers: expected a line" in bad_line.stdout
    assert [each.returncode for each in (missing, open_to_all, bad_line, fine)] == [1, 1, 1, 0]
    assert "secret" not in missing.stdout + open_to_all.stdout + bad_line.stdout


def test_fine_file_prints_no_data(place: Place) -> None:
    """A fine file says so on standard error and leaves standard output empty."""
    config = place.configure(user=_me())

    result = netevd("validate", config)

    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"netevd: {config}: fine\n"


def test_file_may_be_relative(place: Place) -> None:
    """A relative FILE is the caller's, and is named whole."""
    place.configure("script_timeout: x", user=_me())

    result = netevd("validate", "netevd.yaml", cwd=place.path)

    assert result.stdout.startswith(f"{place.config}:4:17: script_timeout: ")


@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("routeable.d", "'routeable' is no event type; did you mean routable.d?"),
        ("xyzzy.d", "xyzzy.d is never looked into: 'xyzzy' is no event type"),
        ("conf.d", None), ("carrier.d", None), ("notes", None),
    ],
)  # fmt: skip
def test_directory_of_no_event_type_is_doubted(name: str, doubt: str | None, place: Place) -> None:
    """A directory `T.d` that nobody looks into is a warning, an error with --strict."""
    config = place.configure(user=_me())
    (place.scripts / name).mkdir()

    lax, strict = netevd("validate", config), netevd("validate", "--strict", config)

    assert lax.returncode == 0
    assert strict.returncode == (0 if doubt is None else 1)
    if doubt is None:
        assert lax.stdout == strict.stdout == ""
    else:
        assert lax.stdout.startswith(f"{config}:2:14: warning: ")
        assert doubt in lax.stdout
        assert strict.stdout.startswith(f"{config}:2:14: directory: ")
        assert "with 1 warning" in lax.stderr


def test_file_named_like_a_directory_is_not_doubted(place: Place) -> None:
    """Only directories are looked into, so a file `x.d` means nothing."""
    config = place.configure(user=_me())
    (place.scripts / "xyzzy.d").write_text("")

    assert netevd("validate", "--strict", config).returncode == 0


def test_missing_script_directory_is_doubted(place: Place) -> None:
    """A scripts.directory that does not exist is a warning with the command that mends it."""
    config = place.configure(user=_me())
    place.scripts.rmdir()

    result = netevd("validate", config)

    assert result.returncode == 0
    assert f"{config}:2:14: warning: directory: {place.scripts} does not exist" in result.stdout
    assert f"mkdir {place.scripts}" in result.stdout


@pytest.mark.parametrize(
    ("user", "doubt"),
    [("no-such-user", "there is no system user 'no-such-user'"), ("root", "don't run as root")],
)
def test_user_that_scripts_can_not_run_as_is_doubted(user: str, doubt: str, place: Place) -> None:
    """A scripts.user that the daemon would refuse is a warning at its place."""
    config = place.configure(user=user)

    result = netevd("validate", config)

    assert result.returncode == 0
    assert result.stdout.startswith(f"{config}:3:9: warning: user: ")
    assert doubt in result.stdout


def test_json_says_what_the_lines_say(place: Place) -> None:
    """The same problems, as values with severity."""
    place.config.write_text(BAD)

    text = netevd("validate", str(place.config)).stdout.splitlines()
    result = netevd("-j", "validate", str(place.config))

    told = json.loads(result.stdout)
    assert result.returncode == 1
    assert (told["valid"], told["count"]) == (False, 3)
    assert {problem["severity"] for problem in told["problems"]} == {"error"}
    assert text == [
        f"{each['file']}:{each['line']}:{each['column']}: {each['message']}"
        for each in told["problems"]
    ]


def test_warning_becomes_an_error_in_json_with_strict(place: Place) -> None:
    """Severity follows --strict, and so does `valid`."""
    config = place.configure(user=_me())
    (place.scripts / "xyzzy.d").mkdir()

    lax = json.loads(netevd("-j", "validate", config).stdout)
    strict = json.loads(netevd("-j", "validate", "--strict", config).stdout)

    assert (lax["valid"], lax["problems"][0]["severity"]) == (True, "warning")
    assert (strict["valid"], strict["problems"][0]["severity"]) == (False, "error")


def test_hostile_keys_stay_one_line(place: Place) -> None:
    """A key with escape sequences and line ends can't forge another problem."""
    place.config.write_text('"x\\e[2J\\nfine:1:1: y": 1\n', encoding="utf-8")

    result = netevd("validate", str(place.config))

    assert len(result.stdout.splitlines()) == 1
    assert re.search(r"[\x00-\x09\x0b-\x1f]", result.stdout) is None


def test_hostile_directory_names_stay_one_line(place: Place) -> None:
    """A directory's name with line ends or foreign bytes is shown escaped, in JSON too."""
    config = place.configure(user=_me())
    os.mkdir(os.path.join(os.fsencode(place.scripts), b"a\n\x1b\xff.d"))

    text = netevd("validate", config).stdout
    told = json.loads(netevd("-j", "validate", config).stdout)

    assert len(text.splitlines()) == 1
    assert r"a\x0a\x1b\xff.d is never looked into" in text
    assert r"a\x0a\x1b\xff.d is never looked into" in told["problems"][0]["message"]


def test_variables_are_the_caller_s(place: Place) -> None:
    """${VARIABLES} are expanded from the environment of the command."""
    config = place.configure("script_timeout: ${PATIENCE}", user=_me())

    good = netevd("validate", config, env={"PATIENCE": "5s"})
    bad = netevd("validate", config)

    assert good.returncode == 0
    assert bad.returncode == 1
    assert "variable PATIENCE is not set" in bad.stdout


def test_missing_file_is_a_problem_but_the_default_is_not(place: Place) -> None:
    """A FILE that was named must exist."""
    result = netevd("validate", str(place.path / "none.yaml"))

    assert result.returncode == 1
    assert "none.yaml: can't be read: No such file or directory" in result.stdout


def test_file_that_the_caller_may_not_read_is_a_problem(place: Place) -> None:
    """The problem names the file, and there is no traceback."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a file that an ordinary user can't read")
    place.config.chmod(0o600)

    result = netevd("validate", str(place.config), prefix=AS_NOBODY)

    assert result.returncode == 1
    assert f"read {place.config}" in result.stdout
    assert "Traceback" not in result.stderr


def test_keys_of_the_rust_daemon_have_notices_and_are_no_fault(place: Place) -> None:
    """They change neither verdict nor status, with --strict either."""
    text = f"monitoring: {{interfaces: [eth0]}}\nscripts: {{directory: {place.scripts}, user: {_me()}}}\n"
    place.config.write_text(text)

    result = netevd("validate", "--strict", str(place.config))
    as_json = netevd("validate", "--strict", "-j", str(place.config))

    assert result.returncode == as_json.returncode == 0
    assert result.stdout.startswith(
        f"{place.config}:1:14: notice: monitoring.interfaces of the Rust"
    )
    assert result.stderr == f"netevd: {place.config}: fine\n"
    shape = json.loads(as_json.stdout)
    assert shape["valid"]
    assert [each["severity"] for each in shape["problems"]] == ["notice"]
