"""
As whom scripts run: the distinct identities of a configuration, and which one each script has.

Pure, so that reader and core, which never speak with each other, come to the same numbers: an
identity's place in the list is the number of the runner that takes it. Names of users become
numbers in the reader.
"""

from __future__ import annotations

from typing import Final

import attrs
from attrs import frozen

from netevd.config.hooktrees import get_tree, list_enabled, make_rule
from netevd.config.kinds import AbsolutePath
from netevd.config.schema import Configuration, Limits, Rule

RUNNER_LIMIT: Final = 32
"""Identities of one configuration at most, that of scripts without a rule included."""

LIMITS: Final = {
    "open_files": "nofile",
    "processes": "nproc",
    "file_size": "fsize",
    "memory": "as",
    "locked_memory": "memlock",
    "stack": "stack",
}
"""What setrlimit(2) calls each field of `Limits`."""

REFUSED_IN_OBSERVE_MODE: Final = (
    "its rule gives it a user or capabilities of its own, which netevd can't do in observe mode;"
    " start netevd as root"
)

OF_ITS_TREE: Final = (
    "its rule gives it a user, capabilities or limits of its own, and a script of another dispatcher's"
    " tree has those of its tree; say it there, in section compat"
)


@frozen(slots=True)
class ScriptIdentity:
    """What a runner becomes, in the words of the configuration."""

    user: str
    capabilities: tuple[str, ...] | None
    """Sorted; None: none, and for user root all that netevd has."""
    limits: tuple[tuple[str, int], ...]
    """Name and value as in setrlimit(2), sorted."""


@frozen(slots=True)
class Treatment:
    """How one script is run."""

    rule: Rule
    """Its rule, or one that changes nothing."""
    runner: int
    """Number of its identity."""
    refusal: str = ""
    """Why it can't be run at all, "" when it can."""


class Identities:
    """The identities of a configuration, and the rule and identity of each script."""

    def __init__(self, configuration: Configuration, *, observe: bool) -> None:
        """observe: the caller can't change users, so rules that want it are refused."""
        common = ScriptIdentity(configuration.scripts.user, None, ())
        numbers = {common: 0}
        self._treatments: dict[str, Treatment] = {}
        for rule in configuration.scripts.rules:
            if observe and (rule.user is not None or rule.capabilities):
                self._treatments[rule.path] = Treatment(rule, 0, REFUSED_IN_OBSERVE_MODE)
                continue
            identity = _identify(rule, common.user)
            number = numbers.setdefault(identity, len(numbers))
            self._treatments[rule.path] = Treatment(rule, number)
        self.trees: dict[str, int] = {}
        """Number of the identity of each enabled tree."""
        self._compat = configuration.compat
        self._refused: set[str] = set()
        """Trees whose scripts can't be run at all."""
        for name in list_enabled(self._compat):
            tree = get_tree(self._compat, name)
            wanted = Rule(AbsolutePath("/"), user=tree.user, capabilities=tree.capabilities)
            identity = _identify(wanted, common.user)
            if observe and identity != common:
                self._refused.add(name)
            self.trees[name] = 0 if observe else numbers.setdefault(identity, len(numbers))
        self.all: tuple[ScriptIdentity, ...] = tuple(numbers)
        """In the order of their numbers; the first is that of scripts without a rule."""

    def find(self, path: str, tree: str = "", group: str = "") -> Treatment:
        """Return how a script is run. tree, group: of another dispatcher's script, see `Hook`."""
        found = self._treatments.get(path)
        if tree:
            return self._find_of_tree(path, tree, group, found)
        return found or Treatment(Rule(path), 0)  # type: ignore[arg-type]

    def _find_of_tree(self, path: str, tree: str, group: str, found: Treatment | None) -> Treatment:
        usual = make_rule(self._compat, tree, group, path)
        runner = self.trees.get(tree, 0)
        if tree in self._refused:
            return Treatment(usual, runner, REFUSED_IN_OBSERVE_MODE)
        if found is None:
            return Treatment(usual, runner)
        rule = found.rule
        if (rule.user, rule.capabilities, rule.limits) != (None, None, Limits()):
            return Treatment(rule, runner, OF_ITS_TREE)
        timeout, mutex = rule.timeout or usual.timeout, rule.mutex or usual.mutex
        return Treatment(attrs.evolve(rule, timeout=timeout, mutex=mutex), runner)

    def list_paths(self, number: int) -> tuple[str, ...]:
        """Return the scripts that rules give to this identity, in the order of the rules."""
        return tuple(
            path
            for path, treatment in self._treatments.items()
            if treatment.runner == number and not treatment.refusal
        )


def _identify(rule: Rule, user: str) -> ScriptIdentity:
    capabilities = None if rule.capabilities is None else tuple(sorted(rule.capabilities))
    if rule.user in {None, user}:
        capabilities = capabilities or None  # never root's
    return ScriptIdentity(rule.user or user, capabilities, _translate(rule.limits))


def _translate(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Return limits in the words and units of setrlimit(2)."""
    found = {}
    for name, value in attrs.asdict(limits).items():
        if value is not None:
            found[LIMITS[name]] = max(1, value)  # no limit is sent as 0
    return tuple(sorted(found.items()))
