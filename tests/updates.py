"""Update a project to the newest version of the template, as the tests of updates do."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import yaml
from copier import run_update
from copier.errors import DirtyLocalWarning

from answers import questions
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


def update(project: Path, *, trust: bool = False, quiet: bool = True, **changes: Any) -> dict[str, str]:
    """Commit, update to the newest version, and return the conflicts by file.

    Args:
        trust: the same as `--trust`. Copier needs it for an update that moves files.
        quiet: whether Copier prints no message.
    """
    commit_all(project, "Changes", "--allow-empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DirtyLocalWarning)
        run_update(str(project), data=changes, defaults=True, overwrite=True, quiet=quiet, unsafe=trust)
    assert not list(project.rglob("*.rej"))
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=project).stdout.split("\0")
    texts = {name: (project / name).read_text("utf-8") for name in names if name and (project / name).is_file()}
    return {name: found[0] for name, text in texts.items() if (found := MARKERS.search(text))}


def assert_up_to_date(project: Path) -> None:
    """Check that another update changes nothing, and needs no `--trust`."""
    assert update(project) == {}
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


def answers_of(project: Path) -> dict[str, Any]:
    """Return the answers to the questions that the current template asks."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    return {name: answers[name] for name in questions() if name in answers}


def contents(project: Path) -> dict[str, str]:
    """Return the text of each rendered file. Lockfiles, databases and `_commit` are left out."""
    paths = (path for path in project.rglob("*") if path.is_file() and not MADE & set(path.parts))
    found = {str(path.relative_to(project)): path.read_text("utf-8") for path in paths if ".db" not in path.name}
    found[".copier-answers.yml"] = re.sub(r"^_commit: .*\n", "", found[".copier-answers.yml"], flags=re.MULTILINE)
    return {name: text for name, text in found.items() if name not in LOCKS}
