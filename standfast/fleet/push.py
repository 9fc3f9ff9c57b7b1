"""Push the branch of an update, and open a pull or merge request with the provider's command-line tool."""

from __future__ import annotations

import re
from pathlib import Path

from .model import FleetError, Result
from .processes import git, redact, run
from .text import is_draft, request_text, title

TIMEOUT = 300
"""Seconds for a command of the provider's tool."""

TREE = "Fleet-Tree"
"""The line of a commit's message that names its tree.

If somebody else adds or amends a commit, its tree is another one. So a run on another machine, which has no results of
earlier runs, recognizes the branches that it may write again.
"""


def branch_name(result: Result) -> str:
    """Return the branch of an update. The projects of one repository have different branches."""
    parts = [result.target, *([result.subfolder] if result.subfolder else [])]
    return "-".join(["template-update", *(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts)])


def push(result: Result, directory: Path) -> None:
    """Push the merged commit, unless somebody else has changed the branch.

    Args:
        result: the project. `update_branch` and `pushed` get the new values.
        directory: the repository with the commit.

    Raises:
        FleetError: git cannot push, or the branch has other commits.
    """
    branch = branch_name(result)
    listed = git(directory, "ls-remote", "--", "origin", f"refs/heads/{branch}").split()
    there = listed[0] if listed else ""
    if there and there not in (result.pushed, result.merged):
        git(directory, "fetch", "--quiet", "--no-tags", "--depth=2", "--", "origin", f"refs/heads/{branch}")
        tree, written, parents = show(directory, "FETCH_HEAD")
        if tree != written:
            raise FleetError(
                f"The branch {branch} has commits of others, so it was not changed. Merge or delete it, and run the "
                "command again."
            )
        if (tree, parents) == (show(directory, result.merged)[0], result.commit):
            result.merged = there
    if there != result.merged:
        # The lease refuses the push if the branch has changed meanwhile.
        lease = f"--force-with-lease=refs/heads/{branch}:{there}"
        git(directory, "push", "--quiet", lease, "--", "origin", f"{result.merged}:refs/heads/{branch}")
    result.update_branch, result.pushed = branch, result.merged


def show(directory: Path, commit: str) -> list[str]:
    """Return the tree of a commit, the tree that its message names, and its parents."""
    shown = git(directory, "log", "-1", f"--format=%T%n%(trailers:key={TREE},valueonly,separator=%x20)%n%P", commit)
    return shown.splitlines()


def request(result: Result, directory: Path, tool: str, texts: Path) -> None:
    """Open a pull or merge request, or write the text of an open one again.

    Args:
        result: the project. `request` gets the address.
        directory: the repository; the tool reads its remote.
        tool: gh or glab.
        texts: a file for the text.

    Raises:
        FleetError: the tool is missing, or it failed.
    """
    texts.parent.mkdir(parents=True, exist_ok=True)
    texts.write_text(request_text(result), "utf-8")
    variables = {"GH_PROMPT_DISABLED": "1", "NO_PROMPT": "1"}
    for exists in (bool(result.request), True):
        command = {"gh": github, "glab": gitlab}[tool](result, texts, exists)
        status, output, errors = run(command, directory, variables, TIMEOUT)
        if not (status and "already exists" in errors):  # A run on another machine may have opened the request.
            break
    if status:
        reason = (errors.strip() or output.strip() or f"exit status {status}").splitlines()[0]
        raise FleetError(f"The branch was pushed, but {' '.join(command[:3])} failed: {redact(reason)}")
    if found := re.findall(r"https?://\S+", output):
        result.request = found[-1]


def github(result: Result, text: Path, exists: bool) -> list[str]:
    content = ["--title", title(result), "--body-file", str(text)]
    if exists:
        return ["gh", "pr", "edit", result.request or result.update_branch, *content]
    draft = ["--draft"] if is_draft(result) else []
    base = ["--base", result.branch] if result.branch else []
    return ["gh", "pr", "create", *base, "--head", result.update_branch, *content, *draft]


def gitlab(result: Result, text: Path, exists: bool) -> list[str]:
    content = ["--title", title(result), "--description", text.read_text("utf-8"), "--yes"]
    if exists:
        return ["glab", "mr", "update", result.update_branch, *content]
    draft = ["--draft"] if is_draft(result) else []
    base = ["--target-branch", result.branch] if result.branch else []
    return ["glab", "mr", "create", "--source-branch", result.update_branch, *base, *content, *draft]
