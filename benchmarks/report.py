"""Results, as a table of ratios and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

OURS = "ours"


class Ratio(NamedTuple):
    """Ratio of our value to another subject's value in the same round."""

    median: float
    low: float
    high: float


@dataclass
class Row:
    """One quantity, of all that have it.

    Args:
        better: which direction is the good one.
        values: each subject's, a number a round; the same place in each list is the same round.
    """

    section: str
    name: str
    unit: str
    better: Literal["less", "more"] = "less"
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, subject: str, value: float) -> None:
        self.values.setdefault(subject, []).append(value)

    def median(self, subject: str) -> float:
        return statistics.median(self.values[subject])

    def ratio(self, other: str) -> Ratio:
        """Return the ratio over the rounds in which both were measured."""
        pairs = zip(self.values[OURS], self.values[other], strict=False)
        ratios = [ours / others for ours, others in pairs if others]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def verdict(self, other: str) -> str:
        """`ahead` or `behind`, or `even` where the noise reaches over 1."""
        _, low, high = self.ratio(other)
        if low <= 1 <= high:
            return "even"
        return "ahead" if (high < 1) == (self.better == "less") else "behind"


class Table:
    """The rows of a run, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}

    def row(self, section: str, name: str, unit: str, better: Literal["less", "more"] = "less") -> Row:
        """Return the row with this name. Create it if it does not exist."""
        return self._rows.setdefault((section, name), Row(section, name, unit, better))

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def sections(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self:
            found.setdefault(row.section, []).append(row)
        return found


def render(table: Table) -> str:
    """Each quantity's medians, and ours to each other's: the median, lowest and highest of the rounds."""
    lines = []
    for section, rows in table.sections().items():
        others = list(dict.fromkeys(name for row in rows for name in row.values if name != OURS))
        titles = "".join(f"{f'{other}':>12}{'ratio':>8} {'lowest to highest':18}" for other in others)
        lines += ["", f"{section:36}{'':8}{'ours':>10}{titles}"]
        for row in rows:
            ours = _number(row.median(OURS)) if OURS in row.values else "-"
            lines.append(f"  {row.name:34}{row.unit:8}{ours:>10}" + "".join(_cell(row, other) for other in others))
    return "\n".join(line.rstrip() for line in lines)


def _cell(row: Row, other: str) -> str:
    if other not in row.values:
        return f"{'-':>12}{'':27}"
    shown = f"{_number(row.median(other)):>12}"
    if OURS not in row.values or not row.median(other):
        return f"{shown}{'':27}"
    ratio = row.ratio(other)
    mark = {"ahead": "+", "behind": "-", "even": "="}[row.verdict(other)]
    return f"{shown}{f'x{ratio.median:.2f}{mark}':>8} {f'{ratio.low:.2f} to {ratio.high:.2f}':18}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def write_json(table: Table, conditions: dict[str, object], path: Path) -> None:
    """All that was measured and where, for other programs to read."""
    rows = [
        asdict(row)
        | {
            "ratios": {
                other: row.ratio(other)._asdict() | {"verdict": row.verdict(other)}
                for other in row.values
                if OURS in row.values and other != OURS and row.median(other)
            }
        }
        for row in table
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"conditions": conditions, "rows": rows}, indent=1) + "\n", "utf-8")


def read_json(path: Path) -> Table:
    """Return the table from a file of `write_json`."""
    table = Table()
    for row in json.loads(path.read_text("utf-8"))["rows"]:
        table.row(row["section"], row["name"], row["unit"], row["better"]).values = row["values"]
    return table
