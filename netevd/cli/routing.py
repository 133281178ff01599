"""`netevd routing`: what policy routing wants, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from netevd.cli import lines
from netevd.cli.client import ask
from netevd.cli.failure import Exit
from netevd.cli.options import daemon_options
from netevd.cli.output import colour_option, format_options, print_shape, read_format, say
from privsep.protocol import escape

_NOTHING: Final = (
    "nothing of policy routing is configured (routing.policy, routing.rules, wireguard.routes)"
)


@click.group()
def routing() -> None:
    """See and steer the rules and routes that the daemon makes."""


@routing.command()
@format_options
@colour_option
@daemon_options
def plan() -> int:
    """Show which rules and routes shall be there, for which interfaces, and why not for others."""
    answer = ask("routing")
    if read_format() != "table":
        print_shape(answer)
        return Exit.FINE
    for each in answer["interfaces"]:
        what = each["reason"] and f"nothing, {each['reason']}"
        gateways = " ".join(gateway or "none needed" for gateway in each["gateways"])
        via = f", gateway {gateways}" if gateways else ", no gateway"
        what = what or f"slot {each['slot']}, from {' '.join(each['sources'])}{via}"
        click.echo(escape(f"{each['interface']} {each['family']}: {what}"))
    for each in answer["tunnels"]:
        for line in _describe_tunnel(each):
            click.echo(escape(line))
    for each in answer["rules"]:
        click.echo(escape(f"rule  {lines.show_rule(each)}"))
    for each in answer["routes"]:
        click.echo(escape(f"route {lines.show_route(each)}"))
    _say_state(answer)
    return Exit.FINE


@routing.command()
@format_options
@colour_option
@daemon_options
def diff() -> int:
    """
    Show what would make the kernel as planned, as commands of ip(8).

    What of the routes over WireGuard devices is not as their peers imply comes after them. The exit
    status is 0 when there is nothing to do, else 1.
    """
    answer = ask("routing")
    differing = [each for each in answer["tunnels"] if each["missing"] or each["strays"]]
    if read_format() != "table":
        shape = {
            "changes": answer["changes"],
            "count": len(answer["changes"]),
            "tunnels": differing,
        }
        print_shape(shape)
    else:
        for change in answer["changes"]:
            click.echo(escape(change))
        for each in differing:
            for line in _describe_difference(each):
                click.echo(escape(line))
        _say_state(answer)
    return Exit.FAILED if answer["changes"] or differing else Exit.FINE


@routing.command()
@format_options
@daemon_options
def flush() -> int:
    """Remove every rule and route that is netevd's, until the configuration is read again."""
    answer = ask("routing/flush", method="POST")
    if read_format() == "table":
        say("every rule and route of netevd's is removed; netevd reload brings them back")
    else:
        print_shape(answer)
    return Exit.FINE


@routing.command()
@format_options
@daemon_options
def confirm() -> int:
    """Keep the routing configuration that is on trial (routing.confirm)."""
    answer = ask("routing/confirm", method="POST")
    if read_format() == "table":
        say("the routing configuration stays")
    else:
        print_shape(answer)
    return Exit.FINE


def _describe_tunnel(tunnel: dict[str, Any]) -> Iterator[str]:
    """Yield what is planned for a device, and why no more."""
    name, count = tunnel["interface"], len(tunnel["prefixes"])
    if tunnel["table"] and not tunnel["reason"]:
        yield f"{name}: table {tunnel['table']}, {count} prefixes of its peers"
    else:
        yield f"{name}: nothing, {tunnel['reason'] or 'its routes are only looked at'}"
    if tunnel["advice"]:
        yield f"{name}: {tunnel['advice']}"


def _describe_difference(tunnel: dict[str, Any]) -> Iterator[str]:
    """Yield what of a device's routes is not as its peers imply."""
    for prefix in tunnel["missing"]:
        yield f"missing: {prefix} dev {tunnel['interface']}"
    for prefix in tunnel["strays"]:
        yield f"no peer takes: {prefix} dev {tunnel['interface']}"


def _say_state(answer: dict[str, Any]) -> None:
    """Say what keeps the plan from coming true."""
    if not answer["enabled"]:
        say(_NOTHING)
    if answer["halted"]:
        say(f"nothing is written: {answer['halted']}")
    elif answer["contested"]:
        say("somebody keeps removing what is netevd's; it is put back less and less often")
    if answer["trial_seconds"] is not None:
        say(f"on trial for {answer['trial_seconds']:g} s more: netevd routing confirm keeps it")
    if answer["given_up"]:
        say("the configuration was not confirmed in time: that of before is in force")
