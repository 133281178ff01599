"""
Every metric that netevd has: name, labels, meaning. docs/reference/metrics.md is held to this table.

Six names were prescribed; two of these end in _total and are gauges all the same.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

OTHER: Final = "_other"
"""Stands for an interface or script that has no series of its own."""


@frozen(slots=True)
class Family:
    """One metric."""

    name: str
    """As it is exposed, without the suffixes that a histogram's series get."""
    kind: Literal["counter", "gauge", "histogram", "info"]
    """info: a gauge that is always 1 and tells by its labels."""
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper ends of a histogram's buckets, seconds; what is beyond goes into +Inf."""
    journaled: bool = False
    """Counted from what is written into the journal, so that not even the death of a worker loses one
    or counts it twice."""
    starts: tuple[tuple[str, ...], ...] = ()
    """Label values whose series begin at 0, not with the first time."""
    group: Literal["", "links", "events", "scripts"] = ""
    """Which share of `metrics.max_series` its series take; "" for none, since they are few."""


_DECIDED: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1.0)
_BEGUN: Final = (0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0)
_RAN: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)

RESULTS: Final = (
    "ok", "failed", "timeout", "refused", "lost", "dropped", "obsolete", "paused",
)  # fmt: skip
"""How a run may end, see `EndRun.result`."""
ROLES: Final = ("helper", "runner", "worker")
SOURCES: Final = ("links", "routes")
SOCKETS: Final = (*SOURCES, "wireless")
"""By the numbers that privsep.protocol gives them."""


def _each(*words: str) -> tuple[tuple[str, ...], ...]:
    return tuple((word,) for word in words)


# --- events ---------------------------------------------------------------------------------------

EVENTS: Final = Family(
    "netevd_events_total", "counter", "Events that happened, whatever the filters said of them.",
    ("type", "interface", "backend"), journaled=True, group="events",
)  # fmt: skip
EVENT_DURATION: Final = Family(
    "netevd_event_duration_seconds", "histogram",
    "From the moment a kernel message was read to the decision on its event.",
    ("type",), _DECIDED,
)  # fmt: skip
VERDICTS: Final = Family(
    "netevd_filter_verdicts_total", "counter", "Verdicts of the filters on events.",
    ("verdict",), journaled=True, starts=_each("execute", "ignore", "log"),
)  # fmt: skip
DEBOUNCED: Final = Family(
    "netevd_debounced_events_total", "counter",
    "Events whose scripts were held back by debounce or damping, by what became of them.",
    ("result",), journaled=True, starts=_each("coalesced", "unchanged", "suppressed", "released"),
)  # fmt: skip

# --- scripts --------------------------------------------------------------------------------------

SCRIPT_DURATION: Final = Family(
    "netevd_script_duration_seconds", "histogram", "How long scripts ran, attempt by attempt.",
    ("script",), _RAN, journaled=True, group="scripts",
)  # fmt: skip
SCRIPT_FAILURES: Final = Family(
    "netevd_script_failures_total", "counter",
    "Attempts of scripts that failed, were ended after their timeout, or were lost.",
    ("script",), journaled=True, group="scripts",
)  # fmt: skip
RUNS: Final = Family(
    "netevd_runs_total", "counter", "Runs that came to their end, by result.",
    ("result",), journaled=True, starts=_each(*RESULTS),
)  # fmt: skip
RETRIES: Final = Family(
    "netevd_run_retries_total", "counter", "Attempts that failed and were followed by another.",
    journaled=True, starts=((),),
)  # fmt: skip
DELIVERIES: Final = Family(
    "netevd_webhook_deliveries_total", "counter",
    "Attempts to post events to webhooks, and deliveries that ended without one, by result; retried:"
    " failed and followed by another.",
    ("result",), journaled=True, starts=_each("ok", "retried", "failed", "refused", "lost", "dropped"),
)  # fmt: skip
LEFTOVERS: Final = Family(
    "netevd_script_leftover_processes_total", "counter",
    "Processes that scripts had left behind and that were killed.", journaled=True, starts=((),),
)  # fmt: skip
EVENT_TO_SCRIPT: Final = Family(
    "netevd_event_to_script_seconds", "histogram",
    "From the moment a kernel message was read to the start of a script for its event, waiting for"
    " other scripts included, debounce and retries left out.",
    (), _BEGUN, starts=((),),
)  # fmt: skip
SCRIPTS_RUNNING: Final = Family("netevd_scripts_running", "gauge", "Scripts that run now.")
RUNS_WAITING: Final = Family(
    "netevd_runs_waiting", "gauge", "Runs that wait for their turn or for their next attempt."
)
SCRIPTS_PAUSED: Final = Family(
    "netevd_scripts_paused", "gauge", "Scripts that are paused since they failed too often."
)

# --- network --------------------------------------------------------------------------------------

INTERFACES: Final = Family(
    "netevd_interfaces_total", "gauge", "Interfaces that exist, by operational state.", ("state",)
)
INTERFACE: Final = Family(
    "netevd_interface_info", "info", "An interface that exists.",
    ("interface", "ifindex", "kind"), group="links",
)  # fmt: skip
INTERFACE_STATE: Final = Family(
    "netevd_interface_state", "gauge",
    "1 for the operational state that an interface has; other states have no series.",
    ("interface", "state"), group="links",
)  # fmt: skip
OWN_RULES: Final = Family(
    "netevd_routing_rules_total", "gauge", "Policy routing rules that netevd has made."
)
OURS: Final = Family(
    "netevd_routing_entries", "gauge",
    "What policy routing has in the kernel: rules and routes that are netevd's, by family.",
    ("kind", "family"),
)  # fmt: skip
CONTESTED: Final = Family(
    "netevd_routing_contested", "gauge",
    "1 while somebody keeps removing netevd's rules or routes, or has made it give up.",
)  # fmt: skip
RULES: Final = Family(
    "netevd_rules", "gauge", "Policy routing rules that exist, whoever made them."
)
ROUTES: Final = Family(
    "netevd_routes", "gauge", "Routes that are known: those of the tables that are watched."
)

# --- WireGuard ------------------------------------------------------------------------------------

PEERS: Final = Family(
    "netevd_wireguard_peers", "gauge", "Peers of a WireGuard device, by state.",
    ("interface", "state"),
)  # fmt: skip
PEER_BYTES: Final = Family(
    "netevd_wireguard_transfer_bytes_total", "counter",
    "Bytes that a WireGuard device's peers have sent and received, as of the last reading.",
    ("interface", "direction"),
)  # fmt: skip
PEER_HANDSHAKE: Final = Family(
    "netevd_wireguard_latest_handshake_timestamp_seconds", "gauge",
    "When a peer made its last handshake, seconds since 1970; none for a device with more than 64 peers.",
    ("interface", "peer"),
)  # fmt: skip

RECONCILES: Final = Family(
    "netevd_routing_reconciles_total", "counter",
    "What policy routing has told: changes that it made, drift that it found, and what failed.",
    ("result",), journaled=True, starts=_each("applied", "drift", "contested", "failed"),
)  # fmt: skip

# --- kernel and processes -------------------------------------------------------------------------

OVERRUNS: Final = Family(
    "netevd_netlink_overruns_total", "counter",
    "Times that the kernel dropped messages, since netevd's receive buffer was full.",
    ("source",), starts=_each(*SOCKETS),
)  # fmt: skip
RESYNCS: Final = Family(
    "netevd_netlink_resyncs_total", "counter",
    "Times that all links or routes were read from the kernel, at starts and after a loss.",
    ("source", "result"),
    starts=tuple((each, result) for each in SOURCES for result in ("ok", "failed")),
)  # fmt: skip
REQUESTS: Final = Family(
    "netevd_helper_requests_total", "counter", "Requests to the helper, by what became of them.",
    ("verb", "result"),
)  # fmt: skip
RESTARTS: Final = Family(
    "netevd_process_restarts_total", "counter",
    "Times that a process of netevd was started again since it had died.",
    ("role",), starts=_each(*ROLES),
)  # fmt: skip

# --- the daemon -----------------------------------------------------------------------------------

BUILD: Final = Family(
    "netevd_build_info", "info", "Which netevd this is.", ("version", "python", "mode")
)
STARTED: Final = Family(
    "netevd_start_time_seconds", "gauge",
    "When the daemon was started, seconds since 1970; time() minus this is its uptime.",
)  # fmt: skip
GENERATION: Final = Family(
    "netevd_config_generation", "gauge", "Configurations that were in force since the start."
)
RELOADS: Final = Family(
    "netevd_config_reloads_total", "counter", "Reloads of the configuration, by outcome.",
    ("result",), starts=_each("success", "failed"),
)  # fmt: skip
RELOAD_OK: Final = Family(
    "netevd_config_last_reload_successful", "gauge",
    "Whether the latest configuration that was read is in force.",
)  # fmt: skip
RELOAD_TIME: Final = Family(
    "netevd_config_last_reload_success_timestamp_seconds", "gauge",
    "When the configuration in force was put in force, seconds since 1970.",
)  # fmt: skip
ON_DISK: Final = Family(
    "netevd_journal_on_disk", "gauge", "Whether the journal is written to the state directory."
)
SERIES_DROPPED: Final = Family(
    "netevd_metrics_series_dropped_total", "counter",
    "Times that something was not counted under its own label values since metrics.max_series are"
    " there.",
    ("group",), starts=_each("links", "events", "scripts"),
)  # fmt: skip

HEALTH: Final = Family(
    "netevd_health_check", "gauge", "1 for the status that a check of GET /health has.",
    ("check", "status"),
)  # fmt: skip

# --- clients --------------------------------------------------------------------------------------

HTTP_REQUESTS: Final = Family(
    "netevd_http_requests_total", "counter",
    "Requests that were answered, but for those of /metrics.",
    ("listener", "code"),
)  # fmt: skip
HTTP_CONNECTIONS: Final = Family(
    "netevd_http_connections", "gauge", "Connections that are open.", ("listener",)
)
STREAM_CLIENTS: Final = Family(
    "netevd_stream_clients", "gauge", "Clients that follow the live stream.", starts=((),)
)

COUNTED: Final = (
    EVENTS, EVENT_DURATION, VERDICTS, DEBOUNCED, SCRIPT_DURATION, SCRIPT_FAILURES, RUNS, RETRIES,
    LEFTOVERS, DELIVERIES, RECONCILES, EVENT_TO_SCRIPT, OVERRUNS, RESYNCS, REQUESTS, RESTARTS,
    RELOADS, SERIES_DROPPED, HTTP_REQUESTS,
)  # fmt: skip
"""What is counted while it happens."""

LOOKED_UP: Final = (
    SCRIPTS_RUNNING, RUNS_WAITING, SCRIPTS_PAUSED, INTERFACES, INTERFACE, INTERFACE_STATE, OWN_RULES, OURS, CONTESTED, RULES,
    ROUTES, BUILD, STARTED, GENERATION, RELOAD_OK, RELOAD_TIME, ON_DISK, HEALTH, HTTP_CONNECTIONS,
    STREAM_CLIENTS, PEERS, PEER_BYTES, PEER_HANDSHAKE,
)  # fmt: skip
"""What tells of now."""

FAMILIES: Final = (*COUNTED, *LOOKED_UP)
"""All of them."""
