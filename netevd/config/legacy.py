"""
Keys of the daemon of the same name that was written in Rust, as the keys that they are today.

A configuration of it is accepted as it is: each key has one notice, which says where it is read now and
what is different. Its filters are `legacyfilters`'. A version number in the file, by which all of it
could be told apart, has neither that daemon nor this one; so single keys are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from attrs import field, frozen

from netevd.config.legacyfilters import read_filters
from netevd.config.reading import Reading
from netevd.config.schema import Configuration
from netevd.config.steps import Drop, Keys, Put, apply, find
from netevd.config.tree import Place, Problem, Tree

_MOVED: Final[tuple[tuple[Keys, Keys, str], ...]] = (
    (
        ("monitoring", "interfaces"),
        ("network", "links"),
        "there every interface was watched whatever it said; here only these are",
    ),
    (
        ("backends", "systemd_networkd", "emit_json"),
        ("network", "emit_json"),
        "here it holds for the scripts of every event, and JSON has the names of the API",
    ),
    (
        ("backends", "dhclient", "use_dns"),
        ("network", "use_dns"),
        "here it is for links of which no manager tells systemd-resolved",
    ),
    (
        ("backends", "dhclient", "use_domain"),
        ("network", "use_domain"),
        "here it is for links of which no manager tells systemd-resolved",
    ),
    (
        ("backends", "dhclient", "use_hostname"),
        ("network", "use_hostname"),
        (
            "here the host gets a transient name, and only one that a lease gives it; there its static one, with"
            " systemd-networkd after a search domain"
        ),
    ),
)
"""What is only called otherwise: where it stood, where it stands, what is different."""

_LEFT: Final[tuple[tuple[Keys, str], ...]] = (
    (("backends", "networkmanager"), "there it held nothing, and there is nothing to set"),
    (
        ("audit", "retention_days"),
        "there nothing was ever removed; here audit.max_size and audit.keep bound the log, by its size",
    ),
    (("audit", "log_path"), "there it was never read; write audit.path"),
    (("api", "bind"), "there it was never read; write api.bind_address and api.port"),
    (("api", "address"), "there it was never read; write api.bind_address"),
    (("metrics", "endpoint"), "there it was never read; metrics are always at /metrics"),
)
"""What says nothing any more, and why."""

_SECTIONS: Final[tuple[Keys, ...]] = (
    ("monitoring",),
    ("backends",),
    ("backends", "systemd_networkd"),
    ("backends", "dhclient"),
)
"""Mappings that held what is read elsewhere, the outer ones first."""

VARIABLES: Final[Mapping[str, Keys]] = {
    "NETEVD_LOG_LEVEL": ("system", "log_level"),
    "NETEVD_BACKEND": ("system", "backend"),
    "NETEVD_API_ENABLED": ("api", "enabled"),
    "NETEVD_API_BIND_ADDRESS": ("api", "bind_address"),
    "NETEVD_API_PORT": ("api", "port"),
    "NETEVD_METRICS_ENABLED": ("metrics", "enabled"),
    "NETEVD_AUDIT_ENABLED": ("audit", "enabled"),
}
"""Variables of the daemon's environment and the settings that they are stronger than."""


@frozen(slots=True)
class Accepted:
    """What was made of keys and variables of the Rust daemon."""

    notices: tuple[Problem, ...] = ()
    """One for each of them, where it is written."""
    names: dict[Place, str] = field(factory=dict)
    """What the user calls a value that was moved, by where it is written."""


def accept(tree: Tree, environment: Mapping[str, str], problems: list[Problem]) -> Accepted:
    """Have a tree hold today's keys only, as far as they are known; problems are added to the list."""
    reading = read(tree)
    problems.extend(reading.problems)
    apply(tree, reading.steps)
    notices = [*reading.notices, *_put_variables(tree, environment)]
    return Accepted(tuple(sorted(notices)), reading.names)


def read(tree: Tree) -> Reading:
    """Return what legacy keys of a tree mean; the tree stays as it is."""
    reading = Reading(tree)
    for source, reason in _LEFT:
        found = find(tree, source)
        if found and not _is_setting(source):
            reading.drop(
                source, found[0], f"{'.'.join(source)} of the Rust daemon is left out: {reason}"
            )
    for source, target, difference in _MOVED:
        if found := find(tree, source):
            reading.move(source, target, found, difference)
    _read_policy_rules(reading)
    _read_tls(reading)
    gone: set[Keys] = set()
    for section in reversed(_SECTIONS):
        _read_section(reading, section, gone)
    read_filters(reading)
    return reading


def _read_section(reading: Reading, section: Keys, gone: set[Keys]) -> None:
    """Leave a section out of which nothing is left; what is, is unknown, or a setting of today."""
    found = find(reading.tree, section)
    if found is None:
        return
    child = found[1]
    inner = {} if child.value is None else child.value
    name = ".".join(section)
    left = [key for key in inner if (*section, key) not in gone] if isinstance(inner, dict) else []
    known = {keys[len(section)] for keys in _list_known() if keys[: len(section)] == section}
    known -= {key for key in known if _is_setting((*section, key))}
    left = [key for key in left if key not in known]
    if isinstance(inner, dict) and not left:
        gone.add(section)
        reading.steps.append(Drop(section))
    elif not _is_setting(section):
        gone.add(section)
        reading.steps.append(Drop(section))
        if not isinstance(inner, dict):
            text = f"{name}: expected keys and values, found {child.kind}"
            reading.problems.append(Problem(child.place, text))
            return
        for key in left:
            text = f"unknown key {key!r} below {name}; expected {', '.join(sorted(known))}"
            reading.problems.append(Problem(inner[key][0], text))


def _is_setting(keys: Keys) -> bool:
    """Tell whether there is a setting or section of today of this name."""
    section: object = Configuration()
    for key in keys:
        if not attrs.has(type(section)) or not hasattr(section, key):
            return False
        section = getattr(section, key)
    return True


def _list_known() -> list[Keys]:
    return [each[0] for each in _MOVED] + [each[0] for each in _LEFT]


def _read_policy_rules(reading: Reading) -> None:
    """Read names of interfaces as policy routing for them, whichever has the default route."""
    source, policy = ("routing", "policy_rules"), ("routing", "policy")
    found = find(reading.tree, source)
    if found is None:
        return
    if not found[1].value:
        reading.drop(
            source,
            found[0],
            "routing.policy_rules of the Rust daemon is left out: it names no interface",
        )
        return
    moved = reading.move(
        source,
        (*policy, "interfaces"),
        found,
        "with enabled: true and primary: include; here rules have fixed priorities and tables from"
        " 21000 on instead of 1000 + ifindex, and IPv6 has them too (families: ipv4 leaves it out)",
    )
    if moved:
        for name, word in (("enabled", "true"), ("primary", "include")):
            if find(reading.tree, (*policy, name)) is None:
                reading.steps.append(Put((*policy, name), Tree(found[0], word)))


def _read_tls(reading: Reading) -> None:
    """Read the switch of TLS, which is on today wherever there is a certificate."""
    source = ("api", "tls", "enabled")
    found = find(reading.tree, source)
    if found is None:
        return
    place, switch = found
    word = switch.value.lower() if isinstance(switch.value, str) else ""
    files = [("api", "tls", name) for name in ("cert_file", "key_file")]
    given = [keys for keys in files if (file := find(reading.tree, keys)) and file[1].value]
    if word == "true" and len(given) < len(files):
        text = (
            "enabled: TLS needs cert_file and key_file, and here nothing is served without it then"
        )
        reading.problems.append(Problem(place, text))
    elif word not in {"true", "false"}:
        text = f"enabled: expected true or false, found {switch.kind}"
        reading.problems.append(Problem(switch.place, text))
    reading.drop(
        source,
        place,
        "api.tls.enabled of the Rust daemon is left out: there nothing was ever served; here cert_file and key_file"
        f" switch TLS on{', so they are left out too' if word == 'false' and given else ''}",
    )
    if word == "false":
        reading.steps += [Drop(keys) for keys in given]


# --- variables -------------------------------------------------------------------------------------


def _put_variables(tree: Tree, environment: Mapping[str, str]) -> list[Problem]:
    """Put what the environment says above what the file says; an empty variable is none."""
    notices = []
    for name, target in VARIABLES.items():
        word = environment.get(name, "")
        if not word:
            continue
        place = Place(f"environment variable {name}")
        setting = ".".join(target)
        given = find(tree, target)
        instead = f", and not what stands at {given[1].place}" if given else ""
        apply(tree, [Put(target, Tree(place, word))])
        notices.append(Problem(place, f"is read as {setting}, as by the Rust daemon{instead}"))
    return notices


def is_variable(place: Place) -> bool:
    """Tell whether this is a place in the environment, which no file holds."""
    return place.file.removeprefix("environment variable ") in VARIABLES
