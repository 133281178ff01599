"""From network-event-broker, the ancestor of the Rust daemon: its TOML and its script directories."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from netevd.cli.failure import Failure
from netevd.cli.migrations.remark import Migration, Remark, note, warn
from netevd.cli.migrations.scripts import (
    Convention,
    explain_unknown,
    list_scripts,
    list_states,
    look_at_directory,
)
from netevd.cli.migrations.sheet import Entry, Group, Raw, Sheet, write_sheet, write_value
from netevd.config.load import DEFAULT_PATH
from netevd.config.schema import Scripts
from netevd.config.tree import read_file
from netevd.model.event import EventType

ROOT: Final = "/etc/network-broker"
FILE: Final = "network-broker.toml"

_PROPERTY: Final = "the directory's word is in STATE, the others are in JSON"
CONVENTION: Final = Convention(
    "network-broker with CAP_NET_ADMIN and CAP_SYS_ADMIN",
    {
        **{
            f"{name}State": _PROPERTY
            for name in (
                "Operational", "Administrative", "Carrier", "Address", "IPv4Address", "IPv6Address", "Online",
            )
        },
        "DNS": "use DHCP_DNS",
        "DOMAIN": "use DHCP_DOMAIN",
        "DHCP_LEASE": "its fields are those of docs/reference/events.md",
        "JSON": "its keys are those of the API, docs/reference/events.md",
    },
)  # fmt: skip

_LEVELS: Final = {"warning": "warn", "fatal": "error", "panic": "error"}
_SECTION: Final = re.compile(r"\s*\[\s*([A-Za-z_-]+)\s*\]")
_KEY: Final = re.compile(r"\s*\"?([A-Za-z_-]+)\"?\s*=")


@define(slots=True)
class _Draft:
    """A configuration while it is made."""

    path: str
    lines: dict[tuple[str, str], int] = field(factory=dict)
    """Where each key stands, section and key in small letters."""
    sections: dict[str, Group] = field(factory=dict)
    remarks: list[Remark] = field(factory=list)

    def set(self, setting: str, value: object, key: tuple[str, str] | None = None) -> None:
        """Give a setting a value, with the line in which it was said as its comment."""
        line = self.lines.get(key, 0) if key else 0
        group = Group(self.sections.setdefault(setting.split(".", maxsplit=1)[0], Group()).entries)
        for name in setting.split(".")[1:-1]:
            index = group.index(name)
            if index is None:
                group.entries.append(Entry(name, name, Group()))
                index = len(group.entries) - 1
            inner = group.entries[index].value
            assert isinstance(inner, Group)
            group = inner
        name = setting.rpartition(".")[2]
        after = f"  # {FILE}:{line}" if line else ""
        group.entries.append(Entry(name, name, Raw(write_value(value)), after=after))

    def note(self, text: str, key: tuple[str, str]) -> None:
        """Say what differs about a key."""
        self.remarks.append(note(self.path, text, self.lines.get(key, 0)))

    def warn(self, text: str, key: tuple[str, str]) -> None:
        """Say what of a key is lost."""
        self.remarks.append(warn(self.path, text, self.lines.get(key, 0)))


def migrate(path: str | None, root: str) -> Migration:
    """
    Return a configuration for what its file says (None: there is none) and what its directories hold.

    Raises: Failure, Unreadable.
    """
    draft = _Draft(path or f"{root}/{FILE}")
    if path is not None:
        _read_settings(draft, read_file(path))
    draft.remarks += _look_at_scripts(root)
    states = list_states(root)
    if states and root != Scripts().directory:
        draft.set("scripts.directory", root)
        draft.remarks.append(note(root, f"scripts run where they stand; moved to {Scripts().directory} they"
                                  " need no scripts.directory"))  # fmt: skip
    if states:
        draft.remarks.append(note(root, "there scripts had no limit of time and the whole environment of the"
                                  " daemon; here script_timeout ends them and the environment is made anew"))  # fmt: skip
    groups = [Entry(name, name, group) for name, group in draft.sections.items()]
    head = ["# Made by netevd migrate network-event-broker."]
    if not groups:
        return Migration(f"{head[0]}\n", DEFAULT_PATH, draft.remarks)
    groups[0].before = head
    return Migration(write_sheet(Sheet(Group(groups))), DEFAULT_PATH, draft.remarks)


def _read_settings(draft: _Draft, content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig")
        found = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Failure(f"{draft.path}: not TOML: {error}") from None
    draft.lines = _find_lines(text)
    for section, settings in found.items():
        if not isinstance(settings, dict):
            draft.warn(f"unknown key {section!r} is left out", ("", section.lower()))
            continue
        for name, value in settings.items():
            key = (section.lower(), name.lower())
            reader = _READERS.get(key)
            if reader is None:
                draft.warn(f"unknown key {section}.{name} is left out", key)
            else:
                reader(draft, key, value)


def _find_lines(text: str) -> dict[tuple[str, str], int]:
    """Return the line of each key, which the parser of TOML does not tell."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SECTION.match(line):
            section = found[1].lower()
        elif found := _KEY.match(line):
            lines.setdefault((section, found[1].lower()), number)
    return lines


_Key = tuple[str, str]


def _read_level(draft: _Draft, key: _Key, value: object) -> None:
    word = str(value).lower()
    level = _LEVELS.get(word, word)
    if level not in {"trace", "debug", "info", "warn", "error"}:
        draft.warn(f"LogLevel {word[:80]!r} is no level here and left out", key)
        return
    if level != word:
        draft.note(f"LogLevel {word} is {level} here", key)
    draft.set("system.log_level", level, key)


def _read_format(draft: _Draft, key: _Key, value: object) -> None:
    if value in {"text", "json"}:
        draft.set("system.log_format", value, key)
    else:
        draft.warn(f"LogFormat {str(value)[:80]!r} is no format here and left out", key)


def _read_generator(draft: _Draft, key: _Key, value: object) -> None:
    """There anything but systemd-networkd meant dhclient."""
    word = str(value).strip()
    networkd = not word or "systemd-networkd" in word
    draft.set("system.backend", "systemd-networkd" if networkd else "dhclient", key)
    draft.note(
        "Generator: here the kernel's events are told besides, whatever system.backend is", key
    )


def _read_links(draft: _Draft, key: _Key, value: object) -> None:
    names = _read_names(value)
    if not names:
        draft.note("Links is empty: all interfaces but lo", key)
        return
    draft.set("network.links", names, key)
    draft.note("Links: there an interface whose name is part of this text counted too, as eth1 beside"
               " eth10; here only these do", key)  # fmt: skip


def _read_policy_rules(draft: _Draft, key: _Key, value: object) -> None:
    names = _read_names(value)
    if not names:
        return
    draft.set("routing.policy.enabled", True, key)
    draft.set("routing.policy.interfaces", names, key)
    draft.set("routing.policy.primary", "include")
    draft.note(
        "RoutingPolicyRules: there addresses of every interface got rules, in table 9999 + ifindex, and only"
        " with more than two interfaces; here these do, with tables and priorities from 21000 on, for IPv6 too",
        key,
    )


def _read_json(draft: _Draft, key: _Key, value: object) -> None:
    _read_switch(draft, key, value, "network.emit_json")


def _read_dns(draft: _Draft, key: _Key, value: object) -> None:
    if _read_switch(draft, key, value, "network.use_dns"):
        draft.note("UseDNS: here it is for links of which no manager tells systemd-resolved", key)


def _read_domain(draft: _Draft, key: _Key, value: object) -> None:
    if _read_switch(draft, key, value, "network.use_domain"):
        draft.note("UseDomain: there domains only said which server is asked for them, here they are searched"
                   " too, for links of which no manager tells systemd-resolved", key)  # fmt: skip


def _read_hostname(draft: _Draft, key: _Key, value: object) -> None:
    if _read_switch(draft, key, value, "network.use_hostname"):
        draft.note(
            "UseHostname: here the host gets a transient name, there it was its static one", key
        )


def _read_switch(draft: _Draft, key: _Key, value: object, setting: str) -> bool:
    """Set what is on or off; tell whether it is set."""
    word = str(value).lower()
    if word in {"true", "false", "1", "0", "t", "f"}:
        draft.set(setting, word in {"true", "1", "t"}, key)
        return True
    draft.warn(f"{str(value)[:80]!r} is neither true nor false and left out", key)
    return False


def _read_names(value: object) -> list[str]:
    words = value if isinstance(value, list) else [value]
    return [name for word in words for name in str(word).split()]


_READERS: Final = {
    ("system", "loglevel"): _read_level,
    ("system", "logformat"): _read_format,
    ("system", "generator"): _read_generator,
    ("network", "links"): _read_links,
    ("network", "routingpolicyrules"): _read_policy_rules,
    ("network", "usedns"): _read_dns,
    ("network", "usedomain"): _read_domain,
    ("network", "usehostname"): _read_hostname,
    ("network", "emitjson"): _read_json,
}
"""What is read, in small letters: there case did not matter."""


def _look_at_scripts(root: str) -> Iterator[Remark]:
    known = [each.value for each in EventType]
    for state in list_states(root):
        scripts = list_scripts(f"{root}/{state}.d")
        if scripts and state not in known:
            yield explain_unknown(state, root)
            continue
        if scripts:
            yield note(f"{root}/{state}.d", _explain(state))
        yield from look_at_directory(root, state, CONVENTION)


def _explain(state: str) -> str:
    if state == "routes":
        return "there it was looked into for every route, here for table main and default routes (routes.tables)"
    if state == "manager":
        return "there once for each property of systemd-networkd as a whole that had changed"
    return (
        f"there it was looked into for every property of systemd-networkd that became {state},"
        " here once for the event"
    )
