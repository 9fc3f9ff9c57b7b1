"""Find rendered files that moved since a release, and moves that no table of `hooks/` and no waiver names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from packaging.version import Version

WAIVERS = "hooks/waivers.yml"


def unhandled_moves(root: Path, release: str, since: Version) -> list[str]:
    """Return a message for each move without an entry, and for each waiver without a move.

    Args:
        root: the repository. The moves of its last commit are checked.
        release: the commit of the last release.
        since: the version of the last release. Tables of later versions count.
    """
    moves = moved_files(root, release)
    tables = [yaml.safe_load((root / "hooks" / name).read_text("utf-8")) for name in tables_since(root, since)]
    listed = {path for table in tables for path in table["files"]}
    waivers = {waiver["path"]: waiver.get("reason", "") for waiver in read_yaml(root / WAIVERS) or []}
    found = [
        f"{path} moved to {target}. Without an entry, an update drops the owner's changes to it. Add the move to a "
        f"table of hooks/ that _migrations in copier.yml lists, or a reason to {WAIVERS}."
        for path, target in moves.items()
        if path not in listed | waivers.keys()
    ]
    found += [
        f"{WAIVERS} has {path}, which did not move since {since}, or is in a table of hooks/. Remove the waiver."
        for path in waivers
        if path not in moves or path in listed
    ]
    return found + [f"{WAIVERS} has no reason for {path}." for path, reason in waivers.items() if not reason]


def tables_since(root: Path, since: Version) -> list[str]:
    """Return the names of the tables in `hooks/` that updates from a version use."""
    migrations = read_yaml(root / "copier.yml").get("_migrations", [])
    return [
        argument
        for migration in migrations
        if Version(migration["version"]) > since
        for argument in migration["command"]
        if argument.endswith(".yml")
    ]


def moved_files(root: Path, release: str) -> dict[str, str]:
    """Return the new path of each rendered file that moved, by its former path, independent of the answers.

    A file moved if no answers render its former path any more, and git finds similar content at a path that is new.
    A new path with the same name counts too, except `__init__.py`.
    """
    old, new = rendered_files(root, release), rendered_files(root, "HEAD")
    deleted = {path: old[path] for path in old.keys() - new.keys()}
    added = {path: new[path] for path in new.keys() - old.keys()}
    with TemporaryDirectory() as directory:
        before, after = (tree(root, Path(directory, name), files) for name, files in (("a", deleted), ("b", added)))
    changes = git(root, "diff-tree", "-r", "-z", "-M", "-l0", "--diff-filter=R", before, after).split("\0")[:-1]
    moves = dict(zip(changes[1::3], changes[2::3], strict=True))
    for path in sorted(deleted.keys() - moves.keys()):
        same_name = [target for target in sorted(added) if PurePosixPath(target).name == PurePosixPath(path).name]
        if same_name and PurePosixPath(path).name != "__init__.py":
            moves[path] = same_name[0]
    return dict(sorted(moves.items()))


def rendered_files(root: Path, revision: str) -> dict[str, tuple[str, str]]:
    """Return mode and blob of each file in `template/` by its rendered path. PACKAGE is the name of the package.

    If several files have the same path under different conditions, the last one counts.
    """
    entries = git(root, "ls-tree", "-r", "-z", f"{revision}:template").split("\0")[:-1]
    files = {}
    for entry in entries:
        attributes, _, name = entry.partition("\t")
        mode, _, blob = attributes.split()
        files[rendered_path(name)] = (mode, blob)
    return files


def rendered_path(name: str) -> str:
    """Return the path that a file in `template/` has if all conditions in its name hold."""
    name = re.sub(r"{%.*?%}", "", name.removesuffix(".jinja")).replace("{{ package_name }}", "PACKAGE")
    return re.sub(r"{{ '(.*?)' }}", r"\1", name).replace("{{ _copier_conf.answers_file }}", ".copier-answers.yml")


def tree(root: Path, index: Path, files: dict[str, tuple[str, str]]) -> str:
    """Write a git tree of the files, and return its hash."""
    lines = "".join(f"{mode} {blob}\t{path}\0" for path, (mode, blob) in files.items())
    environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
    command = ["git", "update-index", "-z", "--index-info"]
    subprocess.run(command, cwd=root, env=environment, input=lines, text=True, check=True)
    return git(root, "write-tree", GIT_INDEX_FILE=str(index)).strip()


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8")) if path.exists() else None


def git(root: Path, *arguments: str, **environment: str) -> str:
    variables = {**os.environ, **environment}
    return subprocess.run(["git", *arguments], cwd=root, env=variables, stdout=-1, text=True, check=True).stdout
