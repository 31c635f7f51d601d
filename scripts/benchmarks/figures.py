"""One figure beside its raw mechanism, and the table of them for people and for docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = ("figure", "agenthost", "raw", "ratio", "aim", "met")


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians of rounds. ``at_most`` and ``at_least`` bound the ratio to ``raw``, or ``ours`` itself without one."""

    name: str
    unit: str
    ours: float
    raw: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def met(self) -> bool | None:
        value = self.ours if self.raw is None else self.ratio
        if value is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def cells(self) -> tuple[str, ...]:
        aim, suffix = "", "x" if self.raw is not None else f" {self.unit}"
        if self.at_most is not None:
            aim = f"at most {self.at_most:g}{suffix}"
        elif self.at_least is not None:
            aim = f"at least {self.at_least:g}{suffix}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return (self.name, _shown(self.ours, self.unit), _shown(self.raw, self.unit), ratio, aim, met)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def as_text(figures: list[Figure]) -> str:
    rows = [COLUMNS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if at in (0, 4, 5) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def as_markdown(figures: list[Figure]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- | ---: | ---: | ---: | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(figure.cells())} |" for figure in figures)])


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f} {unit}"
