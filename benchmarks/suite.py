"""Processor time of the default render's `make test`, beside another revision of the template: `make bench-suite`.

    make bench-suite args="--base ea2be86"

The revisions take turns, each with the packages of its own lock. Both the service's tests and the processes that they
start count: PostgreSQL, workers and servers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from xml.etree import ElementTree

from harness import command, run
from report import OURS, Table, render
from subjects import Workshop, workshop

SECTION = "make test"
RESULTS = "results.xml"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-suite", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", metavar="REVISION", required=True, help="the revision to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each suite runs (default: 3)")
    options = parser.parse_args()
    table = Table()
    with workshop() as place:
        projects = {OURS: place.render("ours"), options.base: place.render("base", version=options.base)}
        environments = {name: install(place, project) for name, project in projects.items()}
        for _ in range(options.rounds):
            for name, project in projects.items():
                measure(table, name, project, environments[name])
    print(render(table))


def install(place: Workshop, project: Path) -> Path:
    """Install a render's development dependencies; the directory with the programs is returned."""
    locked = ("--no-deps", "--require-hashes", "-r", project / "requirements-dev.txt")
    binaries = place.install(f"{project.name}-environment", *locked).parent
    (binaries / "installed").touch()
    return binaries


def measure(table: Table, name: str, project: Path, binaries: Path) -> None:
    make = ("make", f"BIN={binaries}", f"INSTALLED={binaries / 'installed'}")
    cost = run([*make, "test", f"args=--junitxml={RESULTS}"], project, PYTHONPATH=str(project / "src"))
    table.row(SECTION, "processor time", "s").add(name, cost.cpu)
    table.row(SECTION, "wall time", "s").add(name, cost.wall)
    table.row(SECTION, "tests", "").add(name, count_tests(project))


def count_tests(project: Path) -> int:
    """Return the number of tests in the results of the suite."""
    return sum(int(suite.attrib["tests"]) for suite in ElementTree.parse(project / RESULTS).iter("testsuite"))


if __name__ == "__main__":
    command(main)
