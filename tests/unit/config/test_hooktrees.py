"""Section compat in a file: what is read, what is refused, which identity each tree has."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from attrs import evolve

from netevd.cli.advice import _say_missing, find_doubts
from netevd.config.hooktrees import find_tree, list_enabled, make_rule
from netevd.config.identities import OF_ITS_TREE, REFUSED_IN_OBSERVE_MODE, Identities
from netevd.config.load import Loaded, load
from netevd.config.schema import Compat, Configuration, HookTree, Rule, StateTree
from netevd.config.tree import parse
from netevd.config.writable import find_forbidden
from privsep.launch import Launch


def read(tmp_path: Path, text: str) -> Loaded | list[str]:
    """Return what a file says, or its problems without its path."""
    path = tmp_path / "netevd.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load(str(path), {})
    return (
        loaded
        if isinstance(loaded, Loaded)
        else [str(each).replace(f"{path}:", "") for each in loaded]
    )


def test_every_key_of_a_tree_is_read(tmp_path: Path) -> None:
    """And survives the way to the worker."""
    loaded = read(
        tmp_path,
        "compat:\n"
        "  networkd_dispatcher: {enabled: true, roots: [/a, /b], user: root, capabilities: [CAP_NET_ADMIN],"
        " timeout: 60s, assume_configured: true}\n"
        "  ifplugd: {enabled: true, delay_up: 1s, delay_down: 0s}\n",
    )

    assert isinstance(loaded, Loaded)
    compat = loaded.configuration.compat
    assert compat.networkd_dispatcher == StateTree(
        True, ("/a", "/b"), "root", ("CAP_NET_ADMIN",), 60.0, True,  # type: ignore[arg-type]
    )  # fmt: skip
    assert (compat.ifplugd.delay_up, compat.ifplugd.delay_down) == (1.0, 0.0)
    assert list_enabled(compat) == ("networkd-dispatcher", "ifplugd")
    packed = msgspec.msgpack.encode(loaded.configuration)
    assert msgspec.msgpack.decode(packed, type=Configuration) == loaded.configuration


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("compat: {networkd-dispatcher: {enabled: true}}", "1:10: unknown key 'networkd-dispatcher'"),
        ("compat: {ifupdown: {enable: true}}", "1:21: unknown key 'enable'"),
        ("compat: {ifupdown: {enabled: true, delay_up: 1s}}", "1:36: unknown key 'delay_up'"),
        ("compat: {ifupdown: {enabled: true, roots: []}}", "1:43: roots: expected 1 to 8 directories, found 0"),
        ("compat: {ifupdown: {roots: [a]}}", "1:29:"),
        (f"compat: {{ifupdown: {{roots: [{', '.join(f'/{each}' for each in range(9))}]}}}}",
         "1:28: roots: expected 1 to 8 directories, found 9"),
        ("compat: {networkmanager: {capabilities: [CAP_X]}}", "1:41: capabilities: expected capabilities"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_place(tmp_path: Path, text: str, problem: str) -> None:
    """Unknown keys, roots that are no paths, none or too many."""
    (found, *_) = read(tmp_path, text)  # type: ignore[misc]

    assert found.startswith(problem)


def test_each_user_has_a_runner_and_trees_share_them() -> None:
    """Trees without a user have that of all scripts; those with the same user and capabilities one together."""
    compat = Compat(
        networkd_dispatcher=StateTree(True, user="root"), networkmanager=HookTree(True, user="root"),  # type: ignore[arg-type]
        ifupdown=HookTree(True, capabilities=("CAP_NET_ADMIN",)), netplug=HookTree(True),
    )  # fmt: skip
    configuration = evolve(Configuration(), compat=compat)

    identities = Identities(configuration, observe=False)
    assert identities.trees == {
        "networkd-dispatcher": 1,
        "networkmanager": 1,
        "ifupdown": 2,
        "netplug": 0,
    }
    assert [each.user for each in identities.all] == ["netevd-script", "root", "netevd-script"]
    assert identities.list_paths(1) == ()

    observing = Identities(configuration, observe=True)
    assert len(observing.all) == 1
    assert set(observing.trees.values()) == {0}
    assert observing.find("/x", "ifupdown", "if-up").refusal == REFUSED_IN_OBSERVE_MODE
    assert observing.find("/x", "netplug", "netplug").refusal == ""


def test_a_rule_and_the_custom_of_its_dispatcher_add_up() -> None:
    """The custom's timeout and mutex hold where the rule has none; more than its tree it can't be given."""
    compat = Compat(networkmanager=HookTree(True), netplug=HookTree(True))
    path = "/etc/NetworkManager/dispatcher.d/x"
    usual = make_rule(compat, "networkmanager", "dispatcher", path)
    assert (usual.timeout, usual.mutex) == (600.0, "all of networkmanager")
    assert make_rule(compat, "networkmanager", "pre-up-no-wait", path).mutex is None
    assert make_rule(compat, "netplug", "netplug", path) == Rule(path)  # type: ignore[arg-type]

    for rule, expected in (
        (Rule(path, retries=2), (600.0, "all of networkmanager", "")),  # type: ignore[arg-type]
        (Rule(path, timeout=5.0, mutex="m"), (5.0, "m", "")),  # type: ignore[arg-type]
        (Rule(path, user="root"), (None, None, OF_ITS_TREE)),  # type: ignore[arg-type]
    ):
        scripts = evolve(Configuration().scripts, rules=(rule,))
        configuration = evolve(Configuration(), compat=compat, scripts=scripts)
        found = Identities(configuration, observe=False).find(path, "networkmanager", "dispatcher")
        assert (found.rule.timeout, found.rule.mutex, found.refusal) == expected


def test_tree_of_a_path() -> None:
    """The enabled tree that it stands in."""
    compat = Compat(networkmanager=HookTree(True), ifupdown=HookTree(False))

    assert find_tree(compat, "/etc/NetworkManager/dispatcher.d/pre-up.d/x") == "networkmanager"
    assert find_tree(compat, "/etc/NetworkManager/dispatcher.dx/y") == ""
    assert find_tree(compat, "/etc/network/if-up.d/x") == ""


def test_validate_doubts_what_can_not_be_meant(tmp_path: Path) -> None:
    """Settings of a tree that nothing enables, roots and users that are not there, rules that give too much."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "up").write_text("x")
    loaded = read(
        tmp_path,
        "compat:\n"
        "  networkmanager: {user: root}\n"
        f"  ifupdown: {{enabled: true, roots: [{tmp_path}/gone]}}\n"
        f"  netplug: {{enabled: true, roots: [{tmp_path}/here], user: no-such-user}}\n"
        "scripts:\n"
        f"  directory: {tmp_path}\n"
        f"  rules: [{{path: {tmp_path}/here/up, user: root}}]\n",
    )
    assert isinstance(loaded, Loaded)

    found = [f"{each.place.line}: {each.message}" for each in find_doubts(loaded, "x")]
    assert found[:3] == [
        "2: networkmanager: nothing of it is in force without enabled: true",
        f"3: roots: there is no directory {tmp_path}/gone",
        "4: " + _say_missing("no-such-user"),
    ]
    assert any(each.startswith("7: ") and each.endswith(OF_ITS_TREE) for each in found)


def test_no_tree_can_be_enabled_over_the_api() -> None:
    """Section compat is root's: whoever may change settings over HTTP can't have other files run."""
    before, after = parse(b"{}\n", "f"), parse(b"compat: {networkmanager: {enabled: true}}\n", "f")

    assert "compat" in str(find_forbidden(before, after, "f")[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to read as another user")
def test_only_roots_own_file_says_who_runs_a_tree() -> None:
    """user, capabilities and roots of a tree from a file of somebody else are refused by the reader."""
    import shutil
    import tempfile

    from privsep.mode import choose
    from tests.unit.config.test_reader import _read

    place = Path(tempfile.mkdtemp(prefix="netevd-", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        path = place / "netevd.yaml"
        path.write_text("compat: {ifupdown: {enabled: true, user: root, roots: [/x]}}\n")
        path.chmod(0o644)
        verdict, _ = _read(choose(force_observe=False), path)
        assert isinstance(verdict, Launch)
        (tree,) = verdict.trees
        assert (tree.kind, tree.roots, tree.runner) == ("ifupdown", ["/x"], 1)
        assert verdict.runners[1].uid == 0 and verdict.runners[1].scripts == []
        os.chown(path, 65534, -1)
        verdict, _ = _read(choose(force_observe=False), path)
        assert not isinstance(verdict, Launch)
        assert {each.partition(": ")[2].partition(":")[0] for each in verdict.problems} == {
            "user",
            "roots",
        }
    finally:
        shutil.rmtree(place)
