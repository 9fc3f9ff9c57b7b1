"""Fields of the report of a project."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["current", "merges", "conflicts", "untrusted", "failed"]


class FleetError(Exception):
    """A project cannot be examined. The message says why, and what to do."""


class TrustError(FleetError):
    """The update needs a script of the template, and the template is not trusted."""


@dataclass
class Check:
    """The result of a command in the merged project."""

    command: str
    passed: bool
    seconds: float
    before: bool | None = None
    """The result of a failed command without the update. None if it did not run."""


@dataclass
class Conflict:
    """A file in which the owner and the template changed the same lines."""

    path: str
    theirs: list[str] = field(default_factory=list)
    """The template's lines of each conflict."""


@dataclass
class Result:
    """The report of one project."""

    name: str
    address: str
    """The address of the repository, without a password."""
    subfolder: str = ""
    commit: str = ""
    branch: str = ""
    """The default branch of the repository."""
    template: str = ""
    version: str = ""
    target: str = ""
    behind: list[str] | None = None
    """The releases after the project's version, oldest first. None if the version is not a release."""
    answers: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    """The answers that differ from the template's defaults."""
    state: State = "failed"
    problem: str = ""
    """The reason why the project cannot be examined or pushed, with the remedy."""
    files: dict[str, list[str]] = field(default_factory=dict)
    """The changed files, by the groups of `UpdatePreview`."""
    conflicts: list[Conflict] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """The notices that concern the project, in one line each."""
    by_hand: int = 0
    """The number of notices that need work by hand."""
    tasks: str = ""
    """The steps by hand, as a Markdown task list."""
    checks: list[Check] = field(default_factory=list)
    log: str = ""
    key: str = ""
    """The input of this result. An equal key makes a second run unnecessary."""
    merged: str = ""
    """The commit with the merged update, in the work directory."""
    update_branch: str = ""
    pushed: str = ""
    """The commit that was pushed to `update_branch`."""
    request: str = ""
    """The address of the pull or merge request."""
    seconds: float = 0

    @property
    def passed(self) -> bool | None:
        """Return true if all checks passed, or None if no check ran."""
        return all(check.passed for check in self.checks) if self.checks else None

    def save(self, path: Path) -> None:
        """Write the result. A process that stops meanwhile leaves the former file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False, default=str), "utf-8")
        partial.replace(path)


def load_result(path: Path) -> Result | None:
    """Return a saved result, or None if the file is missing, or another version wrote it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        data["checks"] = [Check(**check) for check in data["checks"]]
        data["conflicts"] = [Conflict(**conflict) for conflict in data["conflicts"]]
        return Result(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None
