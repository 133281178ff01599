"""
Record what NetworkManager has on the bus, and what its dispatcher calls scripts with, as it really does.

As root, with an interpreter that has netevd's dependencies:

    python3 -m tests.data.record_networkmanager > tests/data/networkmanager.jsonl

The first line says of which versions and when. Each other line is one call: `arguments`, `variables`, and in
`objects` those objects that have changed since the line before, null for one that is gone. Of objects only
what netevd asks for is kept. Values have their signatures, as busctl(1) writes them.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any, Final

from tests.lab.office import Office, play

_NAME: Final = "org.freedesktop.NetworkManager"
_KEPT: Final = (
    _NAME, f"{_NAME}.Device", f"{_NAME}.Connection.Active", f"{_NAME}.Settings.Connection",
    f"{_NAME}.IP4Config", f"{_NAME}.IP6Config", f"{_NAME}.DHCP4Config", f"{_NAME}.DHCP6Config",
    "settings",
)  # fmt: skip


_ADDRESS: Final = "ConnectivityCheckUri"
"""A property that is left out: no file of this repository names a host."""


def record() -> None:
    """Play the scenario, and print it."""
    office = Office()
    try:
        office.start()
        play(office, office.expect)
        version = office.system.run(
            "dpkg-query", "-W", "network-manager", "network-manager-openvpn", "openvpn"
        )
        made = datetime.now(UTC).isoformat(timespec="seconds")
        packages = dict(line.split("\t") for line in version.stdout.splitlines())
        print(json.dumps({"made": made, "packages": packages}))
        known: dict[str, Any] = {}
        for each in office.read():
            for interfaces in each.objects.values():
                interfaces.get(_NAME, {}).pop(_ADDRESS, None)
            objects = {
                path: kept
                for path, interfaces in each.objects.items()
                if (kept := {name: interfaces[name] for name in _KEPT if name in interfaces})
            }
            changed = {path: kept for path, kept in objects.items() if known.get(path) != kept}
            changed |= dict.fromkeys(each_gone for each_gone in known if each_gone not in objects)
            known = objects
            line = {"arguments": each.arguments, "variables": each.variables, "objects": changed}
            print(json.dumps(line, ensure_ascii=False))
            print(each.action, file=sys.stderr)
    finally:
        office.close()


if __name__ == "__main__":
    record()
