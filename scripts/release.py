"""Check that a version can be released, and print the next commands: `make release VERSION=1.2.0`.

A major version requires a step by hand from owners, or causes conflicts in recorded projects. A minor version adds
features. A patch version fixes bugs.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import click
import yaml
from packaging.version import Version

from changelog import check_version, files, releases
from moves import unhandled_moves
from published import problems_of_tag
from release_impact import problems as impact_problems
from standfast import __version__
from standfast.notices import UNRELEASED, NoticesError, read_dates, read_notices

ROOT = Path(__file__).resolve().parents[1]
RELEASES = ROOT / "releases.txt"
NOTICES = ROOT / "notices.yml"


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
    click.echo(f"    git tag v{version} {commit} && git push --atomic origin HEAD v{version}")


def problems(version: str) -> list[str]:
    """Return the reasons why the current commit cannot be released as this version."""
    try:
        check_version(version)
    except click.ClickException as error:
        return [error.message]
    if git("status", "--porcelain"):
        return ["There are uncommitted changes. Commit them."]  # The checks below read files and commits.
    released = releases()
    lost = [
        f"HEAD does not contain the commit of {former} in {RELEASES.name}. Release from a later commit."
        for former, commit in released.items()
        if subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT, check=False).returncode
    ]
    if lost:
        return lost
    new, last = Version(version), max(map(Version, released))
    release = released[str(last)]
    try:
        found = notice_problems(new, last)
    except (NoticesError, OSError) as error:
        found = [str(error)]
    found += question_problems(new, last, release)
    found += unhandled_moves(ROOT, release, last)
    found += impact_problems(new, last, release)
    found += fetch_problems()
    return found + problems_of_tag(ROOT, f"v{version}", git("rev-parse", "HEAD").strip(), released)


def notice_problems(new: Version, last: Version) -> list[str]:
    """Check the notices of the version, the texts that come from them, and the version of `standfast`."""
    prepare = f"Run `make changelog VERSION={new}`, and commit."
    notices, dates = read_notices(NOTICES), read_dates(NOTICES)
    found = []
    if any(notice.version == UNRELEASED for notice in notices):
        found.append(f"{NOTICES.name} has notices without a version. {prepare}")
    if str(new) not in dates:
        found.append(f"{NOTICES.name} has no date of {new}. {prepare}")
    if __version__ != str(new):
        found.append(f"The version of the package standfast is {__version__}. {prepare}")
    known = {UNRELEASED, *dates}
    found += [
        f"{NOTICES.name} has notices of {version}, but no date."
        for version in sorted({notice.version for notice in notices} - known)
    ]
    if not found:
        found += [
            f"{name} does not have the content of {NOTICES.name}. Run `make changelog`, and commit."
            for name, text in files(NOTICES).items()
            if (ROOT / name).read_text("utf-8") != text
        ]
    work = [
        notice.summary
        for notice in notices
        if (notice.by_hand or notice.settings)
        and (notice.version == UNRELEASED or last < Version(notice.version) <= new)
    ]
    if work and new.major == last.major:
        found.append(
            f"{new} is not a major version. Notices in {NOTICES.name} that need work by hand: {len(work)}. The first "
            f"is: {work[0]} Release {last.major + 1}.0.0."
        )
    return found


def question_problems(new: Version, last: Version, release: str) -> list[str]:
    """Check that a patch version asks the same questions, and that each migration of copier.yml runs."""
    present = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    before = questions(yaml.safe_load(git("show", f"{release}:copier.yml")))
    now = questions(present)
    found = [
        f"copier.yml has a migration of {migration['version']}. An update to {new} skips it. Change its version."
        for migration in present.get("_migrations", [])
        if Version(migration["version"]) > new
    ]
    if new.release[:2] == last.release[:2]:
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if changed:
            found.append(
                f"{new} is a patch version, but questions have changed: {', '.join(changed)}. Release "
                f"{last.major}.{last.minor + 1}.0."
            )
    return found


def questions(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each question asks for. Texts, validators and computed values are left out."""
    return {
        name: {key: value for key, value in question.items() if key not in {"help", "validator"}}
        for name, question in configuration.items()
        if not name.startswith("_") and question.get("when") is not False
    }


def fetch_problems() -> list[str]:
    """Get the published default branch and tags. Return the reason if this fails."""
    if "origin" not in git("remote").split():
        return []
    for command in ("fetch --quiet --tags origin", "remote set-head origin --auto"):
        ran = subprocess.run(["git", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode:
            reason = "".join(ran.stderr.strip().splitlines()[-1:])
            return [f"Cannot find out what is published ({reason}). Repair the remote: git {command}"]
    return []


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
