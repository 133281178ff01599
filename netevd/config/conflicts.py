"""What is fine by itself and not beside the rest of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from netevd.config.directories import find_misplacement
from netevd.config.hooktrees import CUSTOMS, ROOT_LIMIT, get_tree
from netevd.config.identities import RUNNER_LIMIT, Identities
from netevd.config.routing import find_routing_conflicts, find_tunnel_conflicts
from netevd.config.schema import Configuration, find_ceiling
from netevd.config.tree import Place, Places, Problem
from netevd.config.webhooks import find_faults
from netevd.config.words.numbers import show_bytes

SIGNER_LIMIT: Final = 64
"""Source: privsep/launch.py."""


def find_conflicts(configuration: Configuration, places: Places) -> list[Problem]:
    """Return a problem for each value that is fine by itself and not beside the others, by place."""
    return sorted(
        [
            *_find_rule_conflicts(configuration, places),
            *_find_filter_conflicts(configuration, places),
            *_find_damping_conflicts(configuration, places),
            *find_routing_conflicts(configuration.routing, places),
            *find_tunnel_conflicts(configuration.wireguard, configuration.routing.policy, places),
            *_find_api_conflicts(configuration, places),
            *(Problem(places[key], text) for key, text in find_faults(configuration)),
            *_find_peer_conflicts(configuration, places),
            *_find_tree_conflicts(configuration, places),
            *_find_signer_conflicts(configuration, places),
        ]
    )


def _find_signer_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem where scripts have to be signed and nobody may sign them."""
    security = configuration.security
    if security.verify_scripts and not security.allowed_signers:
        text = "verify_scripts: no script could run, since security.allowed_signers names nobody;"
        advice = "`netevd sign init` prints what to write there"
        yield Problem(places["security", "verify_scripts"], f"{text} {advice}")
    if len(security.allowed_signers) > SIGNER_LIMIT:
        found = len(security.allowed_signers)
        text = f"allowed_signers: expected at most {SIGNER_LIMIT}, found {found}"
        yield Problem(places["security", "allowed_signers"], text)


def _find_rule_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for a script with two rules, and for limits that no runner can have."""
    identities = Identities(configuration, observe=False)
    firsts: dict[str, Place | None] = {}
    for index, rule in enumerate(configuration.scripts.rules):
        where = ("scripts", "rules", str(index))
        place = places[*where, "path"]
        first = firsts.setdefault(rule.path, place)
        if first is not place:
            yield Problem(place, f"path: {rule.path} has a rule at {first}; make one of the two")
        for name, least in _LEAST_LIMITS.items():
            value = getattr(rule.limits, name)
            if value is not None and value < least:
                yield Problem(
                    places[*where, "limits", name],
                    f"{name}: expected at least {show_bytes(least)}, found {show_bytes(value)}:"
                    " what starts the script lives under its limits too",
                )
        if identities.find(rule.path).runner == RUNNER_LIMIT:
            yield Problem(
                place,
                f"more than {RUNNER_LIMIT} different combinations of user, capabilities and limits,"
                " each of which costs a process; have scripts share them",
            )


def _find_filter_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for each script of a filter that no runner could have."""
    root = configuration.scripts.directory
    for index, each in enumerate(configuration.filters):
        if each.scripts is None:
            continue
        where = ("filters", str(index), "scripts")
        if each.action != "execute":
            text = f"scripts: none runs with action {each.action}; take them out, or write execute"
            yield Problem(places[where], text)
        elif not each.scripts and not each.webhooks:
            text = "scripts: expected at least one, or webhooks; action log runs none"
            yield Problem(places[where], text)
        for number, path in enumerate(each.scripts):
            place = places[*where, str(number)]
            if path in each.scripts[:number]:
                yield Problem(place, f"scripts: {path} is named twice")
            elif fault := find_misplacement(path, root):
                yield Problem(place, f"scripts: {path} {fault}")


def _find_damping_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for penalties that could never suppress, or never be reused."""
    damping = configuration.scripts.damping
    where = ("scripts", "damping")
    place = places.get(where)
    if place is None:
        return
    if damping.reuse >= damping.suppress:
        text = f"reuse: expected less than suppress, {damping.suppress}, found {damping.reuse}"
        yield Problem(places.get((*where, "reuse"), place), text)
    elif find_ceiling(damping) <= damping.suppress:
        text = (
            f"max_suppress: the penalty never passes suppress, {damping.suppress}, since more than"
            f" {find_ceiling(damping):.0f} would take longer than that to decay to reuse;"
            " make half_life shorter or max_suppress longer"
        )
        yield Problem(places.get((*where, "max_suppress"), place), text)


def _find_api_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for TLS that can't be, for secrets in the clear, for tokens of one name."""
    api, tls = configuration.api, configuration.api.tls
    for name in ("cert_file", "key_file", "client_ca_file"):
        if getattr(tls, name) and not (tls.cert_file and tls.key_file):
            missing = "key_file" if tls.cert_file else "cert_file"
            text = f"{name}: TLS needs {missing} too"
            yield Problem(places["api", "tls", name], text)
    metrics = configuration.metrics
    for section, addresses in (
        ("api", api.bind_address if api.enabled else ()),
        ("metrics", metrics.bind_address if metrics.enabled else ()),
    ):
        reachable = [each for each in addresses if not ip_address(each).is_loopback]
        if reachable and not tls.cert_file and not api.allow_plain:
            yield Problem(
                places[section, "bind_address"],
                f"bind_address: others reach {reachable[0]}, and could read tokens on their way; give"
                " api.tls cert_file and key_file, or write api.allow_plain: true",
            )
    yield from _find_metrics_conflicts(configuration, places)
    names = [token.name for token in api.tokens]
    for index, name in enumerate(names):
        if name in names[:index]:
            place = places["api", "tokens", str(index), "name"]
            yield Problem(
                place, f"name: there are two tokens {name}; revoking one would not be clear"
            )


def _find_metrics_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for a port that is taken already, and for an address of none."""
    api, metrics = configuration.api, configuration.metrics
    if metrics.port is None:
        if metrics.bind_address:
            place = places["metrics", "bind_address"]
            yield Problem(place, "bind_address: nothing listens there without metrics.port")
        return
    shared = set(metrics.bind_address or api.bind_address) & set(api.bind_address)
    if api.enabled and shared and metrics.port == api.port:
        text = (
            f"port: the API has {api.port}, and serves /metrics too; leave it out, or take another"
        )
        yield Problem(places["metrics", "port"], text)


def _find_peer_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for a WireGuard peer that stands twice, and for a name that two have."""
    firsts: dict[tuple[str, str], Place | None] = {}
    for index, peer in enumerate(configuration.wireguard.peers):
        for key, value in (("public_key", peer.public_key), ("name", peer.name)):
            place = places.get(("wireguard", "peers", str(index), key))
            if value is None or place is None:
                continue
            first = firsts.setdefault((key, value), place)
            if first is not place:
                yield Problem(place, f"{key}: {value} stands at {first} already")


def _find_tree_conflicts(configuration: Configuration, places: Places) -> Iterator[Problem]:
    """Yield a problem for a tree of another dispatcher that stands nowhere, or in too many places."""
    for name in CUSTOMS:
        roots = get_tree(configuration.compat, name).roots
        if roots is not None and not 1 <= len(roots) <= ROOT_LIMIT:
            place = places["compat", name.replace("-", "_"), "roots"]
            yield Problem(
                place, f"roots: expected 1 to {ROOT_LIMIT} directories, found {len(roots)}"
            )


_LEAST_LIMITS: Final = {"memory": 64 * 1024**2, "stack": 1024**2}
"""Address space of a runner is 22 MiB, and it has to answer whatever happens."""
