"""docs/security is what the policy data say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

from privsep import protocol
from privsep.sandbox import POLICIES

TOP = Path(__file__).parents[2]


def load_script() -> ModuleType:
    """Return packaging/roles.py as a module."""
    spec = importlib.util.spec_from_file_location("roles_page", TOP / "packaging" / "roles.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_of_roles_are_those_of_the_policies() -> None:
    """The page is what its script makes of the data; if not: packaging/check roles."""
    script = load_script()
    page = script.PAGE.read_text(encoding="utf-8")

    assert script.update(page) == page, "run packaging/check roles"
    assert {*POLICIES} <= {*script.ROLES}


def test_every_message_is_said_by_somebody_and_heard_by_somebody() -> None:
    """No message of the protocol is missing from the table of channels."""
    page = (TOP / "docs" / "security" / "roles.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+) \| (.*) \| (.*) \|$",
        page.partition("may be told")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
    told, said = (
        {*re.findall(r"`(\w+)`", " ".join(column))}
        for column in ([r[1] for r in rows], [r[2] for r in rows])
    )
    named = {
        each.__name__
        for each in vars(protocol).values()
        if isinstance(each, type) and issubclass(each, protocol.Message)
    }
    inside = {each.__name__ for each in get_args(protocol.Change)}  # of a Write
    apart = {"Message", "BusSocket", *inside, *(name for name in named if name.startswith("_"))}

    assert named - apart - told == set()
    assert named - apart - said == set()


def test_readme_names_the_page_on_security() -> None:
    """Who looks for it finds it; that its links lead somewhere is held for all pages."""
    assert "SECURITY.md" in (TOP / "README.md").read_text(encoding="utf-8")


def test_report_goes_to_no_address_that_nobody_reads() -> None:
    """SECURITY.md names the private report of the site, and invents no address."""
    text = (TOP / "SECURITY.md").read_text(encoding="utf-8")

    assert "private vulnerability report" in text
    assert "@" not in text
