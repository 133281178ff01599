"""The state directory of a whole daemon, on a disk that is full."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Callable
from pathlib import Path

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip


def test_full_disk_ends_nothing_and_leaves_nothing_stale(
    make_daemon: Callable[..., Daemon],
) -> None:
    """It is said once, events go on; what is older than they are is no state for a next daemon."""
    daemon = make_daemon("system: {log_format: json}\nnetwork: {links: [eth*]}\n")
    state = daemon.root / "state"
    worker = pwd.getpwnam("netevd")
    options = f"size=256k,mode=0700,uid={worker.pw_uid},gid={worker.pw_gid}"
    state.mkdir()
    mount = f'mount -t tmpfs -o {options} tmpfs {state} && exec "$@"'
    ip("link add name eth0 index 101 type veth peer name peth0 index 102")
    daemon.start(prefix=("unshare", "--mount", "sh", "-c", mount, "sh"))
    inside = Path(f"/proc/{daemon.pid}/root{state}")
    assert (inside / "journal.0").stat().st_size + (inside / "journal.1").stat().st_size > 0
    with contextlib.suppress(OSError), (inside / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass

    for mtu in range(1280, 1480):
        ip(f"link set eth0 mtu {mtu}")

    def count() -> int:
        return daemon.events("eth0").count("link-changed")

    wait_for(lambda: count() == 200 or None, "every event")
    said = [each for each in daemon.log if each["level"] == "error"]
    assert len(said) == 1
    assert "the journal can't be written to disk: No space left on device" in said[0]["message"]
    assert [(inside / f"journal.{number}").stat().st_size for number in range(2)] == [0, 0]
    assert daemon.stop() == 0
