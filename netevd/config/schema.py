"""
Every setting: name, type, default and meaning. This module is the reference manual's source.

Values only, checked already; imports attrs and nothing else, since core and worker share it.
"""

from __future__ import annotations

from typing import Literal, NewType

from attrs import field, frozen

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
UserName = NewType("UserName", str)
"""Name of a system user."""

Backend = Literal["auto", "kernel"]
Level = Literal["trace", "debug", "info", "warn", "error"]
Format = Literal["text", "json"]


@frozen(slots=True)
class System:
    """How the daemon itself behaves."""

    backend: tuple[Backend, ...] = ("auto",)
    """Sources of knowledge, a word or a list. auto: whatever is there; today that is the kernel."""
    log_level: Level = "info"
    """Least level that is logged; trace shows every input of the core."""
    log_format: Format = "text"
    """text for people, json for machines: one object a line."""


@frozen(slots=True)
class Network:
    """Which links are watched and what scripts are told of them."""

    links: Patterns = Patterns(())
    """Watched interfaces by name, alternative name or glob. Empty: all but lo, which counts only
    when it is named as such."""
    emit_json: bool = True
    """Whether scripts get the variable JSON."""


@frozen(slots=True)
class Scripts:
    """Where scripts stand and how they run."""

    directory: AbsolutePath = AbsolutePath("/etc/netevd")
    """Root of the script directories `TYPE.d`; scripts in /usr/lib/netevd come after it."""
    user: UserName = UserName("netevd-script")
    """System user that scripts run as; not root. Without root: always the caller."""
    concurrency: Count = Count(8)
    """Scripts that run at the same time at most; those of one link always run one by one."""
    output_limit: Size = Size(65536)
    """Output of one run that is kept, both streams together; the rest is read and dropped."""
    initial: bool = True
    """Whether the events that tell the state at start run scripts."""


@frozen(slots=True)
class Routes:
    """Which routes are known and told; what is not asked for is dropped by the kernel already."""

    tables: Tables = Tables(("main",))
    """Tables whose routes are known: all, main, local, default, or numbers. Empty: none."""
    default_routes: bool = True
    """Whether default routes of every other table are known too."""
    protocols: Protocols = Protocols(())
    """Whose routes these are: kernel, static, dhcp, ra, bird and so on, or numbers. Empty: all."""


@frozen(slots=True)
class Configuration:
    """All settings. In a file there is one key more, `include`."""

    system: System = field(factory=System)
    network: Network = field(factory=Network)
    script_timeout: Duration = Duration(30.0)
    """How long one script may run; then TERM to all of its processes, 5 s later KILL."""
    scripts: Scripts = field(factory=Scripts)
    routes: Routes = field(factory=Routes)
