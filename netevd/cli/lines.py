"""
Objects of the API as people read them: one line, or one row of a table, each.

Values are the API's JSON; nothing is asked here and nothing printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from netevd.cli.table import Row, style_result, style_state
from netevd.model.route import ANYWHERE, show_table

Object: TypeAlias = Mapping[str, Any]

INTERFACES: Final = ("INDEX", "NAME", "KIND", "STATE", "ADDRESSES")
ROUTES: Final = (
    "FAMILY", "DESTINATION", "GATEWAY", "INTERFACE", "TABLE", "METRIC", "PROTOCOL", "OWNER",
)  # fmt: skip
RULES: Final = ("FAMILY", "PRIORITY", "SELECTOR", "ACTION", "PROTOCOL", "OWNER")
HOOKS: Final = ("EVENT", "SCRIPT", "VERDICT")
RUNS: Final = ("RUN", "INTERFACE", "EVENT", "SCRIPT", "RESULT", "DURATION")
PEERS: Final = (
    "INTERFACE", "PEER", "STATE", "HANDSHAKE", "ENDPOINT", "RECEIVED", "SENT", "ALLOWED IPS",
)  # fmt: skip
EVENTS: Final = ("TIME", "SEQUENCE", "INTERFACE", "EVENT", "WHAT")

_OWN: Final = ("netevd", "bold")
_OTHER: Final = ("-", "")
_FULL_MARK: Final = 0xFFFFFFFF
_SELECTORS: Final = (
    ("input_interface", "iif"), ("output_interface", "oif"), ("ip_protocol", "ipproto"),
    ("source_ports", "sport"), ("destination_ports", "dport"), ("uids", "uidrange"),
    ("tunnel_id", "tun_id"),
)  # fmt: skip
"""Keys of a rule and what ip-rule(8) calls them."""


def make_interface_row(interface: Object) -> Row:
    """Return a row of INTERFACES."""
    return (
        (str(interface["index"]), ""),
        (interface["name"], "bold"),
        (interface["kind"] or "-", ""),
        (interface["state"], style_state(interface["state"])),
        (" ".join(f"{each['ip']}/{each['prefix']}" for each in interface["addresses"]), ""),
    )


def make_peer_row(peer: Object, now: datetime) -> Row:
    """Return a row of PEERS. now: what ages are counted from."""
    last = peer["latest_handshake"]
    age = (
        "never"
        if last is None
        else f"{show_duration((now - datetime.fromisoformat(last)).total_seconds())} ago"
    )
    return (
        (peer["interface"], "bold"),
        (peer["name"] or peer["public_key"], ""),
        (peer["state"], _PEER_STYLES.get(peer["state"], "")),
        (age, ""),
        (peer["endpoint"] or "-", ""),
        (show_octets(peer["rx_bytes"]), ""),
        (show_octets(peer["tx_bytes"]), ""),
        (" ".join(_mark_prefixes(peer)) or "-", ""),
    )


def _mark_prefixes(peer: Object) -> Iterator[str]:
    """Yield what a peer takes, and of each prefix whether nothing leads there."""
    for prefix in peer["allowed_ips"]:
        yield f"{prefix} (no route)" if prefix in peer["unrouted"] else prefix


def show_octets(count: int) -> str:
    """Return a number of octets with a binary unit, as wg(8) does."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.2f} {unit}"
        amount /= 1024
    return f"{amount:.2f} TiB"


_PEER_STYLES: Final = {"connected": "good", "disconnected": "bad", "idle": "doubtful"}


def make_run_row(run: Object) -> Row:
    """Return a row of RUNS."""
    seconds = run.get("duration_seconds")
    return (
        (str(run["run"]), ""),
        (run["interface"] or "-", "bold"),
        (run["event"], ""),
        (run["script"], ""),
        (run["result"] or run["stage"], style_result(run["result"])),
        ("-" if seconds is None else f"{seconds:.3f} s", ""),
    )


def make_hook_row(hook: Object) -> Row:
    """Return a row of HOOKS."""
    verdict = ("ok", "good") if hook["runnable"] else (f"skipped: {hook['reason']}", "doubtful")
    if hook["paused"]:
        verdict = (f"paused: it failed too often in a row; netevd resume {hook['path']}", "bad")
    event = f"{hook['tree']}/{hook['event']}" if hook.get("tree") else hook["event"]
    return ((event, ""), (hook["path"], ""), verdict)


def make_event_row(event: Object, today: datetime) -> Row:
    """Return a row of EVENTS. today: a moment of the day whose date need not be said."""
    initial = " (at start)" if event["initial"] else ""
    return (
        (show_moment(event["time"], today), ""),
        (str(event["sequence"]), ""),
        (event["interface"] or "-", "bold"),
        (event["type"], style_state(event["type"])),
        (event["description"] + initial, ""),
    )


def show_moment(time: str, today: datetime) -> str:
    """Return a time of the API as local time, with milliseconds and with the date if it is not today's."""
    moment = datetime.fromisoformat(time).astimezone()
    date = "" if moment.date() == today.date() else f"{moment:%Y-%m-%d} "
    return f"{date}{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def show_duration(seconds: float) -> str:
    """Return the two largest units of a duration, as `2 h 5 min`."""
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in units if number]
    return " ".join(shown[:2]) or "0 s"


# --- routes --------------------------------------------------------------------------------------


def make_route_row(route: Object) -> Row:
    """Return a row of ROUTES."""
    hops = route["nexthops"]
    return (
        (route["family"], ""),
        (_show_destination(route), "bold"),
        (", ".join(hop["gateway"] or "-" for hop in hops) or "-", ""),
        (", ".join(_show_link(hop) for hop in hops) or "-", ""),
        (show_table(route["table"]), ""),
        (str(route["metric"]), ""),
        (route["protocol"], ""),
        _OWN if route["owned"] else _OTHER,
    )


def show_route(route: Object) -> str:
    """Return a route as ip-route(8) writes it, with everything that is known of it but its table."""
    words = [_show_destination(route)]
    if route["source"]:
        words.append(f"from {route['source']}")
    hops = [
        " ".join(
            filter(None, (hop["gateway"] and f"via {hop['gateway']}", f"dev {_show_link(hop)}"))
        )
        for hop in route["nexthops"]
    ]
    if len(hops) == 1:
        words += hops
    else:
        weights = [hop["weight"] for hop in route["nexthops"]]
        words += [
            f"nexthop {hop} weight {weight}" for hop, weight in zip(hops, weights, strict=True)
        ]
    words.append(f"proto {route['protocol']}")
    if route["scope"] != "global":
        words.append(f"scope {route['scope']}")
    for key, word in (("preferred_source", "src"), ("metric", "metric"), ("nexthop_id", "nhid")):
        if route[key]:
            words.append(f"{word} {route[key]}")
    words += [f"{name} {value}" for name, value in route["metrics"].items()]
    return " ".join(words) + (" (netevd's own)" if route["owned"] else "")


def _show_destination(route: Object) -> str:
    kind = "" if route["type"] == "unicast" else f"{route['type']} "
    return kind + ("default" if route["destination"] in ANYWHERE else route["destination"])


def _show_link(hop: Object) -> str:
    return str(hop["interface"] or (f"if{hop['index']}" if hop["index"] else "-"))


# --- rules ---------------------------------------------------------------------------------------


def make_rule_row(rule: Object) -> Row:
    """Return a row of RULES."""
    return (
        (rule["family"], ""),
        (str(rule["priority"]), ""),
        (_show_selector(rule), ""),
        (_show_action(rule), ""),
        (rule["protocol"], ""),
        _OWN if rule["owned"] else _OTHER,
    )


def show_rule(rule: Object) -> str:
    """Return a rule as ip-rule(8) writes it."""
    own = " (netevd's own)" if rule["owned"] else ""
    words = f"{_show_selector(rule)} {_show_action(rule)} proto {rule['protocol']}{own}"
    return f"{str(rule['priority']) + ':':<8}{words}"


def _show_selector(rule: Object) -> str:
    words = ["not"] if rule["invert"] else []
    words.append(f"from {rule['source'] or 'all'}")
    if rule["destination"]:
        words.append(f"to {rule['destination']}")
    if rule["mark"] is not None or rule["mask"]:
        mask = "" if rule["mask"] in {None, _FULL_MARK} else f"/{rule['mask']:#x}"
        words.append(f"fwmark {rule['mark'] or 0:#x}{mask}")
    if rule["tos"]:
        words.append(f"tos {rule['tos']:#x}")
    words += [
        f"{word} {_show_range(rule[key])}" for key, word in _SELECTORS if rule[key] is not None
    ]
    return " ".join(words)


def _show_range(value: object) -> str:
    """Return a value, or first and last of a range as ip-rule(8) writes it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return str(value[0]) if value[0] == value[-1] else f"{value[0]}-{value[-1]}"
    return str(value)


def _show_action(rule: Object) -> str:
    words = [rule["action"]]
    if rule["l3mdev"]:
        words = ["lookup the VRF's table"]
    elif rule["action"] == "lookup" and rule["table"] is not None:
        words.append(show_table(rule["table"]))
    elif rule["action"] == "goto":
        words.append(str(rule["goto"]))
    for key, word in (
        ("suppress_prefix_length", "suppress_prefixlength"), ("suppress_group", "suppress_ifgroup"),
    ):  # fmt: skip
        if rule[key] is not None:
            words.append(f"{word} {rule[key]}")
    return " ".join(words)
