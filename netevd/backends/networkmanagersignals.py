"""
What NetworkManager's signals mean, and its words for the host.

Pure. Source: nm-dbus-interface.h and org.freedesktop.NetworkManager(5).
"""

from __future__ import annotations

from typing import Final

from netevd.backends.bus import read_change
from netevd.backends.connection import Signal
from netevd.backends.device import BACKEND, STATES
from netevd.backends.networkmanagerobjects import ACTIVE, DEVICE
from netevd.backends.properties import Properties, get_number
from netevd.model.backend import HostReport

_HOST_STATES: Final = {
    0: "unknown",
    10: "asleep",
    20: "disconnected",
    30: "disconnecting",
    40: "connecting",
    50: "connected-local",
    60: "connected-site",
    70: "connected-global",
}
_CONNECTIVITIES: Final = {0: "unknown", 1: "none", 2: "portal", 3: "limited", 4: "full"}
"""NMState and NMConnectivityState by number. Source: nm-dbus-interface.h."""


def tells_of_active(signal: Signal) -> bool:
    """Tell whether this is of an active connection: a VPN has no device of its own."""
    interface, values = read_change(signal)
    return interface == ACTIVE and "State" in values


def skip_told(signals: list[Signal], states: dict[str, str]) -> list[Signal]:
    """
    Return signals without those states of devices that an answer has told already.

    states: of each device's answer. Whatever was signalled up to the state in the answer came before it.
    """
    left = list[Signal]()
    told = dict(states)
    for signal in reversed(signals):
        if is_state(signal) and signal.path in told:
            if read_state(signal) == told[signal.path]:
                told[signal.path] = ""  # this one, and all before it
            if not told[signal.path]:
                continue
        left.append(signal)
    return left[::-1]


def is_state(signal: Signal) -> bool:
    """Tell whether this is of a device that has another state."""
    return (signal.member, signal.interface, signal.signature) == ("StateChanged", DEVICE, "uuu")


def read_state(signal: Signal) -> str:
    """Return the state that a signal of `is_state` tells."""
    return STATES.get(signal.body[0], "unknown")


def is_starting(manager: Properties) -> bool:
    """Tell whether NetworkManager has not tried everything yet that it activates at its start."""
    return manager.get("Startup") is True


def read_host(manager: Properties) -> HostReport:
    """Return the states of the host."""
    state = _HOST_STATES.get(get_number(manager, "State"), "unknown")
    connectivity = _CONNECTIVITIES.get(get_number(manager, "Connectivity"), "unknown")
    return HostReport(BACKEND, (("state", state), ("connectivity", connectivity)))
