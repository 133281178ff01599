"""
Measure netevd beside the C floor on this machine, print one table. See docs/benchmarks.md.

Asserts nothing: it ends with status 0 whatever the figures are, and with 1 only when something did
not work.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import table
from bursts import flap, links, many_links
from commands import commands
from confinement import confinement
from filters import filters
from journal import journal
from lab import ensure_users
from latency import latency_sh, latency_static
from peers import peers
from plan import Plan
from readers import readers
from rest import ready, rest
from routes import routes
from routing import routing
from serving import scrape, serving
from subjects import Broken

HERE: Final = Path(__file__).resolve().parent
COMPILE: Final[dict[str, list[str]]] = {"floor": [], "listen": [], "stamp": ["-static"]}
MEASUREMENTS: Final[dict[str, Callable[[Plan], list[table.Row]]]] = {
    "latency-sh": latency_sh,
    "latency-static": latency_static,
    "confinement": confinement,
    "flap": flap,
    "links": links,
    "many-links": many_links,
    "routes": routes,
    "filters": filters,
    "journal": journal,
    "peers": peers,
    "routing": routing,
    "ready": ready,
    "rest": rest,
    "scrape": scrape,
    "serving": serving,
    "readers": readers,
    "commands": commands,
}
NEEDED: Final = {
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "ssh-keygen": "openssh-client",
    "wrk": "wrk",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 10 s of idling")
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, metavar="NAME", default=[],
        help=f"one measurement of {', '.join(MEASUREMENTS)}; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--record", action="store_true", help="keep the floor of this machine")
    parser.add_argument(
        "--netevd", metavar="COMMAND", help="command line of netevd [beside this interpreter]"
    )
    return parser.parse_args(arguments)


def _find_problem() -> str:
    if os.geteuid() != 0:
        return (
            "the benchmark must run as root: it makes network namespaces and starts netevd as root"
        )
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            return f"{program} is missing; install it with: apt-get install {package}"
    return ""


def _compile() -> Path:
    build = HERE / "build"
    build.mkdir(exist_ok=True)
    for name, options in COMPILE.items():
        words = ["gcc", "-O2", *options, "-o", str(build / name), str(HERE / f"{name}.c")]
        subprocess.run(words, check=True)
    return build


def _copy_programs(build: Path, work: Path) -> Path:
    """Return a directory with the programs that every user can reach, wherever the clone lies."""
    copies = work / "programs"
    shutil.copytree(build, copies)
    return copies


def _measure(options: argparse.Namespace, work: Path) -> list[table.Row]:
    netevd = shlex.split(options.netevd or "") or [str(Path(sys.executable).with_name("netevd"))]
    rounds, samples, starts, idle_s = (2, 20, 2, 10.0) if options.quick else (5, 40, 5, 60.0)
    programs = _copy_programs(_compile(), work)
    plan = Plan(rounds, samples, starts, idle_s, netevd, programs, work)
    rows: list[table.Row] = []
    for name, measurement in MEASUREMENTS.items():
        if not options.only or name in options.only:
            print(f"{name}: {measurement.__doc__}", file=sys.stderr, flush=True)
            rows += measurement(plan)
    return rows


def main(arguments: list[str]) -> int:
    """Run the benchmark; return the exit status."""
    options = _parse(arguments)
    if problem := _find_problem():
        print(problem, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the subjects are ended
    if notice := ensure_users():
        print(notice, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="netevd-bench-") as directory:
        os.chmod(directory, 0o755)
        try:
            rows = _measure(options, Path(directory))
        except (Broken, subprocess.CalledProcessError, OSError) as problem_found:
            print(f"bench: {problem_found}", file=sys.stderr)
            return 1
    print(table.format_table(rows))
    for line in table.compare_floor(rows):
        print(line)
    if options.record:
        table.record_floor(rows)
    if options.json:
        options.json.write_text(table.as_json(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
