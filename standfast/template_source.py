"""Check that a project can be updated from the template address and commit in its answers file.

Copier answers most of these situations with a traceback.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import click
from packaging.version import InvalidVersion, Version

from .project import ANSWERS_FILE, Project

COPIER_KNOWS = ("git@", "git://", "git+", "https://github.com/", "https://gitlab.com/", "gh:", "gl:")
"""The starts of addresses that Copier takes for a git repository. It takes each address with `.git` at its end, too."""

AGAIN = "Then commit, and run the command again."


class GitError(Exception):
    """git failed. The text is the reason that it printed."""


def check_source(project: Project, target: str | None = None) -> str | None:
    """Check the template's address, the commit that the project has, and the version to update to.

    Args:
        target: the version or commit to update to; None is the newest release.

    Returns:
        None if an update is possible, or one line that says why the project is newer than every release.

    Raises:
        ClickException: no update is possible. The message has one line, which ends with the remedy.
    """
    source, commit = recorded(project, "_src_path"), recorded(project, "_commit")
    url = repository(project, source)
    try:
        tags = read_tags(url)
        current = commit if commit in tags else describe(url, source, commit, tags)
    except GitError as error:
        raise click.ClickException(
            f"Cannot read the template at {source} ({error}). If the template has moved, write its new address to "
            f"_src_path in {ANSWERS_FILE}, and commit. Otherwise, check the network and your access rights."
        ) from None
    newest = max(tags, key=Version, default=None)
    if target is not None:
        if (wanted := as_version(target)) and (present := as_version(current)) and wanted < present:
            raise click.ClickException(
                f"Copier cannot go back from {commit} to {target}. Revert the commit of the last update in git instead."
            )
    elif newest is not None and is_after(current, newest):
        return (
            f"The project has {commit} of the template, which is newer than the newest release {newest}. "
            "Update it after the next release."
        )
    return None


def recorded(project: Project, key: str) -> str:
    """Return the value of the answers file that Copier wrote there."""
    value = str(project.answers.get(key) or "")
    if not value:
        content = {"_src_path": "address of the template", "_commit": "release that the project has, such as v1.0.0"}
        raise click.ClickException(
            f"{ANSWERS_FILE} has no {key}, so the project cannot be updated. Write the {content[key]} to {key}. {AGAIN}"
        )
    return value


def repository(project: Project, source: str) -> str:
    """Return the URL or path that git reads."""
    if source.startswith(COPIER_KNOWS) or source.endswith(".git"):
        url = source.removeprefix("git+")
        for prefix, host in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
            if url.startswith(prefix):
                url = host + url.removeprefix(prefix).removeprefix("/")
        if ":" in url or Path(url).is_absolute():
            return url
    if re.match(r"[a-z+]+://|[^/]+@[^/]+:", source):
        raise click.ClickException(
            f"Copier takes the address {source} for a directory. Write git+{source} to _src_path in {ANSWERS_FILE}. "
            f"{AGAIN}"
        )
    path = Path(source).expanduser()
    if not path.is_absolute():
        found = (project.directory / path).resolve()
        example = found if (found / "copier.yml").exists() else "https://git.example.com/team/template.git"
        raise click.ClickException(
            f"The template's address {source} is relative, so it is valid in one directory only. Write the full "
            f"address to _src_path in {ANSWERS_FILE}, for example {example}. {AGAIN}"
        )
    return str(path)


def read_tags(url: str) -> set[str]:
    """Return the tags of final versions, which Copier updates to."""
    lines = git("ls-remote", "--tags", "--refs", "--", url).splitlines()
    tags = (line.partition("refs/tags/")[2] for line in lines)
    return {tag for tag in tags if (version := as_version(tag)) and not version.is_prerelease}


def describe(url: str, source: str, commit: str, tags: set[str]) -> str:
    """Return the commit as the last tag before it, the number of commits since, and its hash.

    Raises:
        ClickException: the template does not have the commit.
        GitError: the template cannot be read.
    """
    with tempfile.TemporaryDirectory() as clone:
        git("clone", "--quiet", "--bare", "--filter=tree:0", "--", url, clone)  # Only the commits, without files.
        try:
            found = git("-C", clone, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
        except GitError:
            base = re.sub(r"-\d+-g[0-9a-f]+$", "", commit)
            example = base if base in tags else min(tags, key=Version, default="one of its commits")
            raise click.ClickException(
                f"The template at {source} has no commit {commit}: its history "
                f"was rewritten, or the address is wrong. Write the release that the project is nearest to, such as "
                f"{example}, to _commit in {ANSWERS_FILE}. {AGAIN}"
            ) from None
        return git("-C", clone, "describe", "--tags", "--always", "--long", found)


def is_after(description: str, tag: str) -> bool:
    """Return whether a commit comes after a tag, or has a pre-release of a later version."""
    base, commits = split(description)
    version = as_version(base)
    return version is not None and (version, commits) > (Version(tag), 0)


def split(description: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)-(\d+)-g[0-9a-f]+", description)
    return (found[1], int(found[2])) if found else (description, 0)


def as_version(text: str) -> Version | None:
    try:
        return Version(split(text)[0])
    except InvalidVersion:
        return None


def git(*arguments: str) -> str:
    """Return the output of git.

    Raises:
        GitError: git failed, or would have asked for a password.
    """
    finished = subprocess.run(
        ["git", *arguments],
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()]
        fatal = next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else "")
        raise GitError(fatal.removeprefix("fatal: "))
    return finished.stdout.strip()
