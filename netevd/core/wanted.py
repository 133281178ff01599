"""Which routes users want to be known: the worker's copy of what the kernel filters by."""

from __future__ import annotations

from collections.abc import Callable

from netevd.config.schema import Routes
from netevd.model.route import ALL_TABLES, ANYWHERE, Route, read_protocol, read_table


def make_filter(routes: Routes) -> Callable[[Route], bool]:
    """
    Return a function that tells of a route whether it is to be known.

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
