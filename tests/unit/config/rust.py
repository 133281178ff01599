"""The words of the Rust daemon's configuration."""

from __future__ import annotations

from typing import Final

KEYS: Final = (
    "system", "log_level", "backend", "monitoring", "interfaces", "routing", "policy_rules", "policy",
    "backends", "systemd_networkd", "emit_json", "dhclient", "use_dns", "use_domain", "use_hostname",
    "networkmanager", "api", "enabled", "bind_address", "port", "tls", "cert_file", "key_file",
    "metrics", "audit", "path", "retention_days", "filters", "match_rule", "match", "action",
    "scripts", "interface", "interface_pattern", "event_type", "ip_family", "condition", "network",
    "links", "directory", "bind", "address", "log_path", "endpoint",
)  # fmt: skip
"""Every key that it had or that its documents name, and those of ours beside which they stand."""
