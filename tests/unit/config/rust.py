"""Configurations of the Rust daemon, for hypothesis: its keys where they belong, with anything as values."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

PATHS: Final = (
    "system", "system.log_level", "system.backend", "monitoring", "monitoring.interfaces", "monitoring.x",
    "routing", "routing.policy_rules", "routing.policy", "routing.policy.interfaces",
    "routing.policy.enabled", "backends", "backends.systemd_networkd",
    "backends.systemd_networkd.emit_json", "backends.dhclient", "backends.dhclient.use_dns",
    "backends.dhclient.use_hostname", "backends.dhclient.x", "backends.networkmanager", "backends.x", "api",
    "api.port", "api.bind", "api.address", "api.tls", "api.tls.enabled", "api.tls.cert_file",
    "api.tls.key_file", "metrics", "metrics.port", "metrics.endpoint", "audit", "audit.enabled",
    "audit.retention_days", "audit.log_path", "network", "network.links", "network.emit_json", "scripts",
    "scripts.directory", "filters", "filters.0", "filters.0.match", "filters.0.match_rule",
    "filters.0.match_rule.interface", "filters.0.match_rule.interface_pattern",
    "filters.0.match_rule.event_type", "filters.0.match_rule.ip_family",
    "filters.0.match_rule.condition", "filters.0.match_rule.x", "filters.0.action", "filters.0.scripts",
    "filters.1.match_rule", "filters.1.action",
)  # fmt: skip
"""Every key that it had or that its documents name, and those of ours beside which they stand."""

WORDS: Final = (
    "", "true", "false", "eth0", "log", "ignore", "execute", "any", "ipv4", "systemd-networkd",
    "NetworkManager", "need_auth", "missing", "routable", "a?[", "has_gateway", 'interface = "a"',
    "has_gateway && x", "mtu > 1", "/etc/netevd/routable.d/a", "/opt/a", "7",
)  # fmt: skip

VALUES: Final = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "match_rule"]), inner)
    ),
    max_leaves=4,
)

ACTIONS: Final = ("filters.0.action", "execute"), ("filters.1.action", "log")
"""What a filter can't be without; given first, so that something else may come in its place."""


def build(settings: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a configuration of settings by their paths; what has no room any more is left out."""
    whole: dict[str, Any] = {}
    for path, value in settings:
        here: Any = whole
        last = path.rpartition(".")[2]
        for key, following in pairwise(path.split(".")):
            empty: Any = [] if following.isdigit() else {}
            if isinstance(here, list) and key.isdigit():
                while len(here) <= int(key):
                    here.append(None)
                here[int(key)] = here[int(key)] or empty
                here = here[int(key)]
            elif isinstance(here, dict):
                here[key] = here.get(key) or empty
                here = here[key]
        if isinstance(here, dict):
            here[last] = value
        elif isinstance(here, list) and last.isdigit() and int(last) < len(here):
            here[int(last)] = value
    return whole


CONFIGURATIONS: Final = (
    st.lists(st.tuples(st.sampled_from(PATHS), VALUES), max_size=8)
    .map(lambda settings: build([*ACTIONS, *settings]))
    .map(lambda whole: "".join(f"{key}: {json.dumps(value)}\n" for key, value in whole.items()))
)
"""Whole files."""
