"""Build a fleet of recorded owners, and let `standfast fleet` report, verify and push it: `make example-fleet`.

The projects are recorded owners and renders with different answers. They have three versions of the template: the
last release, a later commit as 1.0.0, and the working tree as 1.1.0. The command runs for about an hour on two
processors. A second run continues. It writes docs/fleet.txt, and the page fleet.html in the directory of the fleet.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from copier import run_copy
from copier.errors import DirtyLocalWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from conftest import GIT_IDENTITY, ROOT, commit_all, git_init, releases, run
from owners import OWNERS, build_owner
from standfast.fleet.merge import keep_own_lines
from standfast.fleet.model import load_result
from standfast.fleet.text import request_text
from standfast.update import apply_update

BETWEEN = "30e6e54"
"""The commit that is version 1.0.0 of the example."""

LATER = (
    *("changed-enum", "customers-and-orders", "merged-migrations", "own-middleware", "squashed-migrations"),
    *("resource-of-the-document", "resource-of-the-document-with-users", "without-the-example"),
)
"""The owners who have updated their project to 1.0.0 before."""

RENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gateway": ("1.0.0", {"database_backend": "sqlite", "ci_provider": "gitlab"}),
    "accounts": ("1.0.0", {"auth": "jwt", "kubernetes": True}),
    "search": ("1.1.0", {}),
    "mail": ("1.1.0", {"dependency_tool": "uv", "include_example": False}),
}
"""The version and the answers of projects without changes."""

RUN = ("make lock args=--no-upgrade", 'make revision m="update the template"', "make format")
"""The work by hand of the last versions that needs no decision."""


@click.command(help=__doc__)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--jobs", type=int, default=2, show_default=True)
def main(*, directory: Path, jobs: int) -> None:
    warnings.simplefilter("ignore", DirtyLocalWarning)
    os.environ.update({**GIT_IDENTITY, "COPIER_SETTINGS_PATH": str(ROOT / "tests/copier-settings.yml")})
    directory = directory.absolute()
    remotes = directory / "remotes"
    remotes.mkdir(parents=True, exist_ok=True)
    template = make_template(directory / "template")
    for name, build in projects(template).items():
        bare = remotes / f"{name}.git"
        if not bare.exists():
            with TemporaryDirectory(dir=directory) as temporary:
                build(Path(temporary, name))
                run("git", "clone", "--quiet", "--bare", f"{temporary}/{name}", bare, cwd=directory)
    addresses = [f"file://{path}" for path in sorted(remotes.iterdir())]
    missing = f"file://{remotes}/moved-elsewhere.git"
    (directory / "fleet.txt").write_text("\n".join([*addresses, missing, ""]))
    command = ["standfast", "fleet", "fleet.txt", "--trust", "--verify", "--push", "--jobs", str(jobs)]
    for each in RUN:
        command += ["--run", each]
    command += ["--json", "fleet.json", "--html", "fleet.html"]
    start = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    shown = " ".join(f"'{word}'" if " " in word else word for word in command)
    text = f"$ {shown}\n{finished.stdout}\n{seconds / 60:.0f} minutes on {os.cpu_count()} shared processors\n"
    results = map(load_result, (directory / "standfast-fleet/results").glob("*.json"))
    for result in [each for each in results if each and each.conflicts][:1]:
        text += f"\nThe text of the request of {result.name}:\n\n{request_text(result)}"
    (ROOT / "docs/fleet.txt").write_text(text.replace(str(directory), "/fleet"), "utf-8")
    click.echo(text)


def make_template(clone: Path) -> Path:
    """Clone this repository, and tag the versions of the example."""
    if clone.exists():
        return clone
    run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone), cwd=ROOT)
    for version, commit in releases().items():
        run("git", "tag", "--force", f"v{version}", commit, cwd=clone)
    head = run("git", "rev-parse", "HEAD", cwd=clone).stdout.strip()
    for version, commit in (("1.0.0", BETWEEN), ("1.1.0", head)):
        run("git", "checkout", "--quiet", "--detach", commit, cwd=clone)
        rewrite(clone / "copier.yml", r"(- version: )v0\.3\.0", r"\1v1.0.0")
        rewrite(clone / "notices.yml", r"(- version: )unreleased", r"\g<1>1.0.0")
        commit_all(clone, f"Release {version}", "--allow-empty")
        run("git", "tag", "--force", f"v{version}", cwd=clone)
    return clone


def rewrite(file: Path, pattern: str, text: str) -> None:
    if file.exists():
        file.write_text(re.sub(pattern, text, file.read_text("utf-8")), "utf-8")


def projects(template: Path) -> Mapping[str, Callable[[Path], object]]:
    """Return a function for each project that creates it in a directory."""
    owners: dict[str, Callable[[Path], object]] = {
        name: partial(build_owner, name, template=template) for name in OWNERS
    }
    later = {f"{name}-later": partial(build_later, name, template=template) for name in LATER}
    return owners | later | {name: partial(build_render, name, template=template) for name in RENDERS}


def build_later(name: str, directory: Path, template: Path) -> None:
    """Create the project of an owner who has updated it to 1.0.0, and kept the own lines in conflicts."""
    build_owner(name, directory, template)
    applied = apply_update(directory, to="v1.0.0", trust=True)
    for path in applied.preview.conflicts:
        keep_own_lines(directory, path)
    commit_all(directory, "Update the template")


def build_render(name: str, directory: Path, template: Path) -> None:
    version, answers = RENDERS[name]
    answers = {"project_name": name.title(), **answers}
    run_copy(str(template), directory, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True)
    git_init(directory)


if __name__ == "__main__":
    main()
