"""Keep a clone of each repository in the work directory, and find its projects."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from ..project import ANSWERS_FILE
from .model import FleetError
from .processes import git
from .sources import Source, unique_name

HEAD = "refs/fleet/head"


@dataclass(frozen=True)
class Found:
    """A project in a repository."""

    source: Source
    subfolder: str
    store: Path
    """A bare repository that has the commit."""
    commit: str
    branch: str
    answers: dict[str, Any]
    problem: str = ""
    """The reason why the project cannot be examined."""

    @property
    def slug(self) -> str:
        """A file name for this project."""
        own = unique_name(self.subfolder, self.subfolder)
        return f"{self.source.slug}-{own}" if self.subfolder else self.source.slug


def find_projects(source: Source, work: Path) -> list[Found]:
    """Fetch the last commit of a repository, and return its projects.

    Raises:
        FleetError: the repository is not reachable, has uncommitted changes, or has no projects.
    """
    directory = source.directory
    if directory and (directory / ".git").exists() and git(directory, "status", "--porcelain"):
        raise FleetError("The directory has uncommitted changes. Commit or stash them.")
    store = work / "clones" / f"{source.slug}.git"
    initialize(store, "--bare")
    listed = git(store, "ls-remote", "--symref", "--", source.address, "HEAD")
    if not listed.strip():
        raise FleetError("The repository has no commits on its default branch.")
    branch = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", listed, re.MULTILINE)
    git(store, "fetch", "--quiet", "--no-tags", "--depth=1", "--", source.address, f"+HEAD:{HEAD}")
    commit = git(store, "rev-parse", HEAD).strip()
    found = [
        read_answers(store, commit, source, subfolder, branch[1] if branch else "")
        for subfolder in ([source.subfolder] if source.subfolder is not None else subfolders(store, commit))
    ]
    ours = [project for project in found if project.problem or "package_name" in project.answers]
    if not ours:
        raise FleetError(
            f"The repository has no {ANSWERS_FILE} with a package_name, so it is not a project of this template. "
            "Remove it from the list."
        )
    return ours


def initialize(directory: Path, *options: str) -> None:
    """Create an empty repository in the work directory, unless an earlier run did."""
    inside = directory if "--bare" in options else directory / ".git"
    if any(inside.rglob("*.lock")):  # An earlier run was killed. git would refuse to write.
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "--quiet", *options)  # changes nothing in an existing repository


def subfolders(store: Path, commit: str) -> list[str]:
    """Return the directories with an answers file."""
    names = git(store, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    paths = [PurePosixPath(name) for name in names if PurePosixPath(name).name == ANSWERS_FILE]
    return ["" if path.parent.as_posix() == "." else path.parent.as_posix() for path in paths]


def read_answers(store: Path, commit: str, source: Source, subfolder: str, branch: str) -> Found:
    subfolder = "" if subfolder == "." else subfolder
    path = f"{subfolder}/{ANSWERS_FILE}".lstrip("/")
    answers: Any = None
    problem = ""
    try:
        text = git(store, "cat-file", "blob", f"{commit}:{path}")
    except FleetError:
        return Found(source, subfolder, store, commit, branch, {}, f"The repository has no {path}. Check the list.")
    try:
        answers = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = f"Cannot read {path}: {' '.join(str(error).split())}"
    if not problem and not isinstance(answers, dict):
        problem = f"{path} has no answers. Restore it from the history of the repository."
    elif isinstance(answers, dict) and "package_name" in answers:
        missing = [key for key in ("_src_path", "_commit") if not isinstance(answers.get(key), str)]
        if missing:
            problem = f"{path} has no {missing[0]}, so the project cannot be updated. Restore it."
    return Found(source, subfolder, store, commit, branch, answers if isinstance(answers, dict) else {}, problem)


def check_out(found: Found, directory: Path) -> Path:
    """Make a new repository with the project's commit, and return the directory of the project in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch", "fleet")
    git(directory, "fetch", "--quiet", "--no-tags", "--depth=1", "--", str(found.store), HEAD)
    git(directory, "reset", "--quiet", "--hard", found.commit)
    git(directory, "remote", "add", "origin", found.source.address)
    return directory / found.subfolder
