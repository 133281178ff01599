"""`netevd list`: tables of what there is."""

from __future__ import annotations

import click

from netevd.cli.exits import Exit
from netevd.cli.once import tell_once
from netevd.cli.output import Output


@click.group("list")
def listing() -> None:
    """List what there is."""


@listing.command("hooks")
@click.option("--config", type=click.Path(), metavar="FILE", help="Configuration to look with.")
@click.pass_obj
def list_hooks(output: Output, *, config: str | None) -> int:
    """
    List every script file of the event directories, and whether it would run.

    A file that would not says why. The order is the order in which scripts of one event run.
    """
    hooks: list[dict[str, object]] = []
    status = Exit.FINE
    for told in tell_once("hooks", config=config):
        if told["kind"] == "entry":
            hooks.append({key: value for key, value in told.items() if key != "kind"})
        elif told["kind"] == "end":
            status = Exit.FAILED
    if status:
        return status
    if output.is_table:
        rows = [
            [str(hook["event"]), str(hook["path"]), str(hook["reason"]) or "ok"] for hook in hooks
        ]
        output.write_table(("EVENT", "SCRIPT", "VERDICT"), rows)
    else:
        output.write({"hooks": hooks, "count": len(hooks)}, "hooks")
    return Exit.FINE
