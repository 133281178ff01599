"""How runs ended and what is still open as plain dictionaries, see model.shape."""

from __future__ import annotations

from netevd.model.history import RunOutcome
from netevd.model.memory import OpenRun
from netevd.model.shape import Json, printable, show_time


def shape_outcome(outcome: RunOutcome) -> dict[str, Json]:
    """Return the object of a run that has ended, or of an attempt of it."""
    return {
        "run": outcome.run,
        "sequence": outcome.sequence,
        "event": outcome.event,
        "interface": printable(outcome.interface) or None,
        "script": printable(outcome.script),
        "result": outcome.result,
        "reason": outcome.reason or None,
        "status": outcome.status,
        "duration_seconds": round(outcome.duration_s, 6),
        "cpu_seconds": round(outcome.cpu_s, 6),
        "leftovers": outcome.leftovers,
        "attempt": outcome.attempt,
        "final": outcome.final,
        "time": show_time(outcome.time_ns),
        "output": [{"stream": stream, "line": printable(line)} for stream, line in outcome.output],
        "output_is_incomplete": outcome.incomplete,
    }


def shape_open_run(run: OpenRun, event: str, interface: str) -> dict[str, Json]:
    """Return the object of a run that has not ended."""
    return {
        "run": run.number,
        "sequence": run.sequence,
        "event": event,
        "interface": printable(interface) or None,
        "script": printable(run.hook.path),
        "result": None,
        "stage": run.stage.lower(),
        "attempt": 1 if run.failed is None else run.failed.number + 1,
    }
