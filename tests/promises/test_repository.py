"""What is promised of the repository itself."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import netevd

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
    """No tracked file names the directory of this clone or somebody's home."""
    homes = re.compile(rb"/(?:home|Users)/[a-z_][a-z0-9_-]*/|/ro" rb"ot/[a-zA-Z.]|~/\.pyenv")
    own = [] if TOP.parent == Path("/") else [str(TOP).encode() + b"/"]
    found = [
        f"{path.relative_to(TOP)}: {word!r}"
        for path in _tracked()
        for word in [*homes.findall(path.read_bytes()), *(w for w in own if w in path.read_bytes())]
    ]

    assert found == []


def test_no_file_names_a_host_but_the_licence_s() -> None:
    """No index, mirror or server stands in a tracked file: where to look is the user's business."""
    hosts = re.compile(rb"(?:https?|ftp|git|ssh)://([a-z0-9.-]+[a-z0-9])", re.IGNORECASE)
    allowed = re.compile(
        rb"www\.apache\.org|localhost|127\.\d+\.\d+\.\d+|(?:.*\.)?example(?:\.(?:org|com|net))?"
    )
    found = [
        f"{path.relative_to(TOP)}: {host!r}"
        for path in _tracked()
        for host in hosts.findall(path.read_bytes())
        if not allowed.fullmatch(host)
    ]

    assert found == []


def test_every_dependency_has_its_reason() -> None:
    """Each package that pyproject.toml asks for stands in the decision about dependencies."""
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [settings["dependencies"], *settings["optional-dependencies"].values()]
    wanted = {re.split(r"[>=<\[ ]", entry)[0] for entries in lists for entry in entries}
    page = (TOP / "docs/decisions/0002-dependencies.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in page.splitlines() if row.startswith("| ")]
    reasoned = {
        name.strip(): cells[3].strip() for cells in rows for name in cells[1].split(",")
    }  # fmt: skip

    assert {name for name in wanted if not reasoned.get(name)} == set()


def test_wheel_holds_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    """What pip would install is netevd, privsep, the command and the licence, in this version."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=TOP, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = f"netevd-{netevd.__version__}.dist-info"
        commands = archive.read(f"{about}/entry_points.txt").decode()

    assert {name.split("/")[0] for name in names} == {"netevd", "privsep", about}
    assert f"{about}/licenses/LICENSE" in names
    assert "privsep/supervisor.py" in names
    assert "netevd = netevd.cli.main:main" in commands


def test_quickstart_scripts_belong_to_event_types() -> None:
    """Each directory of the quickstart is an event type's, each script has its first line."""
    from netevd.model.event import EventType

    known = {f"{kind.value}.d" for kind in EventType}
    directories = {path.name for path in (TOP / "examples/quickstart").iterdir() if path.is_dir()}

    assert directories <= known
    for script in (TOP / "examples/quickstart").glob("*.d/*"):
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
        assert script.stat().st_mode & 0o111


def test_every_measurement_is_named_where_it_is_asked_for() -> None:
    """The page on benchmarks offers what `--only` takes."""
    tree = ast.parse((TOP / "bench/run.py").read_text(encoding="utf-8"))
    table = next(
        node.value for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "MEASUREMENTS"
    )  # fmt: skip
    assert isinstance(table, ast.Dict)
    page = (TOP / "docs/benchmarks.md").read_text(encoding="utf-8")
    offered = re.search(r"--only .*# of: (.*)", page)

    assert offered is not None
    assert offered[1].split() == [ast.literal_eval(key) for key in table.keys if key]


def test_decisions_are_counted_through() -> None:
    """No two have one number, none is missing, and each is titled by its own: a number names one."""
    pages = sorted((TOP / "docs/decisions").glob("*.md"))
    titles = [page.read_text(encoding="utf-8").partition(".")[0] for page in pages]

    assert [page.name[:4] for page in pages] == [f"{n + 1:04}" for n in range(len(pages))]
    assert titles == [f"# {int(page.name[:4])}" for page in pages]


LINK = re.compile(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)")


def _list_anchors(page: Path) -> set[str]:
    """Return what may stand behind # for a page: its headings, as they are made into anchors."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in headings}


def test_links_of_every_page_lead_somewhere() -> None:
    """Each page and each heading that a page names is there; fragments are read in the changelog, at the top."""
    broken = []
    for page in (path for path in _tracked() if path.suffix == ".md"):
        base = TOP if page.parent == TOP / "changes" else page.parent
        for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            target = base / name if name else page
            if not target.exists():
                broken.append(f"{page.relative_to(TOP)}: {name}")
            elif anchor and anchor[1:] not in _list_anchors(target):
                broken.append(f"{page.relative_to(TOP)}: {name}{anchor}")

    assert broken == []
