"""Which runner a script has, as reader and core both reckon it."""

from __future__ import annotations

from netevd.config.identities import Identities, ScriptIdentity
from netevd.config.schema import Configuration, Limits, Rule, Scripts
from tests.stories.configurations import rule

COMMON = ScriptIdentity("netevd-script", None, ())


def identify(*rules: Rule, observe: bool = False, user: str = "netevd-script") -> Identities:
    """Return the identities of a configuration with these rules."""
    return Identities(Configuration(scripts=Scripts(user=user, rules=rules)), observe=observe)  # type: ignore[arg-type]


def test_without_rules_there_is_one_identity() -> None:
    """Every script runs as scripts.user."""
    identities = identify()

    assert identities.all == (COMMON,)
    assert identities.find("/any").runner == 0
    assert identities.list_paths(0) == ()


def test_identities_are_distinct_and_in_the_order_of_the_rules() -> None:
    """Scripts that want the same share a runner, in whatever order they say it."""
    identities = identify(
        rule("/a", user="root"),
        rule("/b", timeout=1.0),
        rule("/c", capabilities=("CAP_NET_RAW", "CAP_NET_ADMIN")),
        rule("/d", capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"), mutex="m"),
        rule("/e", user="root"),
        rule("/f", limits=Limits(open_files=64)),
    )

    assert identities.all == (
        COMMON,
        ScriptIdentity("root", None, ()),
        ScriptIdentity("netevd-script", ("CAP_NET_ADMIN", "CAP_NET_RAW"), ()),
        ScriptIdentity("netevd-script", None, (("nofile", 64),)),
    )
    assert [identities.find(f"/{name}").runner for name in "abcdefg"] == [1, 0, 2, 2, 1, 3, 0]
    assert [identities.list_paths(number) for number in range(4)] == [
        ("/b",), ("/a", "/e"), ("/c", "/d"), ("/f",),
    ]  # fmt: skip


def test_what_changes_nothing_needs_no_runner() -> None:
    """Naming scripts.user, no capabilities and no limits is what every script has."""
    identities = identify(rule("/a", user="netevd-script", capabilities=(), limits=Limits()))

    assert identities.all == (COMMON,)


def test_no_capabilities_is_not_the_same_as_none_named_for_another_user() -> None:
    """An empty list takes all capabilities from root, under whatever name root goes."""
    identities = identify(
        rule("/a", user="root"), rule("/b", user="root", capabilities=()),
        rule("/c", user="toor", capabilities=()),
    )  # fmt: skip

    assert identities.all[1:] == (
        ScriptIdentity("root", None, ()),
        ScriptIdentity("root", (), ()),
        ScriptIdentity("toor", (), ()),
    )


def test_limits_have_the_words_and_units_of_setrlimit() -> None:
    """Every limit has its name, and what can't be 0 is 1."""
    limits = Limits(16, 17, 18, 19, 0, 21)  # type: ignore[arg-type]

    (_, identity) = identify(rule("/a", limits=limits)).all

    assert identity.limits == (
        ("as", 19), ("fsize", 18), ("memlock", 1), ("nofile", 16), ("nproc", 17), ("stack", 21),
    )  # fmt: skip


def test_observe_mode_has_runners_for_limits_alone() -> None:
    """Users and capabilities are refused when a script comes to run; limits need no privilege."""
    identities = identify(
        rule("/a", user="root"), rule("/b", capabilities=("CAP_NET_RAW",)),
        rule("/c", limits=Limits(open_files=64)), rule("/d", capabilities=()),
        observe=True,
    )  # fmt: skip

    assert identities.all == (COMMON, ScriptIdentity("netevd-script", None, (("nofile", 64),)))
    assert [bool(identities.find(f"/{name}").refusal) for name in "abcd"] == [
        True, True, False, False,
    ]  # fmt: skip
    assert identities.list_paths(0) == ("/d",)
