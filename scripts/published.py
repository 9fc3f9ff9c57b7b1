"""Check that a tag on a commit makes no project newer than the tag. Copier refuses updates of such projects.

Copier compares versions that dunamai computes in a clone of the template, with the tags of today. The version of a
commit without a tag is that of the nearest tag before it, and the number of commits since: 1.0.0.post3.dev0. Without a
tag before it, the version is 0.0.0.post3.dev0. So a tag on an old commit makes all later commits newer than itself. A
project that was rendered from one of them cannot update to the tag: "You are downgrading".
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from dunamai import Pattern, Style
from dunamai import Version as CommitVersion
from packaging.version import InvalidVersion, Version


def problems_of_tag(root: Path, tag: str, commit: str, releases: dict[str, str]) -> list[str]:
    """Return the reasons why projects would not get the version of a new tag.

    Args:
        root: the repository, with all tags. If it has a remote `origin`, projects come from its default branch.
        tag: the new tag, such as v1.2.0.
        commit: the commit that gets the tag.
        releases: the commits of the released versions.
    """
    new = Version(tag)
    found = []
    for name, target in refs(root, "refs/tags").items():
        try:
            version = Version(name)
        except InvalidVersion:
            continue  # Copier ignores the tag too.
        if version >= new:
            found.append(
                f"The tag {name} exists. Copier would offer it instead of {tag}. Delete it, also on the server."
            )
        elif releases.get(str(version)) != target and not version.is_prerelease:
            found.append(
                f"The tag {name} is not at the commit that releases.txt has for it. Delete it, also on the server."
            )
    published = git(root, "for-each-ref", "--format=%(symref:short) %(objectname)", "refs/remotes/origin/HEAD").split()
    with TemporaryDirectory() as directory:
        clone = Path(directory, "clone")
        git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(clone))
        git(clone, "tag", "--force", tag, commit)
        if (actual := version_of(clone, commit)) != new:
            found.append(
                f"With the tag {tag}, the commit {commit[:10]} has the version {actual}. Release another commit."
            )
        for name, head in zip(published[::2], published[1::2], strict=True):
            if (version := version_of(clone, head)) > new:
                found.append(
                    f"{name} has commits after {commit[:10]}. Projects that were rendered from them would have the "
                    f"version {version}, and could not update to {tag}. Release the last commit of {name}."
                )
    return found


def refs(root: Path, prefix: str) -> dict[str, str]:
    """Return the commit of each reference, by its short name."""
    form = "%(refname:lstrip=2) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    lines = git(root, "for-each-ref", f"--format={form}", prefix).splitlines()
    return dict(line.split() for line in lines)


def version_of(clone: Path, commit: str) -> Version:
    """Return the version that Copier computes for a commit. The function changes the HEAD of the clone."""
    git(clone, "update-ref", "--no-deref", "HEAD", commit)
    version = CommitVersion.from_git(pattern=Pattern.DefaultUnprefixed, path=clone)
    return Version(version.serialize(style=Style.Pep440))


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout
