"""
Run a program of netevd locked in: import it, load the role's sandbox, only then call its main.

This process has its unprivileged identity already (`spawn`). The import by a constant name is the
one place where privsep touches netevd, and it happens after execve and without privilege, so that
not one line of netevd runs unconfined beyond its imports.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

from privsep import domain, sandbox

_PROGRAMS: Final = {
    "worker": "netevd.worker.main",
    "reader": "netevd.config.reader",
    "courier": "netevd.courier.main",
}


def run(role: str, how: str, arguments: list[str]) -> int:
    """Run the program of a role, confined; return its exit status. how: as in `sandbox.confine`."""
    sandbox.forbid_dumps()
    sandbox.name_process(f"netevd-{role}")
    program = importlib.import_module(_PROGRAMS[role])
    domain.enter(role)
    sandbox.confine(role, how, {
        sandbox.CODE: _code_paths(), sandbox.STATE: arguments[:1], sandbox.LEASES: arguments[1:-1]
    })  # fmt: skip
    return int(program.main(arguments))


def _code_paths() -> list[str]:
    """Return where Python finds code, and what the C library reads for time and names."""
    return sorted({sys.prefix, sys.base_prefix, *sys.path, "/usr", "/lib", "/lib64", "/etc"} - {""})
