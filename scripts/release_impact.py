"""Update recorded owners and a fleet to the last commit, and write docs/release-impact.json for `make release`.

    make release-impact                    update the owners, and write docs/update-scoreboard.md
    make release-impact FLEET=fleet.txt    also run `standfast fleet`, and the code of its projects

A second run continues. It updates the owners again only if rendered files have changed. A fleet needs the commit at the
template's address: push first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
RESULT = "docs/release-impact.json"
INPUTS = ("copier.yml", "hooks", "licenses", "reserved_names.jinja", "strings.jinja", "template")
"""The files that a result depends on, besides those of the owner."""


@dataclass(frozen=True)
class Impact:
    """The result of one project. `commit` is the template's, `version` is the project's before the update."""

    commit: str
    version: str
    conflicts: list[str] = field(default_factory=list)
    by_hand: int = 0
    green: bool = True


@click.command(help=__doc__)
@click.option("--fleet", metavar="FILE", type=click.Path(exists=True, path_type=Path))
def main(*, fleet: Path | None) -> None:
    from owners import OWNERS  # `make release` reads results without the modules of the tests.
    from scoreboard import record

    if git("status", "--porcelain", "--", *INPUTS, "owners"):
        raise click.ClickException("There are uncommitted changes. Commit them.")
    commit = git("rev-parse", "HEAD").strip()
    rows = {name: row for name, row in read(RESULT).items() if is_current(name, row)}
    rows = {name: row for name, row in rows.items() if row.green or name not in OWNERS}  # Repeat failed owners.
    for name, result in record([name for name in OWNERS if name not in rows]).items():
        owner = OWNERS[name]
        green = result["after"] == "passes"
        rows[name] = Impact(commit, owner.version, list(owner.conflicts), len(owner.by_hand), green)
    rows |= run_fleet(fleet, commit) if fleet else {}
    text = json.dumps({name: asdict(row) for name, row in sorted(rows.items())}, indent=2)
    (ROOT / RESULT).write_text(f"{text}\n", "utf-8")
    click.echo(f"  Wrote {RESULT}: {summary(rows.values())}.")


def run_fleet(file: Path, commit: str) -> dict[str, Impact]:
    """Run `standfast fleet`. Projects that it cannot examine are left out; it prints the reasons."""
    with TemporaryDirectory() as directory:
        report = Path(directory, "fleet.json")
        options = ["--to", commit, "--trust", "--verify", "--json", str(report)]
        command = [sys.executable, "-m", "standfast", "fleet", str(file), *options]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        if not report.exists():
            raise click.ClickException(f"`standfast fleet {file}` wrote no report. See the lines above.")
        projects = json.loads(report.read_text("utf-8"))["projects"]
    rows = {}
    for each in projects:
        if each["state"] not in ("failed", "untrusted"):
            conflicts = [conflict["path"] for conflict in each["conflicts"]]
            green = all(check["passed"] or check["before"] is False for check in each["checks"])
            rows[f"fleet/{each['name']}"] = Impact(commit, each["version"], conflicts, each["by_hand"], green)
    return rows


def problems(new: Version, last: Version, release: str) -> list[str]:
    """Return the reasons why the recorded results do not allow a version.

    Args:
        release: the commit of the version `last`. Its results are those to compare with.
    """
    rows, former = read(RESULT), read(f"{release}:{RESULT}")
    names = rows.keys() | {path.parent.name for path in ROOT.glob("owners/*/owner.yml")}
    if stale := sorted(name for name in names if name not in rows or not is_current(name, rows[name])):
        missing = f"{len(stale)} of {len(names)} projects, such as {stale[0]}"
        return [f"{RESULT} has no result of this commit for {missing}. Run `make release-impact`, and commit."]
    broken = {name: more for name, row in rows.items() if (more := added(row, former.get(name), new))}
    if new.major > last.major or not broken:
        return []
    needed = f"{', '.join(work(broken.values()))} ({', '.join(broken)})"
    return [f"{new} is not a major version, but projects need more work: {needed}. Release {last.major + 1}.0.0."]


def added(row: Impact, former: Impact | None, new: Version) -> Impact | None:
    """Return the work that an earlier release did not cause, or None.

    A project of an earlier major version without an earlier result needs the work of that major version. Its own
    result cannot show more.
    """
    if former is None or former.version != row.version:
        if row.version.partition(".")[0] != str(new.major):
            return None
        former = Impact(row.commit, row.version)
    conflicts = [path for path in row.conflicts if path not in former.conflicts]
    more = replace(row, conflicts=conflicts, by_hand=max(0, row.by_hand - former.by_hand))
    return more if conflicts or more.by_hand or former.green > row.green else None


def summary(rows: Collection[Impact]) -> str:
    clean = sum(row.green and not row.conflicts and not row.by_hand for row in rows)
    return ", ".join([f"{clean} of {len(rows)} merge and stay green", *work(rows)])


def work(rows: Collection[Impact]) -> list[str]:
    """Return the numbers of projects with conflicts by file, with steps by hand, and with failed checks."""
    files = Counter(path for row in rows for path in row.conflicts)
    found = [f"{number} conflict{'s' if number == 1 else ''} in {path}" for path, number in files.most_common(5)]
    found += [f"{len(files) - 5} more files conflict"] if len(files) > 5 else []
    kinds = {"steps by hand": sum(row.by_hand > 0 for row in rows), "failed checks": sum(not row.green for row in rows)}
    return found + [f"{number} with {kind}" for kind, number in kinds.items() if number]


def read(where: str) -> dict[str, Impact]:
    """Return the results in a file of the repository or of a commit, or none if it is missing or damaged."""
    try:
        text = git("show", where) if ":" in where else (ROOT / where).read_text("utf-8")
        return {name: Impact(**row) for name, row in json.loads(text).items()}
    except (OSError, subprocess.CalledProcessError, AttributeError, TypeError, ValueError):
        return {}


def is_current(name: str, row: Impact) -> bool:
    """Return whether the files that the result depends on have not changed since."""
    command = ["git", "diff", "--quiet", row.commit, "HEAD", "--", *INPUTS, f"owners/{name}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
