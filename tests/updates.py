"""Update a project to the newest version of the template, as the tests of updates do."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import yaml
from copier import run_update
from copier.errors import DirtyLocalWarning

from conftest import ROOT, commit_all, run

LOCKS = {"requirements.txt", "requirements-dev.txt"}
"""Lockfiles belong to the owner. Updates do not change them."""

MADE = {".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
"""Directories that are not rendered. Git, make and other tools create them."""

MARKERS = re.compile(r"^<<<<<<< before updating$.*?^>>>>>>> after updating$", re.MULTILINE | re.DOTALL)

TABLES = [
    yaml.safe_load(path.read_text("utf-8").replace("PACKAGE", "my_service"))
    for path in sorted((ROOT / "hooks").glob("moves_*.yml"))
]
RENAMED = {
    former.rpartition(".")[2]: name.rpartition(".")[2] for table in TABLES for former, name in table["names"].items()
}
"""Former and new names in the code of the owner."""


def update(project: Path, *, trust: bool = False, **changes: Any) -> dict[str, str]:
    """Commit, update to the newest version, and return the conflicts by file.

    Args:
        trust: the same as `--trust`. Copier needs it for an update that moves files.
    """
    commit_all(project, "Changes", "--allow-empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DirtyLocalWarning)
        run_update(str(project), data=changes, defaults=True, overwrite=True, quiet=True, unsafe=trust)
    assert not list(project.rglob("*.rej"))
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=project).stdout.split("\0")
    texts = {name: (project / name).read_text("utf-8") for name in names if name and (project / name).is_file()}
    return {name: found[0] for name, text in texts.items() if (found := MARKERS.search(text))}


def contents(project: Path) -> dict[str, str]:
    """Return the text of each rendered file. Lockfiles, databases and `_commit` are left out."""
    paths = (path for path in project.rglob("*") if path.is_file() and not MADE & set(path.parts))
    found = {str(path.relative_to(project)): path.read_text("utf-8") for path in paths if ".db" not in path.name}
    found[".copier-answers.yml"] = re.sub(r"^_commit: .*\n", "", found[".copier-answers.yml"], flags=re.MULTILINE)
    return {name: text for name, text in found.items() if name not in LOCKS}
