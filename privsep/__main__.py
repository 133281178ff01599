"""
Entry of everything that may have privilege: `python -I -m privsep COMMAND`.

run: the daemon. confined: worker or reader, executed by the supervisor. once: what
`netevd test script` and `netevd list hooks` need done as the script user.
"""

from __future__ import annotations

import getopt
import os
import sys

from privsep import domain, mode, once, sandbox
from privsep.confined import run as run_confined
from privsep.listeners import Listeners
from privsep.notify import take_descriptors
from privsep.supervisor import Supervisor


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    try:
        match arguments:
            case ["confined", role, how, *rest]:
                return run_confined(role, how, rest)
            case ["run", *rest]:
                return _run(rest)
            case ["once", *rest]:
                return _once(rest)
    except mode.Refusal as refusal:
        os.write(2, f"netevd: {refusal}\n".encode())
        return 1
    os.write(2, b"usage: netevd run; this module is not called by hand\n")
    return 2


def _run(arguments: list[str]) -> int:
    names = ["config=", "runtime-dir=", "state-dir=", "dry-run", "observe"]
    options = dict(getopt.getopt(arguments, "", names)[0])
    sandbox.traps = os.environ.get("NETEVD_SANDBOX_TRAPS") == "1"
    given = take_descriptors()
    chosen = mode.choose(force_observe="--observe" in options)
    listeners, state = None, ""
    if "--dry-run" not in options:
        given_directory = options.get("--runtime-dir")
        directory = mode.make_runtime_directory(given_directory, observe=chosen.observe)
        mode.take_lock(directory)
        listeners = Listeners(directory, chosen, given)
        state = mode.make_state_directory(options.get("--state-dir"), chosen)
    sandbox.forbid_new_privileges()  # first: what AppArmor lets nobody leave is where it is seen
    domain.enter("supervisor")
    sandbox.deny_dangerous_calls()
    try:
        daemon = Supervisor(chosen, options.get("--config"), listeners, state, given)
    except OSError as error:
        raise mode.Refusal(f"netlink can't be used: {error.strerror}") from None
    return daemon.run()


def _once(arguments: list[str]) -> int:
    options, rest = getopt.getopt(arguments, "", ["config=", "observe", "scripts="])
    named = dict(options)
    chosen = mode.choose(force_observe="--observe" in named)
    single = (rest[0], rest[1]) if len(rest) == 2 else None
    return once.lend_runner(chosen, named.get("--config", ""), int(named["--scripts"]), single)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
