"""The import directions of docs/architecture.md are those of the code, whoever forgets a contract."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
STANDARD = frozenset(sys.stdlib_module_names) | {"__future__"}
EFFECTS = frozenset({"trio", "socket", "os", "subprocess", "time", "random", "logging"})
"""What the core and the model must not know, since they decide and do nothing else."""


def find_imports(source: str) -> Iterator[str]:
    """Yield the full names that a module imports, also inside functions; `from a import b` is a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(package: str) -> dict[str, set[str]]:
    """Return what each module below a package imports."""
    paths = sorted((TOP / package.replace(".", "/")).rglob("*.py"))
    assert paths, package
    return {
        str(path.relative_to(TOP)): set(find_imports(path.read_text(encoding="utf-8")))
        for path in paths
    }


def offences(package: str, allowed: set[str]) -> list[str]:
    """Return each import of a package that is neither of the standard library nor allowed."""

    def fits(name: str) -> bool:
        return name.split(".", maxsplit=1)[0] in STANDARD or any(
            f"{name}.".startswith(f"{each}.") for each in allowed
        )

    return [
        f"{module} imports {name}"
        for module, names in imports_of(package).items()
        for name in sorted(names)
        if not fits(name)
    ]


def test_an_import_is_found_wherever_it_hides() -> None:
    """Imports at the top, in a function, of a name and of a whole module are all seen."""
    source = "import a.b\nfrom c import d as e\ndef f():\n    import g\n    from h.i import j\n"

    assert set(find_imports(source)) == {"a.b", "c.d", "g", "h.i.j"}


def test_privilege_needs_the_standard_library_and_msgspec_alone() -> None:
    """
    privsep imports itself, the standard library, msgspec, in its sandbox pyseccomp, for signatures
    cryptography and, where it is, pysequoia.
    """
    found = offences("privsep", {"privsep", "msgspec"})

    elsewhere = [
        each for each in found if not each.startswith("privsep/signatures.py imports cryptography.")
    ]
    assert elsewhere == [
        "privsep/openpgp.py imports pysequoia",
        "privsep/sandbox.py imports pyseccomp",
    ]
    assert len(elsewhere) < len(found)


def test_signatures_know_cryptography_only_once_they_are_wanted() -> None:
    """Nothing that privsep imports at its start brings one of them: who signs nothing does not pay for it."""
    program = "import sys, privsep.__main__; print(bool({'cryptography', 'pysequoia'} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True
    )

    assert result.stdout == "False\n"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("netevd", {"privsep.protocol", "privsep.launch", "privsep.variables", "privsep.manifest", "netevd", "attrs", "cattrs", "cel_expr_python", "click", "msgspec",
                    "h11", "httpx", "hypercorn", "jeepney", "prometheus_client", "quart", "quart_trio", "rich", "ruamel.yaml",
                    "structlog", "trio",
                    "werkzeug", "wsproto"}),
        ("netevd/model", {"netevd.model", "attrs"}),
        ("netevd/config", {"netevd.config", "netevd.model", "privsep.protocol", "privsep.launch", "privsep.variables",
                           "attrs", "cattrs", "cel_expr_python", "msgspec", "ruamel.yaml"}),
        ("netevd/core", {"netevd.core", "netevd.model", "netevd.config.schema", "netevd.config.kinds",
                         "netevd.config.condition", "netevd.config.links", "netevd.config.identities",
                         "netevd.config.webhooks", "netevd.config.hooktrees", "netevd.compat", "attrs", "msgspec"}),
        ("netevd/compat", {"netevd.compat", "netevd.model", "netevd.config.schema", "netevd.config.kinds", "netevd.config.hooktrees", "attrs", "msgspec"}),
        ("netevd/kernel", {"netevd.kernel", "netevd.model", "netevd.report", "privsep.protocol", "privsep.variables", "attrs", "msgspec"}),
        ("netevd/backends", {"netevd.backends", "netevd.model", "netevd.report", "attrs", "jeepney", "msgspec", "structlog", "trio"}),
        ("netevd/http", {"netevd.http", "netevd.__version__", "netevd.report", "netevd.model", "netevd.config.schema", "netevd.config.kinds",
                         "netevd.config.sealed", "netevd.config.hiding", "privsep.protocol", "attrs", "h11", "hypercorn", "msgspec",
                         "quart", "quart_trio", "structlog", "trio", "werkzeug", "wsproto"}),
        ("netevd/report", {"netevd.report", "netevd.core", "netevd.model", "netevd.config.schema", "netevd.config.kinds",
                           "netevd.config.links", "netevd.config.hiding", "privsep.protocol", "attrs", "msgspec",
                           "prometheus_client", "structlog"}),
        ("netevd/worker", {"netevd.worker", "netevd.__version__", "netevd.http.server", "netevd.http.auth", "netevd.http.peer",
                           "netevd.http.writer", "netevd.core", "netevd.config.schema", "netevd.config.kinds", "netevd.config.sealed",
                           "netevd.config.identities", "netevd.backends", "netevd.kernel", "netevd.model", "netevd.report", "privsep.protocol",
                           "attrs", "msgspec", "structlog", "trio"}),
        ("netevd/courier", {"netevd.courier", "netevd.__version__", "netevd.config.targets", "netevd.model",
                            "netevd.worker.errand", "netevd.worker.ports", "privsep.protocol",
                            "attrs", "httpx", "msgspec", "trio"}),
        ("netevd/cli", {"netevd", "privsep.protocol", "privsep.variables", "privsep.manifest", "attrs", "click", "msgspec", "rich", "ruamel.yaml"}),
    ],
)  # fmt: skip
def test_each_part_of_netevd_knows_only_what_stands_below_it(
    package: str, allowed: set[str]
) -> None:
    """A package imports what is listed for it and the standard library, nothing else."""
    assert offences(package, allowed) == []


@pytest.mark.parametrize("package", ["netevd/core", "netevd/compat", "netevd/model"])
def test_what_decides_has_no_effect(package: str) -> None:
    """The core and the model import no clock, no randomness, no file, no socket and no log."""
    found = [
        f"{module} imports {name}"
        for module, names in imports_of(package).items()
        for name in names
        if name.split(".")[0] in EFFECTS
    ]

    assert found == []


def test_command_line_knows_neither_worker_nor_event_loop() -> None:
    """cli imports neither netevd.worker nor netevd.report nor trio, so it starts quickly."""
    found = [
        f"{module} imports {name}"
        for module, names in imports_of("netevd/cli").items()
        for name in names
        if name.startswith(("netevd.worker", "netevd.report", "trio"))
    ]

    assert found == []


def test_contract_names_every_module_of_privsep_but_what_both_sides_speak() -> None:
    """The linter's list of what netevd must not see has each module that there is."""
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    forbidden = next(
        set(contract["forbidden_modules"])
        for contract in contracts
        if contract["type"] == "forbidden" and contract["source_modules"] == ["netevd"]
    )
    existing = {
        f"privsep.{path.stem}"
        for path in (TOP / "privsep").glob("*.py")
        if path.stem not in {"__init__", "protocol", "launch", "variables", "manifest"}
    }

    assert forbidden == existing


def test_import_contracts_hold() -> None:
    """The linter, which also follows imports of imports, finds no contract broken."""
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=TOP, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(TOP)},
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout
