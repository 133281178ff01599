"""Which routes users want to hear of, and which are known: the worker's copy of the kernel's filter."""

from __future__ import annotations

from collections.abc import Callable

from netevd.config.schema import Configuration, Routes
from netevd.core.policyplan import STATIC, get_ours
from netevd.model.route import (
    ALL_TABLES,
    ANYWHERE,
    TABLE_MAIN,
    Route,
    Table,
    read_protocol,
    read_table,
)


def make_filter(routes: Routes) -> Callable[[Route], bool]:
    """
    Return a function that tells of a route whether users want to hear of it.

    The kernel passes more: what may have replaced such a route, and whole dumps.
    """
    tables = frozenset(read_table(word) for word in routes.tables)
    protocols = frozenset(read_protocol(word) for word in routes.protocols)
    everywhere = ALL_TABLES in tables
    defaults = routes.default_routes

    def wants(route: Route) -> bool:
        if protocols and route.protocol not in protocols:
            return False
        if everywhere or route.table in tables:
            return True
        return defaults and route.destination in ANYWHERE

    return wants


def make_news_filter(configuration: Configuration) -> Callable[[Route], bool]:
    """Return a function that tells of a route whether users hear of it: not of what we make ourselves."""
    told = make_filter(configuration.routes)
    ours = get_ours(configuration.routing)
    return lambda route: told(route) and not ours.made(route)


def make_concern(configuration: Configuration) -> Callable[[Route], bool]:
    """Return a function that tells of a route whether policy routing is made of it, or it is ours."""
    ours = get_ours(configuration.routing)
    if not configuration.needs_routes:
        return ours.has_route
    extra = Table(configuration.wireguard.routes.table_number)

    def concerns(route: Route) -> bool:
        if route.destination in ANYWHERE or ours.has_table(route.table) or route.table == extra:
            return True
        hops = route.nexthops
        direct = bool(hops) and not hops[0].gateway
        return route.table == TABLE_MAIN and (direct or route.protocol in STATIC)

    return concerns


def make_knowledge(configuration: Configuration) -> Callable[[Route], bool]:
    """
    Return a function that tells of a route whether it is known at all.

    Policy routing needs what is connected and all default routes, and what is in its own tables;
    where it is not wanted, at least what an earlier configuration has left there.
    """
    told = make_filter(configuration.routes)
    ours = get_ours(configuration.routing)
    if not configuration.needs_routes:
        return lambda route: told(route) or ours.has_route(route)
    extra = Table(configuration.wireguard.routes.table_number)

    def knows(route: Route) -> bool:
        return (
            told(route)
            or route.table == TABLE_MAIN
            or route.destination in ANYWHERE
            or ours.has_table(route.table)
            or route.table == extra
        )

    return knows
