"""Find the version of the template to which projects are updated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from copier.errors import CopierError
from packaging.version import Version

from ..project import ANSWERS_FILE
from ..template_source import as_version
from .clones import initialize
from .model import FleetError
from .processes import git, redact
from .sources import Source


@dataclass(frozen=True)
class Target:
    """A version of a template."""

    address: str
    ref: str
    version: str
    commit: str
    releases: list[Version]
    directory: Path
    """A checkout of the version."""

    def releases_after(self, project: str) -> list[str] | None:
        """Return the releases between a project's version and this one, oldest first.

        Args:
            project: the answer `_commit`: a tag, or a tag with the number of commits after it.
        """
        former, target = as_version(project), as_version(self.version)
        if former is None:
            return None
        return [str(version) for version in self.releases if former < version and (not target or version <= target)]

    def non_defaults(self, answers: dict[str, Any]) -> dict[str, Any]:
        """Return the answers to questions with choices or yes and no that are not the default."""
        questions = yaml.safe_load((self.directory / "copier.yml").read_text("utf-8"))
        return {
            name: answers[name]
            for name, question in questions.items()
            if isinstance(question, dict)
            and name in answers
            and question.get("when") is not False
            and ("choices" in question or question.get("type") == "bool")
            and answers[name] != question.get("default")
        }


def find_target(address: str, to: str | None, work: Path) -> Target:
    """Return the newest release of a template, or the version `to`.

    Raises:
        FleetError: the template or the version does not exist.
    """
    url = repository(address)
    directory = work / "templates" / Source(url).slug
    initialize(directory)
    try:
        listed = git(directory, "ls-remote", "--tags", "--refs", "--", url)
    except FleetError as error:
        raise FleetError(
            f"Cannot read the template {redact(address)} ({error}). Check the address _src_path."
        ) from None
    tags = {tag: version for tag in re.findall(r"\trefs/tags/(\S+)", listed) if (version := as_version(tag))}
    releases = sorted({version for version in tags.values() if not version.is_prerelease})
    newest = max((tag for tag in tags if not tags[tag].is_prerelease), key=lambda tag: tags[tag], default="HEAD")
    ref = newest
    if to:
        same = [tag for tag, version in tags.items() if tag == to or version == as_version(to)]
        ref = same[0] if same else to
    try:
        git(directory, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, ref)
    except FleetError as error:
        raise FleetError(f"The template {redact(address)} has no version {ref} ({error}). Check --to.") from None
    commit = git(directory, "rev-parse", "FETCH_HEAD^{commit}").strip()
    git(directory, "checkout", "--quiet", "--force", "--detach", commit)
    return Target(address, ref, str(tags[ref]) if ref in tags else f"{ref} ({commit[:7]})", commit, releases, directory)


def repository(address: str) -> str:
    """Return the address that git understands.

    Raises:
        FleetError: the address works only on the machine of its author.
    """
    from copier._vcs import get_repo  # It is not public, but it reads short forms such as gh:owner/name.

    try:
        url = get_repo(address)
    except CopierError as error:
        raise FleetError(str(error)) from None
    if url is None or not (re.match(r"\w+://|[^/]+@[^/]+:", url) or Path(url).is_absolute()):
        raise FleetError(
            f"Copier does not take {redact(address)} for a git repository. Write an address that all machines can use, "
            f"such as https://git.example.com/team/template.git, to _src_path in {ANSWERS_FILE}."
        )
    return url
