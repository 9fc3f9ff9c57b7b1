"""Print the times of the last `.ci/run`, by test file and by fixture: `make timings`.

make timings                    print the times of the last run with TIMINGS=<part>
make timings args=--record      write the processor seconds of each file to timings.txt
make timings args=--check       fail if a file needs more than 1.5 times its record plus 60 s
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "timings.txt"
HEADING = """\
# Processor seconds of each test file, written by `make timings args=--record` after `.ci/run`.
# CI fails if a file, or a whole part, needs more than 1.5 times its record plus 60 seconds.
"""
GROWTH, SLACK = 1.5, 60.0
"""Limits of a file: its record times GROWTH, plus SLACK seconds.

The first file that needs a shared environment, render or image spends the time for it. So the seconds are necessary.
"""

Figures = dict[str, list[float]]
"""Number of tests or set-ups, processor seconds, and wall-clock seconds, by name."""


def read(kind: str) -> Figures:
    """Return the times of all parts, by `part file` or `part fixture`."""
    paths = sorted((ROOT / ".timings").glob("*.json"))
    parts = {path.stem: json.loads(path.read_text("utf-8"))[kind] for path in paths}
    rows = {f"{part} {name}": figures for part, names in parts.items() for name, figures in names.items()}
    for part, names in parts.items():
        rows[f"{part} all {kind}"] = [sum(column) for column in zip(*names.values(), strict=True)]
    return rows


def read_record() -> dict[str, float]:
    lines = RECORD.read_text("utf-8").splitlines() if RECORD.exists() else []
    rows = (line.rsplit(maxsplit=1) for line in lines if not line.startswith("#"))
    return {name: float(seconds) for name, seconds in rows}


def show(figures: Figures) -> None:
    width = max(map(len, figures), default=0)
    print(f"{'':{width}}  {'number':>6} {'cpu s':>7} {'wall s':>7}")
    for name, (number, cpu, wall) in sorted(figures.items(), key=lambda row: -row[1][1]):
        print(f"{name:{width}}  {number:6.0f} {cpu:7.1f} {wall:7.1f}")


def excess(files: Figures, recorded: dict[str, float]) -> list[str]:
    """Return a message for each file that exceeds its limit. A missing record counts as 0 s."""
    remedy = "Make it cheaper, or run `make timings args=--record` and say why in the commit."
    return [
        f"{name}: {cpu:.0f} s of processor time, recorded {recorded.get(name, 0):.0f} s. {remedy}"
        for name, (_, cpu, _) in files.items()
        if cpu > GROWTH * recorded.get(name, 0) + SLACK
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make timings", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="write the processor seconds to timings.txt")
    parser.add_argument(
        "--check", action="store_true", help="fail if a file needs more than 1.5 times its record plus 60 s"
    )
    options = parser.parse_args()
    files = read("files")
    if not files:
        sys.exit("There are no recorded times. Run `.ci/run`, or `TIMINGS=fast make test`.")
    if options.record:
        rows = (f"{name} {cpu:.1f}\n" for name, (_, cpu, _) in sorted(files.items()))
        RECORD.write_text(HEADING + "".join(rows), "utf-8")
    show(files)
    print()
    show(read("fixtures"))
    if options.check and (messages := excess(files, read_record())):
        sys.exit("\n".join(messages))


if __name__ == "__main__":
    main()
