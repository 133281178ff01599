"""
Fuzz targets, each for some seconds: `make fuzz`, or tests/fuzz/run.py [--seconds N] [--keep DIRECTORY] [TARGET...].

By atheris, led by coverage, where it can be imported; else by hypothesis, from seeds that are spoiled. What fails is
kept in a file, as small as it could be made, told with the error, and the next target goes on. A file that is put
into tests/fuzz/crashes/TARGET is tried by `make test` from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from hypothesis import HealthCheck, Phase, given, seed, settings

PLACE = Path(__file__).parent
sys.path.insert(0, str(PLACE.parents[1]))
from tests.fuzz.mutation import spoiled  # noqa: E402 - found by the line above

TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in PLACE.glob("fuzz_*.py"))


def load(name: str) -> ModuleType:
    """Return a target."""
    return importlib.import_module(f"tests.fuzz.fuzz_{name}")


def make_property(
    target: ModuleType, examples: int, *, number: int | None = None
) -> Callable[[], None]:
    """Return a function that tries so many cases and raises what fails, made small. number: of the row of cases, None for the one that is always the same."""
    keeps: list[bytes] = []

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=number is None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(spoiled(target.seeds()))
    def run(data: bytes) -> None:
        keeps[:] = [data]
        target.check(data)

    chosen = run if number is None else seed(number)(run)

    def attempt() -> None:
        try:
            chosen()
        except BaseException as error:
            error.__dict__["data"] = keeps[0] if keeps else b""
            raise

    return attempt


def fuzz(name: str, seconds: float, keep: Path) -> tuple[int, str]:
    """Return how many cases were tried by hypothesis, and what has failed, "" for nothing."""
    target = load(name)
    until = time.monotonic() + seconds
    tried, number = 0, int.from_bytes(os.urandom(4))
    while time.monotonic() < until:
        try:
            make_property(target, 200, number=number + tried)()
        except Exception as error:
            data = error.__dict__.get("data", b"")
            return tried, f"{store(keep, name, data)}\n{traceback.format_exc()}"
        tried += 200
    return tried, ""


def store(keep: Path, name: str, data: bytes) -> Path:
    """Write a case that fails, and return where it is."""
    path = keep / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lead(name: str, seconds: float, keep: Path) -> tuple[int, str]:
    """The same by atheris, in a process of its own, since it ends the one that it runs in."""
    words = [
        sys.executable,
        __file__,
        "--led",
        name,
        "--seconds",
        str(seconds),
        "--keep",
        str(keep),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    runs = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("Done ")]
    return int(runs[-1]) if runs else 0, "" if done.returncode == 0 else done.stderr[-6000:]


def be_led(name: str, seconds: float, keep: Path) -> None:
    """Be that process."""
    import atheris

    with atheris.instrument_imports(include=["netevd", "privsep"]):
        target = load(name)
    corpus = keep / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(each)
    options = [
        f"-max_total_time={int(seconds)}",
        f"-artifact_prefix={keep / name}/",
        "-timeout=20",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], target.check)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument(
        "targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument(
        "--keep", type=Path, default=Path("build/fuzz"), help="where what fails is kept"
    )
    parser.add_argument("--led", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.led:
        be_led(arguments.led, arguments.seconds, arguments.keep)
    led = importlib.util.find_spec("atheris") is not None
    failed = 0
    print(f"{'target':<14} {'cases':>9}  by {'atheris' if led else 'hypothesis'}", flush=True)
    for name in arguments.targets or TARGETS:
        tried, told = (lead if led else fuzz)(name, arguments.seconds, arguments.keep)
        failed += bool(told)
        print(f"{name:<14} {tried:>9}  {told or 'nothing found'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
