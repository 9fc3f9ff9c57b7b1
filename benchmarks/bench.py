"""Compare the service with two peers and with lower limits, on one machine and one PostgreSQL: `make bench`.

    make bench                                  in about a quarter of an hour
    make bench args=--quick                     with fewer and shorter rounds, in some minutes
    make bench args="--only start,requests"     some sections
    make bench args="--draw results.json"       the figure of a run that was kept

The peers are new projects of fastapi_template (`peer`) and fastapi-fullstack (`vstorm`), with a resource like ours.

A round measures each subject once, one after the other, and the ratios are of the same round: what else the machine
does affects all of them. Compare the ratios. The absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import asking
import growing
import plot
import rendering
import scaling
import starting
from harness import BenchmarkError, command
from report import Table, read_json, render, write_json
from subjects import PACKAGES, PEER, VSTORM, Subject, Workshop, subjects, versions, workshop

RESULTS = Path(__file__).with_name("results")


class Scale(NamedTuple):
    """Amount of work to measure."""

    rounds: int
    long_rounds: int
    """Rounds of the sections that take long."""

    seconds: float
    """Duration of each load."""

    matrices: int
    """Number of times that all answers are rendered."""

    requests: int
    connections: int
    """Before memory is read again."""

    clients: tuple[int, ...]
    rows: tuple[int, ...]
    resources: tuple[int, ...]
    processes: tuple[int, ...]


QUICK = Scale(3, 1, 1.0, 0, 2_000, 600, (1, 50, 200), (1_000, 100_000), (0, 500), (1, 4))
DEFAULT = Scale(
    5, 2, 2.0, 1, 10_000, 3_600, (1, 10, 50, 200), (1_000, 10_000, 100_000, 1_000_000), (0, 10, 100, 500), (1, 4, 16)
)

Section = Callable[[Workshop, dict[str, Subject], Table, Scale], None]
SECTIONS: dict[str, Section] = {
    "render": lambda place, found, table, scale: rendering.measure(place, table, scale.rounds, scale.matrices),
    "start": lambda place, found, table, scale: starting.measure(place, found, table, scale.rounds),
    "memory": lambda place, found, table, scale: starting.measure_work(
        served(found), table, scale.long_rounds, scale.requests, scale.connections
    ),
    "requests": lambda place, found, table, scale: asking.measure(found, table, scale.rounds, scale.seconds),
    "clients": lambda place, found, table, scale: growing.measure_clients(
        served(found), table, scale.rounds, scale.seconds, scale.clients
    ),
    "rows": lambda place, found, table, scale: growing.measure_rows(
        served(found), table, scale.rounds, scale.seconds / 2, scale.rows
    ),
    "resources": lambda place, found, table, scale: growing.measure_resources(
        served(found), table, scale.long_rounds, scale.resources
    ),
    "processes": lambda place, found, table, scale: scaling.measure(
        found["ours"], table, scale.long_rounds, scale.seconds, scale.processes
    ),
}


def served(found: dict[str, Subject]) -> dict[str, Subject]:
    """Return the subjects whose growth is measured."""
    return {name: subject for name, subject in found.items() if name != "floor"}


def main() -> None:
    options = parse_options()
    if options.draw:
        plot.draw(read_json(options.draw), options.draw.with_suffix(".svg"))
        return
    if sys.platform != "linux":
        raise BenchmarkError("What processes cost is read from /proc: this runs on Linux.")
    scale = QUICK if options.quick else DEFAULT
    table = Table()
    begun = time.monotonic()
    with workshop(options.python, options.directory) as place, subjects(place) as found:
        conditions = describe(place, found, scale)
        for name in options.only or SECTIONS:
            print(f"{time.monotonic() - begun:4.0f} s  {name} …", file=sys.stderr, flush=True)
            SECTIONS[name](place, found, table, scale)
            write_json(table, conditions, options.output)  # an interruption loses only the sections that follow
    print(render(table))
    plot.draw(table, options.output.with_suffix(".svg"))
    print(f"\n{time.monotonic() - begun:.0f} s; x: ours to the other's, + ahead, - behind, = within the noise")
    print(f"{options.output} has the figures, and beside it there is the plot.")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", type=_sections, help=f"some of {', '.join(SECTIONS)}, with commas between")
    parser.add_argument("--output", type=Path, default=RESULTS / "latest.json", help="where the figures go")
    parser.add_argument("--python", type=Path, help="the Python of everything measured")
    parser.add_argument("--directory", type=Path, help="an empty directory to work in, which is kept")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="only draw what an earlier run wrote")
    return parser.parse_args()


def _sections(value: str) -> list[str]:
    names = value.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"there is no section {name!r}: {', '.join(SECTIONS)}")
    return names


def describe(place: Workshop, found: dict[str, Subject], scale: Scale) -> dict[str, object]:
    """Return the conditions of a run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": place.commit,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": subprocess.check_output([place.python, "--version"], text=True).strip(),
        "peer": PEER,
        "vstorm": VSTORM,
        "scale": scale._asdict(),
        "versions": {name: versions(found[name], PACKAGES) for name in ("ours", "peer", "vstorm")},
    }


if __name__ == "__main__":
    command(main)
