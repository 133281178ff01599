"""Configurations that stories need, by the one thing that differs from the defaults."""

from __future__ import annotations

from attrs import evolve

from netevd.config.schema import Configuration, Count, Duration, Patterns


def configure(
    *,
    links: tuple[str, ...] = (),
    emit_json: bool = True,
    initial: bool = True,
    concurrency: int = 8,
    script_timeout: float = 30.0,
) -> Configuration:
    """Return the default configuration with these values."""
    default = Configuration()
    return evolve(
        default,
        network=evolve(default.network, links=Patterns(links), emit_json=emit_json),
        scripts=evolve(default.scripts, initial=initial, concurrency=Count(concurrency)),
        script_timeout=Duration(script_timeout),
    )
