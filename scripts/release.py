"""Check that a version can be released, and print the next commands: `make release VERSION=1.2.0`.

A major version requires a step by hand from owners, or causes conflicts in recorded projects. A minor version adds
features. A patch version fixes bugs.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import yaml
from packaging.version import InvalidVersion, Version

from changelog import files
from moves import unhandled_moves
from published import problems_of_tag
from release_impact import problems as impact_problems
from standfast import __version__
from standfast.notices import UNRELEASED, Notice, NoticesError, read_dates, read_notices

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
        new = Version(version)
    except InvalidVersion:
        return [f"{version} is not a version. Write it as 1.2.0."]
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return [
            f"{version} does not have the form 1.2.0. Projects would not get it, because Copier ignores pre-releases."
        ]
    if git("status", "--porcelain"):
        return ["There are uncommitted changes. Commit them."]  # The checks below read files and commits.
    lines = [line.split() for line in RELEASES.read_text("utf-8").splitlines() if not line.startswith("#")]
    releases = dict(lines)
    lost = [
        f"HEAD does not contain the commit of {released} in {RELEASES.name}. Release from a later commit."
        for released, commit in releases.items()
        if subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT, check=False).returncode
    ]
    if lost:
        return lost
    last = max(releases, key=Version)
    if new <= Version(last):
        return [f"{last} is already released. Choose a later version."]
    try:
        found = notice_problems(new, Version(last))
    except (NoticesError, OSError) as error:
        found = [str(error)]
    found += question_problems(new, Version(last), releases[last])
    found += unhandled_moves(ROOT, releases[last], Version(last))
    found += impact_problems(new, Version(last), releases[last])
    found += fetch_problems()
    return found + problems_of_tag(ROOT, f"v{version}", git("rev-parse", "HEAD").strip(), releases)


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
    if new.major == last.major:
        found += [
            f"{new} is not a major version, but {NOTICES.name} has work by hand: {notice.summary} Release "
            f"{last.major + 1}.0.0."
            for notice in notices
            if needs_work(notice) and (notice.version == UNRELEASED or last < Version(notice.version) <= new)
        ]
    return found


def needs_work(notice: Notice) -> bool:
    return notice.by_hand or bool(notice.settings)


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
        found += [
            f"{new} is a patch version, but the question {name} has changed. Release {last.major}.{last.minor + 1}.0."
            for name in changed
        ]
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
