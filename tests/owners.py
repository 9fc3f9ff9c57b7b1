"""Recorded owners: what people change in a render, as data in `owners/`. `build_owner` makes the project of one.

`owners/README.md` describes the files of an owner.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy
from copier.errors import DirtyLocalWarning

from answers import Answers
from conftest import ROOT, Environment, commit_all, git_init, replace, run
from updates import MARKERS

DIRECTORY = ROOT / "owners"
SCOREBOARD = ROOT / "docs/update-scoreboard.md"
COLUMNS = ("owner", "version", "answers", "conflicts", "by hand", "trust", "suite", "record")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A recorded owner. The fields have the names and meanings of the keys in `owner.yml`."""

    name: str
    about: str
    version: str
    answers: Answers = field(default_factory=dict)
    services: dict[str, Answers] = field(default_factory=dict)
    line_endings: str = "lf"
    change: Answers = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    by_hand: list[dict[str, Any]] = field(default_factory=list)
    known_before: dict[str, str] = field(default_factory=dict)
    database: str = "sqlite"

    @property
    def directory(self) -> Path:
        return DIRECTORY / self.name

    @property
    def folders(self) -> list[str]:
        """Return the directories of the services inside the repository. It is "." without a monorepo."""
        return list(self.services) or ["."]

    @property
    def shown_answers(self) -> str:
        """Return the answers that differ from the defaults, for the scoreboard."""
        answers = [f"{name}={value}".lower() for name, value in self.answers.items()]
        answers += [f"then {name}={value}".lower() for name, value in self.change.items()]
        return ", ".join(answers) or "defaults"

    @property
    def shown_conflicts(self) -> str:
        """Return the expected conflicts by file, for the scoreboard."""
        return "<br>".join(f"`{name}`" for name in self.conflicts) or "none"

    def digest(self) -> str:
        """Return a short hash of all files of the owner. A changed hash means that the recorded result is stale."""
        found = hashlib.sha256()
        for path in sorted(self.directory.iterdir()):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
        return found.hexdigest()[:8]


def read_owner(directory: Path) -> Owner:
    """Read `owner.yml`.

    Raises:
        TypeError: a key is unknown or missing.
    """
    return Owner(name=directory.name, **yaml.safe_load((directory / "owner.yml").read_text("utf-8")))


OWNERS = {path.parent.name: read_owner(path.parent) for path in sorted(DIRECTORY.glob("*/owner.yml"))}
"""All recorded owners by name."""


def build_owner(name: str, directory: Path, template: Path) -> Path:
    """Create the project of an owner: a git repository without uncommitted changes.

    Args:
        name: the name of a directory in `owners/`.
        directory: the new repository; it must not exist.
        template: a clone of this repository with a tag for each release. An owner with a fork gets a clone of it in
            the directory `<directory>.template`, which later updates of the project read.

    Returns:
        The repository. The services of a monorepo are in its subdirectories `Owner.services`.
    """
    owner = OWNERS[name]
    source = template
    if (owner.directory / "fork.yml").exists():
        source = fork(owner, directory.with_name(f"{directory.name}.template"), template)
    for folder in owner.folders:
        answers = {**owner.answers, **owner.services.get(folder, {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DirtyLocalWarning)
            run_copy(
                str(source),
                directory / folder,
                data=answers,
                vcs_ref=f"v{owner.version}",
                defaults=True,
                quiet=True,
            )
    git_init(directory)
    if (owner.directory / "changes.patch").exists():
        run("git", "apply", owner.directory / "changes.patch", cwd=directory)
    if owner.line_endings == "crlf":
        convert_line_endings(directory)
    commit_all(directory, f"{owner.name}: changes of the owner", "--allow-empty")
    return directory


def fork(owner: Owner, clone: Path, template: Path) -> Path:
    """Create a fork of the template, and return it. Each of its tags is a release with the edits of `fork.yml`."""
    run("git", "clone", "--quiet", "--no-hardlinks", str(template), str(clone), cwd=clone.parent)
    changes = yaml.safe_load((owner.directory / "fork.yml").read_text("utf-8"))
    tags = run("git", "tag", "--list", "--sort=version:refname", cwd=clone).stdout.split()
    for tag in tags[tags.index(f"v{owner.version}") :]:
        run("git", "switch", "--quiet", "--detach", tag, cwd=clone)
        for path, text in changes["files"].items():
            (clone / path).write_text(text, "utf-8")
        for edit in changes["edits"]:
            replace(clone, edit["file"], edit["old"], edit["new"], count=-1)
        commit_all(clone, "Defaults of the organization")
        run("git", "tag", "--force", tag, cwd=clone)
    return clone


def convert_line_endings(directory: Path) -> None:
    """Write CRLF into each text file, and let git do so at each checkout."""
    (directory / ".gitattributes").write_text("* text=auto eol=crlf\n", "utf-8")
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=directory).stdout.split(
        "\0"
    ):
        if name:
            text = (directory / name).read_bytes()
            (directory / name).write_bytes(re.sub(rb"\r?\n", b"\r\n", text))


def resolve(owner: Owner, repository: Path) -> None:
    """Resolve the conflicts as recorded: take the lines of the owner, of the template, or both."""
    for name, taken in owner.conflicts.items():
        path = repository / name
        text = path.read_text("utf-8")
        for conflict in MARKERS.findall(text):
            text = text.replace(conflict, resolved(conflict, taken))
        path.write_text(text, "utf-8")


def resolved(conflict: str, taken: str) -> str:
    """Return the lines that replace a conflict.

    Args:
        taken: "owner", "template" or "both".
    """
    _, _, rest = conflict.partition("\n")
    theirs, _, ours = rest.rpartition("\n")[0].partition("=======\n")
    return {"owner": theirs, "template": ours, "both": theirs + ours}[taken].removesuffix("\n")


def follow_the_changelog(owner: Owner, repository: Path, python: Callable[[Path], Environment]) -> None:
    """Do what the owner has to do by hand after the update. Each service runs the commands.

    Args:
        python: returns the environment of a service.
    """
    for step in owner.by_hand:
        if "run" in step:
            for project in (repository / folder for folder in owner.folders):
                python(project).script(project, *shlex.split(step["run"])[1:])
        elif "delete" in step:
            (repository / step["delete"]).unlink()
        else:
            replace(repository, step["file"], step["old"], step["new"], count=-1)


def recorded() -> dict[str, dict[str, str]]:
    """Return the rows of the update scoreboard, by owner."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in SCOREBOARD.read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows[2:]}
