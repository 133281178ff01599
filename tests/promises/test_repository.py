"""What is promised of the repository itself."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent


def _tracked() -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    result = subprocess.run(
        ["git", "-C", str(TOP), "-c", "safe.directory=*", "ls-files", "-z"],
        capture_output=True, check=False,
    )  # fmt: skip
    if result.returncode:
        pytest.skip("not a git clone")
    return [TOP / name for name in result.stdout.decode().split("\0") if name]


def test_every_module_function_and_class_of_privsep_and_netevd_is_documented() -> None:
    """Each module has a docstring, and so has each public class and function."""
    missing = []
    for package in ("netevd", "privsep"):
        for path in sorted((TOP / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if ast.get_docstring(tree) is None:
                missing.append(f"{path.relative_to(TOP)}")
            for node in tree.body:
                kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
                public = isinstance(node, kinds) and not node.name.startswith("_")
                if public and ast.get_docstring(node) is None:  # type: ignore[arg-type]
                    missing.append(f"{path.relative_to(TOP)}:{node.lineno} {node.name}")  # type: ignore[attr-defined]

    assert missing == []


def test_requirements_are_pinned_by_hash_and_name_no_place() -> None:
    """Each requirement has one version and hashes; where to find it is the user's configuration."""
    for name in ("run", "test", "pip"):
        text = (TOP / f"requirements/{name}.txt").read_text(encoding="utf-8")
        pinned = re.findall(r"^([a-z0-9_.-]+)==", text, re.MULTILINE | re.IGNORECASE)
        blocks = re.split(r"^(?=[a-zA-Z])", text, flags=re.MULTILINE)
        assert pinned
        assert all("--hash=sha256:" in block for block in blocks if "==" in block)
        assert "://" not in text
        assert "--index" not in text


def test_no_file_holds_a_path_of_a_machine_it_was_made_on() -> None:
    """No tracked file names the directory of this clone or a home."""
    own = [str(TOP).encode() + b"/", str(Path.home()).encode() + b"/.pyenv"]
    if str(TOP) in {"/", "/opt/netevd"}:
        pytest.skip("this clone's path is no telling one")
    for path in _tracked():
        content = path.read_bytes()
        assert not [word for word in own if word in content], path


def test_import_contracts_hold() -> None:
    """The import directions of docs/architecture.md are those of the code."""
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=TOP, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(TOP)},
    )  # fmt: skip

    assert "0 broken" in result.stdout, result.stdout + result.stderr


def test_quickstart_scripts_belong_to_event_types() -> None:
    """Each directory of the quickstart is an event type's, each script has its first line."""
    from netevd.model.event import EventType

    known = {f"{kind.value}.d" for kind in EventType}
    directories = {path.name for path in (TOP / "examples/quickstart").iterdir() if path.is_dir()}

    assert directories <= known
    for script in (TOP / "examples/quickstart").glob("*.d/*"):
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
        assert script.stat().st_mode & 0o111
