"""The SELinux module as it is installed: compiled with the reference policy, linked with Debian's own."""

from __future__ import annotations

import bz2
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

TOP: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = TOP / "selinux"
DEVEL: Final = Path("/usr/share/selinux/devel/Makefile")
"""Of the package selinux-policy-dev."""
TO_CIL: Final = "/usr/libexec/selinux/hll/pp"
VERSION: Final = "33"
"""The newest format of a policy that Linux 6.1 knows."""


class Fault(Exception):
    """The policy does not compile or link; the text is what the tool says."""


def compile_module(place: Path) -> Path:
    """Return the module in CIL, made in this empty directory. Raises: Fault."""
    for each in SOURCE.glob("netevd.??"):
        shutil.copy(each, place)
    run("make", "-C", str(place), "-f", str(DEVEL), "NAME=default", "netevd.pp")
    module = place / "netevd.cil"
    run(TO_CIL, str(place / "netevd.pp"), str(module))
    return module


def find_base(directory: Path) -> list[Path]:
    """Return the modules of the distribution, in CIL as one wrote them there."""
    return sorted(directory.glob("*.cil"))


def unpack_base(store: Path, place: Path) -> list[Path]:
    """Return the modules of a module store, unpacked into a directory. Source: semodule(8)."""
    place.mkdir()
    for each in sorted(store.glob("*/cil")):
        (place / f"{each.parent.name}.cil").write_bytes(bz2.decompress(each.read_bytes()))
    return find_base(place)


def link(base: Iterable[Path], modules: Iterable[Path], policy: Path, *options: str) -> Path:
    """Return the whole policy as the kernel takes it. Raises: Fault, if an assertion is violated too."""
    run("secilc", *options, "-c", VERSION, "-M", "true", "-o", str(policy), "-f", "/dev/null",
        *map(str, [*base, *modules]))  # fmt: skip
    return policy


class Rule(NamedTuple):
    """What a domain, or an attribute that it has, is allowed."""

    target: str
    kind: str
    """Class of the objects."""
    perms: frozenset[str]
    condition: str
    """A boolean and the value with which the rule is in force, "" for always."""


Rules = dict[str, list[Rule]]
"""By the domain that was asked for."""
_SEARCH: Final = """
import json, sys, setools
policy = setools.SELinuxPolicy(sys.argv[1])
found = {}
for source in sys.argv[2:]:
    found[source] = []
    for rule in setools.TERuleQuery(policy, ruletype=["allow"], source=source).results():
        target = source if str(rule.target) == "self" else str(rule.target)
        try:
            condition = f"{rule.conditional} {rule.conditional_block}"
        except setools.exception.RuleNotConditional:
            condition = ""
        found[source].append((target, str(rule.tclass), sorted(rule.perms), condition))
print(json.dumps(found))
"""


def find_rules(policy: Path, domains: list[str]) -> Rules:
    """Return what these domains are allowed; setools reads the policy once for all."""
    told = json.loads(run("/usr/bin/python3", "-c", _SEARCH, str(policy), *domains))
    return {
        domain: [
            Rule(target, kind, frozenset(perms), condition)
            for target, kind, perms, condition in rules
        ]
        for domain, rules in told.items()
    }


def read_contexts(module: Path) -> str:
    """Return the contexts of files that a compiled module names."""
    text = module.read_text()
    found = re.findall(r'^\(filecon "(.*)" (\w+) \((\w+) (\w+) (\w+) ', text, re.MULTILINE)
    kinds = {"any": "", "file": "--\t", "dir": "-d\t"}
    return "".join(
        f"{path}\t{kinds[kind]}{user}:{role}:{name}:s0\n" for path, kind, user, role, name in found
    )


def run(*command: str) -> str:
    """Run a tool; return what it says. Raises: Fault."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault(f"{command[0]}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
