"""Configurations that stories need, by the one thing that differs from the defaults."""

from __future__ import annotations

from typing import Any, Literal

from attrs import evolve

from netevd.config.kinds import AbsolutePath, Count, Duration, Patterns, Tables, Times, Url
from netevd.config.schema import (
    Configuration,
    Damping,
    Debounce,
    Filter,
    Match,
    Origin,
    Routes,
    Rule,
    Webhook,
    Wireguard,
)

NO_ROUTES = Routes(tables=Tables(()), default_routes=False)
"""Stories of links have no dumps of routes in them."""


def configure(
    *,
    links: tuple[str, ...] = (),
    emit_json: bool = True,
    initial: bool = True,
    concurrency: int = 8,
    script_timeout: float = 30.0,
    routes: Routes = NO_ROUTES,
    rules: tuple[Rule, ...] = (),
    obsolete: Literal["run", "skip"] = "run",
    pause_after: int = 0,
    filters: tuple[Filter, ...] = (),
    debounce: Debounce | None = None,
    damping: Damping | None = None,
    wireguard: Wireguard | None = None,
) -> Configuration:
    """Return the default configuration with these values, and without routes unless asked for."""
    default = Configuration()
    return evolve(
        default,
        network=evolve(default.network, links=Patterns(links), emit_json=emit_json),
        scripts=evolve(
            default.scripts,
            initial=initial,
            concurrency=Count(concurrency),
            rules=rules,
            obsolete=obsolete,
            pause_after=Times(pause_after),
            damping=damping or default.scripts.damping,
        ),
        script_timeout=Duration(script_timeout),
        routes=routes,
        filters=filters,
        debounce=debounce or default.debounce,
        wireguard=wireguard or default.wireguard,
    )


def rule(path: str, **settings: Any) -> Rule:
    """Return the rule of a script; values are those of the schema."""
    return Rule(AbsolutePath(path), **settings)


def filters(*wanted: dict[str, Any]) -> tuple[Filter, ...]:
    """Return filters in line 10, 20 and so on of a file; `match` has the keys of a Match."""
    found = []
    for number, each in enumerate(wanted, 1):
        settings = {**each, "match": Match(**each.get("match", {}))}
        found.append(Filter(**settings, origin=Origin("/etc/netevd/netevd.yaml", 10 * number)))
    return tuple(found)


def webhook(url: str, **settings: Any) -> Webhook:
    """Return a webhook; values are those of the schema."""
    return Webhook(Url(url), **settings)
