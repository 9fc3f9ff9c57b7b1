"""Count the lines and files of renders: of the default answers, and of each other choice alone.

make size                       print the sizes of the working tree's renders
make size args="--at ea2be86"   print them beside the sizes of another revision
make size args=--record         write them to sizes.txt
make size args=--check          fail if a render is larger than its record or the budget
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from copier import run_copy
from copier.errors import DirtyLocalWarning

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "sizes.txt"
HEADING = """\
# Sizes of the renders, written by `make size args=--record`. CI fails if a render is larger than its record.
# Columns: lines of Python in src, in tests, in scripts and alembic; Python files; all files; lines of README.md.
"""
COLUMNS = ("src", "tests", "scripts+alembic", "python-files", "files", "readme")
BUDGET = {"src": 4350, "tests": 2250, "scripts+alembic": 400, "python-files": 95, "readme": 100}
"""Limits for the default answers."""

Sizes = dict[str, dict[str, int]]
"""The numbers of each variant, by column."""


def variants() -> dict[str, dict[str, Any]]:
    """Return the default answers, and each other choice of each question alone."""
    found: dict[str, dict[str, Any]] = {"default": {}, "schema_namespace=''": {"schema_namespace": ""}}
    for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items():
        # Every Python version renders the same lines. Copier computes the questions without `when`.
        if name.startswith("_") or name == "python_version" or question.get("when") is False:
            continue
        choices = question.get("choices", [True, False] if question["type"] == "bool" else [])
        for value in choices.values() if isinstance(choices, dict) else choices:
            if value != question["default"]:
                found[f"{name}={str(value).lower() if isinstance(value, bool) else value}"] = {name: value}
    return found


def measure(template: Path, revision: str) -> Sizes:
    """Render each variant, and count. The revision `HEAD` includes uncommitted changes."""
    sizes = {}
    for name, answers in variants().items():
        with TemporaryDirectory() as project:
            run_copy(str(template), project, data=answers, vcs_ref=revision, defaults=True, quiet=True)
            sizes[name] = count(Path(project))
    return sizes


def count(project: Path) -> dict[str, int]:
    def lines(*patterns: str) -> int:
        return sum(path.read_bytes().count(b"\n") for pattern in patterns for path in project.glob(pattern))

    python = (lines("src/**/*.py"), lines("tests/**/*.py"), lines("scripts/**/*.py", "alembic/**/*.py"))
    files = (sum(path.is_file() for path in project.rglob(pattern)) for pattern in ("*.py", "*"))
    return dict(zip(COLUMNS, (*python, *files, lines("README.md")), strict=True))


def read_record() -> Sizes:
    rows = [line.split() for line in RECORD.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {name: dict(zip(rows[0], map(int, sizes), strict=True)) for name, *sizes in rows[1:]}


def excess(sizes: Sizes, recorded: Sizes) -> list[str]:
    """Return a message for each size that is larger than its record, or than the budget of the default answers."""
    remedy = "Make it smaller, or run `make size args=--record` and say why in the commit."
    limits = [("recorded", name, recorded.get(name, dict.fromkeys(COLUMNS, 0)), remedy) for name in sizes]
    limits.append(("budget", "default", BUDGET, "Make it smaller."))
    return [
        f"{name}: {column} is {sizes[name][column]}, {kind} {most}. {remedy}"
        for kind, name, columns, remedy in limits
        for column, most in columns.items()
        if sizes[name][column] > most
    ]


def table(*revisions: Sizes) -> str:
    """Return the sizes of the default answers, and the differences of each other choice.

    With two revisions, a cell is `3015 → 2790`.
    """

    def cell(name: str, column: str) -> str:
        default = [0 if name == "default" else sizes["default"][column] for sizes in revisions]
        numbers = [sizes[name][column] - minus for sizes, minus in zip(revisions, default, strict=True)]
        return " → ".join(dict.fromkeys(f"{number:{'' if name == 'default' else '+'}}" for number in numbers))

    rows = [["", *COLUMNS], ["budget", *(str(BUDGET.get(column, "")) for column in COLUMNS)]]
    return layout(rows + [[name, *(cell(name, column) for column in COLUMNS)] for name in revisions[-1]])


def layout(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = -widths[0]  # align left
    return "".join("  ".join(f"%{width}s" for width in widths) % tuple(row) + "\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make size", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--at", metavar="REVISION", help="also print the sizes of this revision")
    parser.add_argument("--record", action="store_true", help="write the sizes to sizes.txt")
    parser.add_argument("--check", action="store_true", help="fail if a render is larger than its record or the budget")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DirtyLocalWarning)
    sizes = measure(ROOT, "HEAD")
    if options.record:
        rows = [[name, *map(str, columns.values())] for name, columns in sizes.items()]
        RECORD.write_text(HEADING + layout([["", *COLUMNS], *rows]), "utf-8")
    if options.check and (messages := excess(sizes, read_record())):
        sys.exit("\n".join(messages))
    print(table(*([measure(ROOT, options.at)] if options.at else []), sizes), end="")


if __name__ == "__main__":
    main()
