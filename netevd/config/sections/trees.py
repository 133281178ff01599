"""Section `compat`: script trees of other dispatchers."""

from __future__ import annotations

from attrs import field, frozen

from netevd.config.kinds import AbsolutePath, Capability, Duration, UserName, Wait


@frozen(slots=True)
class HookTree:
    """A tree of scripts in the convention of another dispatcher, which run as they would there."""

    enabled: bool = False
    """Whether it is looked at."""
    roots: tuple[AbsolutePath, ...] | None = None
    """Where it stands, the first place winning over later ones. Not given: where that dispatcher has it."""
    user: UserName | None = None
    """User that its scripts run as instead of scripts.user; here root may be given."""
    capabilities: tuple[Capability, ...] | None = None
    """Capabilities that they have. Not given: none, and for user root all that netevd has."""
    timeout: Duration | None = None
    """How long each may run. Not given: script_timeout, and 600s for networkmanager."""


@frozen(slots=True)
class StateTree(HookTree):
    """The tree of networkd-dispatcher."""

    assume_configured: bool = False
    """Whether links that systemd-networkd does not manage count as configured once they have an address,
    instead of unmanaged."""


@frozen(slots=True)
class CarrierTree(HookTree):
    """The tree of ifplugd."""

    delay_up: Wait = Wait(0.0)
    """How long a carrier has to be there."""
    delay_down: Wait = Wait(5.0)
    """How long it has to be gone."""


@frozen(slots=True)
class Compat:
    """Script trees of other dispatchers. None by default."""

    networkd_dispatcher: StateTree = field(factory=StateTree)
    networkmanager: HookTree = field(factory=HookTree)
    dhclient_hooks: HookTree = field(factory=HookTree)
    ifupdown: HookTree = field(factory=HookTree)
    ifplugd: CarrierTree = field(factory=CarrierTree)
    netplug: HookTree = field(factory=HookTree)
