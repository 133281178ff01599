"""The configuration over HTTP: shown, replaced, patched, confirmed, taken back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.boundary.rig import wait_for
from tests.http.rig import add_pair, ask, connect, connect_tcp
from tests.http.test_access import bearer, make_token
from tests.processes.rig import RECORD, Daemon, children, comm, ip

PATH = "/api/v1/config"
YAML = {"Content-Type": "application/yaml"}
PATCH = {"Content-Type": "application/merge-patch+json"}
OPEN = "# as the admin likes it\nsystem: {log_format: json}\napi: {config_writes: true}\n"


@pytest.fixture
def writable(make_daemon: Callable[..., Daemon]) -> Daemon:
    """Return a daemon that serves and lets its configuration be written."""
    daemon = make_daemon(OPEN)
    daemon.script("address-added", RECORD)
    add_pair()
    return daemon.start()


@pytest.fixture
def client(writable: Daemon) -> Iterator[httpx.Client]:
    """Return a client of its unix socket."""
    with connect(writable) as made:
        yield made


def read_tag(client: httpx.Client) -> str:
    """Return the entity tag of what is in force."""
    return client.get(PATH).headers["ETag"]


def put(client: httpx.Client, text: str, tag: str | None = None, **query: Any) -> httpx.Response:
    """Replace the configuration. tag: that of now if it is not given."""
    headers = {**YAML, "If-Match": read_tag(client) if tag is None else tag}
    return client.put(PATH, content=text.encode(), params=query, headers=headers)


def list_beside(daemon: Daemon) -> set[str]:
    """Return what lies beside the configuration file, by what follows its name."""
    name = daemon.config.name
    return {each.name.removeprefix(name) for each in daemon.root.glob(f"{name}.*")}


def wait_content(daemon: Daemon, text: str) -> None:
    """Return once the file has this content, and no trial is left of it."""
    mark = daemon.config.with_name(f"{daemon.config.name}.unconfirmed")
    wait_for(
        lambda: (daemon.config.read_text() == text and not mark.exists()) or None,
        "content of the file",
    )


def test_shown_as_values_and_as_written(writable: Daemon, client: httpx.Client) -> None:
    """JSON has every setting with what is in force, YAML is the file with its comments."""
    values = client.get(PATH)
    text = client.get(PATH, headers={"Accept": "application/yaml"})

    assert values.json()["configuration"]["system"]["log_format"] == "json"
    assert values.json()["configuration"]["scripts"]["concurrency"] == 8
    assert (values.json()["writable"], values.json()["file"]) == (True, str(writable.config))
    assert text.content == writable.config.read_bytes()
    assert text.headers["Content-Type"].startswith("application/yaml")
    tag = values.json()["tag"]
    assert (values.headers["ETag"], text.headers["ETag"]) == (f'"{tag}"', f'"{tag}-yaml"')


def test_a_good_one_is_written_as_it_is_and_in_force(
    writable: Daemon, client: httpx.Client
) -> None:
    """Octet by octet, with owner and mode of before; what was there is kept beside it."""
    writable.config.chmod(0o640)
    os.chown(writable.config, 0, _find_group("netevd"))
    before, tag = writable.config.read_text(), read_tag(client)
    text = before + "# no more than eth0\nnetwork: {links: [eth0]}   # says who?\n"

    answer = put(client, text)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "in force")
    assert writable.config.read_text() == text
    status = writable.config.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (
        0, _find_group("netevd"), 0o640,
    )  # fmt: skip
    assert list_beside(writable) == {".previous"}
    assert writable.config.with_name("netevd.yaml.previous").read_text() == before
    writable.expect_serving(2)
    shown = client.get(PATH)
    assert shown.json()["configuration"]["network"]["links"] == ["eth0"]
    assert shown.headers["ETag"] != tag
    assert ask(client, "/api/v1/status")["generation"] == 2


def _find_group(name: str) -> int:
    import grp

    return grp.getgrnam(name).gr_gid


def test_a_bad_one_changes_nothing_and_says_where(writable: Daemon, client: httpx.Client) -> None:
    """All problems with file, line and column; file, roles and tag stay."""
    before, tag, roles = writable.config.read_text(), read_tag(client), children(writable.pid)
    text = before + "network: {link: [eth0]}\nscript_timeout: never\n"

    answer = put(client, text)

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = [(each["line"], each["column"]) for each in answer.json()["errors"]]
    assert found == [(6, 11), (7, 17)]
    assert {each["file"] for each in answer.json()["errors"]} == {str(writable.config)}
    assert "did you mean 'links'" in answer.json()["errors"][0]["detail"]
    assert (writable.config.read_text(), read_tag(client)) == (before, tag)
    wait_for(lambda: children(writable.pid) == roles or None, "end of the reader alone")
    assert list_beside(writable) == set()


def test_dry_run_tells_the_difference_and_writes_nothing(
    writable: Daemon, client: httpx.Client
) -> None:
    """Settings that would change, and the text, without If-Match; nothing happens."""
    before = writable.config.read_text()
    text = before + "script_timeout: 5s\n"

    answer = client.put(PATH, content=text, params={"dry_run": "1"}, headers=YAML)

    assert answer.status_code == 200
    assert answer.json()["changes"] == [{"key": "script_timeout", "before": 30.0, "after": 5.0}]
    assert answer.json()["diff"].endswith("\n+script_timeout: 5s\n")
    assert answer.json()["tag"] == read_tag(client).strip('"')
    bad = client.put(PATH, content=text + "a: 1\n", params={"dry_run": "1"}, headers=YAML)
    assert (bad.status_code, bad.json()["errors"][0]["line"]) == (422, 7)
    assert writable.config.read_text() == before
    assert list_beside(writable) == set()
    assert ask(client, "/api/v1/status")["generation"] == 1


def test_what_a_put_has_to_bring(writable: Daemon, client: httpx.Client) -> None:
    """If-Match, and that of now; YAML; a sensible size and time; known parameters."""
    text = writable.config.read_text()

    assert client.put(PATH, content=text, headers=YAML).status_code == 428
    assert put(client, text, '"0123"').status_code == 412
    assert put(client, text, f"W/{read_tag(client)}").status_code == 412
    wrong = {"If-Match": "*", "Content-Type": "application/json"}
    assert client.put(PATH, content="{}", headers=wrong).status_code == 415
    assert client.patch(PATH, content="{}", headers=wrong).status_code == 415
    assert put(client, text, confirm="soon").status_code == 400
    assert put(client, text, confirm="86401").status_code == 400
    assert put(client, text, dry_run="maybe").status_code == 400
    assert put(client, text, dryrun="1").status_code == 400
    assert put(client, text + "#" * 160 * 1024).status_code == 413
    assert writable.config.read_text() == text
    assert ask(client, "/api/v1/status")["generation"] == 1


def test_off_unless_root_says_so(make_daemon: Callable[..., Daemon]) -> None:
    """403 names the setting; nothing is written, and nothing asks the supervisor."""
    daemon = make_daemon().start()
    with connect(daemon) as client:
        before = daemon.config.read_text()

        answer = put(client, before + "script_timeout: 5s\n")

        assert answer.status_code == 403
        assert "api.config_writes" in answer.json()["detail"]
        assert daemon.config.read_text() == before
        assert client.get(PATH).json()["writable"] is False


def test_one_change_after_the_other(writable: Daemon, client: httpx.Client) -> None:
    """Whoever has heard that a change is in force may make the next one at once."""
    for seconds in range(3, 6):
        content = f'{{"script_timeout": "{seconds}s"}}'.encode()
        answer = client.patch(PATH, content=content, headers={**PATCH, "If-Match": "*"})
        assert answer.status_code == 200, answer.text

    assert writable.config.read_text().endswith("\nscript_timeout: 5s\n")


def test_of_two_writers_one_wins(writable: Daemon, client: httpx.Client) -> None:
    """Both have read the same; the second one is told that it is not the same any more."""
    before, tag = writable.config.read_text(), read_tag(client)
    texts = [f"{before}script_timeout: {number}s\n" for number in (5, 6)]

    def write(text: str) -> int:
        with connect(writable) as other:
            return put(other, text, tag).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(write, texts))

    assert sorted(statuses)[0] == 200
    assert sorted(statuses)[1] in {409, 412}
    assert writable.config.read_text() == texts[statuses.index(200)]
    assert write(texts[0]) == 412


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("api: {config_writes: false}", "api.config_writes"),
        ("include: [/etc/netevd/*.yml]", "include"),
        ("scripts: {user: nobody}", "scripts.user"),
        ("scripts: {rules: [{path: /etc/netevd/off.d/a, user: root}]}", "scripts.rules"),
        ("system: {backend: kernel}", "system.backend"),
    ],
)
def test_what_is_roots_stays(writable: Daemon, client: httpx.Client, line: str, name: str) -> None:
    """Whatever could grant something is refused, by name and place, changed or left out."""
    before = writable.config.read_text()
    key = line.partition(":")[0]
    kept = [each for each in before.splitlines() if not each.startswith(f"{key}:")]

    answer = put(client, "\n".join([*kept, line, ""]))

    assert answer.status_code == 422, answer.text
    assert name in [each["detail"].split(" ")[0] for each in answer.json()["errors"]]
    assert writable.config.read_text() == before


def test_an_edit_by_hand_is_never_overwritten(writable: Daemon, client: httpx.Client) -> None:
    """Neither by who has not seen it, nor by who has, before it is in force."""
    before = writable.config.read_text()
    writable.config.write_text(before + "# by hand\n")

    answer = put(client, before + "script_timeout: 5s\n")

    assert answer.status_code == 412
    assert "by hand" in answer.json()["detail"]
    assert writable.config.read_text() == before + "# by hand\n"
    assert client.post("/api/v1/reload").status_code == 200
    writable.expect_serving(2)
    assert put(client, before + "# by hand\nscript_timeout: 5s\n").status_code == 200


def test_over_tcp_it_takes_a_token_of_an_admin(make_daemon: Callable[..., Daemon]) -> None:
    """Nobody reads the file itself without one, and nobody else than an admin changes it."""
    daemon = make_daemon()
    secrets = {role: make_token(daemon, role, role) for role in ("read", "operate", "admin")}
    daemon.config.write_text(
        daemon.config.read_text()
        + f"api: {{config_writes: true, tokens_file: {daemon.root}/tokens}}\n"
    )
    daemon.start()
    text = daemon.config.read_text() + "script_timeout: 5s\n"
    as_yaml = {"Accept": "application/yaml"}

    with connect_tcp() as client:
        assert client.get(PATH).status_code == 200
        assert client.get(PATH, headers=as_yaml).status_code == 403
        assert client.put(PATH, content=text, headers=YAML).status_code == 401
    for role, secret in secrets.items():
        with connect_tcp(headers=bearer(secret)) as client:
            shown = client.get(PATH, headers=as_yaml)
            assert shown.status_code == (403 if role == "read" else 200), role
            status = put(client, text).status_code
            assert status == (200 if role == "admin" else 403), role
    assert daemon.config.read_text() == text


# --- patch -------------------------------------------------------------------------------------------


def test_a_patch_keeps_comments(make_daemon: Callable[..., Daemon]) -> None:
    """What is said about settings stays where it is; the rest of the file as well."""
    daemon = make_daemon(OPEN + COMMENTED).start()
    with connect(daemon) as client:
        headers = {**PATCH, "If-Match": read_tag(client)}
        patch = b'{"network": {"links": ["eth1"]}, "filters": null, "script_timeout": "5s"}'

        answer = client.patch(PATH, content=patch, headers=headers)

        assert answer.status_code == 200, answer.text
        scripts = daemon.config.read_text().splitlines()[-1]  # as the rig has written it
        assert daemon.config.read_text() == f"{OPEN}{PATCHED}\n{scripts}\n"
        daemon.expect_serving(2)
        shown = client.get(PATH).json()["configuration"]
        assert (shown["network"]["links"], shown["script_timeout"]) == (["eth1"], 5.0)


COMMENTED = """
# --- what is watched
network:
  # the uplink
  links: [eth0]   # not the others
  emit_json: true

# --- what is ignored
filters:
  - match: {interface: eth9}   # broken
    action: ignore

# --- how long a script may run
script_timeout: '30s'   # as before
"""
PATCHED = """
# --- what is watched
network:
  # the uplink
  links: [eth1]   # not the others
  emit_json: true

# --- what is ignored

# --- how long a script may run
script_timeout: 5s   # as before
"""


def test_a_patch_may_not_do_more_than_a_put(writable: Daemon, client: httpx.Client) -> None:
    """What is root's is refused, so is what is no patch; a dry run shows the text."""
    before = writable.config.read_text()

    def patch(content: bytes, **query: str) -> httpx.Response:
        headers = {**PATCH, "If-Match": read_tag(client)}
        return client.patch(PATH, content=content, params=query, headers=headers)

    assert patch(b'{"scripts": {"user": "root"}}').status_code == 422
    assert patch(b'{"api": null}').status_code == 422
    assert patch(b"[1]").status_code == 422
    assert patch(b"{").status_code == 422
    assert patch(b'{"a":' * 500 + b"1" + b"}" * 500).status_code == 422
    shown = patch(b'{"debounce": {"enabled": true}}', dry_run="1")
    assert shown.json()["diff"].endswith("+debounce: {enabled: true}\n")
    assert writable.config.read_text() == before


# --- confirm -----------------------------------------------------------------------------------------


def test_confirmed_it_stays(writable: Daemon, client: httpx.Client) -> None:
    """The time that is left is told, nothing else is written meanwhile, and then it is over."""
    text = writable.config.read_text() + "script_timeout: 5s\n"
    assert put(client, text, confirm="60").json()["confirm_within_seconds"] == 60
    writable.expect_serving(2)
    left = client.get(PATH).json()["confirm_within_seconds"]
    assert 0 < left <= 60
    assert list_beside(writable) == {".previous", ".unconfirmed"}
    refused = put(client, text + "# more\n")
    assert (refused.status_code, "confirmed or rolled back first" in refused.text) == (409, True)

    answer = client.post(f"{PATH}/confirm")

    assert (answer.status_code, answer.json()) == (200, {"outcome": "confirmed"})
    assert client.get(PATH).json()["confirm_within_seconds"] is None
    assert list_beside(writable) == {".previous"}
    assert client.post(f"{PATH}/confirm").status_code == 409
    assert client.post(f"{PATH}/rollback").status_code == 409
    assert writable.config.read_text() == text


def test_unconfirmed_it_is_rolled_back(writable: Daemon, client: httpx.Client) -> None:
    """The old text and the old settings come back by themselves, and both are said."""
    before = writable.config.read_text()
    assert put(client, before + "script_timeout: 5s\n", confirm="1").status_code == 200

    wait_content(writable, before)
    writable.expect_serving(3)

    assert client.get(PATH).json()["configuration"]["script_timeout"] == 30.0
    writable.expect(lambda entry: "has its content of before again" in entry["message"])
    assert list_beside(writable) == set()


def test_taken_back_at_once(writable: Daemon, client: httpx.Client) -> None:
    """The answer comes when what was before is in force."""
    before = writable.config.read_text()
    assert put(client, before + "script_timeout: 5s\n", confirm="3600").status_code == 200
    writable.expect_serving(2)

    answer = client.post(f"{PATH}/rollback")

    assert (answer.status_code, answer.json()) == (200, {"outcome": "rolled back"})
    writable.expect_serving(3)
    assert client.get(PATH).json()["configuration"]["script_timeout"] == 30.0
    assert writable.config.read_text() == before


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_unconfirmed_over_a_restart(writable: Daemon, client: httpx.Client, how: int) -> None:
    """Whether the daemon was stopped or killed: the next one begins with what was before."""
    before = writable.config.read_text()
    assert put(client, before + "script_timeout: 5s\n", confirm="3600").status_code == 200
    writable.expect_serving(2)
    os.kill(writable.pid, how)
    assert writable.process is not None
    writable.process.wait(timeout=20)
    assert ".unconfirmed" in list_beside(writable)
    writable.log.clear()

    writable.start()

    assert writable.config.read_text() == before
    assert list_beside(writable) == set()
    assert client.get(PATH).json()["configuration"]["script_timeout"] == 30.0


def test_unconfirmed_over_the_death_of_a_worker_and_a_reload(
    writable: Daemon, client: httpx.Client
) -> None:
    """The clock is the supervisor's."""
    before = writable.config.read_text()
    assert put(client, before + "script_timeout: 5s\n", confirm="3").status_code == 200
    writable.expect_serving(2)
    writable.kill("worker")
    writable.expect_serving(3)
    writable.process.send_signal(signal.SIGHUP)

    wait_content(writable, before)
    wait_for(lambda: _ask_timeout(writable) == 30.0 or None, "the settings of before")


def _ask_timeout(daemon: Daemon) -> float | None:
    with contextlib.suppress(httpx.TransportError), connect(daemon) as client:
        return float(client.get(PATH).json()["configuration"]["script_timeout"])
    return None


def test_what_was_edited_meanwhile_is_not_rolled_back(
    writable: Daemon, client: httpx.Client
) -> None:
    """Whoever edits the file by hand has decided; that is said, and nothing waits any more."""
    before = writable.config.read_text()
    assert put(client, before + "script_timeout: 5s\n", confirm="2").status_code == 200
    writable.config.write_text(before + "script_timeout: 7s\n")

    writable.expect(lambda entry: "was changed by hand" in entry["message"])

    assert writable.config.read_text() == before + "script_timeout: 7s\n"
    assert list_beside(writable) == {".previous"}


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["reader", "worker", "helper"])
@pytest.mark.parametrize("attempt", range(3))
def test_a_death_in_between_leaves_old_or_new(
    writable: Daemon, client: httpx.Client, role: str, attempt: int
) -> None:
    """Whoever dies while a configuration is written: file and daemon agree, nothing is on trial."""
    before = writable.config.read_text()
    text = before + "script_timeout: 5s\n"
    tag = read_tag(client)
    known = {writable.find(role)}

    def write() -> int:
        with contextlib.suppress(httpx.TransportError), connect(writable) as other:
            return put(other, text, tag).status_code
        return 0

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        if attempt:  # one of the roles that come, or the reader
            found = wait_for(lambda: _find_new(writable, role, known) or writing.done(), role)
        else:
            found = writable.find(role)
        if found and found is not True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)
        status = writing.result()

    def agreed() -> bool | None:
        timeout = _ask_timeout(writable)
        written = writable.config.read_text()
        fits = (timeout, written) in {(30.0, before), (5.0, text)}
        return (fits and ".unconfirmed" not in list_beside(writable)) or None

    wait_for(agreed, "agreement of file and daemon")
    if status == 200:
        assert writable.config.read_text() == text

    def write_again() -> bool | None:
        with connect(writable) as other:
            return put(other, before + "script_timeout: 9s\n").status_code == 200 or None

    wait_for(write_again, "the next change")
    assert not [each for each in writable.log if "broke the protocol" in each["message"]]


def _find_new(daemon: Daemon, role: str, known: set[int | None]) -> int | None:
    for pid in children(daemon.pid):
        if comm(pid) == f"netevd-{role}" and pid not in known:
            return pid
    return None


def test_a_full_disk_changes_nothing(make_daemon: Callable[..., Daemon]) -> None:
    """507 with the reason; file and settings stay, and no half of anything."""
    daemon = make_daemon(OPEN)
    place = daemon.root / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "none", place], check=True)
    try:
        text = daemon.config.read_text()
        daemon.config = place / "netevd.yaml"
        daemon.config.write_text(text)
        daemon.start()
        with connect(daemon) as client:
            (place / "filler").write_bytes(b"x" * 4096)

            answer = put(client, text + "#" * 6000 + "\n")

            assert answer.status_code == 507, answer.text
            assert "No space left on device" in answer.json()["detail"]
            assert daemon.config.read_text() == text
            assert {each.name for each in place.iterdir()} <= {
                "netevd.yaml", "filler", "netevd.yaml.previous",
            }  # fmt: skip
            (place / "filler").unlink()
            assert put(client, text + "#" * 3000 + "\n").status_code == 200
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_what_cannot_be_brought_back_is_tried_again(make_daemon: Callable[..., Daemon]) -> None:
    """A file system that is read-only when the time is over: the old content comes once it is not."""
    daemon = make_daemon(OPEN)
    place = daemon.root / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", place], check=True)
    try:
        before = daemon.config.read_text()
        daemon.config = place / "netevd.yaml"
        daemon.config.write_text(before)
        daemon.start()
        with connect(daemon) as client:
            text = before + "script_timeout: 5s\n"
            assert put(client, text, confirm="2").status_code == 200
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
            daemon.expect(lambda entry: "Read-only file system" in entry["message"])
            assert daemon.config.read_text() == text
            subprocess.run(["mount", "-o", "remount,rw", place], check=True)

            wait_content(daemon, before)
            wait_for(lambda: _ask_timeout(daemon) == 30.0 or None, "the settings of before")
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize(("path", "status"), [("netevd.yaml", 422), (".", 507)])
def test_a_file_that_others_can_write_is_not_written(
    writable: Daemon, client: httpx.Client, path: str, status: int
) -> None:
    """Who could exchange what is checked could have anything written."""
    before = writable.config.read_text()
    (writable.root / path).chmod(0o777)

    answer = put(client, before + "script_timeout: 5s\n")

    assert answer.status_code == status
    assert "chmod go-w" in answer.text
    assert writable.config.read_text() == before


def test_scripts_run_on_over_a_write(writable: Daemon, client: httpx.Client) -> None:
    """A write is a reload: what happens around it is told once, and runs once."""
    before = writable.config.read_text()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(put, client, before + "script_timeout: 5s\n")
        for number in range(1, 31):
            ip(f"addr add 10.1.1.{number}/24 dev eth0")
        assert writing.result().status_code == 200

    wait_for(lambda: len(writable.record()) >= 30 or None, "30 runs")
    assert [words[5] for words in writable.record()] == [f"10.1.1.{n}" for n in range(1, 31)]
