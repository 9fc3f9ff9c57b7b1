"""Update the recorded owners to the working tree, run their suites, and write docs/update-scoreboard.md.

    make scoreboard                      update all owners, and write the table
    make scoreboard args="NAME …"        update these owners, and keep the other rows
    make scoreboard args=--missing       update the owners without a current row

The tests of tests/test_owners.py do the work. The suites also run before the updates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from owners import COLUMNS, OWNERS, SCOREBOARD, Owner, recorded

ROOT = Path(__file__).resolve().parents[1]

HEAD = """# Update scoreboard

The owners of [owners/](../owners/) changed a rendered project. `make scoreboard` updates each project to the working
tree, resolves the conflicts, follows the changelog, and runs the project's own suite: lint, formatting, types and
tests. The tests include the owner's.

{summary}

- *Conflicts* are the files with conflict markers.
- *By hand* is the number of steps after the merge, without conflicts and lockfiles. They are in `owner.yml`.
- *Trust* says whether the update needs `--trust`.
- *Record* is a hash of the owner's files. CI fails if it changes and the table does not.

"""


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--missing", is_flag=True)
def main(*, names: tuple[str, ...], missing: bool) -> None:
    if unknown := set(names) - OWNERS.keys():
        raise click.ClickException(f"There is no owner {', '.join(sorted(unknown))} in owners/.")
    rows = recorded() if SCOREBOARD.exists() else {}
    current = {name for name, owner in OWNERS.items() if name in rows and rows[name]["record"] == owner.digest()}
    results = record(names or [name for name in OWNERS if not missing or name not in current])
    failed = sorted(name for name, result in results.items() if result["after"] != "passes")
    click.echo(f"  Wrote {SCOREBOARD.relative_to(ROOT)}: {len(results) - len(failed)} of {len(results)} pass.")
    if failed:
        raise click.ClickException(f"These suites fail: {', '.join(failed)}.")


def record(names: Collection[str]) -> dict[str, dict[str, str]]:
    """Update owners, write their rows, and return the results. Without names, nothing runs."""
    rows = recorded() if SCOREBOARD.exists() else {}
    results = run_tests(names) if names else {}
    rows |= {name: row(OWNERS[name], result) for name, result in results.items()}
    SCOREBOARD.write_text(table({name: rows[name] for name in OWNERS if name in rows}), "utf-8")
    return results


def run_tests(names: Collection[str]) -> dict[str, dict[str, str]]:
    """Run the tests of the owners, and return their results. Ctrl-C ends the tests, and keeps the results."""
    tests = [f"tests/test_owners.py::test_suite_of_an_owner_passes_after_the_update[{name}]" for name in names]
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pytest", "-q", *tests]
        with suppress(KeyboardInterrupt):
            subprocess.run(command, cwd=ROOT, env={**os.environ, "SCOREBOARD": directory}, check=False)
        results = [json.loads(path.read_text("utf-8")) for path in Path(directory).glob("*.json")]
    return {result["owner"]: result for result in results}


def row(owner: Owner, result: dict[str, str]) -> dict[str, str]:
    """Return the cells of an owner, by column."""
    suite = result["after"] if result["before"] == "passes" else f"{result['after']}; before the update: fails"
    return dict(
        zip(
            COLUMNS,
            (
                owner.name,
                owner.version,
                owner.shown_answers,
                owner.shown_conflicts,
                str(len(owner.by_hand)),
                result["trust"],
                suite,
                owner.digest(),
            ),
            strict=True,
        )
    )


def table(rows: dict[str, dict[str, str]]) -> str:
    passed = [each for each in rows.values() if each["suite"].startswith("passes")]
    clean = sum(each["conflicts"] == "none" for each in passed)
    trusted = sum(each["trust"] == "yes" for each in rows.values())
    summary = (
        f"On {datetime.now(UTC):%Y-%m-%d}, **{len(passed)} of {len(rows)}** projects with changes of owners were "
        f"merged and passed their own suite. {clean} of them had no conflict. {trusted} updates needed `--trust`."
    )
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([each[name] for name in COLUMNS] for each in rows.values())]
    return HEAD.format(summary=summary) + "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
