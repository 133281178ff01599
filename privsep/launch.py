"""
What the privileged side needs of a configuration, as a reader hands it up: resolved to numbers.

Pure. The reader has no privilege and may have been taken over by what it has read, so field checks
are here, and what root alone may decide is checked again by the supervisor (`mode`).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from privsep.protocol import Codec, Id, ListenerKind, Message, Path, Small, Table, Text, Word

Fingerprint = Annotated[str, Meta(pattern=r"^(SHA256:[A-Za-z0-9+/]{43}|([0-9A-F]{8}){5,8})\Z")]
Byte = Annotated[int, Meta(ge=0, le=255)]
Capability = Annotated[str, Meta(max_length=64, pattern=r"^CAP_[A-Z_]+\Z")]
LimitName = Annotated[str, Meta(pattern=r"^(as|fsize|memlock|nofile|nproc|stack)\Z")]


class Identity(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a runner becomes before it starts anything."""

    user: Text
    """Name for messages only."""
    uid: Small
    gid: Small
    groups: list[Small]
    capabilities: list[Capability] = []
    """What its scripts have, by name as in capabilities(7)."""
    limits: list[tuple[LimitName, Id]] = []
    """Resource limits, soft and hard, by name and unit as in setrlimit(2)."""
    scripts: list[Path] = []
    """The only files it runs; none named: every one in the script directories."""


class Tree(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A tree of scripts of another dispatcher."""

    kind: Word
    """Its convention, see `trees`."""
    roots: Annotated[list[Path], Meta(min_length=1, max_length=8)]
    """The first one wins over the later ones."""
    runner: Small
    """Number of the identity that its scripts have."""


class RouteFilter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which routes the kernel tells of."""

    tables: Annotated[list[Table], Meta(max_length=64)]
    """By number, 0 for all."""
    default_routes: bool
    """Whether default routes of every table are told too."""
    protocols: Annotated[list[Byte], Meta(max_length=64)]
    """Who has installed them, by number; none named: everybody."""
    owner: Byte = 0
    """Who has installed those that pass always, 0 for nobody."""


class AuditFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where the supervisor writes the audit log."""

    path: Path
    size: Annotated[int, Meta(ge=4096, le=2**40)]
    """Octets of one file at most."""
    keep: Annotated[int, Meta(ge=0, le=1000)]
    """Files that are kept beside the one that is written."""


class Listener(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where clients are to be served."""

    kind: ListenerKind
    address: Annotated[
        str, Meta(max_length=107, pattern=r"^([0-9.]+|[0-9a-f.]*:[0-9a-f:.]*|/[^\x00\n]+)\Z")
    ]
    """An IP address, or the path of a unix socket (107 octets: sun_path in unix(7))."""
    port: Annotated[int, Meta(ge=0, le=65535)]
    """0 for a path."""


class WritePolicy(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the helper may write. Numbers are those of netevd.model.routing, section 6 of its contract."""

    adds: bool = False
    """Without it, what is ours may only be removed."""
    protocol: Annotated[int, Meta(ge=64, le=255)] = 110
    """What marks it as ours."""
    base: Annotated[int, Meta(ge=2000, le=31000)] = 21000
    """The lowest table; rules begin 1000 below. Both end 950 above."""
    marks: Table = 0
    """Bits of the firewall mark that rules of ours may ask for."""
    lingers: bool = False
    """At the end of the daemon the worker removes what is ours."""
    tunnels: bool = False
    """What leads into tunnels may be added too, and that alone without `adds`."""
    devices: Annotated[list[Text], Meta(max_length=256)] = []
    """Globs of WireGuard devices as `Launch.wireguard`, whose peers may get other endpoints."""
    endpoints: Annotated[list[tuple[Text, Small]], Meta(max_length=1024)] = []
    """These peers may, by their public keys, at these ports."""


READABLE: Final = "/var/lib/dhcp /var/lib/dhclient /var/lib/NetworkManager /run/netevd-leases /run/systemd".split()  # fmt: skip
"""What the first worker may read, since it starts before its configuration is known: where DHCP
clients and systemd-networkd, which starts later, keep leases. One that has to read more asks for another,
`Refresh`."""


class Launch(Message, frozen=True, tag=90):
    """What the privileged side needs of a checked configuration, resolved to numbers."""

    runners: list[Identity]
    directories: list[Path]
    """Roots of script directories, the first one wins over the later ones."""
    events: list[Word]
    """Event types: the directories below a root are `TYPE.d`, any other is not looked at."""
    log_level: Annotated[str, Meta(pattern=r"^(trace|debug|info|warn|error)\Z")]
    log_format: Annotated[str, Meta(pattern=r"^(text|json|journal)\Z")]
    script_timeout: Annotated[float, Meta(gt=0)]
    output_limit: Small
    routes: RouteFilter
    audit: AuditFile | None = None
    """None: nothing is noted."""
    listeners: Annotated[list[Listener], Meta(max_length=16)] = []
    """Beside the socket in the runtime directory, which is always there."""
    writes: WritePolicy = WritePolicy()
    trees: Annotated[list[Tree], Meta(max_length=16)] = []
    """Beside the script directories those of other dispatchers."""
    posts: bool = False
    """Whether there is anything for a courier, whose targets are then in the second memory."""
    readable: Annotated[list[Path], Meta(max_length=33)] = []
    """Directories that the worker may read beside code and configuration, see `READABLE`."""
    wireguard: Annotated[list[Text], Meta(max_length=256)] = []
    """Globs of WireGuard devices outside the kernel that may be asked, with ! in front that may not."""
    digest: Annotated[str, Meta(max_length=64)] = ""
    """SHA-256 of the main configuration file as hexadecimal digits, "" if no worker may write it."""
    content: bytes = b""
    """Of a candidate: what is to stand in the file."""
    signers: Annotated[list[Fingerprint], Meta(max_length=64)] | None = None
    """Whose signatures scripts need, None: they need none."""
    sandbox: Annotated[str, Meta(pattern=r"^(enforce|log|off)\Z")] = "enforce"
    """What becomes of a system call that a role's filter does not allow."""


class Rejected(Message, frozen=True, tag=91):
    """The configuration has problems; one line each, `file:line:column: problem`."""

    problems: list[str]


Verdict: TypeAlias = Launch | Rejected

_MAY_DIFFER: Final = "log_level log_format script_timeout output_limit routes digest content"
"""What of the launch data a configuration may change that came through a worker."""


def grants_the_same(now: Launch, launch: Launch) -> bool:
    """Tell whether launch data differs from that of now only where no privilege depends on it."""
    same = {name: getattr(now, name) for name in _MAY_DIFFER.split()}
    return msgspec.structs.replace(launch, **same) == now


def find_common(launch: Launch) -> tuple[object, ...]:
    """Return what all runners of a configuration have in common."""
    return launch.directories, launch.events, launch.audit is None, launch.signers, launch.trees


VERDICT: Final = Codec[Verdict](Verdict)
