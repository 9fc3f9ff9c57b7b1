"""Check that a version can be released, and print the next commands: `make release VERSION=1.2.0`.

A major version requires a step by hand from owners, or causes conflicts in files that they did not change. A minor
version adds features. A patch version fixes bugs.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
RELEASES = ROOT / "releases.txt"


@click.command(help=__doc__)
@click.argument("version")
def main(*, version: str) -> None:
    wrong = problems(version)
    for problem in wrong:
        click.echo(f"  ❌ {problem}", err=True)
    if wrong:
        raise SystemExit(1)
    commit = git("rev-parse", "HEAD").strip()
    with RELEASES.open("a", encoding="utf-8") as file:
        file.write(f"{version} {commit}\n")
    click.echo(f"  ✅ Wrote {version} {commit} to {RELEASES.name}. Next:\n")
    click.echo(f"    make test-updates\n    git commit -m 'Release {version}' {RELEASES.name}")
    click.echo(f"    git tag v{version} {commit} && git push origin main v{version}")


def problems(version: str) -> list[str]:
    """Return the reasons why the current commit cannot be released as this version."""
    try:
        new = Version(version)
    except InvalidVersion:
        return [f"{version} is not a version. Write it as 1.2.0."]
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(
            f"{version} does not have the form 1.2.0. Projects would not get it, because Copier ignores pre-releases."
        )
    if git("status", "--porcelain"):
        found.append("There are uncommitted changes. Commit them.")
    lines = [line.split() for line in RELEASES.read_text("utf-8").splitlines() if not line.startswith("#")]
    newest = max((Version(released) for released, _ in lines), default=None)
    if newest and new <= newest:
        found.append(f"{newest} is already released. Choose a later version.")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = (version, *(released for released, _ in lines))
    found += [
        f"CHANGELOG.md has no section {name}. Rename the section Unreleased."
        for name in sections
        if not re.search(rf"^## {re.escape(name)}( |$)", changelog, re.MULTILINE)
    ]
    for released, commit in lines:
        if subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT, check=False).returncode:
            found.append(
                f"HEAD does not contain the commit of {released} in {RELEASES.name}. Release from a later commit."
            )
    return found


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
