"""Table of `make bench-failures`, in docs/failures.md, and a part of it in README.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import marked  # noqa: E402

COMMAND = "bench-failures"
PAGE, README = ROOT / "docs" / "failures.md", ROOT / "README.md"
HEAD = """| fault | failed requests | failed requests of fastapi_template | lost writes | seconds to recovery | \
readiness 503, seconds |
|---|---|---|---|---|---|
"""
IN_README = ("compatible migration", "SIGTERM and start of the service", "database killed", "primary killed")
"""Starts of the rows that README.md shows, with their first four columns."""


def short(table: str) -> str:
    """Return the part of the table for README.md."""
    rows = [line for line in table.splitlines() if line.startswith("|")]
    shown = [*rows[:2], *(row for row in rows if row.startswith(tuple(f"| {start}" for start in IN_README)))]
    return "".join("|".join(row.split("|")[:5]) + "|\n" for row in shown)


def record(table: str) -> None:
    """Write the table into both documents."""
    marked.write(PAGE, COMMAND, table)
    marked.write(README, COMMAND, short(table))
