"""The types of settings: what a value may be, and how it is written."""

from __future__ import annotations

from typing import Final, Literal, NewType

Duration = NewType("Duration", float)
"""Seconds, more than 0. Written with a unit: 250ms, 30s, 5m, 1h."""
Size = NewType("Size", int)
"""Bytes. Written plain or with KiB, MiB, GiB."""
Count = NewType("Count", int)
"""A number from 1 to 200."""
Patterns = NewType("Patterns", tuple[str, ...])
"""Interface names or globs; "!glob" excludes. Written as a list or blank-separated."""
AbsolutePath = NewType("AbsolutePath", str)
"""A path that begins with /."""
Tables = NewType("Tables", tuple[str, ...])
"""Routing tables by name or number, or the word all. Written as a list or blank-separated."""
Protocols = NewType("Protocols", tuple[str, ...])
"""Who installs routes, by name or number. Written as a list or blank-separated."""
LeaseFiles = NewType("LeaseFiles", tuple[str, ...])
"""Absolute paths, at most 32; only their last part may be a glob. Written as a list or
blank-separated."""
UserName = NewType("UserName", str)
"""Name of a system user."""
Times = NewType("Times", int)
"""A number from 0 to 1000."""
Amount = NewType("Amount", int)
"""A number from 16 to 1048576."""
Bytes = NewType("Bytes", int)
"""Bytes, at most 1024 GiB. Written as a Size."""
FileSize = NewType("FileSize", int)
"""Bytes, from 64KiB to 1024 GiB. Written as a Size."""
MutexName = NewType("MutexName", str)
"""Letters, digits, dots, hyphens and underscores, at most 64."""
Pattern = NewType("Pattern", str)
"""An interface name or glob."""
InterfaceName = NewType("InterfaceName", str)
"""Name of an interface."""
EventTypes = NewType("EventTypes", tuple[str, ...])
"""Event types or globs of them. Written as a list or blank-separated."""
KindName = NewType("KindName", str)
"""Kind of a link as in `ip -details link`, "" for hardware."""
Expression = NewType("Expression", str)
"""A CEL expression that yields true or false, see `condition`."""
Wait = NewType("Wait", float)
"""Seconds, 0 or more. Written as a Duration, or 0s."""
EventLimit = NewType("EventLimit", int)
"""A number from 1 to 1000."""
SeriesLimit = NewType("SeriesLimit", int)
"""A number from 100 to 10000."""
Penalty = NewType("Penalty", int)
"""A number from 1 to 1000000; each event that runs scripts counts 1000."""
PublicKey = NewType("PublicKey", str)
"""32 octets as 44 characters of base64."""
PeerName = NewType("PeerName", str)
"""Letters, digits, blanks, dots, hyphens and underscores, at most 64."""
OwnProtocol = NewType("OwnProtocol", int)
"""A number from 64 to 255 that marks what is our own."""
Base = NewType("Base", int)
"""A multiple of 1000 from 2000 to 31000."""
Mark = NewType("Mark", int)
"""A number from 0 to 4294967295, decimal or hexadecimal as 0xff00."""
MarkAndMask = NewType("MarkAndMask", tuple[int, int])
"""Firewall mark and which of its bits count. Written as a Mark, or as MARK/MASK."""
Prefix = NewType("Prefix", str)
"""An address or address with prefix length; "" for any. Written as such, or the word any."""
TableName = NewType("TableName", int)
"""A routing table by name or number."""
TunnelTable = NewType("TunnelTable", str)
"""The number of a routing table, or auto. Written as a TableName, or auto."""
TunnelMark = NewType("TunnelMark", str)
"""A Mark as 0xff00, or auto. Written as a Mark, or auto."""
HostPort = NewType("HostPort", str)
"""A host name and a port, as vpn.example.org:51820."""
Interval = NewType("Interval", float)
"""Seconds, at least 1, or 0 for never. Written as a Duration, or off."""
Globs = NewType("Globs", tuple[str, ...])
"""Absolute paths and globs of them. Written as a list or blank-separated."""
Metric = NewType("Metric", int)
"""A number from 0 to 4294967295."""
FixedPriority = NewType("FixedPriority", int)
"""A number from 1 to 32765, see `FixedRule.priority`."""

Addresses = NewType("Addresses", tuple[str, ...])
"""IP addresses, at most 4. Written as a list or blank-separated."""
PortNumber = NewType("PortNumber", int)
"""A number from 1 to 65535."""
HostNames = NewType("HostNames", tuple[str, ...])
"""Host names; "*.example.org" is every name below it. Written as a list or blank-separated."""
UrlPaths = NewType("UrlPaths", tuple[str, ...])
"""Paths of URLs, with everything below them. Written as a list or blank-separated."""
SocketPath = NewType("SocketPath", str)
"""An absolute path of at most 107 octets, which is what a unix socket can have."""
TokenName = NewType("TokenName", str)
"""Letters, digits, dots, hyphens and underscores, at most 64."""
TokenHash = NewType("TokenHash", str)
"""sha256: and 64 hexadecimal digits."""
Fingerprint = NewType("Fingerprint", str)
"""SHA256: and 43 characters of base64, as `ssh-keygen -l` and `netevd sign init` print it."""
Url = NewType("Url", str)
"""An address that begins with https:// or http://, without user name or password."""

EXPRESSION_LIMIT: Final = 4096
"""Characters of an Expression at most."""

Backend = Literal[
    "auto", "kernel", "systemd-networkd", "NetworkManager", "dhclient", "systemd-logind"
]
Level = Literal["trace", "debug", "info", "warn", "error"]
Format = Literal["text", "json", "journal"]
Obsolete = Literal["run", "skip"]
RoleName = Literal["read", "operate", "admin"]
Source = Literal[
    "kernel", "systemd-networkd", "NetworkManager", "dhclient", "dhcpcd", "systemd-logind"
]
Expectation = Literal["always", "on-demand", "never"]
RoutesMode = Literal["off", "observe", "manage"]
Family = Literal["ipv4", "ipv6"]
FilterAction = Literal["execute", "ignore", "log"]
Primary = Literal["skip", "include"]
Sources = Literal["auto", "address", "prefix"]
ReturnPath = Literal["off", "conntrack-mark"]
OnExit = Literal["keep", "remove"]
Contested = Literal["backoff", "fail"]
SandboxMode = Literal["enforce", "log", "off"]
Capability = Literal[
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
]  # fmt: skip
"""Source: linux/capability.h, in its order."""
