"""Rows of the result, their targets, and how they are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

SUSPECT = 1.5
"""A run whose C floor is slower than its recorded value by this factor tells only ratios."""
RECORDED = Path(__file__).with_name("floors.json")


class Row(NamedTuple):
    """One figure."""

    key: str
    """Its measurement and what is measured, such as `latency-sh p50`."""
    unit: str
    value: float
    floor: float | None = None
    """The C program's figure of the same run, None where there is none."""
    limit: float | None = None
    """The target of ARCHITECTURE.md section 7, None where it names none."""
    of: str = ""
    """What the limit holds for: `ratio`, `value` (at most), `least` (the ratio, at least), `exact`."""

    @property
    def ratio(self) -> float | None:
        """Value by floor, where both are milliseconds or rates; of the rest it would say nothing."""
        return self.value / self.floor if self.floor and self.unit in {"ms", "/s"} else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.limit is None:
            return None
        if self.of == "exact":
            return self.value == self.limit
        if self.of == "least":
            subject = self.value if self.floor is None else self.ratio
            return subject is not None and subject >= self.limit
        subject = self.ratio if self.of == "ratio" else self.value
        return subject is not None and subject <= self.limit

    def target(self) -> str:
        """Return the target in words."""
        if self.limit is None:
            return ""
        if self.of == "exact":
            return f"= {self.limit:g}"
        sign = ">=" if self.of == "least" else "<="
        is_ratio = self.of == "ratio" or (self.of == "least" and self.floor is not None)
        return f"{sign} {self.limit:g} {'x' if is_ratio else self.unit}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def format_table(rows: list[Row]) -> str:
    """Return the rows as a table of fixed columns."""
    table = [("what", "unit", "netevd", "C floor", "ratio", "target", "met")]
    for row in rows:
        met = {None: "", True: "yes", False: "NO"}[row.met]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        figures = (_number(row.value), _number(row.floor), ratio)
        table.append((row.key, row.unit, *figures, row.target(), met))
    widths = [max(len(line[column]) for line in table) for column in range(7)]
    lines = []
    for line in table:
        cells = [line[0].ljust(widths[0]), line[1].ljust(widths[1])]
        cells += [line[column].rjust(widths[column]) for column in range(2, 7)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def machine() -> str:
    """Return what tells this kind of machine from others."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {max(1, len(names))} processors"


def _read_recorded() -> dict[str, dict[str, float]]:
    if not RECORDED.exists():
        return {}
    found: dict[str, dict[str, float]] = json.loads(RECORDED.read_text())
    return found


def compare_floor(rows: list[Row]) -> list[str]:
    """Return a line for each floor figure of this run that has a recorded value."""
    recorded = _read_recorded().get(machine())
    if recorded is None:
        return [f"no floor is recorded for {machine()}; --record keeps this run's"]
    lines = []
    for row in rows:
        if row.key not in recorded or not row.floor:
            continue
        factor = row.floor / recorded[row.key]
        line = f"C floor, {row.key}: {row.floor:.2f} {row.unit} now,"
        line += f" {recorded[row.key]:.2f} recorded ({factor:.2f} x)"
        if factor > SUSPECT:
            line += "; the machine is busy: only the ratios of this run tell anything"
        lines.append(line)
    return lines


def record_floor(rows: list[Row]) -> None:
    """Keep the latency figures of this run's floor, where they are lower than the recorded ones."""
    everything = _read_recorded()
    ours = everything.setdefault(machine(), {})
    for row in rows:
        if row.floor and row.key.startswith("latency"):
            ours[row.key] = round(min(row.floor, ours.get(row.key, row.floor)), 3)
    RECORDED.write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n")


def as_json(rows: list[Row]) -> str:
    """Return machine and rows as JSON."""
    found = [row._asdict() | {"ratio": row.ratio, "met": row.met} for row in rows]
    return json.dumps({"machine": machine(), "rows": found}, indent=2) + "\n"
